//! Transitions of videos, each told once. Both polls work on one memory, by the
//! server's clock alone: they ask, compare with what is remembered, and give the new
//! memory and what it tells. After an error nothing is learnt, so nothing is told.
//!
//! - [`newest`] reads the top of two lists: by creation, which brings up each upload,
//!   and by publication, where a video comes to the top when its first transcoding
//!   ends, when it leaves Private, when its schedule is due and when a live begins.
//!   What neither brings up (a transcoding that fails, a live that ends) is asked at
//!   its own address, a bounded number at a time, in turn.
//! - [`full`] reads the whole list. What is missing from it is not deleted: its own
//!   address says.
//!
//! Without rights ([`Sight::Public`]) the list tells no state. A video that comes into
//! it is listed; whether it is ready and published its own address tells. What was in
//! it at the first look is taken as published. A video that leaves it may be blocked,
//! private or being transcoded again: that can't be known and is not told.

mod entry;
mod memory;
mod stuck;
#[cfg(test)]
mod tests;
mod walk;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, json};

use self::entry::{Before, Ground, Watch, step};
pub use self::memory::{Memory, MemoryError};
use self::walk::{Until, Walk, walk};
use super::event::{Event, EventKind, Origin};
use super::histogram::READY_BOUNDS;
use super::video::{Scope, Sought, VideoRow, VideoSort, VideosPage, VideosQuery};
use super::video_facts::Facts;

/// Whoever answers questions about videos. An error ends the poll.
pub trait Ask: Send {
    type Error: Send;

    fn videos(&mut self, query: &VideosQuery) -> impl Future<Output = Result<VideosPage, Self::Error>> + Send;

    /// Asks a video's own address.
    fn video(&mut self, uuid: &str) -> impl Future<Output = Result<Sought, Self::Error>> + Send;
}

/// What the account may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sight {
    /// Moderators and administrators: each privacy and state.
    Everything,
    /// Anyone else: what is listed, without its state.
    Public,
}

/// What is looked at. Another look at the same instance begins with a first look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Look {
    pub sight: Sight,
    pub scope: Scope,
}

/// What a poll learnt.
#[derive(Debug)]
pub struct Outcome {
    pub memory: Memory,
    /// In the order of time.
    pub told: Vec<Told>,
    /// Whether the lists were read as far as they should be. If not, they ran away from
    /// us, and what is missing from them was not sought.
    pub complete: bool,
    /// Videos that wait for the next poll to be asked at their own addresses.
    pub left: u64,
    /// Videos whose state this poll saw.
    seen: BTreeSet<String>,
}

/// One transition of a video.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    pub kind: EventKind,
    /// By the server's word where it tells, else the time of its reply.
    pub at: Timestamp,
    pub facts: Facts,
    /// Of a stuck video: since when it is in its state.
    pub since: Option<Timestamp>,
}

impl Told {
    pub fn to_event(&self, origin: &Origin) -> Event {
        let uuid = &self.facts.uuid;
        let mut data = Map::from_iter([("video".to_owned(), self.facts.to_value())]);
        if let Some(since) = self.since {
            data.insert("since".to_owned(), json!(since));
        }
        Event::new(origin, self.kind, uuid, Some(uuid.clone()), self.at, data)
    }
}

/// What is already so when the first look ends, and is told as counts alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FirstLook {
    pub videos: u64,
    pub failed: u64,
    /// In states that should pass.
    pub passing: u64,
}

/// The newest videos, and those whose state should pass. All of them until the first
/// look has ended well, and when more is new than a few pages hold.
pub async fn newest<A: Ask>(ask: &mut A, memory: &Memory, look: Look) -> Result<Outcome, A::Error> {
    newest_within(ask, memory, look, &Limits::default()).await
}

/// All videos.
pub async fn full<A: Ask>(ask: &mut A, memory: &Memory, look: Look) -> Result<Outcome, A::Error> {
    full_within(ask, memory, look, &Limits::default()).await
}

