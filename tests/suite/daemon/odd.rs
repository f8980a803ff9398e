//! Servers that list their jobs in another way: years ago, and in versions to come. Which
//! way it is shows at run time, is told once, and loses no job, also when it changes.

use std::time::Duration;

use jiff::Timestamp;
use peertube_sim::jobs::{Naming, NewJob, Version};
use peertube_sim::limits::Limits;
use peertube_sim::videos::NewVideo;
use peertube_sim::{Sim, World};

use tubewarden::core::poll::PollKind;

use super::harness::{Home, Log, ROOT, Watch, by_hand, instance};
use super::truth;

const ANOTHER_WAY: &str = "the instance lists its jobs in another way";
const MINUTE: Duration = Duration::from_secs(60);

/// An instance, a daemon that has looked at it, and when it did.
struct Story {
    sim: Sim,
    watch: Watch,
    looked: Timestamp,
    _home: Home,
}

impl Story {
    async fn of(version: Version, prepare: impl FnOnce(&mut World)) -> Self {
        let mut world = World::new(3, Timestamp::now() - 10 * MINUTE, version);
        world.limits = Limits::none();
        world.advance(MINUTE);
        prepare(&mut world);
        let sim = Sim::serve(world).await.unwrap();
        let looked = sim.with(|world| world.now());
        let home = Home::new(&(by_hand() + &*instance("main", &sim.url(), ROOT)));
        let watch = Watch::ready(&home).await;
        // So that it is clear what ended after the first look.
        sim.advance(Duration::from_secs(3));
        Self { sim, watch, looked, _home: home }
    }

    /// Some work comes in, some of it fails, and is polled while it goes on.
    async fn work(&self) {
        self.sim.with(|world| {
            world.upload(NewVideo::named("holidays").run(Duration::from_secs(90)));
            for number in 0..6 {
                let job = NewJob::new("video-import").run(Duration::from_secs(10 * number));
                world.jobs.add(if number == 3 { job.failing() } else { job });
                world.jobs.add(NewJob::new("email").delay(MINUTE));
            }
        });
        for _ in 0..6 {
            self.sim.advance(MINUTE / 2);
            self.watch.poll("main", PollKind::Jobs).await;
        }
    }

    /// Ends when each job is told once and counted right.
    async fn becomes_known(self) {
        self.sim.advance(20 * MINUTE);
        let (jobs, counts) =
            self.sim.with(|world| (truth::jobs_to_tell(world, self.looked), truth::jobs_to_count(world, self.looked)));
        assert!(jobs.len() > 12, "{jobs:?}");
        truth::poll_until_known(&self.watch, &jobs, &counts).await;
        self.watch.stop().await;
    }
}

#[tokio::test]
async fn a_server_that_lists_by_states_is_told_once_and_loses_no_job() {
    let (log, _logging) = Log::of_this_thread();
    let story = Story::of(Version::V8_2, |world| world.jobs.naming = Naming::ByStates).await;
    story.work().await;
    let told = log.lines_with(ANOTHER_WAY);
    assert!(told.len() == 1 && told[0].contains("/jobs?states="), "{told:?}");

    // Which way it is is known: nothing is asked in vain any more.
    let before = story.sim.requests();
    story.watch.poll("main", PollKind::Jobs).await;
    let asked = story.sim.requests();
    assert_eq!(asked.with_status(400), before.with_status(400));
    story.becomes_known().await;
}

#[tokio::test]
async fn a_server_that_changes_its_way_while_it_is_watched_loses_no_job() {
    let (log, _logging) = Log::of_this_thread();
    let story = Story::of(Version::V8_2, |_| {}).await;
    story.work().await;
    assert_eq!(log.lines_with(ANOTHER_WAY).len(), 0, "the usual way is no news");
    for naming in [Naming::ByStates, Naming::Todays, Naming::ByStates] {
        story.sim.with(|world| world.jobs.naming = naming);
        story.work().await;
    }
    assert_eq!(log.lines_with(ANOTHER_WAY).len(), 3);
    let failed = story.watch.scrape().await.polls_with("main", PollKind::Jobs, "error");
    assert_eq!(failed, 0.0, "no poll is lost");
    story.becomes_known().await;
}

