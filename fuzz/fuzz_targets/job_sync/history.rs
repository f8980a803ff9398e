//! A small instance to which things happen, and a daemon that watches it: the simulator
//! knows the truth.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use peertube_sim::jobs::{Jobs, ListQuery, NewFlow, NewJob, Restart, Version};

use super::watcher::{Watcher, judge};

/// What makes one input take long.
const MOST_ACTS: usize = 80;
const MOST_JOBS: u64 = 600;
/// Polls after the last act: some at least, and as long as something is missing. Nothing
/// is sought for longer.
const CALM_POLLS: std::ops::Range<u32> = 4..45;

const TYPES: [&str; 10] = [
    "activitypub-http-unicast",
    "activitypub-http-broadcast-parallel",
    "email",
    "video-import",
    "video-transcoding",
    "video-live-ending",
    "generate-video-storyboard",
    "federate-video",
    "notify",
    "create-user-export",
];

#[derive(Debug, Clone, Arbitrary)]
pub(crate) struct History {
    seed: u8,
    is_old: bool,
    /// Seconds between two polls, but for what the acts say.
    every: u8,
    /// Milliseconds between two questions of a poll.
    pause: u8,
    workers: [u8; 3],
    acts: Vec<Act>,
}

#[derive(Debug, Clone, Arbitrary)]
enum Act {
    /// So many jobs at the same instant.
    Burst {
        what: Job,
        count: u8,
    },
    /// The same, a little apart.
    Stream {
        what: Job,
        count: u8,
        apart: u8,
    },
    /// A job with children.
    Flow {
        parent: Job,
        children: u8,
        child: Job,
    },
    Recurring {
        minutes: u8,
    },
    Wait {
        seconds: u8,
    },
    Outage {
        minutes: u8,
    },
    Poll,
    CutShort {
        questions: u8,
    },
    DaemonRestarts,
    ServerRestarts {
        is_killed: bool,
        seconds: u8,
    },
    WorkersPause,
    WorkersResume,
    Cancel {
        job_type: u8,
    },
    Empty,
    ClockSetBack {
        minutes: u8,
    },
}

#[derive(Debug, Clone, Arbitrary)]
struct Job {
    job_type: u8,
    /// Tenths of a second.
    run: u16,
    priority: Option<u8>,
    delay: Option<u8>,
    fails: u8,
}

impl Job {
    fn to_add(&self) -> NewJob {
        let name = TYPES[usize::from(self.job_type) % TYPES.len()];
        // None ends at the instant at which it began: that could be the first look's, which then
        // saw it unfinished and has it end no later than itself.
        let mut job = NewJob::new(name).run(Duration::from_millis(1 + 100 * u64::from(self.run)));
        job.priority = self.priority.map(u64::from);
        job.delay = Duration::from_secs(self.delay.unwrap_or_default().into());
        // Mostly none does.
        job.fails = u32::from(self.fails).saturating_sub(200);
        job
    }
}

struct Run<'a> {
    history: &'a History,
    jobs: Jobs,
    watcher: Watcher,
    added: u64,
    is_set_back: bool,
    was_emptied: bool,
    /// Jobs that are looked for at each poll, and how many polls could have seen them.
    witness: Option<Witness>,
}

/// Whether a page would have shown a job, to a poll that had asked for it.
struct Witness {
    sought: BTreeSet<String>,
    shown: Vec<BTreeSet<String>>,
}

pub(crate) fn run(history: &History) {
    let run = play(history, None);
    let verdict = judge(&run.watcher, &run.jobs);
    assert!(verdict.twice.is_empty(), "twice {verdict:?}");
    assert!(verdict.wrong.is_empty(), "wrong {verdict:?}");
    // What is before and what is after is told by the clock.
    if run.is_set_back {
        let known: BTreeSet<_> = run.jobs.ended().iter().map(|job| (job.job_type, job.id.as_str())).collect();
        for told in run.watcher.told.iter().filter(|told| told.missing.is_none()) {
            let id = told.job_id.as_deref().expect("what is told of one job has its id");
            assert!(known.contains(&(told.job_type.0.as_str(), id)), "invented {told:?}");
        }
        return;
    }
    assert!(verdict.invented.is_empty(), "invented {verdict:?}");
    assert!(verdict.untold_gaps.is_empty(), "untold {verdict:?}");
    if !run.was_emptied {
        assert!(verdict.miscounted.is_empty(), "miscounted {verdict:?}");
    }
    if !verdict.missed.is_empty() {
        // Some rows of a list are on no page of it. The same again, with an eye on them.
        let sought = verdict.missed.iter().filter_map(|name| name.split(' ').next()).map(str::to_owned).collect();
        let run = play(history, Some(Witness { sought, shown: Vec::new() }));
        let witness = run.witness.expect("it was given one");
        for name in &witness.sought {
            let polls = witness.shown.iter().filter(|shown| shown.contains(name)).count();
            assert!(polls == 0, "missed {name}, which {polls} polls could have seen: {verdict:?}");
        }
    }
}

