use std::time::Duration;

use jiff::Timestamp;

use super::{MOST_FAILURES, NewRunnerJob, RunnerJob, Runners, State};

const MINUTE: Duration = Duration::from_secs(60);

fn instance() -> Runners {
    let mut runners = Runners::new(1, Timestamp::UNIX_EPOCH);
    runners.add_runner("one");
    runners
}

fn transcode() -> NewRunnerJob {
    NewRunnerJob::new("vod-web-video-transcoding")
}

fn job<'a>(runners: &'a Runners, uuid: &str) -> &'a RunnerJob {
    runners.jobs().find(|job| job.uuid == uuid).unwrap()
}

#[test]
fn a_runner_takes_two_jobs_at_once_and_the_rest_waits() {
    let mut runners = instance();
    let all: Vec<String> = (0..3).map(|_| runners.add(transcode())).collect();
    let states = |runners: &Runners| all.iter().map(|uuid| job(runners, uuid).state).collect::<Vec<_>>();
    assert_eq!(states(&runners), [State::Processing, State::Processing, State::Pending]);
    runners.advance(Duration::from_secs(10));
    assert_eq!(states(&runners), [State::Completed, State::Completed, State::Processing]);
    runners.advance(Duration::from_secs(10));
    assert_eq!(runners.ended().len(), 3);
}

#[test]
fn a_failed_attempt_is_pending_again_and_the_fifth_is_the_last() {
    let mut runners = instance();
    let (mended, lost) = (runners.add(transcode().fails(2)), runners.add(transcode().fails(99)));
    runners.advance(Duration::from_secs(10));
    assert_eq!(job(&runners, &mended).failures, 1);
    runners.advance(MINUTE);
    let (mended, lost) = (job(&runners, &mended), job(&runners, &lost));
    assert_eq!((mended.state, mended.failures), (State::Completed, 2));
    assert_eq!((lost.state, lost.failures), (State::Errored, MOST_FAILURES));
}

#[test]
fn children_wait_for_their_parent_and_end_badly_with_it() {
    let mut runners = instance();
    let (good, bad, cancelled) =
        (runners.add(transcode()), runners.add(transcode().fails(99)), runners.add(transcode()));
    let [of_good, of_bad, of_cancelled] =
        [&good, &bad, &cancelled].map(|parent| runners.add(transcode().after(parent)));
    assert!(runners.cancel(&cancelled) && !runners.cancel(&cancelled));
    assert_eq!(job(&runners, &of_good).state, State::WaitingForParent);
    runners.advance(2 * MINUTE);
    let states = [&of_good, &of_bad, &of_cancelled].map(|uuid| job(&runners, uuid).state);
    assert_eq!(states, [State::Completed, State::ParentErrored, State::ParentCancelled]);
}

#[test]
fn last_contact_moves_with_a_job_alone_and_a_silent_runner_keeps_its_jobs() {
    let mut runners = instance();
    runners.advance(60 * MINUTE);
    assert_eq!(runners.runners()[0].last_contact, Timestamp::UNIX_EPOCH, "an idle runner looks silent");

    let uuid = runners.add(transcode().run(5 * MINUTE));
    runners.advance(MINUTE);
    assert_eq!(runners.runners()[0].last_contact, runners.now());
    runners.silence("one");
    let silent_since = runners.now();
    runners.advance(20 * MINUTE);
    assert_eq!(runners.runners()[0].last_contact, silent_since);
    assert_eq!(job(&runners, &uuid).state, State::Processing);
    runners.wake("one");
    assert_eq!(job(&runners, &uuid).state, State::Completed);
    assert_eq!(runners.runners()[0].last_contact, runners.now());
}

#[test]
fn what_is_deleted_is_listed_no_more_and_its_children_go_with_it() {
    let mut runners = instance();
    let parent = runners.add(transcode());
    runners.add(transcode().after(&parent));
    runners.delete(&parent);
    assert_eq!((runners.jobs().count(), runners.deleted().len()), (0, 2));
    runners.advance(MINUTE);
    assert!(runners.ended().is_empty());
}
