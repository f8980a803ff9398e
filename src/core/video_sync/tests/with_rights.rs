//! What a moderator must be told, as stories of single videos.

use super::*;

#[test]
fn the_first_look_tells_counts_and_nothing_singly() {
    let mut watcher = Watcher::new(Sight::Everything);
    for i in 0..4 {
        watcher.world.upload(Privacy::Public, true);
        watcher.world.happen(&if i < 2 { Op::Transcoded(i) } else { Op::Failed(i) });
    }
    watcher.world.upload(Privacy::Private, true);

    let first = watcher.poll(false);
    assert_eq!(kinds(&first), []);
    assert_eq!(first.memory.first_look(), Some(FirstLook { videos: 5, failed: 2, passing: 1 }));
    let view = watcher.memory.view();
    assert_eq!(view.published_total, 0);
    assert_eq!(view.videos[&("public", "published")], 2);
    assert_eq!(view.videos[&("private", "to_transcode")], 1);
    assert_eq!(view.last_published, Some(watcher.world.videos[1].published_at));
    assert_eq!(view.oldest_in_state["to_transcode"], watcher.world.videos[4].created_at);

    let second = watcher.poll(true);
    assert_eq!(kinds(&second), []);
}

#[test]
fn an_upload_is_told_when_it_happens_by_the_servers_own_times() {
    let mut watcher = Watcher::of_an_empty_instance();
    let uuid = watcher.world.upload(Privacy::Public, true);
    let created = watcher.poll(false);
    assert_eq!(kinds(&created), [VideoCreated]);
    assert_eq!(created.told[0].at, watcher.world.videos[0].created_at);
    assert_eq!(created.told[0].facts.state, Some(VideoState::ToTranscode));

    watcher.world.happen(&Op::Transcoded(0));
    let ready = watcher.poll(false);
    assert_eq!(kinds(&ready), [VideoListed, VideoReady, VideoPublished]);
    assert!(ready.told.iter().all(|told| told.at == watcher.world.videos[0].published_at));

    let view = watcher.memory.view();
    assert_eq!((view.published_total, view.ready.total()), (1, 1));
    assert_eq!(view.ready.sum(), 67.26, "from the upload to the end of its transcoding, not to our poll");
    assert_eq!(watcher.memory.facts(&uuid).map(|facts| facts.state), Some(Some(VideoState::Published)));
    assert_eq!(watcher.full(), []);
}

#[test]
fn a_video_that_need_not_wait_is_listed_before_it_is_ready() {
    let mut watcher = Watcher::of_an_empty_instance();
    watcher.world.upload(Privacy::Public, false);
    assert_eq!(watcher.newest(), [VideoCreated, VideoListed]);
    assert_eq!(watcher.after(Op::Transcoded(0)), [VideoReady, VideoPublished]);
}

#[test]
fn transcoding_again_tells_nothing_new() {
    let mut watcher = Watcher::of_an_empty_instance();
    watcher.world.upload(Privacy::Public, true);
    watcher.world.happen(&Op::Transcoded(0));
    assert_eq!(watcher.newest(), [VideoCreated, VideoListed, VideoReady, VideoPublished]);
    assert_eq!(watcher.after(Op::TranscodeAgain(0)), []);
    assert_eq!(watcher.after(Op::Transcoded(0)), []);
    assert_eq!(watcher.after(Op::Move(0)), []);
    assert_eq!(watcher.after(Op::Moved(0)), []);
    assert_eq!(watcher.memory.view().published_total, 1);
}

#[test]
fn transcoding_again_what_was_published_before_the_first_look_tells_nothing() {
    let mut watcher = Watcher::new(Sight::Everything);
    watcher.world.upload(Privacy::Public, true);
    watcher.world.happen(&Op::Transcoded(0));
    watcher.world.happen(&Op::TranscodeAgain(0));
    watcher.full();
    assert_eq!(watcher.after(Op::Transcoded(0)), []);
}

#[test]
fn each_entry_into_a_failed_state_is_told() {
    let mut watcher = Watcher::of_an_empty_instance();
    watcher.world.upload(Privacy::Public, true);
    watcher.world.happen(&Op::Failed(0));
    assert_eq!(watcher.newest(), [VideoCreated, VideoFailed]);
    assert_eq!(watcher.full(), []);
    assert_eq!(watcher.after(Op::TranscodeAgain(0)), []);
    assert_eq!(watcher.after(Op::Failed(0)), [VideoFailed]);
    watcher.world.happen(&Op::TranscodeAgain(0));
    assert_eq!(watcher.after(Op::Transcoded(0)), [VideoListed, VideoReady, VideoPublished]);
}