/// How much is asked in one poll.
#[derive(Debug)]
struct Limits {
    /// Rows of the first page of the newest: most polls need no more.
    first: u64,
    page: u64,
    /// Rows that a page shares with the one before it.
    overlap: u64,
    /// Pages of the newest.
    pages: u64,
    soon: usize,
    seldom: usize,
    missing: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { first: 25, page: 100, overlap: 10, pages: 10, soon: 30, seldom: 10, missing: 50 }
    }
}

impl Limits {
    fn step(&self) -> u64 {
        self.page.saturating_sub(self.overlap).max(1)
    }
}

/// How far back the newest are read, beyond the last poll: what is committed late, and
/// what arrives late from other instances, lies there.
const LATE: SignedDuration = SignedDuration::from_mins(2);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    List,
    OwnAddress,
}

/// A video as it was seen.
#[derive(Debug)]
struct Seen {
    row: VideoRow,
    date: Timestamp,
    source: Source,
}

async fn newest_within<A: Ask>(ask: &mut A, memory: &Memory, look: Look, limits: &Limits) -> Result<Outcome, A::Error> {
    let mut next = memory.under(look);
    let (Some(_), Some(mark)) = (next.state.since, next.state.mark) else {
        return full_within(ask, memory, look, limits).await;
    };
    let until = Until::OlderThan(mark.saturating_sub(LATE).unwrap_or(mark));
    let created = walk(ask, look, VideoSort::NewestCreated, until, limits).await?;
    let published = walk(ask, look, VideoSort::NewestPublished, until, limits).await?;
    let mut found = Found::new(created);
    found.join(published);
    if !found.complete {
        // More is new than is read here, after a long silence perhaps.
        return full_within(ask, memory, look, limits).await;
    }

    let soon = found.unanswered(&next, look, Watch::Soon);
    let seldom = found.unanswered(&next, look, Watch::Seldom);
    let left = soon.len().saturating_sub(limits.soon) + seldom.len().saturating_sub(limits.seldom);
    let soon = take_turns(&soon, &mut next.state.turns.soon, limits.soon);
    let seldom = take_turns(&seldom, &mut next.state.turns.seldom, limits.seldom);
    found.ask(ask, soon.into_iter().chain(seldom)).await?;

    Ok(conclude(next, found, left))
}

async fn full_within<A: Ask>(ask: &mut A, memory: &Memory, look: Look, limits: &Limits) -> Result<Outcome, A::Error> {
    let mut next = memory.under(look);
    let mut found = Found::new(walk(ask, look, VideoSort::NewestCreated, Until::TheEnd, limits).await?);
    let mut left = 0;
    if found.complete {
        // Those not shown before either may stay so for ever, and must not stand in
        // the way of what is missing for the first time.
        let missing = next.entries.iter().filter(|(uuid, _)| !found.seen.contains_key(*uuid));
        let (fresh, stale): (Vec<_>, Vec<_>) = missing.partition(|(_, entry)| entry.shown);
        let fresh: Vec<String> = fresh.into_iter().map(|(uuid, _)| uuid.clone()).collect();
        let stale: BTreeSet<String> = stale.into_iter().map(|(uuid, _)| uuid.clone()).collect();
        left = (fresh.len() + stale.len()).saturating_sub(limits.missing);
        let room = limits.missing.saturating_sub(fresh.len());
        let stale = take_turns(&stale, &mut next.state.turns.missing, room);
        for uuid in fresh.into_iter().take(limits.missing).chain(stale) {
            if let Some(entry) = next.entries.get_mut(&uuid) {
                entry.shown = false;
            }
            found.ask(ask, [uuid]).await?;
        }
    }
    let is_first = found.complete && next.state.since.is_none();
    let begun = found.begun;
    let mut outcome = conclude(next, found, left);
    if is_first {
        outcome.memory.state.since = Some(begun);
    }
    Ok(outcome)
}

/// What the questions of one poll brought.
#[derive(Debug)]
struct Found {
    seen: BTreeMap<String, Seen>,
    withheld: Vec<String>,
    gone: Vec<String>,
    begun: Timestamp,
    /// The server's clock at its last list, for what tells no time of its own.
    date: Timestamp,
    complete: bool,
}

