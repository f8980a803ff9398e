//! What a scraper reads, whatever was seen of an instance.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;

use tubewarden::core::event::EventKind;
use tubewarden::core::histogram::{Histogram, READY_BOUNDS, RUN_BOUNDS, WAIT_BOUNDS};
use tubewarden::core::job::{JobType, Pending};
use tubewarden::core::moderation::Waiting;
use tubewarden::core::poll::PollKind;
use tubewarden::core::runner::RunnerJobState;
use tubewarden::core::stats::{Redundancy, Stats};
use tubewarden::core::view::{JobTypeView, JobsView, ModerationView, RunnersView, UpdatesView, VideosView};
use tubewarden::metrics::{Build, Format, InstanceMetrics, Metrics};

use crate::exposition::Exposition;
use crate::tools;

const FORMATS: [Format; 2] = [Format::Text, Format::OpenMetrics];

/// Metrics of an instance of which something of every sort was seen.
pub(crate) fn picture() -> (Metrics, InstanceMetrics) {
    let metrics = Metrics::new(Build { version: "1.2.3", revision: "0123abc" }).unwrap();
    let polls = PollKind::ALL.map(|kind| (kind, Duration::from_secs(30), true));
    let main = metrics.instance("main", &polls).unwrap();
    main.up(true);
    main.version("8.2.1");
    main.signed_in(Some(true));
    main.granted("password", true);
    main.token_expiry(Some(at(1_795_000_000_000)), Some(at(1_796_000_000_500)));
    main.requested("jobs", "200", Duration::from_millis(40));
    main.requested("jobs", "timeout", Duration::from_secs(15));
    main.polled(PollKind::Jobs, true, Duration::from_millis(300), at(1_794_000_000_250));
    main.told(EventKind::JobFailed);
    main.jobs(Arc::new(jobs()));
    main.videos(Arc::new(videos()));
    main.moderation(Arc::new(moderation()));
    main.updates(updates());
    main.stats(Arc::new(stats()));
    main.runners(Arc::new(runners()));
    (metrics, main)
}

fn jobs() -> JobsView {
    let transcoding = JobTypeView {
        completed: 17,
        failed: 3,
        cascaded: 2,
        unaccounted: 1,
        recovered: 1,
        pending: BTreeMap::from([(Pending::Delayed, 0), (Pending::Waiting, 4), (Pending::Active, 2)]),
        oldest_waiting: Some(at(1_793_999_000_125)),
        oldest_active: Some(at(1_793_999_900_000)),
        is_followed: true,
        wait: observed(WAIT_BOUNDS, &[0.2, 17.786, 400_000.0]),
        run: observed(RUN_BOUNDS, &[0.287, 1.0, 3_700.5]),
    };
    let email = JobTypeView { completed: 5, is_followed: true, ..JobTypeView::default() };
    let types = [("video-transcoding", transcoding), ("email", email)];
    JobsView {
        listed_completed: 22,
        listed_failed: 5,
        types: types.into_iter().map(|(name, view)| (JobType::from(name), view)).collect(),
    }
}

fn runners() -> RunnersView {
    let transcoding: JobType = "vod-hls-transcoding".into();
    let counted = JobTypeView { completed: 6, failed: 1, run: observed(RUN_BOUNDS, &[12.5]), ..JobTypeView::default() };
    let states = BTreeMap::from([(RunnerJobState::Pending, 2), (RunnerJobState::WaitingForParentJob, 0)]);
    RunnersView {
        types: BTreeMap::from([(transcoding.clone(), counted)]),
        jobs: BTreeMap::from([(transcoding, states)]),
        last_contact: BTreeMap::from([("runner-one".to_owned(), at(1_793_999_500_250))]),
        offline: BTreeSet::new(),
    }
}

fn videos() -> VideosView {
    VideosView {
        published_total: 9,
        videos: BTreeMap::from([(("public", "published"), 9), (("private", "to_transcode"), 1)]),
        last_published: Some(at(1_793_990_000_001)),
        oldest_in_state: BTreeMap::from([("to_transcode", at(1_793_998_000_000))]),
        ready: observed(READY_BOUNDS, &[42.0]),
    }
}

fn moderation() -> ModerationView {
    let waits = Waiting { count: 2, oldest: Some(at(1_793_997_000_000)) };
    ModerationView { waiting: BTreeMap::from([("abuse", waits), ("registration", Waiting::default())]) }
}

fn updates() -> UpdatesView {
    let plugins = [("peertube-plugin-auth-ldap", true), ("peertube-theme-dark", false)];
    let plugins = plugins.map(|(package, update)| (package.to_owned(), update)).into();
    UpdatesView { server: Some(true), plugins }
}

fn stats() -> Stats {
    let numbers = [
        ("totalUsers", 3.0),
        ("totalLocalVideoFilesSize", 7_435_116.0),
        ("averageAbuseResponseTimeMs", 90_500.0),
        ("activityPubMessagesProcessedPerSecond", 0.25),
        ("totalActivityPubCreateMessagesSuccesses", 11.0),
        ("totalActivityPubCreateMessagesErrors", 1.0),
    ];
    let kept = Redundancy { used_bytes: Some(5e9), size_bytes: None, videos: Some(12.0), files: Some(48.0) };
    let numbers = numbers.map(|(name, number)| (name.to_owned(), number)).into();
    Stats::of(&numbers, [("most-views", kept)])
}

