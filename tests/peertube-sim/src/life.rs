//! What goes on at an instance that is tried by hand: traffic in its queues, and now
//! and then something with a video.

use std::time::Duration;

use jiff::Timestamp;
use peertube_sim::World;
use peertube_sim::moderation::{NewAbuse, NewRegistration, Standing};
use peertube_sim::traffic::Traffic;
use peertube_sim::videos::{NewImport, NewLive, NewVideo, Privacy, RemoteVideo, Trouble, Video};

/// How far ahead the queues get their work: each time the recurring jobs begin anew.
const PERIOD: Duration = Duration::from_secs(6 * 3_600);

#[derive(Debug)]
pub(crate) struct Life {
    rng: fastrand::Rng,
    traffic: Option<Traffic>,
    filled_until: Timestamp,
    next_video: Timestamp,
    names: u64,
    lives: Vec<(Timestamp, String)>,
}

impl Life {
    pub(crate) fn new(seed: u64, world: &World, traffic: Option<Traffic>) -> Self {
        Self {
            rng: fastrand::Rng::with_seed(seed),
            traffic,
            filled_until: world.now(),
            next_video: world.now(),
            names: 0,
            lives: Vec::new(),
        }
    }

    /// Does what is due by the world's time of now.
    pub(crate) fn go_on(&mut self, world: &mut World) {
        if self.filled_until <= world.now() {
            if let Some(traffic) = self.traffic {
                let from = world.now();
                traffic.fill(&mut world.jobs, from, PERIOD, self.rng.u64(..));
            }
            self.filled_until = world.now() + PERIOD;
        }
        if self.next_video <= world.now() {
            self.something_with_a_video(world);
            self.next_video = world.now() + Duration::from_secs(self.rng.u64(20..120));
        }
        let now = world.now();
        let (over, running) = std::mem::take(&mut self.lives).into_iter().partition(|(until, _)| *until <= now);
        self.lives = running;
        let over: Vec<(Timestamp, String)> = over;
        over.iter().for_each(|(_, uuid)| world.end_live(uuid));
    }

    fn something_with_a_video(&mut self, world: &mut World) {
        self.names += 1;
        let run = Duration::from_secs(self.rng.u64(5..60));
        let new = NewVideo::named(&format!("video {}", self.names)).owner("bob").run(run);
        let now = world.now();
        match self.rng.u8(0..19) {
            0 => drop(world.upload(new.trouble(Trouble::Storyboard))),
            1 => drop(world.upload(new.trouble(Trouble::FirstTranscode))),
            2 => drop(world.upload(new.trouble(Trouble::LesserTranscode))),
            3 => drop(world.upload(new.without_waiting())),
            4 => drop(world.upload(new.scheduled(now + Duration::from_secs(300), Privacy::Public))),
            5 => drop(world.upload(new.privacy(Privacy::Unlisted))),
            6 => drop(world.upload(new.nsfw())),
            7 => drop(world.import(NewImport::of(new))),
            8 => drop(world.import(NewImport::of(new).failing())),
            9 => {
                let published = now - Duration::from_secs(self.rng.u64(60..86_400));
                world.receive(RemoteVideo::named(&new.name, published));
            }
            10 => {
                let live = world.create_live(NewLive::named(&new.name).with_replay());
                world.start_live(&live);
                self.lives.push((now + Duration::from_secs(self.rng.u64(30..300)), live));
            }
            11 => {
                self.any(world, |video| video.blocked.is_none(), |world, uuid| world.block(uuid, "against the rules"))
            }
            12 => self.any(world, |video| video.blocked.is_some(), |world, uuid| world.unblock(uuid)),
            13 => self.any(world, Video::is_local, |world, uuid| world.transcode_again(uuid)),
            14 => self.any(world, Video::is_local, |world, uuid| world.delete(uuid)),
            15 => drop(world.report_abuse(NewAbuse {
                reporter: "bob".to_owned(),
                video: new.name,
                reason: "it is no holiday at all".to_owned(),
            })),
            16 => drop(world.request_registration(NewRegistration {
                username: format!("visitor{}", self.names),
                email: format!("visitor{}@example.com", self.names),
                reason: "I want to show my holidays".to_owned(),
            })),
            17 => settle_the_oldest(world),
            _ => drop(world.upload(new)),
        }
    }

    /// Does something with one of the videos that it fits, if there is any.
    fn any(&mut self, world: &mut World, fits: impl Fn(&Video) -> bool, act: impl FnOnce(&mut World, &str)) {
        let fitting: Vec<_> = world.videos.iter().filter(|video| fits(video)).map(|video| video.uuid.clone()).collect();
        if let Some(uuid) = self.rng.choice(&fitting) {
            act(world, uuid);
        }
    }
}

/// A moderator does what is to be done.
fn settle_the_oldest(world: &mut World) {
    let abuse = world.moderation.abuses.pending().next().map(|case| case.id);
    let registration = world.moderation.registrations.pending().next().map(|case| case.id);
    if let Some(id) = abuse {
        world.settle_abuse(id, Standing::Accepted);
    }
    if let Some(id) = registration {
        world.settle_registration(id, Standing::Rejected);
    }
}
