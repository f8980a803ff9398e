use super::*;

const MINUTE: Duration = Duration::from_secs(60);

/// Instances by name and time limit, each poll of which waits for a far instant.
fn polls(instances: &[(&str, u64)]) -> Vec<Arc<Vitals>> {
    let vitals = |(name, timeout): &(&str, u64)| {
        let vitals = Vitals::new(name, Duration::from_secs(*timeout), false);
        PollKind::ALL.into_iter().for_each(|kind| vitals.set(kind, Doing::Waiting { due: Timestamp::MAX }));
        Arc::new(vitals)
    };
    instances.iter().map(vitals).collect()
}

fn clock(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// What hangs so long after the first look, of a state that answers, at noon.
fn look(watcher: &mut Watcher, polls: &[Arc<Vitals>], now: Instant) -> Option<String> {
    watcher.look(&Picture { state_answers: true, polls }, now, clock("2026-11-24T12:00:00Z"))
}

#[test]
fn a_state_that_does_not_answer_is_told_before_the_polls_that_wait_for_it() {
    let polls = polls(&[("main", 15)]);
    let start = Instant::now();
    polls[0].set(PollKind::Jobs, Doing::Running { since: start });
    let mut watcher = Watcher::new(None);
    let picture = Picture { state_answers: false, polls: &polls };
    let trouble = watcher.look(&picture, start + 60 * MINUTE, clock("2026-11-24T12:00:00Z"));
    assert_eq!(trouble.unwrap(), "the state does not answer");
}

#[test]
fn a_run_hangs_only_after_more_time_than_its_requests_may_take() {
    let polls = polls(&[("quick", 15), ("slow", 120)]);
    let start = Instant::now();
    polls.iter().for_each(|vitals| vitals.set(PollKind::VideosFull, Doing::Running { since: start }));
    let mut watcher = Watcher::new(None);
    assert_eq!(look(&mut watcher, &polls, start + 10 * MINUTE), None);
    let hangs = look(&mut watcher, &polls, start + 11 * MINUTE).unwrap();
    assert_eq!(hangs, "the poll videos_full of quick hangs");

    // A request of it ended after all.
    polls[0].set(PollKind::VideosFull, Doing::Running { since: start + 11 * MINUTE });
    assert_eq!(look(&mut watcher, &polls, start + 20 * MINUTE), None);
    polls[0].set(PollKind::VideosFull, Doing::Waiting { due: Timestamp::MAX });
    assert_eq!(look(&mut watcher, &polls, start + 80 * MINUTE), None);
    let hangs = look(&mut watcher, &polls, start + 81 * MINUTE).unwrap();
    assert_eq!(hangs, "the poll videos_full of slow hangs");
}

#[test]
fn a_run_that_waits_for_another_does_not_hang_itself() {
    let polls = polls(&[("main", 15)]);
    let start = Instant::now();
    polls[0].set(PollKind::Videos, Doing::Queued);
    assert_eq!(look(&mut Watcher::new(None), &polls, start + 600 * MINUTE), None);
}

#[test]
fn a_poll_that_is_due_and_is_not_woken_hangs() {
    let polls = polls(&[("main", 15)]);
    let start = Instant::now();
    polls[0].set(PollKind::Jobs, Doing::Waiting { due: clock("2026-11-24T11:59:59Z") });
    let mut watcher = Watcher::new(None);
    assert_eq!(look(&mut watcher, &polls, start), None);
    assert_eq!(look(&mut watcher, &polls, start + 10 * MINUTE), None);
    let hangs = look(&mut watcher, &polls, start + 11 * MINUTE).unwrap();
    assert_eq!(hangs, "the poll jobs of main hangs");
}

#[test]
fn a_poll_that_is_woken_each_time_is_never_late_whatever_the_clock_says() {
    let polls = polls(&[("main", 15)]);
    let start = Instant::now();
    let mut watcher = Watcher::new(None);
    // Each time the machine has slept for an hour, and the poll was not woken yet.
    for hour in 0..20 {
        let due = clock("2026-11-23T12:00:00Z").saturating_add(jiff::SignedDuration::from_hours(hour)).unwrap();
        polls[0].set(PollKind::Jobs, Doing::Waiting { due });
        assert_eq!(look(&mut watcher, &polls, start + 9 * MINUTE * hour as u32), None, "{hour}");
    }
    // Between two looks it ran, and is late anew.
    let due = clock("2026-11-24T11:00:00Z");
    polls[0].set(PollKind::Jobs, Doing::Running { since: start + 200 * MINUTE });
    assert_eq!(look(&mut watcher, &polls, start + 200 * MINUTE), None);
    polls[0].set(PollKind::Jobs, Doing::Waiting { due });
    assert_eq!(look(&mut watcher, &polls, start + 260 * MINUTE), None);
}

#[test]
fn how_long_a_poll_may_hang_can_be_set() {
    let polls = polls(&[("main", 600)]);
    let start = Instant::now();
    polls[0].set(PollKind::Config, Doing::Running { since: start });
    let mut watcher = Watcher::new(Some(MINUTE));
    assert_eq!(look(&mut watcher, &polls, start + MINUTE), None);
    assert!(look(&mut watcher, &polls, start + 2 * MINUTE).is_some());
}

#[test]
fn the_status_says_how_many_and_when_and_what_hangs() {
    let told = |polls: &[Arc<Vitals>], trouble| status(&Picture { state_answers: true, polls }, trouble);
    let one = polls(&[("main", 15)]);
    assert_eq!(told(&one, None), "1 instance, no poll yet");
    let three = polls(&[("a", 15), ("b", 15), ("c", 15)]);
    three[1].set_down(true);
    three[2].ended();
    let at = format!("{:.0}", three[2].last_ended().unwrap());
    assert_eq!(told(&three, None), format!("3 instances, 1 down, last poll {at}"));
    assert_eq!(
        told(&three, Some("the state does not answer")),
        format!("the state does not answer; 3 instances, 1 down, last poll {at}")
    );
}