fn observed(bounds: &[f64], seconds: &[f64]) -> Histogram {
    let mut histogram = Histogram::default();
    for seconds in seconds {
        histogram.observe(bounds, *seconds);
    }
    histogram
}

fn at(millisecond: i64) -> Timestamp {
    Timestamp::from_millisecond(millisecond).unwrap()
}

/// The exposition without what differs from one process to the next.
fn lasting(metrics: &Metrics, format: Format) -> String {
    let text = metrics.render(format).unwrap();
    text.lines().filter(|line| !line.contains("process_")).map(|line| format!("{line}\n")).collect()
}

#[test]
fn a_picture_as_prometheus_text() {
    insta::assert_snapshot!(lasting(&picture().0, Format::Text));
}

#[test]
fn a_picture_as_open_metrics() {
    insta::assert_snapshot!(lasting(&picture().0, Format::OpenMetrics));
}

#[test]
fn promtool_finds_nothing_to_say_about_our_metrics() {
    let Some(promtool) = tools::require("promtool") else { return };
    let mut check = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let text = picture().0.render(Format::Text).unwrap();
    check.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let said = check.wait_with_output().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    assert_eq!(String::from_utf8_lossy(&said.stderr), "");
}

#[test]
fn both_formats_tell_the_same() {
    let (metrics, _main) = picture();
    let [text, open] = FORMATS.map(|format| Exposition::parse(&lasting(&metrics, format)).unwrap());
    assert!(open.ended && !text.ended);
    let number_of_le = |(name, mut labels): (String, BTreeMap<String, String>)| {
        if let Some(le) = labels.get_mut("le").filter(|le| *le != "+Inf") {
            *le = le.parse::<f64>().unwrap().to_string();
        }
        (name, labels)
    };
    let open: BTreeMap<_, _> = open.samples.into_iter().map(|(series, value)| (number_of_le(series), value)).collect();
    assert_eq!(text.samples, open);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn whatever_is_seen_can_be_read_and_is_told_once(jobs in any_jobs(), then in any_jobs(), version in ".*") {
        let metrics = Metrics::new(Build { version: "1.2.3", revision: "0123abc" }).unwrap();
        let main = metrics.instance("main \"\\\n", &[]).unwrap();
        main.version(&version);
        for view in [jobs, then] {
            let known: u64 = view.types.values().map(|of| of.completed).sum();
            main.jobs(Arc::new(view));
            for format in FORMATS {
                let text = metrics.render(format).unwrap();
                let read = Exposition::parse(&text).map_err(TestCaseError::fail)?;
                prop_assert!(read.named("peertube_jobs_completed_total").count() <= 65);
                let told: f64 = read.named("peertube_jobs_completed_total").map(|(_, value)| value).sum();
                prop_assert_eq!(told, known as f64);
                for (labels, count) in read.named("peertube_job_run_seconds_count") {
                    let mut whole = labels.clone();
                    whole.insert("le".into(), "+Inf".into());
                    let infinite = read.samples[&("peertube_job_run_seconds_bucket".to_owned(), whole)];
                    prop_assert_eq!(infinite, count);
                }
                for ((_, labels), value) in &read.samples {
                    prop_assert!(value.is_finite());
                    for (name, value) in labels.iter().filter(|(name, _)| *name != "peertube_instance") {
                        prop_assert!(!value.is_empty() && value.chars().count() <= 128, "{} {}", name, value);
                        prop_assert!(!value.chars().any(char::is_control), "{} {:?}", name, value);
                    }
                }
            }
        }
    }
}

fn any_jobs() -> impl Strategy<Value = JobsView> {
    let name = prop_oneof![4 => "[a-z]{1,3}", 1 => Just("other".to_owned()), 2 => ".{0,200}"];
    let types = prop::collection::btree_map(name.prop_map(JobType), any_type(), 0..90);
    (0..1000_u64, types).prop_map(|(listed, types)| JobsView {
        listed_completed: listed,
        listed_failed: listed / 2,
        types,
    })
}

fn any_type() -> impl Strategy<Value = JobTypeView> {
    let counts = (0..1_000_000_u64, 0..100_u64, 0..100_u64, 0..10_u64, 0..10_u64);
    let pending = prop::collection::btree_map(
        prop_oneof![Just(Pending::Delayed), Just(Pending::Waiting), Just(Pending::Active)],
        0..1000_u64,
        0..4,
    );
    let time = prop::option::of((0..2_000_000_000_000_i64).prop_map(at));
    let seconds = prop::collection::vec(0.0..1e6, 0..4);
    (counts, pending, time.clone(), time, seconds).prop_map(|(counts, pending, waiting, active, seconds)| {
        let (completed, failed, cascaded, unaccounted, recovered) = counts;
        JobTypeView {
            completed,
            failed,
            cascaded,
            unaccounted,
            recovered,
            pending,
            oldest_waiting: waiting,
            oldest_active: active,
            is_followed: completed % 2 == 0,
            wait: observed(WAIT_BOUNDS, &seconds),
            run: observed(RUN_BOUNDS, &seconds),
        }
    })
}
