//! Both polls over a model of an instance.

mod bounds;
mod histories;
mod model;
mod stuck;
mod with_rights;
mod without_rights;

use jiff::{SignedDuration, Timestamp};

use self::model::{Down, Op, World, now};
use super::*;
use crate::core::event::EventKind::*;
use crate::core::video::{Privacy, VideoState};

/// The two polls over a world, with what they remember.
struct Watcher {
    world: World,
    memory: Memory,
    look: Look,
}

impl Watcher {
    fn new(sight: Sight) -> Self {
        Self { world: World::new(), memory: Memory::default(), look: Look { sight, scope: Scope::Local } }
    }

    /// A moderator who has had the first look at an instance without videos.
    fn of_an_empty_instance() -> Self {
        let mut watcher = Self::new(Sight::Everything);
        watcher.full();
        watcher
    }

    fn poll(&mut self, is_full: bool) -> Outcome {
        self.world.wait(60);
        (self.world.lists_asked, self.world.addresses_asked) = (0, Vec::new());
        let mut server = self.world.as_seen(self.look.sight);
        let outcome = if is_full {
            now(full(&mut server, &self.memory, self.look)).unwrap()
        } else {
            now(newest(&mut server, &self.memory, self.look)).unwrap()
        };
        let documents = outcome.memory.to_documents();
        self.memory = Memory::from_documents(&documents).unwrap();
        assert_eq!(self.memory, outcome.memory, "a restart forgets nothing");
        outcome
    }

    fn full(&mut self) -> Vec<EventKind> {
        kinds(&self.poll(true))
    }

    fn newest(&mut self) -> Vec<EventKind> {
        kinds(&self.poll(false))
    }

    fn after(&mut self, op: Op) -> Vec<EventKind> {
        self.world.happen(&op);
        self.newest()
    }
}

fn kinds(outcome: &Outcome) -> Vec<EventKind> {
    outcome.told.iter().map(|told| told.kind).collect()
}

fn timestamp(text: &str) -> Timestamp {
    text.parse().unwrap()
}
