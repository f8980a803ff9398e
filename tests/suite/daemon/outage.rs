//! An instance that goes down and comes back, and one that comes back with an empty
//! Redis.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use peertube_sim::jobs::{NewJob, Restart};
use peertube_sim::traffic::Traffic;
use peertube_sim::{Mode, Proxy, Sim};

use tubewarden::core::event::EventKind;
use tubewarden::core::poll::PollKind;

use super::harness::{Home, ROOT, Scrape, Watch, by_hand, eventually, instance};
use super::truth;

const GAUGES: [&str; 3] =
    ["peertube_jobs_listed", "peertube_jobs_pending", "peertube_job_oldest_active_timestamp_seconds"];

fn gauges(scrape: &Scrape) -> [bool; 3] {
    GAUGES.map(|gauge| scrape.value(gauge, &[]).is_some())
}

/// Wakes the poll of jobs until an event of this kind is there.
async fn poll_until_told(watch: &Watch, kind: EventKind) {
    eventually(kind.as_str(), async || {
        watch.poll("main", PollKind::Jobs).await;
        (watch.count(kind).await > 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn down_and_up_are_told_once_and_nothing_that_ended_meanwhile_is_lost() {
    let sim = Sim::serve(truth::busy(5)).await.unwrap();
    let proxy = Proxy::start(sim.address()).await.unwrap();
    let more = format!("connect = \"{}\"\ndown_after = 2\n{ROOT}", proxy.url());
    let home = Home::new(&(by_hand() + &*instance("main", &sim.url(), &more)));
    let watch = Watch::ready(&home).await;
    let first_poll = sim.with(|world| {
        let now = world.now();
        Traffic::Mixed.fill(&mut world.jobs, now, Duration::from_secs(600), 6);
        world.jobs.add(NewJob::new("video-import").run(Duration::from_secs(3_600)));
        now
    });
    sim.advance(Duration::from_secs(120));
    watch.poll("main", PollKind::Jobs).await;
    let before = watch.scrape().await;
    assert_eq!(before.value("peertube_up", &[]), Some(1.0));
    assert_eq!(gauges(&before), [true; 3]);

    proxy.set(Mode::Refuse).await;
    poll_until_told(&watch, EventKind::InstanceDown).await;
    let missed = async || watch.scrape().await.polls_with("main", PollKind::Jobs, "error");
    while missed().await < 3.0 {
        assert_eq!(gauges(&watch.scrape().await), [true; 3], "two missed polls are not much");
        watch.poll("main", PollKind::Jobs).await;
    }
    let down = watch.scrape().await;
    assert_eq!(down.value("peertube_up", &[]), Some(0.0));
    assert_eq!(gauges(&down), [false; 3]);
    let counted = truth::jobs_counted(&down);
    assert!(!counted.is_empty() && counted == truth::jobs_counted(&before));

    sim.advance(Duration::from_secs(120));
    proxy.set(Mode::Pass).await;
    poll_until_told(&watch, EventKind::InstanceUp).await;
    let (jobs, counts) =
        sim.with(|world| (truth::jobs_to_tell(world, first_poll), truth::jobs_to_count(world, first_poll)));
    truth::poll_until_known(&watch, &jobs, &counts).await;
    let up = watch.scrape().await;
    assert_eq!(up.value("peertube_up", &[]), Some(1.0));
    assert_eq!(gauges(&up), [true; 3]);
    assert_eq!(watch.count(EventKind::InstanceDown).await, 1);
    assert_eq!(watch.count(EventKind::InstanceUp).await, 1);
    assert_eq!(watch.count(EventKind::JobUnaccounted).await, 0);
    watch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_emptied_redis_is_told_without_a_flood_and_counting_goes_on() {
    let sim = Sim::serve(truth::busy(9)).await.unwrap();
    let home = Home::new(&(by_hand() + &*instance("main", &sim.url(), ROOT)));
    let watch = Watch::ready(&home).await;
    let first_poll = sim.with(|world| {
        let now = world.now();
        Traffic::Mixed.fill(&mut world.jobs, now, Duration::from_secs(120), 10);
        now
    });
    for _ in 0..6 {
        sim.advance(Duration::from_secs(20));
        watch.poll("main", PollKind::Jobs).await;
    }
    sim.with(|world| {
        (0..3).for_each(|_| drop(world.jobs.add(NewJob::new("video-import").run(Duration::from_secs(900)))));
        world.advance(Duration::from_secs(1));
    });
    watch.poll("main", PollKind::Jobs).await;

    sim.with(|world| {
        world.flush_redis();
        world.restart_server(Restart::Killed, Duration::from_secs(5));
        world.advance(Duration::from_secs(6));
        let now = world.now();
        Traffic::Mixed.fill(&mut world.jobs, now, Duration::from_secs(200), 11);
    });
    for _ in 0..10 {
        sim.advance(Duration::from_secs(20));
        watch.poll("main", PollKind::Jobs).await;
    }

    let lost: BTreeSet<(String, String, Timestamp)> = sim.with(|world| {
        let lost = world.jobs.lost().iter().filter(|lost| !lost.id.starts_with("repeat:"));
        lost.map(|lost| (lost.job_type.to_owned(), lost.id.clone(), lost.created_at)).collect()
    });
    assert!(lost.len() >= 3);
    let events = watch.events().await;
    let unaccounted = events.iter().filter(|event| event.kind == EventKind::JobUnaccounted);
    let (named, unnamed): (Vec<_>, Vec<_>) = unaccounted.partition(|event| event.data["job_id"].is_string());
    let reasons: Vec<_> = unnamed.iter().map(|event| event.data["reason"].as_str().unwrap()).collect();
    assert_eq!(reasons, ["emptied"], "it is told that Redis was emptied");
    let jobs = named.iter().map(|event| truth::job_of(event));
    let told: BTreeSet<_> = jobs.map(|(_, job_type, id, created_at)| (job_type, id, created_at)).collect();
    assert_eq!(told, lost);
    assert_eq!(named.len(), told.len(), "each once");
    let unaccounted = watch.scrape().await.value("peertube_jobs_unaccounted_total", &[]);
    assert_eq!(unaccounted, Some(lost.len() as f64));
    let (jobs, counts) =
        sim.with(|world| (truth::jobs_to_tell(world, first_poll), truth::jobs_to_count(world, first_poll)));
    truth::poll_until_known(&watch, &jobs, &counts).await;
    watch.stop().await;
}
