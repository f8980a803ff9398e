//! Every job given to a remote runner is told once, whatever happens: random histories
//! of an instance, polled by the pure core, held against what really happened.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use jiff::Timestamp;
use peertube_sim::runners::{NewRunnerJob, RunnerJob, RunnerJobsQuery as SimQuery, Runners, State};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use tubewarden::core::event::EventKind;
use tubewarden::core::job::{Payload, Pending};
use tubewarden::core::job_told::Told;
use tubewarden::core::runner::{
    RunnerJobRow, RunnerJobState, RunnerJobsList, RunnerJobsPage, RunnerJobsQuery, RunnerRow, RunnersPage,
};
use tubewarden::core::runner_sync::{Ask, Memory, RunnerTold, sync};

use crate::accounting::watcher::{now, policy};

const TYPES: [&str; 2] = ["vod-hls-transcoding", "video-transcription"];
const MINUTE: Duration = Duration::from_secs(60);

/// An instance that goes on between two questions, and may stop answering.
struct Model<'a> {
    runners: &'a mut Runners,
    pause: Duration,
    /// A job that is deleted before that question.
    meanwhile: Option<(u64, &'a str)>,
    patience: Option<u64>,
    questions: u64,
}

#[derive(Debug)]
struct Unanswered;

impl Model<'_> {
    fn asked(&mut self) -> Result<(), Unanswered> {
        if self.patience.is_some_and(|patience| self.questions >= patience) {
            return Err(Unanswered);
        }
        self.questions += 1;
        self.runners.advance(self.pause);
        if let Some((question, uuid)) = self.meanwhile
            && question == self.questions
        {
            self.runners.delete(uuid);
        }
        Ok(())
    }
}

impl Ask for Model<'_> {
    type Error = Unanswered;

    async fn jobs(&mut self, query: &RunnerJobsQuery) -> Result<RunnerJobsPage, Unanswered> {
        self.asked()?;
        let (sort, state_one_of) = match query.list {
            RunnerJobsList::Changes => ("-updatedAt", Vec::new()),
            RunnerJobsList::Unfinished => ("createdAt", vec![1, 2, 5, 9]),
        };
        let (start, count) = (usize::try_from(query.start).unwrap(), usize::try_from(query.count).unwrap());
        let (total, jobs) = self.runners.list(&SimQuery { start, count, sort, state_one_of });
        // The Date header is in whole seconds.
        let date = Timestamp::from_second(self.runners.now().as_second()).unwrap();
        Ok(RunnerJobsPage { total, rows: jobs.into_iter().map(row).collect(), unread: 0, date })
    }

    async fn runners(&mut self, _: u64) -> Result<RunnersPage, Unanswered> {
        self.asked()?;
        let all = self.runners.runners().iter();
        let rows = all.map(|runner| RunnerRow { name: runner.name.clone(), last_contact: runner.last_contact });
        Ok(RunnersPage { total: self.runners.runners().len() as u64, rows: rows.collect(), unread: 0 })
    }
}

fn row(job: &RunnerJob) -> RunnerJobRow {
    RunnerJobRow {
        uuid: job.uuid.clone(),
        job_type: job.job_type.into(),
        state: RunnerJobState::from_id(job.state.id()),
        failures: job.failures,
        error: job.error.clone(),
        started_at: job.started_at,
        finished_at: job.finished_at,
        created_at: job.created_at,
        updated_at: job.updated_at,
        runner: job.runner.clone(),
        parent: job.parent.clone(),
        payload: Payload { video_uuid: Some(job.video.clone()), ..Payload::default() },
    }
}

/// Both sides, and when the polls that succeeded began and ended.
struct Watched {
    runners: Runners,
    memory: Memory,
    settled: HashSet<i64>,
    told: Vec<Told>,
    runners_told: Vec<RunnerTold>,
    spans: Vec<(Timestamp, Timestamp)>,
    questions: u64,
    deleted_at: BTreeMap<String, Timestamp>,
}

impl Watched {
    fn new(ignores_state: bool) -> Self {
        let mut runners = Runners::new(1, "2026-11-24T06:00:00.250Z".parse().unwrap());
        runners.ignores_state = ignores_state;
        runners.add_runner("one");
        Self {
            runners,
            memory: Memory::default(),
            settled: HashSet::new(),
            told: Vec::new(),
            runners_told: Vec::new(),
            spans: Vec::new(),
            questions: 0,
            deleted_at: BTreeMap::new(),
        }
    }

