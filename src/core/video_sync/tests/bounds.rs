//! Large lists, long silences, errors: all is bounded, nothing is lost.

use super::*;

#[test]
fn a_quiet_poll_asks_twice_and_a_large_list_is_read_by_pages_that_overlap() {
    let mut watcher = Watcher::new(Sight::Everything);
    for _ in 0..250 {
        watcher.world.happen(&Op::Upload { privacy: Privacy::Public, wait: true, instant: true });
    }
    assert_eq!(watcher.poll(true).memory.first_look().map(|look| look.videos), Some(250));
    assert_eq!(watcher.world.lists_asked, 3);
    assert_eq!(watcher.newest(), []);
    assert_eq!((watcher.world.lists_asked, watcher.world.addresses_asked.len()), (2, 0));
}

#[test]
fn what_shifts_between_two_pages_is_neither_lost_nor_invented() {
    let mut watcher = Watcher::new(Sight::Everything);
    for _ in 0..250 {
        watcher.world.happen(&Op::Upload { privacy: Privacy::Public, wait: true, instant: true });
    }
    watcher.full();
    // More vanish from the first page than two pages share, once it is read.
    let outcome = {
        let mut server = watcher.world.as_seen(Sight::Everything);
        now(full(&mut Vanishing { server: &mut server, after: 1 }, &Memory::default(), watcher.look)).unwrap()
    };
    assert!(outcome.complete);
    assert_eq!(outcome.memory.first_look().map(|look| look.videos), Some(250), "the first page showed them");
}

/// After some lists, the thirty newest are deleted.
struct Vanishing<'a, 'w> {
    server: &'a mut model::Server<'w>,
    after: usize,
}

impl Ask for Vanishing<'_, '_> {
    type Error = Down;

    async fn videos(&mut self, query: &VideosQuery) -> Result<VideosPage, Down> {
        let page = self.server.videos(query).await?;
        self.after = self.after.wrapping_sub(1);
        if self.after == 0 {
            for i in 220..250 {
                self.server.happen(&Op::Delete(i));
            }
        }
        Ok(page)
    }

    async fn video(&mut self, uuid: &str) -> Result<Sought, Down> {
        self.server.video(uuid).await
    }
}

#[test]
fn many_missing_videos_are_asked_for_a_bounded_number_at_a_time() {
    let mut watcher = Watcher::new(Sight::Everything);
    for _ in 0..120 {
        watcher.world.happen(&Op::Upload { privacy: Privacy::Public, wait: true, instant: true });
    }
    watcher.full();
    for i in 0..120 {
        watcher.world.happen(&Op::Delete(i));
    }
    let told: Vec<(usize, u64)> = (0..4).map(|_| watcher.poll(true)).map(|poll| (poll.told.len(), poll.left)).collect();
    assert_eq!(told, [(50, 70), (50, 20), (20, 0), (0, 0)]);
}

#[test]
fn what_stays_missing_for_ever_does_not_stand_in_the_way_of_what_is_deleted() {
    for privacy in [Privacy::Private, Privacy::Unlisted] {
        let mut watcher = Watcher::new(Sight::Public);
        for _ in 0..70 {
            watcher.world.happen(&Op::Upload { privacy: Privacy::Public, wait: true, instant: true });
        }
        watcher.full();
        for i in 0..60 {
            watcher.world.happen(&Op::SetPrivacy(i, privacy));
        }
        watcher.full();
        watcher.full();
        watcher.world.happen(&Op::Delete(62));
        assert_eq!(watcher.full(), [VideoDeleted]);
        watcher.world.happen(&Op::Delete(5));
        assert_eq!([watcher.full(), watcher.full()].concat(), [VideoDeleted], "in its turn");
    }
}

#[test]
fn after_a_long_silence_all_that_is_new_is_told() {
    let mut watcher = Watcher::of_an_empty_instance();
    for _ in 0..1200 {
        watcher.world.happen(&Op::Upload { privacy: Privacy::Private, wait: true, instant: true });
    }
    assert_eq!(watcher.newest().len(), 2400);
    watcher.newest();
    assert!(watcher.world.lists_asked <= 4);
}

