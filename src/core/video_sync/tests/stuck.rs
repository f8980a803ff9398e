//! Videos that nobody works on, by what the polls of jobs know.

use super::*;
use crate::core::work::Work;

impl Watcher {
    /// What the poll of jobs knows now.
    fn work(&self, videos: &[&str]) -> Work {
        let videos = videos.iter().map(|uuid| (*uuid).to_owned()).collect();
        Work { videos, imports: false, at: self.world.date() }
    }

    /// A poll of the newest, a minute later, by that light.
    fn stuck_by(&mut self, work: &Work) -> Vec<Told> {
        let mut outcome = self.poll(false);
        outcome.tell_stuck(work);
        self.memory = Memory::from_documents(&outcome.memory.to_documents()).unwrap();
        assert_eq!(self.memory, outcome.memory, "a restart forgets nothing");
        outcome.told.into_iter().filter(|told| told.kind == VideoStuck).collect()
    }

    /// So many polls of both, with jobs for these videos.
    fn minutes(&mut self, minutes: usize, videos: &[&str]) -> Vec<Told> {
        let each = |_| {
            let work = self.work(videos);
            self.stuck_by(&work)
        };
        (0..minutes).flat_map(each).collect()
    }
}

#[test]
fn a_video_without_a_job_is_told_once_after_five_minutes_until_its_state_changes() {
    let mut watcher = Watcher::of_an_empty_instance();
    let uuid = watcher.world.upload(Privacy::Private, true);
    let since = watcher.world.now;
    assert_eq!(watcher.minutes(3, &[&uuid]), []);
    assert_eq!(watcher.minutes(5, &[]), []);
    let first = watcher.minutes(60, &[]);
    let [told] = &first[..] else { panic!("{first:?}") };
    assert_eq!((&told.facts.uuid, told.facts.state), (&uuid, Some(VideoState::ToTranscode)));
    assert_eq!(told.since, Some(since));

    watcher.world.happen(&Op::Failed(0));
    assert_eq!(watcher.minutes(10, &[]), [], "what failed is not stuck");
    watcher.world.happen(&Op::TranscodeAgain(0));
    assert_eq!(watcher.minutes(3, &[&uuid]), []);
    let second = watcher.minutes(60, &[]);
    assert_eq!(second.len(), 1);
    let origin = Origin { name: "main".into(), url: "https://x".into() };
    assert_ne!(first[0].to_event(&origin).id, second[0].to_event(&origin).id);
}

#[test]
fn a_job_that_appears_in_between_begins_it_anew() {
    let mut watcher = Watcher::of_an_empty_instance();
    let uuid = watcher.world.upload(Privacy::Public, true);
    assert_eq!(watcher.minutes(1, &[]), []);
    for _ in 0..10 {
        assert_eq!(watcher.minutes(4, &[]), []);
        assert_eq!(watcher.minutes(1, &[&uuid]), []);
    }
    assert_eq!(watcher.minutes(10, &[]).len(), 1);
    assert_eq!(watcher.minutes(1, &[&uuid]), []);
    assert_eq!(watcher.minutes(10, &[]).len(), 1, "its job is gone once more");
}

#[test]
fn while_the_jobs_are_not_seen_nothing_is_told() {
    let mut watcher = Watcher::of_an_empty_instance();
    assert_eq!(watcher.minutes(1, &[]), []);
    let old = watcher.work(&[]);
    let uuid = watcher.world.upload(Privacy::Public, true);
    for _ in 0..60 {
        assert_eq!(watcher.stuck_by(&old), []);
    }
    assert_eq!(watcher.minutes(10, &[&uuid]), []);
    assert_eq!(watcher.minutes(10, &[]).len(), 1);
}

#[test]
fn what_is_stuck_at_the_first_look_is_counted_and_not_told() {
    let mut watcher = Watcher::new(Sight::Everything);
    for _ in 0..50 {
        watcher.world.upload(Privacy::Public, true);
    }
    watcher.world.wait(600);
    let young = watcher.world.upload(Privacy::Public, true);
    watcher.full();
    let work = watcher.work(&[]);
    assert_eq!(watcher.memory.stuck(&work), 50);
    // The youngest alone may have had a job that was not seen, and has lost it since.
    let told = watcher.minutes(60, &[]);
    assert_eq!(told.iter().map(|told| &told.facts.uuid).collect::<Vec<_>>(), [&young]);
}

#[test]
fn a_state_that_was_not_seen_lately_is_not_judged() {
    let mut watcher = Watcher::of_an_empty_instance();
    assert_eq!(watcher.minutes(1, &[]), []);
    let all: Vec<String> = (0..90).map(|_| watcher.world.upload(Privacy::Public, true)).collect();
    let jobs: Vec<&str> = all.iter().map(String::as_str).collect();
    assert_eq!(watcher.minutes(10, &jobs), []);
    // All are done, but only so many are asked for at a time.
    for i in 0..all.len() {
        watcher.world.happen(&Op::Failed(i));
    }
    assert_eq!(watcher.minutes(20, &[]), []);
}