    /// Of an instance without jobs, looked at once.
    fn looked() -> Self {
        let mut watched = Self::new(false);
        watched.poll();
        watched
    }

    fn poll(&mut self) {
        assert!(self.poll_so(Duration::ZERO, None, None));
    }

    fn poll_after(&mut self, wait: Duration) {
        self.runners.advance(wait);
        self.poll();
    }

    /// A poll of an instance that changes meanwhile, and may not answer to the end.
    fn poll_so(&mut self, pause: Duration, patience: Option<u64>, meanwhile: Option<(u64, &str)>) -> bool {
        let start = self.runners.now();
        let mut model = Model { runners: &mut self.runners, pause, meanwhile, patience, questions: 0 };
        let outcome = now(sync(&mut model, &self.memory, &self.settled, &policy()));
        self.questions = model.questions;
        for job in self.runners.deleted() {
            self.deleted_at.entry(job.uuid.clone()).or_insert(self.runners.now());
        }
        let Ok(outcome) = outcome else { return false };
        let documents = outcome.memory.to_documents();
        self.memory = Memory::from_documents(&documents).unwrap();
        assert_eq!(self.memory, outcome.memory, "a restart forgets nothing");
        self.settled.extend(outcome.settled);
        self.told.extend(outcome.told);
        self.runners_told.extend(outcome.runners_told);
        self.spans.push((start, self.runners.now()));
        true
    }

    fn delete(&mut self, uuid: &str) {
        self.runners.delete(uuid);
        for job in self.runners.deleted() {
            self.deleted_at.entry(job.uuid.clone()).or_insert(self.runners.now());
        }
    }

    /// What was told of jobs since the last time.
    fn news(&mut self) -> Vec<EventKind> {
        std::mem::take(&mut self.told).into_iter().map(|told| told.kind).collect()
    }

    fn runner_news(&mut self) -> Vec<EventKind> {
        std::mem::take(&mut self.runners_told).into_iter().map(|told| told.kind).collect()
    }

    /// Holds all that was told against what really happened.
    fn judge(&self) {
        let (_, looked) = self.spans[0];
        let of = |uuid: &str, ends: bool| {
            let told = self.told.iter().filter(|told| told.job_id.as_deref() == Some(uuid));
            let of_its_end = told.filter(|told| told.kind != EventKind::JobStuck);
            of_its_end.filter(|told| (told.kind != EventKind::JobUnaccounted) == ends).collect::<Vec<_>>()
        };
        let mut ends_told = 0;
        let mut vanished_told = 0;
        let ended: BTreeMap<&str, &RunnerJob> =
            self.runners.ended().iter().map(|job| (job.uuid.as_str(), job)).collect();
        for job in self.runners.jobs().chain(self.runners.deleted()) {
            let (ends, vanished) = (of(&job.uuid, true), of(&job.uuid, false));
            (ends_told, vanished_told) = (ends_told + ends.len(), vanished_told + vanished.len());
            let end = ended.get(job.uuid.as_str());
            let deleted = self.deleted_at.get(&job.uuid);
            assert!(ends.len() + vanished.len() <= 1, "{job:?}: {ends:?} {vanished:?}");
            assert!(vanished.is_empty() || deleted.is_some(), "{job:?} is there");
            assert!(ends.is_empty() || end.is_some_and(|end| kind_of(end.state) == ends[0].kind), "{job:?}");
            let gone = end.and_then(|end| end.finished_at).or(deleted.copied());
            let Some(gone) = gone else { panic!("{job:?} has not ended") };
            let seen_before = self.spans.iter().any(|(start, end)| job.created_at < *start && *end < gone);
            let ended_in_sight = |at: Timestamp| {
                self.spans.iter().any(|(start, end)| at < *start && deleted.is_none_or(|deleted| end < deleted))
            };
            if end.is_some() && gone > looked && ended_in_sight(gone) {
                assert_eq!(ends.len(), 1, "{job:?} ended");
            } else if gone > looked && seen_before {
                assert_eq!(ends.len() + vanished.len(), 1, "{job:?} was seen, and then no more");
            }
            let began = Timestamp::from_second(self.spans[0].0.as_second()).unwrap();
            assert!(gone >= began || ends.is_empty(), "{job:?} ended before the first look");
        }
        let of_ends = self.told.iter().filter(|told| told.kind != EventKind::JobStuck).count();
        assert_eq!(ends_told + vanished_told, of_ends, "nothing is invented");
        let view = self.memory.view();
        let counted: u64 = view.types.values().map(|of| of.completed + of.failed + of.cascaded).sum();
        let unaccounted: u64 = view.types.values().map(|of| of.unaccounted).sum();
        assert_eq!((counted, unaccounted), (ends_told as u64, vanished_told as u64));
        assert_eq!(self.memory.work().map(|work| work.videos.len()), Some(0), "all have ended");
    }
}