#[test]
fn many_that_should_pass_are_asked_in_turn() {
    let mut watcher = Watcher::of_an_empty_instance();
    for _ in 0..100 {
        watcher.world.upload(Privacy::Public, true);
    }
    watcher.newest();
    watcher.world.wait(3600);
    watcher.newest();
    for i in 0..100 {
        watcher.world.happen(&Op::Failed(i));
    }
    let mut told = 0;
    for _ in 0..4 {
        told += watcher.newest().len();
        assert!(watcher.world.addresses_asked.len() <= 40);
    }
    assert_eq!(told, 100);
}

#[test]
fn an_error_teaches_nothing() {
    let mut watcher = Watcher::of_an_empty_instance();
    watcher.world.upload(Privacy::Public, true);
    for (question, is_full) in [(0, true), (0, false), (1, false)] {
        watcher.world.fail_at = Some(question);
        let mut server = watcher.world.as_seen(Sight::Everything);
        let result = if is_full {
            now(full(&mut server, &watcher.memory, watcher.look))
        } else {
            now(newest(&mut server, &watcher.memory, watcher.look))
        };
        assert_eq!(result.map(|_| ()), Err(Down));
    }
    watcher.world.fail_at = None;
    assert_eq!(watcher.newest(), [VideoCreated]);
}

#[test]
fn what_was_committed_late_is_created_all_the_same() {
    let mut watcher = Watcher::of_an_empty_instance();
    let first_look = watcher.world.now;
    watcher.world.upload(Privacy::Public, true);
    watcher.world.videos[0].created_at = first_look - SignedDuration::from_secs(3);
    assert_eq!(watcher.newest(), [VideoCreated]);

    // An hour later: older than the last poll, and than another that it saw.
    watcher.world.wait(3600);
    watcher.world.upload(Privacy::Private, true);
    watcher.newest();
    let late = watcher.world.now - SignedDuration::from_secs(100);
    watcher.world.upload(Privacy::Private, true);
    (watcher.world.videos[2].created_at, watcher.world.videos[2].published_at) = (late, late);
    for _ in 0..24 {
        watcher.world.upload(Privacy::Private, true);
    }
    assert_eq!(watcher.newest().len(), 25);
}

#[test]
fn of_very_many_deleted_videos_the_oldest_are_forgotten() {
    let mut watcher = Watcher::of_an_empty_instance();
    let uuid = watcher.world.upload(Privacy::Public, true);
    watcher.newest();
    let entry = watcher.memory.entries[&uuid].clone();
    for i in 0..10_003 {
        let uuid = format!("{}", 20_000 - i);
        watcher.memory.insert(&uuid, entry.clone());
        watcher.memory.delete(&uuid, Timestamp::from_second(i).unwrap());
    }
    let documents = watcher.memory.to_documents();
    assert_eq!(documents.keys().filter(|key| key.starts_with("deleted/")).count(), 10_000);
    assert!(!documents.contains_key("deleted/20000") && documents.contains_key("deleted/9998"));
}

#[test]
fn memory_is_small_and_foreign_documents_are_refused() {
    let mut watcher = Watcher::of_an_empty_instance();
    let uuid = watcher.world.upload(Privacy::Public, true);
    watcher.newest();
    let mut documents = watcher.memory.to_documents();
    assert_eq!(documents.keys().collect::<Vec<_>>(), ["state", &format!("video/{uuid}")]);
    assert!(documents[&format!("video/{uuid}")].len() < 400);

    documents.insert("video/x".into(), "{}".into());
    let error = Memory::from_documents(&documents).unwrap_err();
    assert!(error.to_string().contains("\"video/x\""), "{error}");
    documents.remove("video/x");
    documents.insert("vidéo".into(), "{}".into());
    assert!(Memory::from_documents(&documents).is_err());
}

#[test]
fn a_poll_may_run_on_any_thread() {
    fn is_send<T: Send>(value: T) -> T {
        value
    }
    let mut world = World::new();
    let look = Look { sight: Sight::Public, scope: Scope::Local };
    let mut server = world.as_seen(look.sight);
    assert!(now(is_send(newest(&mut server, &Memory::default(), look))).unwrap().complete);
    assert!(now(is_send(full(&mut server, &Memory::default(), look))).unwrap().complete);
}
