//! The simulated instances: their work, and the trouble they have.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use peertube_sim::jobs::{Outcome, Version};
use peertube_sim::traffic::Traffic;
use peertube_sim::videos::{NewVideo, What};
use peertube_sim::{Proxy, Sim, World};
use tubewarden::config::JobsPolicy;

use crate::ledger::Truth;
use crate::trouble::{self, Trouble};

/// How long an instance has run before anyone looks.
const PAST: Duration = Duration::from_secs(20 * 60);
/// One in so many is busy; the others are as most are.
const BUSY: usize = 10;
/// Seconds between two uploads to an instance, between two troubles of it, and how long one lasts.
const UPLOAD: std::ops::Range<u64> = 60..400;
const CALM: std::ops::Range<u64> = 15..120;
const TROUBLE: std::ops::Range<u64> = 2..45;

pub(crate) struct Fleet {
    members: Vec<Member>,
    rng: fastrand::Rng,
    last: Instant,
    /// By what went wrong.
    faults: BTreeMap<&'static str, u64>,
}

struct Member {
    name: String,
    sim: Sim,
    way: Proxy,
    looked: Timestamp,
    next_upload: Option<Timestamp>,
    /// When something begins, or ends.
    turn: Option<Timestamp>,
    is_troubled: bool,
}

impl Fleet {
    /// Their clocks stand still.
    pub(crate) async fn start(count: usize, seed: u64, busy: Duration) -> std::io::Result<Self> {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut members = Vec::new();
        for number in 0..count {
            let begun = Timestamp::now() - PAST;
            let seed = rng.u64(..);
            let mut world = World::new(seed, begun, Version::V8_2);
            let traffic = if number % BUSY == 0 { Traffic::Mixed } else { Traffic::Everyday };
            traffic.fill(&mut world.jobs, begun, PAST + busy, seed);
            world.advance(PAST);
            let next_upload = Some(soon(&mut rng, &world, UPLOAD));
            let looked = world.now();
            let sim = Sim::serve(world).await?;
            let way = Proxy::start(sim.address()).await?;
            let name = format!("instance-{number}");
            members.push(Member { name, sim, way, looked, next_upload, turn: None, is_troubled: false });
        }
        Ok(Self { members, rng, last: Instant::now(), faults: BTreeMap::new() })
    }

    /// Name, address, and where to connect to instead.
    pub(crate) fn addresses(&self) -> Vec<(String, String, String)> {
        let of = |member: &Member| (member.name.clone(), member.sim.url(), member.way.url());
        self.members.iter().map(of).collect()
    }

    /// What ends from now on is to be told.
    pub(crate) fn was_looked_at(&mut self) {
        for member in &mut self.members {
            member.looked = member.sim.with(|world| world.now());
        }
        self.last = Instant::now();
    }

    pub(crate) fn begin_trouble(&mut self) {
        for member in &mut self.members {
            member.turn = Some(member.sim.with(|world| soon(&mut self.rng, world, CALM)));
        }
    }

    /// Nothing is wrong any more, and nobody uploads.
    pub(crate) async fn heal(&mut self) {
        for member in &mut self.members {
            (member.turn, member.is_troubled, member.next_upload) = (None, false, None);
            trouble::heal(&member.sim, &member.way).await;
        }
    }

    /// Lets so much time pass, as fast as ours.
    pub(crate) async fn live(&mut self, time: Duration, tick: Duration) {
        let until = Instant::now() + time;
        while Instant::now() < until {
            tokio::time::sleep(tick).await;
            let passed = self.last.elapsed();
            self.last += passed;
            for member in &mut self.members {
                member.sim.advance(passed);
                member.upload(&mut self.rng);
                if let Some(fault) = member.turn(&mut self.rng).await {
                    *self.faults.entry(fault).or_default() += 1;
                }
            }
        }
    }

    /// How often what went wrong so far.
    pub(crate) fn faults(&self) -> &BTreeMap<&'static str, u64> {
        &self.faults
    }

    pub(crate) fn truth(&self, policy: &JobsPolicy) -> Truth {
        let mut truth = Truth { instances: self.members.len(), videos: Some(HashSet::new()), ..Truth::default() };
        for Member { name, sim, looked, .. } in &self.members {
            sim.with(|world| {
                truth.lost += world.jobs.lost().len() as u64;
                for job in world.jobs.ended().iter().filter(|job| job.finished_on.as_second() >= looked.as_second()) {
                    let key = (name.clone(), job.job_type.to_owned(), job.id.clone(), job.created_at);
                    if job.finished_on > *looked {
                        truth.note(key, job.outcome == Outcome::Completed, policy);
                    } else {
                        truth.doubtful.insert(key);
                    }
                }
                let published = world
                    .videos
                    .truth()
                    .iter()
                    .filter(|told| told.what == What::Published && told.first && told.local && told.at > *looked);
                let videos = truth.videos.get_or_insert_default();
                videos.extend(published.map(|told| (name.clone(), told.uuid.clone())));
            });
        }
        truth
    }
}

impl Member {
    fn upload(&mut self, rng: &mut fastrand::Rng) {
        let next = &mut self.next_upload;
        self.sim.with(|world| {
            if next.is_some_and(|at| at <= world.now()) {
                let name = format!("video of {:.0}", world.now());
                world.upload(NewVideo::named(&name).run(Duration::from_secs(rng.u64(5..90))));
                *next = Some(soon(rng, world, UPLOAD));
            }
        });
    }

    /// Whether something begins or ends to go wrong: what begins.
    async fn turn(&mut self, rng: &mut fastrand::Rng) -> Option<&'static str> {
        let now = self.sim.with(|world| world.now());
        self.turn.filter(|turn| *turn <= now)?;
        self.is_troubled = !self.is_troubled;
        if !self.is_troubled {
            trouble::heal(&self.sim, &self.way).await;
            self.turn = Some(self.sim.with(|world| soon(rng, world, CALM)));
            return None;
        }
        let lasting = Duration::from_secs(rng.u64(TROUBLE));
        self.turn = Some(now + lasting);
        let trouble = Trouble::any(rng);
        trouble.strike(&self.sim, &self.way, lasting).await;
        Some(trouble.name)
    }
}

fn soon(rng: &mut fastrand::Rng, world: &World, seconds: std::ops::Range<u64>) -> Timestamp {
    world.now() + Duration::from_secs(rng.u64(seconds))
}
