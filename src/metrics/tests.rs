//! What is shown of an instance, and when.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use crate::core::event::EventKind;
use crate::core::job::{JobType, Pending};
use crate::core::moderation::Waiting;
use crate::core::runner::RunnerJobState;
use crate::core::stats::Stats;
use crate::core::view::{JobTypeView, JobsView, ModerationView, RunnersView, UpdatesView, VideosView};

use super::*;

const POLLS: [(PollKind, Duration, bool); 2] =
    [(PollKind::Jobs, Duration::from_secs(30), true), (PollKind::VideosFull, Duration::from_secs(3600), false)];

fn metrics() -> Metrics {
    Metrics::new(Build { version: "1.2.3", revision: "abc" }).unwrap()
}

/// All samples by name and labels.
fn shown(metrics: &Metrics) -> BTreeMap<String, f64> {
    let text = metrics.render(Format::Text).unwrap();
    let samples = text.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let (series, value) = line.rsplit_once(' ').unwrap();
        (series.to_owned(), value.parse().unwrap())
    });
    samples.collect()
}

fn value(metrics: &Metrics, series: &str) -> Option<f64> {
    shown(metrics).get(series).copied()
}

fn any(metrics: &Metrics, start: &str) -> bool {
    shown(metrics).keys().any(|series| series.starts_with(start))
}

fn at(millisecond: i64) -> Timestamp {
    Timestamp::from_millisecond(millisecond).unwrap()
}