fn play(history: &History, witness: Option<Witness>) -> Run<'_> {
    let start: Timestamp = "2026-11-24T06:00:00.250Z".parse().expect("a time");
    let version = if history.is_old { Version::V6_3 } else { Version::V8_2 };
    let mut jobs = Jobs::new(history.seed.into(), start, version);
    for (name, workers) in ["video-transcoding", "video-import", "email"].into_iter().zip(history.workers) {
        jobs.set_concurrency(name, usize::from(workers % 6) + 1);
    }
    let watcher = Watcher::default();
    let mut run = Run { history, jobs, watcher, added: 0, is_set_back: false, was_emptied: false, witness };
    history.acts.iter().take(MOST_ACTS).for_each(|act| run.act(act));
    run.jobs.resume();
    for calm in 0..CALM_POLLS.end {
        if calm >= CALM_POLLS.start && run.witness.is_none() && run.is_settled() {
            break;
        }
        run.poll(None);
        run.wait(Duration::from_secs(u64::from(history.every) + 5));
    }
    run
}

impl Run<'_> {
    fn act(&mut self, act: &Act) {
        match act {
            Act::Burst { what, count } => {
                for _ in 0..self.admit(*count) {
                    self.jobs.add(what.to_add());
                }
            }
            Act::Stream { what, count, apart } => {
                for _ in 0..self.admit(*count) {
                    self.jobs.add(what.to_add());
                    self.wait(Duration::from_millis(u64::from(*apart) * 10));
                }
            }
            Act::Flow { parent, children, child } => {
                let mut flow = NewFlow::new(parent.to_add());
                for _ in 0..self.admit(children % 8) {
                    flow = flow.child(child.to_add());
                }
                self.jobs.add_flow(flow);
            }
            Act::Recurring { minutes } => {
                let stats = self.jobs.version().stats_type();
                let every = Duration::from_secs(60 * (u64::from(*minutes) + 1));
                self.jobs.add_recurring(every, NewJob::new(stats));
            }
            Act::Wait { seconds } => self.wait(Duration::from_secs((*seconds).into())),
            Act::Outage { minutes } => {
                self.wait(Duration::from_secs(60 * u64::from(*minutes)));
                // Many of them would be longer than the server keeps its jobs.
                self.poll(None);
            }
            Act::Poll => self.poll(None),
            Act::CutShort { questions } => self.poll(Some((questions % 16).into())),
            Act::DaemonRestarts => self.watcher.restart(),
            Act::ServerRestarts { is_killed, seconds } => {
                let how = if *is_killed { Restart::Killed } else { Restart::Graceful };
                self.jobs.restart(how, Duration::from_secs((*seconds).into()));
            }
            Act::WorkersPause => self.jobs.pause(),
            Act::WorkersResume => self.jobs.resume(),
            Act::Cancel { job_type } => {
                let name = TYPES[usize::from(*job_type) % TYPES.len()];
                self.jobs.cancel_longest_at(self.jobs.now(), name);
                self.wait(Duration::ZERO);
            }
            Act::Empty => {
                // Without anything listed before, nothing could tell that it was emptied;
                // nor if it grew again beyond what it was while nobody looked.
                let view = self.watcher.memory.view();
                if view.listed_completed + view.listed_failed > 0 {
                    self.jobs.flush();
                    self.was_emptied = true;
                    self.poll(None);
                }
            }
            Act::ClockSetBack { minutes } => {
                self.jobs.set_back(Duration::from_secs(60 * u64::from(*minutes)));
                self.is_set_back |= *minutes > 0;
            }
        }
    }

    /// Nothing runs any more, and nothing that ended is missing.
    fn is_settled(&self) -> bool {
        let verdict = judge(&self.watcher, &self.jobs);
        let is_idle = self.watcher.memory.pending_count() == 0;
        is_idle && verdict.missed.is_empty() && verdict.untold_gaps.is_empty() && verdict.miscounted.is_empty()
    }

    fn admit(&mut self, count: u8) -> u64 {
        let count = u64::from(count).min(MOST_JOBS - self.added);
        self.added += count;
        count
    }

    fn wait(&mut self, how_long: Duration) {
        self.jobs.advance_to(self.jobs.now() + how_long);
    }

    fn poll(&mut self, patience: Option<u64>) {
        let pause = Duration::from_millis(self.history.pause.into());
        let done = self.watcher.poll(&mut self.jobs, pause, patience);
        assert!(done || patience.is_some(), "a poll that was answered fails");
        if let Some(witness) = &mut self.witness {
            let shown = shown(&self.jobs, &witness.sought);
            witness.shown.push(shown);
        }
    }
}

/// Those that some page of a list of their type shows now.
fn shown(jobs: &Jobs, sought: &BTreeSet<String>) -> BTreeSet<String> {
    let types: BTreeSet<&str> = sought.iter().filter_map(|name| name.split('/').next()).collect();
    let mut shown = BTreeSet::new();
    for job_type in types {
        for state in ["completed", "failed"] {
            for oldest_first in [false, true] {
                let mut start = 0;
                loop {
                    let query =
                        ListQuery { state: Some(state), job_type: Some(job_type), start, count: 100, oldest_first };
                    let Ok(page) = jobs.list(&query) else { break };
                    let names = page
                        .rows
                        .iter()
                        .map(|row| format!("{}/{}/{}", row.job_type, row.id, row.created_at.as_millisecond()));
                    shown.extend(names.filter(|name| sought.contains(name)));
                    start += 1;
                    if start >= page.total {
                        break;
                    }
                }
            }
        }
    }
    shown
}