#[test]
fn a_schedule_publishes_by_way_of_private() {
    let mut watcher = Watcher::of_an_empty_instance();
    watcher.world.upload(Privacy::Private, true);
    watcher.world.happen(&Op::Transcoded(0));
    assert_eq!(watcher.newest(), [VideoCreated, VideoReady]);

    // Many uploads later, no longer among the newest.
    for _ in 0..60 {
        watcher.world.upload(Privacy::Private, true);
    }
    watcher.newest();
    watcher.world.wait(86_400);
    watcher.newest();

    watcher.world.happen(&Op::SetPrivacy(0, Privacy::Public));
    let due = watcher.poll(false);
    assert_eq!(kinds(&due), [VideoListed, VideoPublished]);
    assert_eq!(due.told[0].at, watcher.world.videos[0].published_at);
}

#[test]
fn an_unlisted_video_made_public_is_published_once() {
    let mut watcher = Watcher::of_an_empty_instance();
    watcher.world.happen(&Op::Upload { privacy: Privacy::Unlisted, wait: true, instant: true });
    assert_eq!(watcher.newest(), [VideoCreated, VideoReady]);
    watcher.world.happen(&Op::SetPrivacy(0, Privacy::Public));
    assert_eq!(watcher.full(), [VideoListed, VideoPublished]);
    for privacy in [Privacy::Private, Privacy::Public] {
        watcher.world.happen(&Op::SetPrivacy(0, privacy));
        assert_eq!(watcher.full(), []);
    }
}

#[test]
fn blocking_is_told_each_time_and_a_blocked_video_is_not_published() {
    let mut watcher = Watcher::of_an_empty_instance();
    watcher.world.happen(&Op::Upload { privacy: Privacy::Public, wait: true, instant: true });
    watcher.world.happen(&Op::Block(0));
    assert_eq!(watcher.newest(), [VideoCreated, VideoReady, VideoBlocked]);
    assert_eq!(watcher.after(Op::Unblock(0)), [VideoListed, VideoPublished, VideoUnblocked]);
    assert_eq!(watcher.after(Op::Block(0)), [VideoBlocked]);
    assert_eq!(watcher.after(Op::Unblock(0)), [VideoUnblocked]);
}

#[test]
fn only_a_videos_own_address_tells_that_it_is_deleted() {
    let mut watcher = Watcher::of_an_empty_instance();
    watcher.world.upload(Privacy::Public, true);
    watcher.newest();
    watcher.world.happen(&Op::Delete(0));
    let uuid = watcher.world.videos[0].uuid.clone();
    let deleted = watcher.poll(true);
    assert_eq!(kinds(&deleted), [VideoDeleted]);
    assert_eq!(deleted.told[0].facts.uuid, uuid);
    assert!(watcher.world.date().duration_since(deleted.told[0].at) <= SignedDuration::from_secs(1));
    assert_eq!(watcher.memory.facts(&uuid), None);

    // It comes back, from a backup perhaps: nothing is told a second time.
    watcher.world.tick += 1;
    let tick = watcher.world.tick;
    let mut truth = watcher.world.videos[0].truth().clone();
    truth.deleted = false;
    watcher.world.videos[0].history.push((tick, truth));
    assert_eq!(watcher.full(), []);
    assert_eq!(watcher.after(Op::Transcoded(0)), [VideoListed, VideoReady, VideoPublished]);
    watcher.world.happen(&Op::Delete(0));
    assert_eq!(watcher.full(), [VideoDeleted]);
}

#[test]
fn a_permanent_live_is_published_once_and_starts_each_time() {
    let mut watcher = Watcher::of_an_empty_instance();
    watcher.world.happen(&Op::NewLive { privacy: Privacy::Public, permanent: true });
    assert_eq!(watcher.newest(), [VideoCreated]);
    watcher.world.happen(&Op::Start(0));
    let started = watcher.poll(false);
    assert_eq!(kinds(&started), [VideoListed, VideoReady, VideoPublished, LiveStarted]);
    assert_eq!(started.told[3].at, watcher.world.videos[0].published_at);
    assert_eq!(watcher.after(Op::End { live: 0, replay: true }), [LiveEnded]);
    assert_eq!(watcher.after(Op::Start(0)), [LiveStarted]);
    assert_eq!(watcher.after(Op::End { live: 0, replay: true }), [LiveEnded]);
    assert_eq!(watcher.memory.view().ready.total(), 0, "a live is not made ready by transcoding");
}

