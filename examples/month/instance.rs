//! The simulated instance: an ordinary month's work, and what goes wrong in it.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use peertube_sim::accounts::Role;
use peertube_sim::jobs::{NewJob, Outcome, Restart, Version};
use peertube_sim::limits::Limits;
use peertube_sim::traffic::Traffic;
use peertube_sim::videos::NewVideo;
use peertube_sim::{Requests, Sim, World};
use tubewarden::config::JobsPolicy;

use crate::ledger::{Key, Truth};
use crate::watched::NAME;
use crate::{DAY, HOUR};

pub(crate) const MONITOR: (&str, &str) = ("monitor", "monitor-password");
/// How long the instance has run before anyone looks.
const PAST: Duration = HOUR;
/// How many videos there are at a time.
const VIDEOS: usize = 60;

pub(crate) struct Instance {
    sim: Sim,
    next_video: Timestamp,
    videos: VecDeque<String>,
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Misfortune {
    Upgrade(&'static str),
    Killed,
    Emptied,
    Demoted,
    Promoted,
    ClockJumps,
    DaemonAway,
}

impl Misfortune {
    pub(crate) fn restarts_daemon(self) -> bool {
        matches!(self, Self::DaemonAway | Self::Promoted)
    }
}

impl fmt::Display for Misfortune {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Upgrade(version) => write!(f, "the server is upgraded to {version}"),
            Self::Killed => f.write_str("the server is killed and starts again"),
            Self::Emptied => f.write_str("Redis is emptied and the server starts again"),
            Self::Demoted => f.write_str("the account is made a moderator"),
            Self::Promoted => f.write_str("the account is an administrator again, and the daemon is restarted"),
            Self::ClockJumps => f.write_str("the server's clock jumps by an hour"),
            Self::DaemonAway => f.write_str("the daemon is away for an hour"),
        }
    }
}

impl Instance {
    pub(crate) async fn start(seed: u64, days: u64, idle: bool) -> std::io::Result<Self> {
        let begun = Timestamp::now();
        let mut world = World::new(seed, begun, Version::V8_2);
        world.limits = Limits::none();
        world.accounts.add(MONITOR.0, MONITOR.1, Role::Administrator);
        let period = PAST + DAY * u32::try_from(days).unwrap_or(u32::MAX);
        if idle {
            let stats = world.version().stats_type();
            world.jobs.add_recurring(HOUR, NewJob::new(stats));
        } else {
            Traffic::Everyday.fill(&mut world.jobs, begun, period, seed);
        }
        world.advance(PAST);
        let next_video = if idle { Timestamp::MAX } else { world.now() };
        Ok(Self { sim: Sim::serve(world).await?, next_video, videos: VecDeque::new() })
    }

    pub(crate) fn url(&self) -> String {
        self.sim.url()
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.sim.with(|world| world.now())
    }

    pub(crate) fn requests(&self) -> Requests {
        self.sim.requests()
    }

    /// Lets time pass, in which somebody may upload or delete a video.
    pub(crate) fn pass(&mut self, time: Duration) {
        self.sim.advance(time);
        let now = self.now();
        if now < self.next_video {
            return;
        }
        self.next_video = now + 2 * HOUR;
        let name = format!("video of {now:.0}");
        let new = NewVideo::named(&name).run(Duration::from_secs(240));
        self.videos.push_back(self.sim.with(|world| world.upload(new)));
        if self.videos.len() > VIDEOS
            && let Some(oldest) = self.videos.pop_front()
        {
            self.sim.with(|world| world.delete(&oldest));
        }
    }

    /// Until all that is under way has ended.
    pub(crate) fn rest(&mut self) {
        self.next_video = Timestamp::MAX;
        self.sim.advance(2 * HOUR);
    }

    /// What goes wrong in this round, if anything. It is known at once what was lost.
    pub(crate) fn misfortune(&mut self, day: u64, round: u64, rounds: u64) -> Option<Misfortune> {
        let at = |share: u64| round == rounds * share / 24;
        let what = match day % 30 {
            3 if at(4) => Misfortune::DaemonAway,
            6 if at(10) => Misfortune::Upgrade("8.2.2"),
            9 if at(12) => Misfortune::Demoted,
            9 if at(14) => Misfortune::Promoted,
            12 if at(6) => Misfortune::Killed,
            15 if at(3) => Misfortune::Emptied,
            18 if at(2) => Misfortune::ClockJumps,
            21 if at(20) => Misfortune::Upgrade("8.3.0"),
            24 if at(9) => Misfortune::DaemonAway,
            _ => return None,
        };
        match what {
            Misfortune::Upgrade(version) => self.sim.with(|world| world.upgrade(version, Duration::from_secs(90))),
            Misfortune::Killed => {
                self.sim.with(|world| world.restart_server(Restart::Killed, Duration::from_secs(30)));
            }
            Misfortune::Emptied => self.sim.with(|world| {
                world.flush_redis();
                world.restart_server(Restart::Graceful, Duration::from_secs(60));
            }),
            Misfortune::Demoted => self.set_role(Role::Moderator),
            Misfortune::Promoted => self.set_role(Role::Administrator),
            Misfortune::ClockJumps | Misfortune::DaemonAway => self.sim.advance(HOUR),
        }
        // The server is up again before anybody asks.
        self.sim.advance(Duration::from_secs(120));
        Some(what)
    }

    fn set_role(&self, role: Role) {
        self.sim.with(|world| {
            if let Some(account) = world.accounts.get_mut(MONITOR.0) {
                account.role = role;
            }
        });
    }

    /// What happened since the daemon looked first.
    pub(crate) fn truth(&self, since: Timestamp, policy: &JobsPolicy) -> Truth {
        self.sim.with(|world| {
            let ended = world.jobs.ended().iter().filter(|job| job.finished_on > since);
            let lost = world.jobs.lost().len() as u64;
            let mut truth = Truth { lost, instances: 1, ..Truth::default() };
            for job in ended {
                let key: Key = (NAME.to_owned(), job.job_type.to_owned(), job.id.clone(), job.created_at);
                truth.note(key, job.outcome == Outcome::Completed, policy);
            }
            truth
        })
    }
}
