//! Stopped and killed in the middle of polls, again and again, while the instance works
//! on: nothing is told twice, and nothing is forgotten.

use std::sync::Arc;
use std::time::Duration;

use peertube_sim::traffic::Traffic;
use peertube_sim::videos::NewVideo;
use peertube_sim::{Fault, Sim, When};

use tubewarden::core::poll::PollKind;

use super::harness::{Home, ROOT, Watch, by_hand, each_second, eventually, instance};
use super::truth;

const LEAST_ROUNDS: u64 = 12;
const LEAST_JOBS: usize = 60;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopped_and_killed_in_the_middle_of_polls_each_job_is_told_once() {
    let sim = Arc::new(Sim::serve(truth::busy(7)).await.unwrap());
    let home = Home::new("");
    let watched = instance("main", &sim.url(), ROOT);
    home.configure("127.0.0.1:0", &(by_hand() + &*watched));
    let first_poll = sim.with(|world| world.now());
    Watch::ready(&home).await.stop().await;

    // A poll asks some dozen questions, so most of them are cut off half-way.
    sim.faults().always(When::path("/api/v1/jobs"), Fault::Late(Duration::from_millis(10)));
    let traffic = tokio::spawn(keep_busy(Arc::clone(&sim)));
    let mut rng = fastrand::Rng::with_seed(7);
    let ended = || sim.with(|world| truth::jobs_to_tell(world, first_poll).len());
    for round in (0..).take_while(|round| *round < LEAST_ROUNDS || ended() < LEAST_JOBS) {
        let until = sim.requests().of_jobs() + rng.u64(1..=30);
        let asked = || sim.requests().of_jobs() >= until;
        if round % 2 == 0 {
            let watch = Watch::start(&home).await;
            eventually("a poll is under way", async || {
                watch.wake("main", PollKind::Jobs);
                asked().then_some(())
            })
            .await;
            watch.stop().await;
        } else {
            home.configure("127.0.0.1:0", &(each_second() + &*watched));
            let program = home.program(&format!("killed-{round}"), &["run"]);
            eventually("a poll is under way", async || asked().then_some(())).await;
            program.kill();
            home.configure("127.0.0.1:0", &(by_hand() + &*watched));
        }
    }
    traffic.abort();
    assert!(traffic.await.unwrap_err().is_cancelled());
    sim.faults().clear();

    let (jobs, counts, videos) = sim.with(|world| {
        let jobs = truth::jobs_to_tell(world, first_poll);
        (jobs, truth::jobs_to_count(world, first_poll), truth::videos_to_tell(world, first_poll))
    });
    assert!(counts.values().sum::<usize>() > 3 * jobs.len() && videos.len() > 2, "a busy instance");
    let watch = Watch::ready(&home).await;
    truth::poll_until_known(&watch, &jobs, &counts).await;
    watch.poll("main", PollKind::Videos).await;

    let events = watch.events().await;
    assert_eq!(truth::videos_told(&events), videos);
    watch.stop().await;
    assert_eq!(home.events().await, events);
}

/// Twenty seconds of the instance in each of ours, with an upload now and then.
async fn keep_busy(sim: Arc<Sim>) {
    sim.with(|world| {
        let now = world.now();
        Traffic::Mixed.fill(&mut world.jobs, now, Duration::from_secs(3_600), 8);
    });
    for turn in 0.. {
        if turn % 40 == 0 {
            sim.with(|world| world.upload(NewVideo::named(&format!("video {turn}"))));
        }
        sim.advance(Duration::from_millis(500));
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}