fn kind_of(state: State) -> EventKind {
    match state {
        State::Completed => EventKind::JobCompleted,
        State::Errored => EventKind::JobFailed,
        State::Cancelled => EventKind::JobCancelled,
        State::ParentErrored | State::ParentCancelled => EventKind::JobCascaded,
        _ => panic!("{state:?} is no end"),
    }
}

#[derive(Debug, Clone)]
enum Step {
    Add { run: u64, fails: u64, completing: u64, of_last: bool, count: usize },
    Cancel(usize),
    Delete(usize),
    Silence(bool),
    Wait(u64),
    Poll { pause: u64, patience: Option<u64>, deletes: Option<(u64, usize)> },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let fails = prop_oneof![6 => Just(0_u64), 2 => 1..5_u64, 1 => Just(9)];
    let count = prop_oneof![9 => 1..4_usize, 1 => 100..240_usize];
    let add = (1..90_u64, fails, 0..20_u64, any::<bool>(), count)
        .prop_map(|(run, fails, completing, of_last, count)| Step::Add { run, fails, completing, of_last, count });
    let poll =
        (0..1500_u64, prop::option::weighted(0.15, 0..5_u64), prop::option::weighted(0.3, (1..5_u64, any::<usize>())))
            .prop_map(|(pause, patience, deletes)| Step::Poll { pause, patience, deletes });
    let step = prop_oneof![
        5 => add,
        1 => any::<usize>().prop_map(Step::Cancel),
        2 => any::<usize>().prop_map(Step::Delete),
        1 => any::<bool>().prop_map(Step::Silence),
        4 => (1..180_u64).prop_map(Step::Wait),
        8 => poll,
    ];
    prop::collection::vec(step, 1..60)
}

fn live(steps: Vec<Step>, ignores_state: bool) -> Watched {
    let mut watched = Watched::new(ignores_state);
    watched.runners.add_runner("two");
    let mut all: Vec<String> = Vec::new();
    for step in steps {
        let pick = |of: usize| if all.is_empty() { "none" } else { all[of % all.len()].as_str() };
        match step {
            Step::Add { run, fails, completing, of_last, count } => {
                for i in 0..count {
                    let new = NewRunnerJob::new(TYPES[i % 2]).run(Duration::from_secs(run)).fails(fails);
                    let mut new = new.completing(Duration::from_secs(completing));
                    let may_complete = |uuid: &&String| {
                        let may = |state: State| !state.has_ended() || state == State::Completed;
                        watched.runners.jobs().any(|job| job.uuid == **uuid && may(job.state))
                    };
                    new.parent = all.last().filter(|_| of_last && i % 3 == 0).filter(may_complete).cloned();
                    all.push(watched.runners.add(new));
                }
            }
            Step::Cancel(of) => drop(watched.runners.cancel(pick(of))),
            Step::Delete(of) => {
                let uuid = pick(of).to_owned();
                watched.delete(&uuid);
            }
            Step::Silence(true) => watched.runners.silence("one"),
            Step::Silence(false) => watched.runners.wake("one"),
            Step::Wait(seconds) => watched.runners.advance(Duration::from_secs(seconds)),
            Step::Poll { pause, patience, deletes } => {
                watched.runners.advance(Duration::from_secs(5));
                let meanwhile = deletes.map(|(question, of)| (question, pick(of).to_owned()));
                let meanwhile = meanwhile.as_ref().map(|(question, uuid)| (*question, uuid.as_str()));
                watched.poll_so(Duration::from_millis(pause), patience, meanwhile);
            }
        }
    }
    // Everything comes to its end, and a few polls see that nothing is left.
    if watched.spans.is_empty() {
        watched.poll();
    }
    watched.runners.wake("one");
    while watched.runners.jobs().any(|job| !job.state.has_ended()) {
        watched.runners.advance(10 * MINUTE);
    }
    (0..6).for_each(|_| watched.poll_after(MINUTE));
    watched
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 150,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(1),
        ..ProptestConfig::default()
    })]

    #[test]
    fn whatever_happens_each_runner_job_is_told_once(steps in steps()) {
        live(steps, false).judge();
    }

    #[test]
    fn a_server_that_tells_no_states_apart_confuses_nothing(steps in steps()) {
        live(steps, true).judge();
    }
}

