use std::collections::BTreeSet;

use serde_json::json;

use super::*;

const START: i64 = 1_795_000_000_000;

fn world(version: Version) -> Jobs {
    Jobs::new(7, timestamp(START), version)
}

fn at(seconds: i64) -> Timestamp {
    timestamp(START + seconds * 1_000)
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn ask<'a>(state: &'a str, job_type: Option<&'a str>) -> ListQuery<'a> {
    ListQuery { state: Some(state), job_type, count: 100, ..ListQuery::default() }
}

fn ids(listing: &Listing) -> Vec<&str> {
    listing.rows.iter().map(|row| row.id.as_str()).collect()
}

/// One transcode of ten minutes, then federation so busy that its rows are younger.
fn long_transcode_beside_federation() -> Jobs {
    let mut jobs = world(Version::V6_3);
    jobs.add_flow(NewJob::new("video-transcoding").run(secs(600)).into());
    for second in 300..600 {
        jobs.add_at(at(second), NewJob::new("activitypub-http-unicast"));
    }
    jobs.advance_to(at(601));
    jobs
}

#[test]
fn a_long_transcode_hides_behind_federation_unless_its_type_is_asked() {
    let jobs = long_transcode_beside_federation();

    let all = jobs.list(&ask("completed", None)).unwrap();
    assert_eq!(all.total, 301);
    assert_eq!(all.rows_read, 102);
    assert_eq!(all.rows.len(), 100);
    assert!(all.rows.iter().all(|row| row.job_type == "activitypub-http-unicast"));

    let alone = jobs.list(&ask("completed", Some("video-transcoding"))).unwrap();
    assert_eq!((alone.total, alone.rows.len()), (1, 1));
    assert_eq!(alone.rows[0].progress, 0);
}

#[test]
fn the_cut_takes_the_newest_finished_and_drops_the_oldest_created() {
    let mut jobs = world(Version::V6_3);
    jobs.set_concurrency("video-import", 200);
    let long = jobs.add(NewJob::new("video-import").run(secs(1_000)));
    for second in 1..=150 {
        jobs.add_at(at(second), NewJob::new("video-import").run(secs(10)));
    }
    jobs.advance_to(at(1_001));

    // The last to finish is the oldest created: of 101 candidates it is the one cut.
    let first = jobs.list(&ask("completed", Some("video-import"))).unwrap();
    assert_eq!((first.total, first.rows_read), (151, 101));
    assert!(!ids(&first).contains(&long.id.as_str()));

    // A reply that covers the queue is exact, from either end.
    let oldest = jobs.list(&ListQuery { start: 51, ..ask("completed", Some("video-import")) }).unwrap();
    let expected: Vec<String> = (1..=100).rev().map(|id| id.to_string()).collect();
    assert_eq!(ids(&oldest), expected);
    let newest =
        jobs.list(&ListQuery { start: 51, oldest_first: true, ..ask("completed", Some("video-import")) }).unwrap();
    let expected: Vec<String> = (52..=151).map(|id| id.to_string()).collect();
    assert_eq!(ids(&newest), expected);
}

#[test]
fn ties_are_turned_round_with_the_list() {
    let mut jobs = world(Version::V6_3);
    for _ in 0..3 {
        jobs.add(NewJob::new("email"));
        jobs.add(NewJob::new("notify"));
    }
    jobs.advance_to(at(1));
    let listed = |oldest_first| {
        let listing = jobs.list(&ListQuery { oldest_first, ..ask("completed", None) }).unwrap();
        listing.rows.iter().map(|row| format!("{}{}", row.job_type, row.id)).collect::<Vec<_>>()
    };
    // Candidates come newest first, then the whole is turned round: the oldest of a tie first.
    assert_eq!(listed(false), ["notify1", "notify2", "notify3", "email1", "email2", "email3"]);
    assert_eq!(listed(true), ["email1", "email2", "email3", "notify1", "notify2", "notify3"]);
}

#[test]
fn wrong_questions_are_refused() {
    let jobs = world(Version::V8_2);
    let refused = |query: ListQuery| jobs.list(&query).unwrap_err();
    assert_eq!(refused(ListQuery { count: 101, ..ListQuery::default() }), ListError::TooMany);
    assert_eq!(refused(ask("complete", None)), ListError::UnknownState);
    assert_eq!(refused(ask("failed", Some("videos-views-stats"))), ListError::UnknownType);
    assert_eq!(jobs.types().iter().collect::<BTreeSet<_>>().len(), 28);
}

#[test]
fn a_count_of_nothing_gives_the_total_cheaply() {
    let jobs = long_transcode_beside_federation();
    let listing = jobs.list(&ListQuery { count: 0, ..ListQuery::default() }).unwrap();
    assert_eq!((listing.total, listing.rows.len(), listing.rows_read), (301, 0, 2));
}

#[test]
fn waiting_holds_children_and_priorities_too() {
    let mut jobs = world(Version::V6_3);
    let flow = NewFlow::new(NewJob::new("transcoding-job-builder"))
        .child(NewJob::new("video-transcoding").priority(110).run(secs(60)));
    jobs.add(NewJob::new("video-transcoding").run(secs(60)));
    let [parent, child] = jobs.add_flow(flow).try_into().unwrap();

    let waiting = jobs.list(&ask("waiting", None)).unwrap();
    assert!(waiting.rows.iter().all(|row| row.state == "waiting"));
    assert_eq!(waiting.total, 2);
    let parents = jobs.list(&ask("waiting-children", None)).unwrap();
    assert_eq!((ids(&parents), parents.rows[0].state), (vec![parent.id.as_str()], "waiting-children"));
    let children = jobs.list(&ask("prioritized", None)).unwrap();
    assert_eq!(children.rows[0].parent.as_deref(), Some(parent.id.as_str()));
    assert_eq!(children.rows[0].id, child.id);

    jobs.advance_to(at(300));
    let order: Vec<&str> = jobs.ended().iter().map(|job| job.job_type).collect();
    assert_eq!(order, ["video-transcoding", "video-transcoding", "transcoding-job-builder"]);
}

#[test]
fn low_priorities_run_first_and_those_without_before_them() {
    let mut jobs = world(Version::V6_3);
    jobs.add(NewJob::new("video-transcoding").run(secs(10)));
    for priority in [Some(120), Some(101), None, Some(101)] {
        jobs.add(NewJob { priority, ..NewJob::new("video-transcoding").run(secs(10)) });
    }
    jobs.advance_to(at(100));
    let order: Vec<&str> = jobs.ended().iter().map(|job| job.id.as_str()).collect();
    assert_eq!(order, ["1", "4", "3", "5", "2"]);
}

#[test]
fn a_completed_job_leaves_only_when_another_of_its_type_ends() {
    let mut jobs = world(Version::V6_3);
    jobs.add(NewJob::new("activitypub-http-broadcast-parallel"));
    jobs.advance_to(at(3_600));
    let query = ask("completed", Some("activitypub-http-broadcast-parallel"));
    assert_eq!(ids(&jobs.list(&query).unwrap()), ["1"]);

    jobs.add(NewJob::new("activitypub-http-broadcast-parallel"));
    jobs.advance_to(at(3_601));
    assert_eq!(ids(&jobs.list(&query).unwrap()), ["2"]);
    assert_eq!(jobs.ended().len(), 2);
    assert_eq!(jobs.ended()[0].left_at, Some(jobs.ended()[1].finished_on));
    assert_eq!(jobs.ended()[1].left_at, None);
}

#[test]
fn only_the_newest_ten_failed_of_a_type_are_kept() {
    let mut jobs = world(Version::V6_3);
    for second in 0..13 {
        jobs.add_at(at(second), NewJob::new("video-import").failing());
    }
    jobs.add(NewJob::new("notify").failing());
    jobs.advance_to(at(60));
    let failed = jobs.list(&ask("failed", None)).unwrap();
    assert_eq!(failed.total, 11);
    assert!(!ids(&failed).contains(&"3"));
    assert_eq!((jobs.purged_failed(), jobs.purged_failed_of("video-import")), (3, 3));
    let gone: Vec<&str> = jobs.ended().iter().filter(|job| job.left_at.is_some()).map(|job| job.id.as_str()).collect();
    assert_eq!(gone, ["1", "2", "3"]);
}

fn twelve_failing_flows(version: Version) -> Jobs {
    let mut jobs = world(version);
    for second in 0..12 {
        let flow = NewFlow::new(NewJob::new("transcoding-job-builder"))
            .child(NewJob::new("video-transcoding").failing().run(secs(1)));
        jobs.add_flow_at(at(second), flow);
    }
    jobs.advance_to(at(60));
    jobs
}

#[test]
fn a_failed_child_fails_its_parent_as_the_version_does() {
    let old = twelve_failing_flows(Version::V6_3);
    let parents = old.list(&ask("failed", Some("transcoding-job-builder"))).unwrap();
    assert_eq!(parents.total, 12, "parents exceed the ten kept");
    let row = &parents.rows[0];
    let error = row.error.as_deref().unwrap();
    assert!(error.starts_with("child bull-peertube.example.com:video-transcoding:"), "{error}");
    assert!(error.ends_with(" failed"), "{error}");
    assert_eq!(row.processed_on, None);

    let new = twelve_failing_flows(Version::V8_2);
    let parents = new.list(&ask("failed", Some("transcoding-job-builder"))).unwrap();
    assert_eq!(parents.total, 10);
    let row = &parents.rows[0];
    let first_line = row.error.as_deref().unwrap().lines().next().unwrap();
    assert!(first_line.starts_with("UnrecoverableError: child bull-"), "{first_line}");
    assert!(row.processed_on.is_some());

    for jobs in [old, new] {
        let cascaded = jobs.ended().iter().filter(|job| job.outcome == Outcome::Cascaded).count();
        assert_eq!((cascaded, jobs.ended().len()), (12, 24));
    }
}

#[test]
fn a_retry_waits_in_delayed_and_keeps_its_error_when_it_succeeds() {
    let mut jobs = world(Version::V6_3);
    jobs.add(NewJob::new("email").fails(2));
    jobs.advance_to(at(30));
    let delayed = jobs.list(&ask("delayed", None)).unwrap();
    let error = delayed.rows[0].error.clone().unwrap();
    assert!(error.lines().count() > 3 && error.contains("/var/www/peertube/"), "{error}");
    assert!(delayed.rows[0].processed_on.is_some() && delayed.rows[0].finished_on.is_none());

    jobs.advance_to(at(600));
    let completed = jobs.list(&ask("completed", None)).unwrap();
    assert_eq!(completed.rows[0].error, Some(error));
    // 60 seconds of pause, then 120.
    assert_eq!(completed.rows[0].processed_on, Some(timestamp(START + 180_100)));
    assert_eq!(jobs.ended()[0].outcome, Outcome::Completed);
}

#[test]
fn counters_begin_again_after_a_flush() {
    let mut jobs = world(Version::V6_3);
    jobs.add(NewJob::new("email"));
    jobs.advance_to(at(1));
    let running = jobs.add(NewJob::new("email").run(secs(60)));
    jobs.flush();
    let fresh = jobs.add(NewJob::new("email"));
    jobs.advance_to(at(120));

    assert_eq!((running.id.as_str(), fresh.id.as_str()), ("2", "1"));
    let lost: Vec<&str> = jobs.lost().iter().map(|job| job.id.as_str()).collect();
    assert_eq!(lost, ["2"]);
    assert_eq!(jobs.list(&ask("completed", None)).unwrap().total, 1);
    assert_eq!(jobs.ended().len(), 2);
    assert_eq!(jobs.ended()[0].left_at, Some(at(1)));
}

#[test]
fn a_killed_server_runs_its_active_jobs_again() {
    let mut jobs = world(Version::V8_2);
    let job = jobs.add(NewJob::new("video-transcoding").run(secs(100)).reports_progress());
    jobs.advance_to(at(44));
    jobs.restart(Restart::Killed, secs(5));
    jobs.advance_to(at(70));
    let frozen = &jobs.list(&ask("active", None)).unwrap().rows[0];
    assert_eq!((frozen.progress, frozen.processed_on), (44, Some(at(0))));

    jobs.advance_to(at(80));
    let again = &jobs.list(&ask("active", None)).unwrap().rows[0];
    assert_eq!((again.id.as_str(), again.created_at), (job.id.as_str(), job.created_at));
    assert!(again.processed_on.unwrap() > at(70) && again.progress < 10);

    jobs.advance_to(at(200));
    assert_eq!(jobs.ended().len(), 1);
}

#[test]
fn a_graceful_restart_lets_active_jobs_end_and_starts_none() {
    let mut jobs = world(Version::V6_3);
    jobs.add(NewJob::new("video-import").run(secs(10)));
    jobs.add(NewJob::new("video-import").run(secs(10)));
    jobs.add_at(at(20), NewJob::new("email"));
    jobs.restart(Restart::Graceful, secs(60));
    jobs.advance_to(at(59));
    assert_eq!(jobs.ended().len(), 1);
    jobs.advance_to(at(71));
    assert_eq!(jobs.ended().len(), 3);
    assert_eq!(jobs.ended()[1].created_at, at(60));
}

#[test]
fn a_recurring_job_makes_the_next_when_it_is_processed() {
    let mut jobs = world(Version::V6_3);
    let first = jobs.add_recurring(secs(3_600), NewJob::new("videos-views-stats"));
    let due = |id: &str| id.rsplit(':').next().unwrap().parse::<i64>().unwrap();
    jobs.advance_to(timestamp(due(&first.id)));
    let delayed = jobs.list(&ask("delayed", None)).unwrap();
    assert_eq!(due(&delayed.rows[0].id), due(&first.id) + 3_600_000);
    assert_eq!(delayed.rows[0].created_at, timestamp(due(&first.id)));
    assert_eq!(first.id.split(':').nth(1).unwrap().len(), 32);

    // A restart sets up another beside it.
    jobs.restart(Restart::Graceful, secs(1));
    jobs.advance_to(at(100 * 3_600));
    assert_eq!(jobs.list(&ask("delayed", None)).unwrap().total, 2);
    assert_eq!(jobs.ended()[0].due_at, timestamp(due(&first.id)));
}

#[test]
fn an_active_job_can_be_cancelled_from_8_2_on() {
    let mut jobs = world(Version::V8_2);
    let flow = NewFlow::new(NewJob::new("transcoding-job-builder"))
        .child(NewJob::new("video-transcoding").run(secs(60)).reports_progress());
    let [parent, child] = jobs.add_flow(flow).try_into().unwrap();
    jobs.advance_to(at(30));
    assert_eq!(jobs.cancel("transcoding-job-builder", &parent.id), Err(CancelError::NotActive));
    assert_eq!(jobs.cancel("video-transcoding", "nothing"), Err(CancelError::NotFound));
    jobs.cancel("video-transcoding", &child.id).unwrap();
    jobs.advance_to(at(31));

    let outcomes: Vec<Outcome> = jobs.ended().iter().map(|job| job.outcome).collect();
    assert_eq!(outcomes, [Outcome::Cancelled, Outcome::Cascaded]);
    let row = &jobs.list(&ask("failed", Some("video-transcoding"))).unwrap().rows[0];
    assert!(row.error.as_deref().unwrap().contains("Job has been canceled"));
    assert_eq!(row.progress, 50);
    assert_eq!(world(Version::V6_3).cancel("email", "1"), Err(CancelError::Unsupported));
}

#[test]
fn nothing_starts_while_paused() {
    let mut jobs = world(Version::V6_3);
    jobs.pause();
    jobs.add(NewJob::new("email"));
    jobs.advance_to(at(60));
    assert_eq!(jobs.list(&ask("waiting", None)).unwrap().total, 1);
    jobs.resume();
    jobs.advance_to(at(61));
    assert_eq!(jobs.take_ended().len(), 1);
    assert!(jobs.take_ended().is_empty());
}

fn fields(row: &serde_json::Value) -> BTreeSet<String> {
    row.as_object().unwrap().keys().cloned().collect()
}

#[test]
fn rows_have_the_fields_of_recorded_replies() {
    let recorded: serde_json::Value = serde_json::from_str(include_str!("recorded.json")).unwrap();
    for (version, name) in [(Version::V6_3, "6.3"), (Version::V8_2, "8.2")] {
        let mut jobs = world(version);
        jobs.add(NewJob::new("email").fails(1));
        jobs.add_flow(NewJob::new("video-transcoding").priority(110).into());
        jobs.advance_to(at(1));
        jobs.add_flow(
            NewFlow::new(NewJob::new("video-transcoding").priority(110))
                .child(NewJob::new("video-transcoding").priority(110).run(secs(1_000))),
        );
        jobs.advance_to(at(10));
        for (state, row) in [
            ("delayed", "delayed email"),
            ("active", "active video-transcoding of a flow"),
            ("completed", "completed video-transcoding, root of a flow"),
        ] {
            let listed = jobs.list(&ask(state, None)).unwrap().rows[0].to_json();
            let real = &recorded[name][row];
            assert_eq!(fields(&listed), fields(real), "{name}: {row}");
            for field in fields(real) {
                assert_eq!(
                    std::mem::discriminant(&listed[&field]),
                    std::mem::discriminant(&real[&field]),
                    "{name}: {row}: {field}"
                );
            }
            let (a, b) = (listed["createdAt"].as_str().unwrap(), real["createdAt"].as_str().unwrap());
            assert_eq!(a.len(), b.len(), "{a} is written like {b}");
        }
    }
}

#[test]
fn an_old_server_has_numbers_for_ids_and_ignores_the_type() {
    let mut jobs = world(Version::QuickStart);
    jobs.add(NewJob::new("email").priority(3));
    jobs.add_flow(NewFlow::new(NewJob::new("video-import")).child(NewJob::new("email")));
    jobs.advance_to(at(1));
    let listing = jobs.list(&ask("complete", Some("video-import"))).unwrap();
    assert_eq!(listing.total, 3);
    let row = listing.rows.last().unwrap().to_json();
    assert!(row["id"].is_u64(), "{row}");
    assert_eq!(row["state"], json!("complete"));
    let expected = ["createdAt", "data", "error", "finishedOn", "id", "processedOn", "state", "type"];
    assert_eq!(fields(&row).into_iter().collect::<Vec<_>>(), expected);
}

#[test]
fn no_two_jobs_share_a_key_and_the_same_seed_gives_the_same_truth() {
    let history = || {
        let mut jobs = twelve_failing_flows(Version::V8_2);
        jobs.restart(Restart::Killed, secs(3));
        jobs.add_recurring(secs(600), NewJob::new("videos-stats"));
        jobs.advance_to(at(7_200));
        jobs.ended().to_vec()
    };
    let truth = history();
    assert_eq!(truth, history());
    let keys: BTreeSet<_> = truth.iter().map(|job| (job.job_type, &job.id, job.created_at)).collect();
    assert_eq!(keys.len(), truth.len());
}
