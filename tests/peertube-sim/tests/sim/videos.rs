use std::time::Duration;

use peertube_sim::World;
use peertube_sim::jobs::{Outcome, Restart, Version};
use peertube_sim::videos::What::{
    Blocked, Created, Deleted, Failed, Listed, LiveEnded, LiveStarted, Published, Ready, Unblocked, Unlisted,
};
use peertube_sim::videos::{NewImport, NewLive, NewVideo, Privacy, RemoteVideo, Trouble, VideoState, What};

use crate::world;

const MINUTE: Duration = Duration::from_secs(60);

/// What happened to a video, in order.
fn history(world: &World, uuid: &str) -> Vec<What> {
    world.videos.truth().iter().filter(|told| told.uuid == uuid).map(|told| told.what).collect()
}

fn state(world: &World, uuid: &str) -> VideoState {
    world.videos.get(uuid).unwrap().state
}

#[test]
fn an_upload_is_published_when_its_full_resolution_can_be_streamed() {
    for version in [Version::V6_3, Version::V8_2] {
        let mut world = world(version);
        let uuid = world.upload(NewVideo::named("one"));
        let born = world.videos.get(&uuid).unwrap().clone();
        assert_eq!(born.state, VideoState::ToTranscode);
        assert!(born.published_at < born.created_at);
        assert!(born.created_at < born.published_at + Duration::from_millis(800));

        world.advance(5 * MINUTE);
        let video = world.videos.get(&uuid).unwrap();
        assert_eq!(history(&world, &uuid), [Created, Listed, Ready, Published]);
        assert_eq!(video.created_at, born.created_at);
        let published = world.videos.truth().last().unwrap().at;
        assert_eq!(video.published_at, published);

        // To the millisecond when the job ended, with the lesser resolutions still to come.
        let jobs = world.jobs.ended();
        let full = jobs.iter().position(|job| job.finished_on == published).unwrap();
        assert_eq!(jobs[full].data["type"], "new-resolution-to-hls");
        assert!(jobs[full + 1..].iter().any(|job| job.data["type"] == "new-resolution-to-web-video"));
        assert!(jobs.iter().all(|job| job.outcome == Outcome::Completed));
        let types: Vec<_> = jobs.iter().map(|job| job.job_type).collect();
        let first = ["manage-video-torrent", "generate-video-storyboard", "notify", "federate-video"];
        assert_eq!(types[..4], first);
        assert_eq!(types.len(), 4 + 3 + 5, "{types:?}");
    }
}

#[test]
fn the_history_does_not_depend_on_how_often_one_looks() {
    let run = |step: Duration| {
        let mut world = world(Version::V8_2);
        (0..5).for_each(|_| drop(world.upload(NewVideo::named("one"))));
        let end = world.now() + 10 * MINUTE;
        while world.now() < end {
            world.advance(step);
        }
        world.videos.truth().to_vec()
    };
    let once = run(10 * MINUTE);
    assert_eq!(once.len(), 20);
    assert_eq!(once, run(Duration::from_millis(250)));
}

#[test]
fn what_does_not_wait_is_listed_before_it_is_ready() {
    let mut world = world(Version::V6_3);
    let uuid = world.upload(NewVideo::named("one").without_waiting());
    assert_eq!(history(&world, &uuid), [Created, Listed]);
    world.advance(5 * MINUTE);
    assert_eq!(history(&world, &uuid), [Created, Listed, Ready, Published]);

    let plain = world.upload(NewVideo::named("two").without_transcoding());
    assert_eq!(history(&world, &plain), [Created, Listed, Ready, Published]);
}

#[test]
fn each_trouble_ends_in_its_own_way() {
    for version in [Version::V6_3, Version::V8_2] {
        let mut world = world(version);
        let stuck = world.upload(NewVideo::named("stuck").trouble(Trouble::Storyboard));
        let failed = world.upload(NewVideo::named("failed").trouble(Trouble::FirstTranscode));
        let lesser = world.upload(NewVideo::named("lesser").trouble(Trouble::LesserTranscode));
        let import = world.import(NewImport::of(NewVideo::named("import")).failing());
        world.advance(60 * MINUTE);

        assert_eq!((state(&world, &stuck), history(&world, &stuck)), (VideoState::ToTranscode, vec![Created]));
        assert_eq!(state(&world, &failed), VideoState::TranscodingFailed);
        assert_eq!(history(&world, &failed), [Created, Failed]);
        assert_eq!(history(&world, &lesser), [Created, Listed, Ready, Published]);
        let expected = if version == Version::V8_2 { VideoState::ToImportFailed } else { VideoState::ToImport };
        assert_eq!(state(&world, &import), expected);

        let cascaded = |uuid: &str| {
            let jobs = world.jobs.ended().iter();
            jobs.filter(|job| job.outcome == Outcome::Cascaded && job.data["videoUUID"] == uuid).count()
        };
        assert_eq!((cascaded(&stuck), cascaded(&failed), cascaded(&lesser)), (3, 1, 1));
    }
}