impl Found {
    fn new(walk: Walk) -> Self {
        let Walk { seen, begun, ended, complete } = walk;
        Self { seen, withheld: Vec::new(), gone: Vec::new(), begun, date: ended, complete }
    }

    fn join(&mut self, later: Walk) {
        self.seen.extend(later.seen);
        self.date = later.ended;
        self.complete &= later.complete;
    }

    /// Videos to watch of which the lists don't tell enough.
    fn unanswered(&self, memory: &Memory, look: Look, watch: Watch) -> BTreeSet<String> {
        let unseen = memory.watched(watch).filter(|uuid| !self.seen.contains_key(*uuid)).map(str::to_owned);
        if look.sight == Sight::Everything {
            return unseen.collect();
        }
        let ground = ground(memory);
        let stateless = self.seen.iter().filter(|(uuid, seen)| {
            let entry = step(memory.before(uuid), seen, ground).entry;
            entry.watch() == Some(watch)
        });
        unseen.chain(stateless.map(|(uuid, _)| uuid.clone())).collect()
    }

    async fn ask<A: Ask>(&mut self, ask: &mut A, uuids: impl IntoIterator<Item = String>) -> Result<(), A::Error> {
        for uuid in uuids {
            match ask.video(&uuid).await? {
                Sought::Here(row) => {
                    let seen = Seen { row: *row, date: self.date, source: Source::OwnAddress };
                    self.seen.insert(uuid, seen);
                }
                Sought::Withheld => self.withheld.push(uuid),
                Sought::Unread => {}
                Sought::Gone => self.gone.push(uuid),
            }
        }
        Ok(())
    }
}

fn ground(memory: &Memory) -> Ground {
    Ground { since: memory.state.since, last: memory.state.mark }
}

/// Compares what was found with what was remembered.
fn conclude(mut memory: Memory, found: Found, left: usize) -> Outcome {
    let ground = ground(&memory);
    let mut told = Vec::new();
    for (uuid, seen) in &found.seen {
        let is_baseline = ground.since.is_none() && matches!(memory.before(uuid), Before::Unknown);
        let step = step(memory.before(uuid), seen, ground);
        if let Some(seconds) = step.ready_seconds {
            memory.state.ready.observe(READY_BOUNDS, seconds);
        }
        let mut last = None;
        for (kind, at) in step.told {
            if kind == EventKind::VideoPublished {
                memory.state.published_total += 1;
                last = Some(at);
            }
            told.push(Told { kind, at, facts: step.entry.facts.clone(), since: None });
        }
        if is_baseline && step.entry.once.has(entry::Once::PUBLISHED) {
            last = step.entry.published_at.filter(|at| *at <= seen.date);
        }
        memory.state.last_published = memory.state.last_published.max(last);
        memory.insert(uuid, step.entry);
    }
    for uuid in &found.withheld {
        if let Some(entry) = memory.entries.get_mut(uuid) {
            entry.withhold();
        }
    }
    for uuid in &found.gone {
        if let Some(entry) = memory.delete(uuid, found.date) {
            if entry.on_air() {
                told.push(Told { kind: EventKind::LiveEnded, at: found.date, facts: entry.facts.clone(), since: None });
            }
            told.push(Told { kind: EventKind::VideoDeleted, at: found.date, facts: entry.facts, since: None });
        }
    }
    told.sort_by_key(|told| told.at);
    memory.state.mark = Some(found.begun);
    let seen = found.seen.into_keys().collect();
    Outcome { memory, told, complete: found.complete, left: left as u64, seen }
}

/// The next `most` after the last whose turn it was, going round.
fn take_turns(all: &BTreeSet<String>, last: &mut String, most: usize) -> Vec<String> {
    let after = all.iter().filter(|uuid| **uuid > *last);
    let before = all.iter().filter(|uuid| **uuid <= *last);
    let taken: Vec<String> = after.chain(before).take(most).cloned().collect();
    if let Some(uuid) = taken.last() {
        last.clone_from(uuid);
    }
    taken
}