fn transcode() -> NewRunnerJob {
    NewRunnerJob::new("vod-hls-transcoding")
}

#[test]
fn a_quiet_poll_asks_two_questions_for_jobs_and_one_for_runners() {
    let mut watched = Watched::looked();
    for _ in 0..300 {
        watched.runners.add(transcode().run(600 * MINUTE));
    }
    watched.poll_after(MINUTE);
    assert_eq!(watched.questions, 6, "300 new ones are on four pages");
    watched.runners.silence("one");
    watched.poll_after(MINUTE);
    assert_eq!(watched.questions, 3);
}

#[test]
fn what_had_ended_before_the_first_look_is_not_told_and_what_was_under_way_is() {
    let mut watched = Watched::new(false);
    watched.runners.add(transcode());
    watched.runners.advance(MINUTE);
    watched.runners.add(transcode());
    watched.poll();
    assert_eq!(watched.memory.work().map(|work| work.videos.len()), Some(1));
    watched.poll_after(MINUTE);
    assert_eq!(watched.news(), [EventKind::JobCompleted]);
    watched.poll_after(MINUTE);
    assert_eq!(watched.news(), []);
}

#[test]
fn a_wait_counts_from_creation_or_from_the_parents_end_and_is_not_known_of_one_tried_again() {
    let mut watched = Watched::looked();
    let parent = watched.runners.add(transcode().run(MINUTE));
    watched.runners.add(transcode().run(2 * MINUTE).after(&parent));
    watched.poll_after(MINUTE / 2);
    watched.poll_after(3 * MINUTE);
    let waits: Vec<_> = watched.told.iter().map(|told| (told.wait_seconds, told.run_seconds)).collect();
    assert_eq!(waits, [(Some(0.0), Some(60.0)), (Some(0.0), Some(120.0))]);
    assert_eq!(watched.news().len(), 2);

    watched.runners.add(transcode().fails(2));
    watched.poll_after(MINUTE);
    let told = &watched.told[0];
    assert_eq!((told.kind, told.wait_seconds, told.run_seconds), (EventKind::JobCompleted, None, Some(10.0)));
    let at_runner = told.at_runner.as_ref().unwrap();
    assert_eq!((at_runner.runner.as_deref(), at_runner.failures), (Some("one"), 2));
}

#[test]
fn a_deleted_job_is_unaccounted_after_three_whole_looks() {
    let mut watched = Watched::looked();
    let uuid = watched.runners.add(transcode().run(60 * MINUTE));
    watched.poll_after(MINUTE);
    watched.delete(&uuid);
    watched.poll_after(MINUTE);
    watched.poll_after(MINUTE);
    assert_eq!(watched.news(), []);
    watched.poll_after(MINUTE);
    let told = &watched.told[0];
    assert_eq!((told.kind, told.job_id.as_deref()), (EventKind::JobUnaccounted, Some(uuid.as_str())));
    assert_eq!(told.missing.map(|missing| (missing.count, missing.how)), Some((1, "vanished")));
    watched.poll_after(MINUTE);
    assert_eq!((watched.news().len(), watched.questions), (1, 3));
}

#[test]
fn a_runner_that_holds_a_job_in_silence_is_offline_until_it_speaks() {
    let mut watched = Watched::looked();
    watched.runners.add(transcode().run(20 * MINUTE));
    watched.poll_after(MINUTE);
    watched.runners.silence("one");
    watched.poll_after(4 * MINUTE);
    assert_eq!(watched.runner_news(), []);
    watched.poll_after(2 * MINUTE);
    let told = &watched.runners_told[0];
    assert_eq!((told.runner.as_str(), told.jobs_held, told.jobs_waiting), ("one", 1, 0));
    assert_eq!(watched.runner_news(), [EventKind::RunnerOffline]);
    watched.poll_after(60 * MINUTE);
    assert_eq!(watched.runner_news(), [], "told once");
    watched.runners.wake("one");
    watched.poll_after(MINUTE);
    assert_eq!(watched.runner_news(), [EventKind::RunnerOnline]);
    assert_eq!(watched.news(), [EventKind::JobCompleted]);
}