#[tokio::test]
async fn a_server_of_today_with_the_old_names_is_told_once_and_loses_no_job() {
    let (log, _logging) = Log::of_this_thread();
    // More than one page, so that types are asked for by themselves, and one of them is
    // unknown to the server.
    let story = Story::of(Version::V8_2, |world| {
        world.jobs.naming = Naming::Old;
        (0..150).for_each(|_| drop(world.jobs.add(NewJob::new("email"))));
        world.advance(2 * MINUTE);
    })
    .await;
    story.work().await;
    let told = log.lines_with(ANOTHER_WAY);
    assert!(told.len() == 1 && told[0].contains("/jobs/complete and /jobs/inactive"), "{told:?}");
    let asked = story.sim.requests();
    assert!(asked.of("jobs/inactive") > asked.of("jobs/waiting"), "{asked:?}");
    assert!(asked.of("jobs/complete") > asked.of("jobs/completed"), "{asked:?}");

    // It is updated, at first so that it understands either.
    for naming in [Naming::Both, Naming::Todays] {
        story.sim.with(|world| world.jobs.naming = naming);
        story.work().await;
        let told = log.lines_with(ANOTHER_WAY);
        assert_eq!(told.len(), if naming == Naming::Both { 1 } else { 2 }, "{told:?}");
    }
    let failed = story.watch.scrape().await.polls_with("main", PollKind::Jobs, "error");
    assert_eq!(failed, 0.0, "no poll is lost");
    story.becomes_known().await;
}

#[tokio::test]
async fn a_server_that_goes_back_to_the_old_names_loses_no_job() {
    let (log, _logging) = Log::of_this_thread();
    let story = Story::of(Version::V8_2, |_| {}).await;
    story.work().await;
    for naming in [Naming::Old, Naming::ByStates, Naming::Old] {
        story.sim.with(|world| world.jobs.naming = naming);
        story.work().await;
    }
    assert_eq!(log.lines_with(ANOTHER_WAY).len(), 3);
    let failed = story.watch.scrape().await.polls_with("main", PollKind::Jobs, "error");
    assert_eq!(failed, 0.0, "no poll is lost");
    story.becomes_known().await;
}

#[tokio::test]
async fn a_server_that_understands_either_name_is_asked_by_todays() {
    let (log, _logging) = Log::of_this_thread();
    let story = Story::of(Version::V8_2, |world| world.jobs.naming = Naming::Both).await;
    story.work().await;
    assert_eq!(log.lines_with(ANOTHER_WAY).len(), 0, "the usual way is no news");
    let asked = story.sim.requests();
    assert_eq!((asked.of("jobs/complete"), asked.of("jobs/inactive"), asked.with_status(400)), (0, 0, 0));
    story.becomes_known().await;
}

#[tokio::test]
async fn an_instance_of_years_ago_is_counted_right() {
    let (log, _logging) = Log::of_this_thread();
    // More than one page, so that types are asked for by themselves.
    let story = Story::of(Version::QuickStart, |world| {
        (0..150).for_each(|_| drop(world.jobs.add(NewJob::new("email"))));
        world.advance(2 * MINUTE);
    })
    .await;
    story.work().await;
    story.work().await;
    assert_eq!(log.lines_with("ignores which type of job is asked for").len(), 1);
    story.becomes_known().await;
}

#[tokio::test]
async fn types_that_nobody_heard_of_are_told_like_all_others() {
    let story = Story::of(Version::V8_2, |_| {}).await;
    for job_type in ["video-holography", "video-smell", "count-the-stars"] {
        story.sim.with(|world| {
            for number in 0..4 {
                let job = NewJob::new(job_type).run(Duration::from_secs(20 * number));
                world.jobs.add(if number == 2 { job.failing() } else { job });
            }
        });
    }
    story.work().await;
    let told = truth::jobs_told(&story.watch.events().await);
    assert_eq!(told.keys().filter(|(_, job_type, _, _)| job_type == "video-holography").count(), 4);
    story.becomes_known().await;
}