#[test]
fn the_date_of_publication_moves_when_a_video_leaves_private() {
    let mut world = world(Version::V8_2);
    let start = world.now();
    let at = start + 10 * MINUTE;
    let scheduled = world.upload(NewVideo::named("later").scheduled(at, Privacy::Public));
    world.advance(9 * MINUTE);
    assert_eq!(history(&world, &scheduled), [Created, Ready]);
    assert_eq!(world.videos.get(&scheduled).unwrap().scheduled, Some((at, Privacy::Public)));

    world.advance(2 * MINUTE);
    assert_eq!(history(&world, &scheduled), [Created, Ready, Listed, Published]);
    let video = world.videos.get(&scheduled).unwrap();
    assert_eq!((video.published_at, video.scheduled), (at, None));

    world.set_privacy(&scheduled, Privacy::Unlisted);
    world.set_privacy(&scheduled, Privacy::Public);
    assert_eq!(world.videos.get(&scheduled).unwrap().published_at, at, "not from unlisted");
    let again = world.videos.truth().last().unwrap();
    assert_eq!((again.what, again.first), (Published, false));
}

#[test]
fn transcoding_again_takes_a_video_off_the_list_and_back() {
    let mut world = world(Version::V6_3);
    let uuid = world.upload(NewVideo::named("one"));
    world.advance(5 * MINUTE);
    let published_at = world.videos.get(&uuid).unwrap().published_at;

    world.transcode_again(&uuid);
    assert_eq!(state(&world, &uuid), VideoState::ToTranscode);
    world.advance(5 * MINUTE);
    assert_eq!(history(&world, &uuid), [Created, Listed, Ready, Published, Unlisted, Listed, Ready, Published]);
    assert_eq!(world.videos.get(&uuid).unwrap().published_at, published_at);
}

#[test]
fn lives_start_and_end() {
    let mut world = world(Version::V8_2);
    let permanent = world.create_live(NewLive::named("permanent").permanent());
    let replayed = world.create_live(NewLive::named("replayed").with_replay());
    let gone = world.create_live(NewLive::named("gone"));
    for live in [&permanent, &replayed, &gone] {
        assert_eq!(state(&world, live), VideoState::WaitingForLive);
        world.start_live(live);
        assert_eq!(history(&world, live), [Created, Listed, Ready, Published, LiveStarted]);
        world.end_live(live);
    }
    assert_eq!(state(&world, &gone), VideoState::LiveEnded);
    world.advance(5 * MINUTE);
    let shown = world.videos.get(&replayed).unwrap();
    assert_eq!((shown.state, shown.live), (VideoState::Published, None));
    assert_eq!(state(&world, &gone), VideoState::LiveEnded);

    // A permanent one begins anew, also after a restart has cut it off.
    world.start_live(&permanent);
    world.restart_server(Restart::Graceful, Duration::from_secs(10));
    world.advance(MINUTE);
    assert_eq!(state(&world, &permanent), VideoState::WaitingForLive);
    let told = history(&world, &permanent);
    assert_eq!(told.iter().filter(|what| **what == LiveStarted).count(), 2);
    assert_eq!(told.iter().filter(|what| **what == LiveEnded).count(), 2);
}

#[test]
fn videos_are_blocked_imported_received_and_deleted() {
    let mut world = world(Version::V8_2);
    let import = world.import(NewImport::of(NewVideo::named("import").owner("bob")));
    let old = world.now() - Duration::from_secs(86_400);
    let remote = world.receive(RemoteVideo::named("remote", old));
    assert_eq!(world.videos.get(&remote).unwrap().published_at, old);
    world.advance(10 * MINUTE);
    assert_eq!(history(&world, &import), [Created, Listed, Ready, Published]);

    world.block(&import, "against the rules");
    world.unblock(&import);
    world.mute_owner("bob", true);
    let hidden = world.upload(NewVideo::named("of one muted").owner("bob").without_transcoding());
    world.mute_owner("bob", false);
    world.delete(&import);
    let end = [Blocked, Unlisted, Listed, Unblocked, Unlisted, Listed, Deleted];
    assert_eq!(history(&world, &import)[4..], end);
    assert_eq!(history(&world, &hidden), [Created, Ready, Published, Listed]);
    assert_eq!(world.videos.get(&import).map(|video| &video.uuid), None);
    assert!(world.videos.truth().iter().filter(|told| told.uuid == remote).all(|told| !told.local));
}

#[test]
fn work_lost_with_redis_leaves_its_video_waiting_for_ever() {
    let mut world = world(Version::V8_2);
    let uuid = world.upload(NewVideo::named("one"));
    world.advance(Duration::from_secs(2));
    world.flush_redis();
    world.advance(60 * MINUTE);
    assert_eq!(history(&world, &uuid), [Created]);
    assert!(!world.jobs.lost().is_empty());
}