#[test]
fn a_runner_that_lets_jobs_wait_is_offline_and_an_idle_one_never() {
    let mut watched = Watched::looked();
    watched.runners.silence("one");
    watched.poll_after(24 * 60 * MINUTE);
    assert_eq!(watched.runner_news(), [], "there was nothing to do");
    watched.runners.add(transcode());
    watched.poll_after(4 * MINUTE);
    assert_eq!(watched.runner_news(), []);
    watched.poll_after(2 * MINUTE);
    let told = &watched.runners_told[0];
    assert_eq!((told.jobs_held, told.jobs_waiting), (0, 1));
    assert_eq!(watched.runner_news(), [EventKind::RunnerOffline]);
    watched.runners.wake("one");
    watched.poll_after(MINUTE);
    assert_eq!(watched.runner_news(), [EventKind::RunnerOnline]);
    watched.poll_after(24 * 60 * MINUTE);
    assert_eq!(watched.runner_news(), [], "it is idle");
}

#[test]
fn a_runner_that_was_offline_at_the_first_look_is_not_told() {
    let mut watched = Watched::new(false);
    watched.runners.silence("one");
    watched.runners.add(transcode());
    watched.runners.advance(60 * MINUTE);
    watched.poll();
    watched.poll_after(60 * MINUTE);
    watched.runners.wake("one");
    watched.poll_after(MINUTE);
    assert_eq!(watched.runner_news(), []);
    watched.runners.silence("one");
    watched.runners.add(transcode());
    watched.poll_after(6 * MINUTE);
    assert_eq!(watched.runner_news(), [EventKind::RunnerOffline], "what comes after is told");
}

#[test]
fn a_type_that_no_runner_takes_is_told_once_and_again_after_it_moved() {
    let mut watched = Watched::looked();
    watched.runners.silence("one");
    let uuids: Vec<String> = (0..3).map(|_| watched.runners.add(transcode().run(MINUTE))).collect();
    watched.poll_after(MINUTE);
    watched.poll_after(28 * MINUTE);
    assert_eq!(watched.news(), []);
    watched.poll_after(2 * MINUTE);
    let [told] = &watched.told[..] else { panic!("{:?}", watched.told) };
    let stuck = told.stuck.expect("how it is stuck");
    assert_eq!((told.kind, stuck.state, stuck.count), (EventKind::JobStuck, Pending::Waiting, Some(3)));
    assert!(uuids.contains(told.job_id.as_ref().unwrap()) && told.payload.video_uuid.is_some());
    watched.news();
    watched.poll_after(120 * MINUTE);
    assert_eq!(watched.news(), [], "once, until something moves");

    watched.runners.wake("one");
    watched.poll_after(10 * MINUTE);
    assert_eq!(watched.news(), [EventKind::JobCompleted; 3]);
    watched.runners.silence("one");
    watched.runners.add(transcode().run(MINUTE));
    watched.poll_after(MINUTE);
    watched.poll_after(31 * MINUTE);
    assert_eq!(watched.news(), [EventKind::JobStuck]);
}

#[test]
fn a_job_that_a_runner_works_on_for_too_long_is_told_once() {
    let mut watched = Watched::looked();
    watched.runners.add(NewRunnerJob::new("video-transcription").run(600 * MINUTE));
    watched.runners.add(NewRunnerJob::new("live-rtmp-hls-transcoding").run(6_000 * MINUTE));
    for hours in 0..5 {
        watched.poll_after(60 * MINUTE);
        let expected = if hours == 2 { vec![EventKind::JobStuck] } else { Vec::new() };
        assert_eq!(watched.news(), expected, "after {} hours; a live may last", hours + 1);
    }
}

#[test]
fn what_was_stuck_at_runners_at_the_first_look_is_counted_and_not_told() {
    let mut watched = Watched::new(false);
    watched.runners.silence("one");
    (0..5).for_each(|_| drop(watched.runners.add(transcode())));
    watched.poll_after(60 * MINUTE);
    watched.poll_after(60 * MINUTE);
    assert_eq!((watched.memory.stuck_at_first(), watched.news()), (Some(5), Vec::new()));
}
