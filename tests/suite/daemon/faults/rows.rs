//! A field of the wrong kind in one row of a list: that row is told in the log and
//! counted, the rest counts, and when it can be read again it is told after all.

use std::collections::BTreeMap;
use std::time::Duration;

use peertube_sim::moderation::NewAbuse;
use peertube_sim::{Fault, When};

use tubewarden::core::event::EventKind;
use tubewarden::core::poll::PollKind;

use super::{Stage, at_once, truth};
use crate::daemon::harness::{Log, Watch};

/// What an odd field takes with it.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Spoils {
    /// The row is passed over as long as it is so.
    Row,
    /// The row counts by what else can be read of it, and is told as one that can't.
    Part,
    /// The row counts as if it were not there.
    Nothing,
}

type Field = (&'static str, Spoils);

/// Fields of jobs and of videos, of which two are odd at a time, one in each list.
const NAMING: [[Field; 2]; 3] = [
    [("id", Spoils::Row), ("uuid", Spoils::Row)],
    [("type", Spoils::Row), ("createdAt", Spoils::Row)],
    [("createdAt", Spoils::Row), ("publishedAt", Spoils::Row)],
];
const TELLING: [[Field; 2]; 3] = [
    [("processedOn", Spoils::Part), ("privacy", Spoils::Row)],
    [("finishedOn", Spoils::Part), ("state", Spoils::Row)],
    [("state", Spoils::Part), ("isLive", Spoils::Row)],
];
const UNNEEDED: [[Field; 2]; 4] = [
    [("error", Spoils::Nothing), ("name", Spoils::Nothing)],
    [("data", Spoils::Nothing), ("channel", Spoils::Nothing)],
    [("parent", Spoils::Nothing), ("duration", Spoils::Nothing)],
    [("progress", Spoils::Nothing), ("views", Spoils::Nothing)],
];
const LISTS: [&str; 2] = ["jobs", "videos"];

async fn unreadable(watch: &Watch, list: &str) -> f64 {
    let labels = [("peertube_instance", "main"), ("endpoint", list)];
    watch.scrape().await.value("tubewarden_unreadable_rows_total", &labels).unwrap_or(0.0)
}

/// How many of what really happened are not told. Nothing else may be.
fn left_out<K: Ord + std::fmt::Debug>(told: &BTreeMap<K, usize>, truth: &BTreeMap<K, usize>) -> usize {
    for (one, times) in told {
        assert_eq!(truth.get(one), Some(times), "{one:?}");
    }
    truth.len() - told.len()
}

/// Rows of either list that could not be read, and all that happened told once.
async fn play(fields: [Field; 2]) -> [f64; 2] {
    let stage = Stage::open().await;
    stage.work();
    stage.poll().await;
    for (list, (field, _)) in LISTS.iter().zip(fields) {
        stage.sim.faults().always(When::path(&format!("/api/v1/{list}")), Fault::OddRow(field));
    }
    let mut odd_jobs = 0.0;
    for _ in 0..3 {
        stage.work();
        stage.poll().await;
        let during = stage.watch.scrape().await;
        for kind in [PollKind::Jobs, PollKind::Videos] {
            assert_eq!(during.polls_with("main", kind, "error"), 0.0, "{fields:?}");
        }
        assert_eq!(during.value("peertube_up", &[("peertube_instance", "main")]), Some(1.0), "{fields:?}");

        let (jobs, videos) = stage
            .sim
            .with(|world| (truth::jobs_to_tell(world, stage.looked), truth::videos_to_tell(world, stage.looked)));
        let events = stage.watch.events().await;
        let odd_before = std::mem::replace(&mut odd_jobs, unreadable(&stage.watch, "jobs").await);
        let lost = if fields[0].1 == Spoils::Row { odd_jobs - odd_before } else { 0.0 };
        let left_out_jobs = left_out(&truth::jobs_told(&events), &jobs);
        assert!(left_out_jobs as f64 <= lost, "{fields:?}: {left_out_jobs} of {} jobs, {lost} odd", jobs.len());
        // Of two lists each hides one.
        let left_out_videos = left_out(&truth::videos_told(&events), &videos);
        assert!(left_out_videos <= 2, "{fields:?}: {left_out_videos} of {} videos", videos.len());
    }
    let passed_over = [odd_jobs, unreadable(&stage.watch, "videos").await];
    stage.heal().await;
    stage.sim.advance(Duration::from_secs(30));
    stage.poll().await;
    stage.watch.poll("main", PollKind::VideosFull).await;
    stage.all_is_told_once().await;
    for (list, passed_over) in LISTS.iter().zip(passed_over) {
        assert_eq!(unreadable(&stage.watch, list).await, passed_over, "{fields:?}: it is over");
    }
    assert_eq!(stage.told(EventKind::InstanceDown).await.len(), 0);
    stage.watch.stop().await;
    passed_over
}

/// Plays them at once, and holds against what was seen what each field spoils.
#[expect(clippy::print_stdout, reason = "the figure is shown to who asks for it")]
async fn play_all(fields: &'static [[Field; 2]]) {
    let (log, _logging) = Log::of_this_thread();
    let mut rows = 0.0;
    let plays = fields.iter().copied().map(|fields| async move { (fields, play(fields).await) });
    for (fields, passed_over) in at_once(plays).await {
        for ((field, spoils), passed_over) in fields.into_iter().zip(passed_over) {
            assert_eq!(passed_over > 0.0, spoils != Spoils::Nothing, "{field}: {passed_over} rows");
            rows += passed_over;
        }
    }
    // Each daemon tells it once of each list, however often it meets such rows.
    let lines = log.lines_with("rows of a list can't be read");
    for (place, list) in LISTS.iter().enumerate() {
        let of_list = lines.iter().filter(|line| line.contains(&format!("endpoint={list} "))).count();
        let spoilt = fields.iter().filter(|fields| fields[place].1 != Spoils::Nothing).count();
        assert_eq!(of_list, spoilt, "{list}: {lines:?}");
    }
    println!("{} fields: {rows} rows could not be read, nothing lost, nothing told twice", 2 * fields.len());
}

#[tokio::test]
async fn a_row_without_a_name_or_an_age_is_told_and_the_rest_counts() {
    play_all(&NAMING).await;
}

#[tokio::test]
async fn a_row_without_what_became_of_it_is_told_and_the_rest_counts() {
    play_all(&TELLING).await;
}

#[tokio::test]
async fn an_odd_field_that_is_not_needed_takes_nothing_with_it() {
    play_all(&UNNEEDED).await;
}

#[tokio::test]
async fn an_odd_row_of_moderation_hides_no_other() {
    let stage = Stage::open().await;
    let report = |count: usize| {
        for _ in 0..count {
            let [reporter, video, reason] = ["zebediah", "quagmire", "he sings badly"].map(str::to_owned);
            stage.sim.with(|world| world.report_abuse(NewAbuse { reporter, video, reason }));
        }
    };
    report(12);
    stage.watch.poll("main", PollKind::Moderation).await;
    for field in ["id", "state", "createdAt"] {
        stage.sim.faults().always(When::path("/api/v1/abuses"), Fault::OddRow(field));
        report(4);
        stage.watch.poll("main", PollKind::Moderation).await;
        stage.heal().await;
        report(1);
        stage.watch.poll("main", PollKind::Moderation).await;
    }
    let scrape = stage.watch.scrape().await;
    assert_eq!(scrape.polls_with("main", PollKind::Moderation, "error"), 0.0);
    assert!(unreadable(&stage.watch, "abuses").await >= 3.0);
    assert_eq!(stage.told(EventKind::AbuseCreated).await.len(), 27);
    stage.watch.stop().await;
}
