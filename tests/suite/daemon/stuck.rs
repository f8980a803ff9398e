//! Jobs and videos that are stuck: told once each, and at the first look as counts.

use std::time::Duration;

use jiff::Timestamp;
use peertube_sim::jobs::{NewJob, Version};
use peertube_sim::videos::{NewImport, NewVideo, Trouble};
use peertube_sim::{Fault, Sim, When, World};

use tubewarden::core::event::{Event, EventKind};
use tubewarden::core::poll::PollKind;

use super::harness::{Home, ROOT, Watch, by_hand, eventually, instance};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

/// An instance, watched from now on.
struct Story {
    sim: Sim,
    watch: Watch,
    _home: Home,
}

impl Story {
    async fn of(version: Version, before: impl FnOnce(&mut World)) -> Self {
        let mut world = World::new(1, Timestamp::now() - 48 * HOUR, version);
        before(&mut world);
        let sim = Sim::serve(world).await.unwrap();
        let home = Home::new(&(by_hand() + &*instance("main", &sim.url(), ROOT)));
        let watch = Watch::ready(&home).await;
        Self { sim, watch, _home: home }
    }

    /// The polls of jobs, here and at runners, and of videos each minute.
    async fn pass(&self, minutes: u32) {
        for _ in 0..minutes {
            self.sim.advance(MINUTE);
            self.watch.poll_each(&["main"], &[PollKind::Jobs, PollKind::Runners]).await;
            self.watch.poll("main", PollKind::Videos).await;
        }
    }

    /// Until an instance that was left alone for a while answers every poll.
    async fn is_asked_again(&self) {
        let kinds = [PollKind::Jobs, PollKind::Runners, PollKind::Videos];
        let succeeded = async || {
            let scrape = self.watch.scrape().await;
            kinds.map(|kind| scrape.polls_with("main", kind, "ok"))
        };
        eventually("the instance is asked again", async || {
            let before = succeeded().await;
            self.watch.poll_each(&["main"], &kinds).await;
            let after = succeeded().await;
            before.iter().zip(after).all(|(before, after)| *before < after).then_some(())
        })
        .await;
    }

    /// The videos told as stuck so far.
    async fn videos(&self) -> Vec<String> {
        let told = self.told(EventKind::VideoStuck).await;
        told.into_iter().map(|event| event.subject.unwrap()).collect()
    }

    async fn told(&self, kind: EventKind) -> Vec<Event> {
        self.watch.events().await.into_iter().filter(|event| event.kind == kind).collect()
    }
}

