//! Remote runners as the daemon tells of them, over a simulated instance.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use peertube_sim::jobs::Version;
use peertube_sim::limits::Limits;
use peertube_sim::runners::{NewRunnerJob, State};
use peertube_sim::videos::NewVideo;
use peertube_sim::{Sim, World};

use tubewarden::core::event::{Event, EventKind};
use tubewarden::core::poll::PollKind;

use super::harness::{Home, ROOT, Watch, by_hand, instance};
use super::truth::jobs_counted;

const MINUTE: Duration = Duration::from_secs(60);
const TYPES: [&str; 3] = ["vod-web-video-transcoding", "vod-hls-transcoding", "video-transcription"];

fn world(runners: usize) -> World {
    let mut world = World::new(3, Timestamp::now() - Duration::from_secs(6 * 3600), Version::V8_2);
    world.limits = Limits::none();
    (0..runners).for_each(|i| world.runners.add_runner(&format!("runner-{i}")));
    world
}

async fn watch(sim: &Sim) -> (Home, Watch) {
    let home = Home::new(&(by_hand() + &*instance("main", &sim.url(), ROOT)));
    let watch = Watch::ready(&home).await;
    (home, watch)
}

async fn poll_after(sim: &Sim, watch: &Watch, wait: Duration) {
    sim.advance(wait);
    watch.poll("main", PollKind::Runners).await;
}

fn told(events: &[Event], kind: EventKind) -> Vec<&Event> {
    events.iter().filter(|event| event.kind == kind).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_runner_jobs_are_each_told_and_counted_once() {
    let sim = Sim::serve(world(10)).await.unwrap();
    let video = sim.with(|world| world.upload(NewVideo::named("holidays").without_transcoding()));
    let (home, mut watch) = watch(&sim).await;
    let mut rng = fastrand::Rng::with_seed(5);
    for round in 0..40 {
        sim.with(|world| {
            let mut last: Option<String> = None;
            for i in 0..25 {
                let fails = if rng.u8(0..5) == 0 { rng.u64(1..7) } else { 0 };
                let run = Duration::from_secs(rng.u64(1..40));
                let mut new = NewRunnerJob::new(TYPES[i % 3]).run(run).fails(fails).video(&video);
                new.parent = last.take().filter(|_| i % 2 == 0);
                let uuid = world.runners.add(new);
                if rng.u8(0..30) == 0 {
                    world.runners.cancel(&uuid);
                } else {
                    last = Some(uuid);
                }
            }
        });
        poll_after(&sim, &watch, MINUTE).await;
        if round == 20 {
            watch.stop().await;
            sim.advance(2 * MINUTE);
            watch = Watch::ready(&home).await;
        }
    }
    while sim.with(|world| world.runners.jobs().any(|job| !job.state.has_ended())) {
        poll_after(&sim, &watch, MINUTE).await;
    }
    poll_after(&sim, &watch, MINUTE).await;

    let events = watch.events().await;
    let mut seen: BTreeMap<(EventKind, String), usize> = BTreeMap::new();
    for event in events.iter().filter(|event| event.data.contains_key("failures")) {
        *seen.entry((event.kind, event.data["job_id"].as_str().unwrap().to_owned())).or_default() += 1;
    }
    let (mut truth, mut counts) = (BTreeMap::new(), BTreeMap::new());
    sim.with(|world| {
        for job in world.runners.ended() {
            let (kind, how) = match job.state {
                State::Completed => (EventKind::JobCompleted, "completed"),
                State::Errored => (EventKind::JobFailed, "failed"),
                State::Cancelled => (EventKind::JobCancelled, "failed"),
                _ => (EventKind::JobCascaded, "cascaded"),
            };
            truth.insert((kind, job.uuid.clone()), 1);
            *counts.entry((job.job_type.to_owned(), how)).or_default() += 1;
        }
    });
    assert_eq!(truth.len(), 1000);
    assert!(seen == truth, "{} told of {}", seen.len(), truth.len());
    let scrape = watch.scrape().await;
    let mut counted = jobs_counted(&scrape);
    counted.retain(|(job_type, _), _| TYPES.contains(&job_type.as_str()));
    assert_eq!(counted, counts);
    for kind in [EventKind::JobCompleted, EventKind::JobFailed, EventKind::JobCascaded, EventKind::JobCancelled] {
        assert!(!told(&events, kind).is_empty(), "{kind}");
    }
    let again = told(&events, EventKind::JobCompleted).into_iter().find(|event| event.data["failures"] == 1).unwrap();
    assert!(again.data["runner"].as_str().unwrap().starts_with("runner-") && again.data["wait_seconds"].is_null());
    assert_eq!(again.data["video"]["name"], "holidays");
    assert_eq!(again.data["payload"]["resolution"], 360);
    assert_eq!(scrape.value("peertube_runner_jobs", &[]), Some(0.0), "none is left, and the series stay");
    assert!(scrape.value("peertube_runner_last_contact_timestamp_seconds", &[("runner", "runner-0")]).is_some());
    watch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_runner_that_should_work_and_does_not_is_told_once_also_across_a_restart() {
    let sim = Sim::serve(world(2)).await.unwrap();
    let (home, watch) = watch(&sim).await;
    sim.with(|world| world.runners.add(NewRunnerJob::new(TYPES[0]).run(30 * MINUTE)));
    poll_after(&sim, &watch, MINUTE).await;
    sim.with(|world| world.runners.silence("runner-0"));
    poll_after(&sim, &watch, 6 * MINUTE).await;
    watch.stop().await;
    sim.advance(10 * MINUTE);

    let watch = Watch::ready(&home).await;
    let events = watch.events().await;
    let [offline] = told(&events, EventKind::RunnerOffline)[..] else { panic!("told once") };
    assert_eq!((offline.data["runner"].as_str(), offline.data["jobs_held"].as_u64()), (Some("runner-0"), Some(1)));
    assert_eq!(watch.count(EventKind::RunnerOnline).await, 0);

    sim.with(|world| world.runners.wake("runner-0"));
    poll_after(&sim, &watch, MINUTE).await;
    assert_eq!(watch.count(EventKind::RunnerOnline).await, 1);
    // For a day there is nothing to do.
    sim.advance(40 * MINUTE);
    for _ in 0..5 {
        poll_after(&sim, &watch, Duration::from_secs(5 * 3600)).await;
    }
    assert_eq!(watch.count(EventKind::RunnerOffline).await, 1);
    assert_eq!(watch.count(EventKind::JobCompleted).await, 1);
    watch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_from_before_there_were_runners_is_no_trouble() {
    let mut world = World::new(1, Timestamp::now(), Version::QuickStart);
    world.limits = Limits::none();
    let sim = Sim::serve(world).await.unwrap();
    let (_home, watch) = watch(&sim).await;
    watch.poll("main", PollKind::Runners).await;
    assert_eq!(watch.scrape().await.polls_with("main", PollKind::Runners, "error"), 0.0);
    watch.stop().await;
}