fn jobs(types: impl IntoIterator<Item = (&'static str, JobTypeView)>) -> Arc<JobsView> {
    let types = types.into_iter().map(|(name, view)| (JobType::from(name), view)).collect();
    Arc::new(JobsView { listed_completed: 5, listed_failed: 2, types })
}

fn busy() -> JobTypeView {
    let mut view = JobTypeView {
        completed: 7,
        failed: 3,
        cascaded: 1,
        pending: BTreeMap::from([(Pending::Active, 1), (Pending::Waiting, 0)]),
        oldest_active: Some(at(1_700_000_000_123)),
        ..JobTypeView::default()
    };
    view.run.observe(crate::core::histogram::RUN_BOUNDS, 0.7);
    view
}

#[test]
fn what_is_counted_exists_at_zero_before_anything_happened() {
    let metrics = metrics();
    let _main = metrics.instance("main", &POLLS).unwrap();
    for kind in EventKind::ALL {
        let series = format!("tubewarden_events_total{{peertube_instance=\"main\",type=\"{kind}\"}}");
        assert_eq!(value(&metrics, &series), Some(0.0), "{series}");
    }
    for result in ["ok", "error"] {
        let series = format!("tubewarden_polls_total{{peertube_instance=\"main\",poll=\"jobs\",result=\"{result}\"}}");
        assert_eq!(value(&metrics, &series), Some(0.0), "{series}");
        for grant in ["password", "refresh_token"] {
            let series = format!(
                "tubewarden_token_refreshes_total{{grant=\"{grant}\",peertube_instance=\"main\",result=\"{result}\"}}"
            );
            assert_eq!(value(&metrics, &series), Some(0.0), "{series}");
        }
    }
    let poll = |name: &str, poll: &str| {
        value(&metrics, &format!("tubewarden_poll_{name}{{peertube_instance=\"main\",poll=\"{poll}\"}}"))
    };
    assert_eq!(poll("enabled", "jobs"), Some(1.0));
    assert_eq!(poll("enabled", "videos_full"), Some(0.0));
    assert_eq!(poll("interval_seconds", "videos_full"), Some(3600.0));
    assert_eq!(poll("last_success_timestamp_seconds", "jobs"), None);
    for absent in ["peertube_", "tubewarden_signed_in", "tubewarden_token_expiry", "tubewarden_api_"] {
        assert!(!any(&metrics, absent), "{absent} before the first poll");
    }
    assert!(any(&metrics, "process_start_time_seconds"));
}

#[test]
fn every_counter_of_a_known_type_exists_at_zero() {
    let metrics = metrics();
    let main = metrics.instance("main", &POLLS).unwrap();
    main.jobs(jobs([("email", JobTypeView::default())]));
    for name in ["completed", "unaccounted", "recovered"] {
        let series = format!("peertube_jobs_{name}_total{{job_type=\"email\",peertube_instance=\"main\"}}");
        assert_eq!(value(&metrics, &series), Some(0.0), "{series}");
    }
    for cascade in ["true", "false"] {
        let series = format!(
            "peertube_jobs_failed_total{{cascade=\"{cascade}\",job_type=\"email\",peertube_instance=\"main\"}}"
        );
        assert_eq!(value(&metrics, &series), Some(0.0), "{series}");
    }
    assert!(!any(&metrics, "peertube_job_oldest"), "nothing waits or runs");
}

#[test]
fn a_stale_poll_loses_its_gauges_and_keeps_its_history() {
    let metrics = metrics();
    let main = metrics.instance("main", &POLLS).unwrap();
    main.jobs(jobs([("email", busy())]));
    main.videos(Arc::new(VideosView {
        published_total: 4,
        videos: BTreeMap::from([(("public", "published"), 9)]),
        last_published: Some(at(1_700_000_000_000)),
        oldest_in_state: BTreeMap::from([("to_transcode", at(1_600_000_000_000))]),
        ..VideosView::default()
    }));
    main.runners(runners("video-transcription", JobTypeView::default(), ["one"]));
    main.version("8.2.1");
    let waits = Waiting { count: 2, oldest: Some(at(1_600_000_000_000)) };
    main.moderation(Arc::new(ModerationView { waiting: BTreeMap::from([("abuse", waits)]) }));
    main.updates(UpdatesView { server: Some(true), plugins: BTreeMap::from([("peertube-plugin-a".into(), false)]) });
    main.stats(Arc::new(Stats::of(&BTreeMap::from([("totalUsers".to_owned(), 3.0)]), [])));
    let gauges = [
        (PollKind::Jobs, "peertube_jobs_listed"),
        (PollKind::Jobs, "peertube_jobs_pending"),
        (PollKind::Jobs, "peertube_job_oldest_active_timestamp_seconds"),
        (PollKind::VideosFull, "peertube_videos{"),
        (PollKind::Videos, "peertube_video_oldest_in_state_timestamp_seconds"),
        (PollKind::Moderation, "peertube_moderation_pending"),
        (PollKind::Moderation, "peertube_moderation_oldest_pending_timestamp_seconds"),
        (PollKind::Runners, "peertube_runner_jobs{"),
        (PollKind::Runners, "peertube_runner_last_contact_timestamp_seconds{"),
        (PollKind::Config, "peertube_info"),
        (PollKind::Config, "peertube_update_available"),
        (PollKind::Config, "peertube_plugin_update_available"),
        (PollKind::Stats, "peertube_stats_users"),
    ];
    let history = [
        "peertube_jobs_completed_total",
        "peertube_jobs_failed_total",
        "peertube_job_run_seconds_bucket",
        "peertube_videos_published_total",
        "peertube_video_last_published_timestamp_seconds",
        "peertube_video_ready_seconds_count",
        "tubewarden_poll_last_success_timestamp_seconds",
    ];
    for kind in PollKind::ALL {
        main.polled(kind, true, Duration::from_millis(80), at(1_700_000_001_500));
    }
    for (_, name) in gauges {
        assert!(any(&metrics, name), "{name}");
    }

    for kind in PollKind::ALL {
        main.stale(kind);
        for (poll, name) in gauges {
            assert_eq!(any(&metrics, name), poll > kind, "{name} when {kind} and those before it are stale");
        }
        for name in history {
            assert!(any(&metrics, name), "{name} when {kind} is stale");
        }
    }

    main.polled(PollKind::Jobs, false, Duration::from_millis(80), at(1_700_000_002_500));
    assert!(!any(&metrics, "peertube_jobs_pending"), "a poll that failed refreshes nothing");
    main.polled(PollKind::Jobs, true, Duration::from_millis(80), at(1_700_000_003_500));
    assert!(any(&metrics, "peertube_jobs_pending"));
    assert!(!any(&metrics, "peertube_videos{"), "the other polls are still stale");
}

fn runners<const N: usize>(job_type: &str, view: JobTypeView, names: [&str; N]) -> Arc<RunnersView> {
    Arc::new(RunnersView {
        types: BTreeMap::from([(job_type.into(), view)]),
        jobs: BTreeMap::from([(job_type.into(), BTreeMap::from([(RunnerJobState::Pending, 3)]))]),
        last_contact: names.into_iter().map(|name| (name.to_owned(), at(1_700_000_000_000))).collect(),
        ..RunnersView::default()
    })
}

#[test]
fn how_long_jobs_take_is_shown_of_types_that_are_followed_or_were() {
    let metrics = metrics();
    let main = metrics.instance("main", &POLLS).unwrap();
    let followed = JobTypeView { is_followed: true, ..JobTypeView::default() };
    main.jobs(jobs([("email", followed), ("activitypub-follow", JobTypeView::default()), ("video-import", busy())]));
    let shown = |job_type: &str, metric: &str| {
        let series = format!("peertube_{metric}_count{{job_type=\"{job_type}\",peertube_instance=\"main\"}}");
        value(&metrics, &series)
    };
    for metric in ["job_wait_seconds", "job_run_seconds"] {
        assert_eq!(shown("email", metric), Some(0.0), "before the first of them");
        assert_eq!(shown("activitypub-follow", metric), None);
    }
    assert_eq!(shown("video-import", "job_run_seconds"), Some(1.0));
}

#[test]
fn a_type_that_runners_share_with_the_instance_is_one_series() {
    let metrics = metrics();
    let main = metrics.instance("main", &POLLS).unwrap();
    let completed = |completed| JobTypeView { completed, ..JobTypeView::default() };
    main.jobs(jobs([("video-transcription", completed(3))]));
    main.runners(runners("video-transcription", completed(4), []));
    let text = metrics.render(Format::Text).unwrap();
    let series = "peertube_jobs_completed_total{job_type=\"video-transcription\",peertube_instance=\"main\"}";
    let seen: Vec<&str> = text.lines().filter(|line| line.starts_with(series)).collect();
    assert_eq!(seen, [format!("{series} 7")]);
}

#[test]
fn runners_beyond_the_bound_are_one() {
    let metrics = metrics();
    let main = metrics.instance("main", &POLLS).unwrap();
    let names: [String; 70] = std::array::from_fn(|i| format!("runner-{i:02}"));
    main.runners(runners("video-transcription", JobTypeView::default(), names.each_ref().map(String::as_str)));
    let text = metrics.render(Format::Text).unwrap();
    let seen = |name: &str| text.contains(&format!("runner=\"{name}\"}} 1700000000"));
    assert!(seen("runner-00") && seen("runner-63") && !seen("runner-64") && seen("other"));
}

#[test]
fn job_types_beyond_the_bound_are_summed_up_and_none_shown_before_vanishes() {
    let metrics = metrics();
    let main = metrics.instance("main", &POLLS).unwrap();
    let view = |names: &mut dyn Iterator<Item = String>| {
        Arc::new(JobsView { types: names.map(|name| (JobType(name), busy())).collect(), ..JobsView::default() })
    };
    main.jobs(view(&mut (0..64).map(|i| format!("type-{i}"))));
    assert!(!any(&metrics, "peertube_jobs_completed_total{job_type=\"other\""));

    // These come first by name, and the server itself calls one "other".
    let newer = (0..10).map(|i| format!("a-{i}")).chain(["other".to_owned()]);
    main.jobs(view(&mut (0..64).map(|i| format!("type-{i}")).chain(newer)));
    let shown = shown(&metrics);
    let completed: Vec<_> =
        shown.iter().filter(|(name, _)| name.starts_with("peertube_jobs_completed_total")).collect();
    assert_eq!(completed.len(), 65);
    assert_eq!(completed.iter().map(|(_, count)| **count).sum::<f64>(), 75.0 * 7.0);
    let other =
        |name: &str, more: &str| shown[&format!("{name}{{{more}job_type=\"other\",peertube_instance=\"main\"}}")];
    assert_eq!(other("peertube_jobs_completed_total", ""), 77.0);
    assert_eq!(other("peertube_jobs_failed_total", "cascade=\"true\","), 11.0);
    assert_eq!(other("peertube_job_run_seconds_count", ""), 11.0);
    assert_eq!(other("peertube_job_oldest_active_timestamp_seconds", ""), 1_700_000_000.123);
    assert_eq!(shown["peertube_job_run_seconds_bucket{job_type=\"other\",peertube_instance=\"main\",le=\"0.5\"}"], 0.0);
    assert_eq!(shown["peertube_job_run_seconds_bucket{job_type=\"other\",peertube_instance=\"main\",le=\"1\"}"], 11.0);
    assert_eq!(shown["peertube_jobs_pending{job_type=\"other\",peertube_instance=\"main\",state=\"active\"}"], 11.0);
}

#[test]
fn names_that_become_one_when_cleaned_are_one_series() {
    let metrics = metrics();
    let main = metrics.instance("main", &POLLS).unwrap();
    main.jobs(jobs([("email", busy()), ("email\u{1b}", busy()), ("\n", busy())]));
    assert_eq!(
        value(&metrics, "peertube_jobs_completed_total{job_type=\"email\",peertube_instance=\"main\"}"),
        Some(14.0)
    );
    assert_eq!(
        value(&metrics, "peertube_jobs_completed_total{job_type=\"other\",peertube_instance=\"main\"}"),
        Some(7.0)
    );
}

#[test]
fn a_server_can_not_make_ever_more_series_by_its_status_codes() {
    let metrics = metrics();
    let main = metrics.instance("main", &POLLS).unwrap();
    for code in 100..1000 {
        main.requested("jobs", &code.to_string(), Duration::from_millis(20));
    }
    let shown = shown(&metrics);
    let codes: Vec<_> = shown.iter().filter(|(name, _)| name.starts_with("tubewarden_api_requests_total")).collect();
    assert_eq!(codes.len(), 65);
    assert_eq!(codes.iter().map(|(_, count)| **count).sum::<f64>(), 900.0);
    assert_eq!(
        shown["tubewarden_api_request_duration_seconds_count{endpoint=\"jobs\",peertube_instance=\"main\"}"],
        900.0
    );
}

#[test]
fn what_can_be_absent_comes_and_goes() {
    let metrics = metrics();
    let main = metrics.instance("main", &POLLS).unwrap();
    let token = |token: &str| {
        let series =
            format!("tubewarden_token_expiry_timestamp_seconds{{peertube_instance=\"main\",token=\"{token}\"}}");
        value(&metrics, &series)
    };
    let signed_in = || value(&metrics, "tubewarden_signed_in{peertube_instance=\"main\"}");
    main.token_expiry(Some(at(1_500)), None);
    assert_eq!((token("access"), token("refresh")), (Some(1.5), None));
    main.token_expiry(None, Some(at(2_000)));
    assert_eq!((token("access"), token("refresh")), (None, Some(2.0)));

    for state in [None, Some(true), Some(false), None] {
        main.signed_in(state);
        assert_eq!(signed_in(), state.map(f64::from));
    }
    for up in [true, false] {
        main.up(up);
        assert_eq!(value(&metrics, "peertube_up{peertube_instance=\"main\"}"), Some(f64::from(up)));
    }
    main.version("8.1.0");
    main.version("8.2.1");
    assert_eq!(value(&metrics, "peertube_info{peertube_instance=\"main\",version=\"8.2.1\"}"), Some(1.0));
    assert_eq!(value(&metrics, "peertube_info{peertube_instance=\"main\",version=\"8.1.0\"}"), None);
}

#[test]
fn an_instance_that_is_removed_leaves_nothing_and_can_come_again() {
    let metrics = metrics();
    let main = metrics.instance("main", &POLLS).unwrap();
    let other = metrics.instance("other", &POLLS).unwrap();
    for instance in [&main, &other] {
        instance.jobs(jobs([("email", busy())]));
        instance.requested("jobs", "200", Duration::from_millis(20));
        instance.told(EventKind::JobFailed);
        instance.up(true);
    }
    assert!(metrics.instance("main", &POLLS).is_err(), "one handle at a time for a name");

    let late = main.clone();
    main.remove();
    late.requested("videos", "200", Duration::from_millis(20));
    late.up(false);
    assert!(!shown(&metrics).keys().any(|series| series.contains("peertube_instance=\"main\"")));
    assert!(any(&metrics, "peertube_up{peertube_instance=\"other\"}"));

    let again = metrics.instance("main", &POLLS).unwrap();
    again.told(EventKind::JobFailed);
    let series = "tubewarden_events_total{peertube_instance=\"main\",type=\"job.failed\"}";
    assert_eq!(value(&metrics, series), Some(1.0));
}

#[test]
fn instances_whose_names_and_labels_join_to_the_same_text_are_kept_apart() {
    let metrics = metrics();
    let short = metrics.instance("a", &POLLS).unwrap();
    let long = metrics.instance("aab", &POLLS).unwrap();
    short.requested("abjobs", "200", Duration::from_millis(20));
    long.requested("jobs", "200", Duration::from_millis(20));
    long.requested("jobs", "200", Duration::from_millis(20));
    let requests = |instance: &str, endpoint: &str| {
        let labels = format!("code=\"200\",endpoint=\"{endpoint}\",peertube_instance=\"{instance}\"");
        value(&metrics, &format!("tubewarden_api_requests_total{{{labels}}}"))
    };
    assert_eq!((requests("a", "abjobs"), requests("aab", "jobs")), (Some(1.0), Some(2.0)));
}
