//! Clocks that are wrong by hours, and that jump: nothing is lost by it, and rules act.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use peertube_sim::jobs::{NewJob, Version};
use peertube_sim::limits::Limits;
use peertube_sim::{Clock, Fault, Options, Sim, When, World};

use tubewarden::core::event::EventKind;
use tubewarden::core::poll::PollKind;

use super::super::harness::{Home, Log, ROOT, Watch, by_hand, eventually, instance};
use super::{Stage, at_once};

const DIFFER: &str = "the instance's clock and ours differ";
const RULE: &str =
    "[[rule]]\nname = \"failures\"\non = [\"job.failed\"]\nmax_age = \"1h\"\nexec.command = [\"true\"]\n";

/// An instance whose clock is off by so many hours from the beginning.
async fn play_off(hours: i64) {
    let now = Timestamp::now() + SignedDuration::from_hours(hours);
    let mut world = World::new(7, now, Version::V8_2);
    world.limits = Limits::none();
    let options = Options { clock: Clock::Real { speed: 1.0 }, ..Options::default() };
    let sim = Sim::start(world, options).await.unwrap();
    let home = Home::new(&(by_hand() + &*instance("main", &sim.url(), ROOT) + RULE));
    let watch = Watch::ready(&home).await;
    // What ends in the second of the first look may have ended before it.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let failing = || NewJob { attempts: 1, ..NewJob::new("video-import").run(Duration::from_millis(100)).failing() };
    sim.with(|world| (0..5).for_each(|_| drop(world.jobs.add(failing()))));
    eventually("the rule acts on each", async || {
        watch.poll("main", PollKind::Jobs).await;
        let labels = [("rule", "failures"), ("result", "ok")];
        (watch.scrape().await.value("tubewarden_deliveries_total", &labels) == Some(5.0)).then_some(())
    })
    .await;
    assert_eq!(watch.count(EventKind::JobFailed).await, 5);
    let labels = [("rule", "failures"), ("result", "stale")];
    assert_eq!(watch.scrape().await.value("tubewarden_deliveries_total", &labels), Some(0.0));
    watch.stop().await;
}

/// The clock jumps in the middle of work, by its replies, and back again.
async fn play_jump(hours: i64) {
    let stage = Stage::open().await;
    stage.work();
    stage.poll().await;
    for _ in 0..2 {
        stage.sim.faults().always(When::always(), Fault::DateOff(hours * 3_600));
        stage.work();
        stage.poll().await;
        stage.work();
        stage.poll().await;
        stage.sim.faults().clear();
        stage.work();
        stage.poll().await;
    }
    stage.all_is_told_once().await;
    let failed = stage.watch.scrape().await.polls_with("main", PollKind::Jobs, "error");
    assert!(failed < 1.0, "{failed}");
    stage.watch.stop().await;
}

#[tokio::test]
async fn a_clock_that_is_hours_off_loses_nothing_and_holds_no_rule_up() {
    let (log, _logging) = Log::of_this_thread();
    at_once([-5, 5].into_iter().map(play_off)).await;
    let told = log.lines_with(DIFFER);
    assert_eq!(told.len(), 2, "each is told once: {told:?}");
}

#[tokio::test]
async fn a_clock_that_jumps_by_hours_and_back_loses_nothing() {
    at_once([-5, 5, -1, 1].into_iter().map(play_jump)).await;
}