fn spoilt(name: &str) -> NewVideo {
    NewVideo::named(name).trouble(Trouble::Storyboard)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_video_whose_storyboard_failed_is_told_once_and_one_that_has_a_job_is_not() {
    let story = Story::of(Version::V8_2, |_| {}).await;
    let uploads = story.sim.with(|world| {
        ["plain", "tried again", "long"].map(|name| match name {
            "long" => world.upload(NewVideo::named(name).run(HOUR)),
            name => world.upload(spoilt(name)),
        })
    });
    // It is delayed between its attempts.
    let data = serde_json::json!({ "videoUUID": uploads[1] });
    let retried = NewJob::new("video-transcription").data(data).backoff(15 * MINUTE).fails(1);
    story.sim.with(|world| world.jobs.add(retried));
    story.pass(4).await;
    assert_eq!(story.videos().await, [""; 0]);
    story.pass(4).await;
    let told = story.told(EventKind::VideoStuck).await;
    let [event] = &told[..] else { panic!("{told:?}") };
    assert_eq!(event.subject.as_ref(), Some(&uploads[0]));
    assert_eq!(event.data["video"]["state"], "to_transcode");
    assert_eq!(event.data["video"]["name"], "plain");
    assert!(event.data["since"].is_string());

    story.pass(16).await;
    assert_eq!(story.videos().await, uploads[..2]);
    let oldest = [("state", "to_transcode")];
    assert!(story.watch.scrape().await.value("peertube_video_oldest_in_state_timestamp_seconds", &oldest).is_some());
    story.watch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_backlog_of_jobs_is_work_and_a_poll_that_fails_for_an_hour_says_nothing() {
    let story = Story::of(Version::V8_2, |_| {}).await;
    story.sim.with(|world| {
        for number in 0..120 {
            world.upload(NewVideo::named(&format!("video {number}")).run(2 * HOUR));
        }
    });
    story.pass(10).await;
    let waiting = [("job_type", "video-transcoding"), ("state", "waiting")];
    let scrape = story.watch.scrape().await;
    assert!(scrape.value("peertube_jobs_pending", &waiting).unwrap() > 100.0);
    assert_eq!(story.videos().await, [""; 0]);

    story.sim.faults().always(When::path("/api/v1/jobs"), Fault::Status(502));
    let uuid = story.sim.with(|world| world.upload(spoilt("lonely")));
    for _ in 0..12 {
        story.sim.advance(5 * MINUTE);
        story.watch.poll_each(&["main"], &[PollKind::Jobs, PollKind::Runners, PollKind::Videos]).await;
    }
    assert_eq!(story.videos().await, [""; 0]);
    story.sim.faults().clear();
    story.is_asked_again().await;
    // More videos should pass than are asked for in one poll.
    story.pass(14).await;
    assert_eq!(story.videos().await, [uuid]);
    story.watch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_any_import_goes_on_no_video_is_stuck_in_its_import() {
    // Before 8.x an import that fails leaves its video as it was.
    let story = Story::of(Version::V6_3, |_| {}).await;
    let import = |name: &str, minutes: u32| NewImport { run: minutes * MINUTE, ..NewImport::of(NewVideo::named(name)) };
    let uuid = story.sim.with(|world| {
        world.import(import("long", 12));
        world.import(import("lost", 1).failing())
    });
    story.pass(12).await;
    assert_eq!(story.videos().await, [""; 0]);
    story.pass(10).await;
    assert_eq!(story.videos().await, [uuid]);
    story.watch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_full_of_what_is_stuck_and_failed_is_one_event() {
    let story = Story::of(Version::V8_2, |world| {
        for number in 0..200 {
            world.upload(spoilt(&format!("stuck {number}")));
            world.upload(NewVideo::named(&format!("failed {number}")).trouble(Trouble::FirstTranscode));
        }
        world.advance(4 * HOUR);
        world.jobs.add(NewJob::new("create-user-export").run(24 * HOUR));
        world.jobs.pause();
        for _ in 0..250 {
            world.jobs.add(NewJob::new("video-import"));
        }
        for _ in 0..150 {
            world.jobs.add(NewJob::new("activitypub-http-unicast"));
        }
        world.advance(4 * HOUR);
    })
    .await;
    story.pass(15).await;
    let events = story.watch.events().await;
    let [event] = &events[..] else { panic!("{:?}", &events[..events.len().min(5)]) };
    assert_eq!(event.kind, EventKind::InstanceFirstLook);
    for (count, expected) in
        [("videos", 400), ("videos_failed", 200), ("videos_not_ready", 200), ("videos_stuck", 200), ("jobs_stuck", 401)]
    {
        assert_eq!(event.data[count], expected, "{count}: {:?}", event.data);
    }
    story.watch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_type_whose_workers_hang_is_told_with_its_video_named() {
    let story = Story::of(Version::V8_2, |_| {}).await;
    let uuid = story.sim.with(|world| {
        world.jobs.pause();
        world.upload(NewVideo::named("holidays"))
    });
    story.pass(1).await;
    story.sim.advance(35 * MINUTE);
    story.pass(2).await;
    let told = story.told(EventKind::JobStuck).await;
    // What waits for it is not stuck of itself.
    let [event] = &told[..] else { panic!("{told:?}") };
    assert_eq!(event.data["job_type"], "manage-video-torrent");
    assert_eq!((event.data["state"].as_str(), event.data["count"].as_u64()), (Some("waiting"), Some(1)));
    for key in ["error", "finished_at", "processed_at", "wait_seconds", "run_seconds"] {
        assert!(event.data[key].is_null(), "{key}");
    }
    // The job names no video; one that does is told with it.
    let data = serde_json::json!({ "videoUUID": uuid });
    story.sim.with(|world| world.jobs.add(NewJob::new("video-studio-edition").data(data)));
    story.sim.advance(35 * MINUTE);
    story.pass(1).await;
    let told = story.told(EventKind::JobStuck).await;
    assert_eq!(told.len(), 2);
    assert_eq!(told[1].data["video"]["name"], "holidays");
    story.watch.stop().await;
}
