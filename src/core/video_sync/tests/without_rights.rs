//! What anyone must be told, and what nobody without rights can know.

use super::*;

#[test]
fn without_rights_its_own_address_tells_when_a_listed_video_is_published() {
    let mut watcher = Watcher::new(Sight::Public);
    watcher.world.happen(&Op::Upload { privacy: Privacy::Public, wait: true, instant: true });
    let first = watcher.poll(true);
    assert_eq!((kinds(&first), first.memory.first_look().map(|look| look.videos)), (vec![], Some(1)));

    watcher.world.upload(Privacy::Public, true);
    assert_eq!(watcher.newest(), [], "it is not listed yet");
    assert_eq!(watcher.after(Op::Transcoded(1)), [VideoCreated, VideoListed, VideoReady, VideoPublished]);
    watcher.newest();
    assert_eq!(watcher.world.addresses_asked.len(), 0, "asked once, and never again");

    watcher.world.upload(Privacy::Public, false);
    assert_eq!(watcher.newest(), [VideoCreated, VideoListed]);
    assert_eq!(watcher.after(Op::Transcoded(2)), [VideoReady, VideoPublished]);

    // Blocked, private or deleted: only the last can be known.
    for op in [Op::Block(0), Op::SetPrivacy(1, Privacy::Private), Op::Delete(2)] {
        watcher.world.happen(&op);
    }
    assert_eq!(watcher.full(), [VideoDeleted]);
    assert_eq!(watcher.memory.view().videos.values().sum::<u64>(), 0);
    watcher.world.happen(&Op::Unblock(0));
    assert_eq!(watcher.full(), []);
}

#[test]
fn without_rights_an_older_video_that_comes_into_sight_is_listed_but_not_created() {
    let mut watcher = Watcher::new(Sight::Public);
    watcher.world.happen(&Op::Upload { privacy: Privacy::Unlisted, wait: true, instant: true });
    watcher.full();
    watcher.world.happen(&Op::SetPrivacy(0, Privacy::Public));
    assert_eq!(watcher.newest(), [VideoListed, VideoPublished]);
}

#[test]
fn without_rights_a_live_begins_and_ends() {
    let mut watcher = Watcher::new(Sight::Public);
    watcher.full();
    watcher.world.happen(&Op::NewLive { privacy: Privacy::Public, permanent: true });
    assert_eq!(watcher.newest(), []);
    let all = [VideoCreated, VideoListed, VideoReady, VideoPublished, LiveStarted];
    assert_eq!(watcher.after(Op::Start(0)), all);
    assert_eq!(watcher.after(Op::End { live: 0, replay: false }), [LiveEnded]);
    assert_eq!(watcher.after(Op::Start(0)), [LiveStarted]);
}

#[test]
fn without_rights_a_live_that_was_made_before_the_first_look_begins_after_it() {
    let mut watcher = Watcher::new(Sight::Public);
    watcher.world.happen(&Op::NewLive { privacy: Privacy::Public, permanent: true });
    watcher.full();
    assert_eq!(watcher.after(Op::Start(0)), [VideoListed, VideoPublished, LiveStarted]);
}

#[test]
fn without_rights_what_had_to_be_waited_for_is_published_when_it_is_listed() {
    let mut watcher = Watcher::new(Sight::Public);
    watcher.world.upload(Privacy::Public, true);
    let uuid = watcher.world.videos[0].uuid.clone();
    watcher.world.happen(&Op::Transcoded(0));
    watcher.full();
    let state = |watcher: &Watcher| watcher.memory.facts(&uuid).and_then(|facts| facts.state);
    assert_eq!(state(&watcher), None, "a list tells no state");
    watcher.world.happen(&Op::TranscodeAgain(0));
    watcher.full();
    assert_eq!(state(&watcher), Some(VideoState::ToTranscode));
    watcher.world.happen(&Op::Transcoded(0));
    assert_eq!(watcher.full(), []);
    assert_eq!(state(&watcher), Some(VideoState::Published));
}

#[test]
fn with_fewer_rights_a_blocked_video_that_is_listed_again_is_unblocked() {
    let mut watcher = Watcher::of_an_empty_instance();
    watcher.world.happen(&Op::Upload { privacy: Privacy::Public, wait: true, instant: true });
    watcher.newest();
    assert_eq!(watcher.after(Op::Block(0)), [VideoBlocked]);
    watcher.look.sight = Sight::Public;
    assert_eq!(watcher.full(), []);
    assert_eq!(watcher.after(Op::Unblock(0)), [VideoUnblocked]);
}

#[test]
fn what_comes_into_sight_with_more_rights_was_there_before() {
    let mut watcher = Watcher::new(Sight::Public);
    watcher.full();
    watcher.world.happen(&Op::Upload { privacy: Privacy::Public, wait: true, instant: true });
    assert_eq!(watcher.newest(), [VideoCreated, VideoListed, VideoReady, VideoPublished]);
    watcher.world.upload(Privacy::Private, true);
    watcher.world.happen(&Op::Failed(1));

    watcher.look.sight = Sight::Everything;
    let outcome = watcher.poll(false);
    assert_eq!(kinds(&outcome), []);
    watcher.world.upload(Privacy::Private, true);
    assert_eq!(watcher.newest(), [VideoCreated]);
    watcher.look.sight = Sight::Public;
    assert_eq!(watcher.full(), []);
}
