//! Instances that are upgraded to another generation while they are watched: types of jobs
//! are renamed, gone or new, what Redis keeps stays as it is, and no job is lost or told
//! twice.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use peertube_sim::jobs::{NewFlow, NewJob, Version};
use peertube_sim::limits::Limits;
use peertube_sim::videos::NewVideo;
use peertube_sim::{Sim, World};

use tubewarden::core::event::EventKind;
use tubewarden::core::poll::PollKind;

use super::harness::{Home, ROOT, Watch, by_hand, instance};
use super::truth;

const MINUTE: Duration = Duration::from_secs(60);

/// An instance with a past of more than a page, its statistics twice an hour, and a daemon
/// that has looked at it.
struct Story {
    sim: Sim,
    watch: Watch,
    home: Home,
    looked: Timestamp,
}

impl Story {
    async fn of(version: Version) -> Self {
        let mut world = World::new(3, Timestamp::now() - 600 * MINUTE, version);
        world.limits = Limits::none();
        world.jobs.add_recurring(30 * MINUTE, NewJob::new(version.stats_type()));
        (0..150).for_each(|_| drop(world.jobs.add(NewJob::new("email"))));
        world.advance(70 * MINUTE);
        let sim = Sim::serve(world).await.unwrap();
        let looked = sim.with(|world| world.now());
        let home = Home::new(&(by_hand() + &*instance("main", &sim.url(), ROOT)));
        let watch = Watch::ready(&home).await;
        // So that it is clear what ended after the first look.
        sim.advance(Duration::from_secs(3));
        Self { sim, watch, home, looked }
    }

    /// Work comes in, of `more` besides, and is polled while it goes on. It is far from
    /// its end then.
    async fn work(&self, more: &[&'static str]) {
        self.sim.with(|world| {
            world.upload(NewVideo::named("holidays").run(4 * MINUTE));
            for (number, job_type) in ["video-import", "email"].iter().chain(more).enumerate() {
                for turn in 0..6 {
                    let job = NewJob::new(job_type).run(Duration::from_secs(10 * turn));
                    world.jobs.add(if turn == 3 { job.failing().attempts(1) } else { job });
                }
                world.jobs.add(NewJob::new(job_type).delay(10 * MINUTE + Duration::from_secs(number as u64)));
            }
            if world.version() != Version::QuickStart {
                let cut = NewJob::new("video-studio-edition").run(MINUTE);
                let last = NewJob::new("federate-video");
                world.jobs.add_flow(NewFlow::new(last).child(cut.clone()).child(cut.failing()));
            }
        });
        for _ in 0..6 {
            self.sim.advance(MINUTE / 2);
            self.watch.poll("main", PollKind::Jobs).await;
        }
    }

    /// A hundred newer jobs hide all before them from a page.
    fn hide(&self) {
        self.sim.advance(MINUTE);
        self.sim.with(|world| {
            (0..120).for_each(|_| drop(world.jobs.add(NewJob::new("activitypub-follow").run(Duration::ZERO))));
        });
        self.sim.advance(MINUTE);
    }

    async fn upgrade(&self, version: Version) {
        self.sim.with(|world| world.upgrade_to(version, MINUTE / 2));
        self.sim.advance(MINUTE);
        self.watch.poll_each(&["main"], &PollKind::ALL).await;
    }

    /// Ends when each job is told once and counted right, and nothing else is told.
    async fn becomes_known(self) -> BTreeMap<(String, &'static str), usize> {
        // Shorter than until the statistics are due again: what waits has ended.
        self.sim.advance(25 * MINUTE);
        let (jobs, counts) =
            self.sim.with(|world| (truth::jobs_to_tell(world, self.looked), truth::jobs_to_count(world, self.looked)));
        truth::poll_until_known(&self.watch, &jobs, &counts).await;
        let scrape = self.watch.scrape().await;
        for kind in PollKind::ALL {
            assert_eq!(scrape.polls_with("main", kind, "error"), 0.0, "{kind}");
        }
        assert_eq!(scrape.value("peertube_jobs_unaccounted_total", &[]).unwrap_or(0.0), 0.0, "nothing is given up");
        assert_eq!(self.watch.count(EventKind::JobUnaccounted).await, 0);
        self.watch.stop().await;
        counts
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_job_is_told_once_over_an_upgrade_that_renames_types() {
    let story = Story::of(Version::V6_3).await;
    story.work(&["videos-views-stats"]).await;
    story.sim.advance(11 * MINUTE);
    story.watch.poll("main", PollKind::Jobs).await;
    // What goes on and what waits is carried over.
    story.work(&[]).await;
    story.upgrade(Version::V8_2).await;
    story.work(&["videos-stats", "video-holography"]).await;
    story.hide();
    story.watch.poll("main", PollKind::Jobs).await;
    // The statistics are due under their new name, and are hidden at once.
    story.sim.advance(35 * MINUTE);
    story.sim.with(|world| {
        world.jobs.add(NewJob::new("videos-stats").failing());
        // No number above its own tells of it.
        world.jobs.add(NewJob::new("videos-stats"));
    });
    story.hide();
    story.watch.poll("main", PollKind::Jobs).await;

    let events = story.watch.events().await;
    let changed: Vec<_> = events.iter().filter(|event| event.kind == EventKind::InstanceVersionChanged).collect();
    let versions = |key: &str| changed.iter().map(|event| event.data[key].as_str().unwrap()).collect::<Vec<_>>();
    assert_eq!((versions("previous_version"), versions("version")), (vec!["6.3.0"], vec!["8.2.1"]));
    let counts = story.becomes_known().await;
    for job_type in ["videos-views-stats", "videos-stats", "video-holography"] {
        assert!(counts.contains_key(&(job_type.to_owned(), "completed")), "{job_type} is part of the story");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_while_the_daemon_is_away_is_told_when_it_is_back() {
    let Story { sim, watch, home, looked } = Story::of(Version::V6_3).await;
    watch.stop().await;
    sim.with(|world| world.upgrade_to(Version::V8_2, MINUTE / 2));
    sim.advance(MINUTE);
    let story = Story { watch: Watch::ready(&home).await, sim, home, looked };
    story.work(&["videos-stats"]).await;
    assert_eq!(story.watch.count(EventKind::InstanceVersionChanged).await, 1);
    story.becomes_known().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_job_is_told_once_over_an_upgrade_from_years_ago() {
    let story = Story::of(Version::QuickStart).await;
    story.work(&[]).await;
    story.upgrade(Version::V8_2).await;
    story.work(&["videos-stats", "notify"]).await;
    story.hide();
    story.watch.poll("main", PollKind::Jobs).await;
    assert_eq!(story.watch.count(EventKind::InstanceVersionChanged).await, 1);
    story.becomes_known().await;
}