#[test]
fn a_live_that_becomes_its_replay_is_not_published_again() {
    let mut watcher = Watcher::of_an_empty_instance();
    watcher.world.happen(&Op::NewLive { privacy: Privacy::Public, permanent: false });
    watcher.world.happen(&Op::Start(0));
    watcher.newest();
    // An hour on the air: neither list brings it up.
    for _ in 0..60 {
        watcher.world.upload(Privacy::Public, true);
    }
    watcher.world.wait(3600);
    watcher.newest();
    assert_eq!(watcher.after(Op::End { live: 0, replay: true }), [LiveEnded]);
    assert_eq!(watcher.after(Op::Transcoded(0)), []);

    watcher.world.happen(&Op::NewLive { privacy: Privacy::Public, permanent: false });
    watcher.world.happen(&Op::Start(61));
    watcher.newest();
    watcher.world.happen(&Op::Delete(61));
    assert_eq!(watcher.full(), [LiveEnded, VideoDeleted]);
}

#[test]
fn a_video_of_another_instance_is_told_if_it_was_published_since_the_first_look() {
    let mut watcher = Watcher::new(Sight::Everything);
    watcher.look.scope = Scope::All;
    watcher.full();
    watcher.world.wait(3600);
    for _ in 0..30 {
        watcher.world.upload(Privacy::Private, true);
    }
    watcher.newest();
    let age = SignedDuration::from_mins(30);
    assert_eq!(watcher.after(Op::Remote { age }), [], "older than what is read of the newest");
    assert_eq!(watcher.full(), [VideoCreated, VideoListed, VideoReady, VideoPublished]);
    watcher.world.happen(&Op::Remote { age: SignedDuration::from_hours(9) });
    assert_eq!(watcher.full(), []);
    assert_eq!(watcher.memory.view().videos[&("public", "published")], 2);

    watcher.look.scope = Scope::Local;
    assert_eq!(watcher.full(), []);
    assert_eq!(watcher.memory.view().videos.get(&("public", "published")), None);
}

#[test]
fn a_time_far_ahead_of_the_servers_clock_is_not_believed() {
    let mut watcher = Watcher::new(Sight::Everything);
    watcher.look.scope = Scope::All;
    watcher.full();
    watcher.world.happen(&Op::Remote { age: SignedDuration::from_hours(-5) });
    let outcome = watcher.poll(false);
    assert_eq!(kinds(&outcome), [VideoCreated, VideoListed, VideoReady, VideoPublished]);
    assert!(outcome.told.iter().all(|told| told.at <= watcher.world.date()));
}

#[test]
fn the_time_until_ready_is_measured_only_where_it_is_known() {
    for (silence, measured) in [(60, 1), (3600, 0)] {
        let mut watcher = Watcher::of_an_empty_instance();
        watcher.world.upload(Privacy::Public, true);
        watcher.world.happen(&Op::Failed(0));
        watcher.newest();
        // A second try moves no date.
        watcher.world.happen(&Op::TranscodeAgain(0));
        watcher.world.happen(&Op::Transcoded(0));
        watcher.world.wait(silence);
        assert_eq!(watcher.newest(), [VideoListed, VideoReady, VideoPublished]);
        assert_eq!(watcher.memory.view().ready.total(), measured);
    }
}

#[test]
fn a_transition_is_an_event_of_its_video() {
    let mut watcher = Watcher::of_an_empty_instance();
    let uuid = watcher.world.upload(Privacy::Public, true);
    let told = watcher.poll(false).told.remove(0);
    let origin = Origin { name: "main".into(), url: "https://peertube.example.com".into() };
    let json = told.to_event(&origin).to_json();
    assert_eq!(json["type"], "video.created");
    assert_eq!(json["subject"], uuid.as_str());
    assert_eq!(json["data"]["video"], watcher.memory.facts(&uuid).unwrap().to_value());
    assert_eq!(timestamp(json["time"].as_str().unwrap()), watcher.world.videos[0].created_at);
}
