//! Random histories of a world of videos, watched by both polls: each transition that
//! a poll could not miss is told once, nothing is told that did not happen, and
//! nothing twice.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use proptest::prelude::*;

use super::super::{Limits, Look, Memory, Sight, Told, full_within, newest_within};
use super::model::{Op, Truth, Video, World, now};
use crate::core::event::EventKind;
use crate::core::video::{Privacy, Scope, VideoState};

/// So small that a world of some videos has many pages.
const SMALL: Limits = Limits { first: 2, page: 4, overlap: 2, pages: 80, soon: 60, seldom: 60, missing: 60 };

#[derive(Debug, Clone)]
enum Step {
    Happen(Op),
    Wait(i64),
    Poll {
        is_full: bool,
        /// What happens between its questions.
        meanwhile: Vec<Op>,
        /// The question that is not answered.
        fail_at: Option<usize>,
        /// The daemon is killed before it has stored what the poll learnt.
        is_lost: bool,
    },
}

/// A poll that was stored.
struct Polled {
    is_full: bool,
    from: u64,
    to: u64,
    told: Vec<Told>,
}

/// A history as it went.
struct History {
    sight: Sight,
    world: World,
    polls: Vec<Polled>,
}

fn run(sight: Sight, scope: Scope, steps: Vec<Step>) -> History {
    let look = Look { sight, scope };
    let mut world = World::new();
    let mut memory = Memory::default();
    let mut polls = Vec::new();
    for step in steps {
        let (is_full, meanwhile, fail_at, is_lost) = match step {
            Step::Happen(op) => {
                world.happen(&op);
                continue;
            }
            Step::Wait(seconds) => {
                world.wait(seconds);
                continue;
            }
            Step::Poll { is_full, meanwhile, fail_at, is_lost } => (is_full, meanwhile, fail_at, is_lost),
        };
        world.wait(60);
        (world.meanwhile, world.fail_at) = (meanwhile.into(), fail_at);
        let from = world.tick;
        let mut server = world.as_seen(sight);
        let answer = if is_full {
            now(full_within(&mut server, &memory, look, &SMALL))
        } else {
            now(newest_within(&mut server, &memory, look, &SMALL))
        };
        let to = world.tick;
        (world.meanwhile, world.fail_at) = (Default::default(), None);
        let Ok(outcome) = answer else { continue };
        assert!(outcome.complete, "a list of this size is always read to its end");
        assert_eq!(outcome.left, 0);
        if !is_lost {
            memory = Memory::from_documents(&outcome.memory.to_documents()).unwrap();
            assert_eq!(memory, outcome.memory);
            polls.push(Polled { is_full: is_full || polls.is_empty(), from, to, told: outcome.told });
        }
    }
    History { sight, world, polls }
}

/// A kind, and when it holds.
type Holds = (EventKind, fn(&Truth) -> bool);

/// What is told once in a uuid's life, when it first holds; and what each time.
const ONCE: [Holds; 4] = [
    (EventKind::VideoCreated, |_| true),
    (EventKind::VideoListed, Truth::is_listed),
    (EventKind::VideoReady, Truth::is_ready),
    (EventKind::VideoPublished, Truth::is_published),
];
const EACH_TIME: [Holds; 6] = [
    (EventKind::VideoFailed, Truth::is_failed),
    (EventKind::VideoBlocked, |truth| truth.blocked),
    (EventKind::VideoUnblocked, |truth| !truth.blocked),
    (EventKind::VideoDeleted, |truth| truth.deleted),
    (EventKind::LiveStarted, Truth::is_on_air),
    (EventKind::LiveEnded, |truth| !truth.is_on_air()),
];

impl History {
    fn told(&self, video: &Video, kind: EventKind, polls: std::ops::RangeInclusive<usize>) -> usize {
        let told = self.polls[polls].iter().flat_map(|poll| &poll.told);
        told.filter(|told| told.kind == kind && told.facts.uuid == video.uuid).count()
    }

    /// What was true of a video all through a poll, if the same was.
    fn definite<'a>(&self, video: &'a Video, poll: &Polled) -> Option<&'a Truth> {
        let start = video.at(poll.from)?;
        video.during(poll.from, poll.to).all(|truth| truth == start).then_some(start)
    }

    /// Nothing that did not happen after the first look began, and nothing twice.
    fn tells_nothing_else(&self) {
        let Some(first) = self.polls.first() else { return };
        let ids: Vec<_> =
            self.polls.iter().flat_map(|poll| &poll.told).map(|t| (t.kind, &t.facts.uuid, t.at)).collect();
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "an event's id is its own: {ids:?}");
        let begun = first.from;
        for video in &self.world.videos {
            for i in 0..self.polls.len() {
                let end = self.polls[i].to;
                for (kind, holds) in ONCE {
                    let told = self.told(video, kind, 0..=i);
                    assert!(told <= 1, "{kind} twice of {video:#?}");
                    let held = video.during(begun, end).any(holds);
                    assert!(held || told == 0, "{kind} told but never so: {video:#?}");
                }
                for (kind, holds) in EACH_TIME {
                    // To those without rights a live that comes into sight on the air
                    // begins, whichever came first.
                    let in_sight = |truth: &Truth| truth.is_on_air() && truth.is_listed();
                    let is_live = kind == EventKind::LiveStarted && self.sight == Sight::Public;
                    let entered = video.history.windows(2).filter(|pair| {
                        let (before, after) = (&pair[0].1, &pair[1].1);
                        let is_within = begun < pair[1].0 && pair[1].0 <= end;
                        let comes_into_sight = is_live && !in_sight(before) && in_sight(after);
                        is_within && (!holds(before) && holds(after) || comes_into_sight)
                    });
                    let (told, entered) = (self.told(video, kind, 0..=i), entered.count());
                    assert!(told <= entered, "{kind} told {told} times, happened {entered} times: {video:#?}");
                }
            }
            let Some(before) = video.at(begun) else { continue };
            let all = 0..=self.polls.len() - 1;
            let once = |kind| self.told(video, kind, all.clone());
            assert_eq!(once(EventKind::VideoCreated), 0, "created before the first look: {video:#?}");
            let is_quiet = first.from == first.to;
            let was_ready = video.during(0, begun).any(Truth::is_ready);
            if was_ready && (before.moved || before.is_published() && is_quiet) {
                assert_eq!(once(EventKind::VideoReady), 0, "ready before the first look: {video:#?}");
            }
            if before.is_published() && is_quiet {
                assert_eq!(once(EventKind::VideoPublished), 0, "published before the first look: {video:#?}");
            }
            if before.is_listed() && is_quiet {
                assert_eq!(once(EventKind::VideoListed), 0, "listed before the first look: {video:#?}");
            }
        }
    }

    /// What was so all through a reading of everything is told by its end.
    fn tells_everything(&self) {
        let Some(first) = self.polls.first() else { return };
        let fulls: Vec<usize> = (0..self.polls.len()).filter(|i| self.polls[*i].is_full).collect();
        for video in &self.world.videos {
            let is_new = video.history[0].0 > first.to;
            for pair in fulls.windows(2) {
                let (last, this) = (&self.polls[pair[0]], &self.polls[pair[1]]);
                let Some(truth) = self.definite(video, this) else { continue };
                for (kind, holds) in ONCE {
                    let before = video.at(first.to).filter(|_| !is_new);
                    // Whether it was so before the first look then can't be known.
                    let is_unclear = !is_new
                        && (kind == EventKind::VideoCreated
                            || video.during(0, first.to).any(holds)
                            || before.is_some_and(|truth| truth.moved));
                    if !truth.deleted && holds(truth) && !is_unclear {
                        assert_eq!(self.told(video, kind, 0..=pair[1]), 1, "{kind} of {video:#?}");
                    }
                }
                let before = self.definite(video, last);
                for (kind, holds) in EACH_TIME {
                    let was = match (before, kind) {
                        (Some(truth), _) => holds(truth),
                        // It was born since: what it became, it became since.
                        (None, EventKind::VideoFailed | EventKind::VideoBlocked | EventKind::LiveStarted)
                            if video.history[0].0 > last.to =>
                        {
                            false
                        }
                        _ => continue,
                    };
                    let is_gone = truth.deleted && matches!(kind, EventKind::VideoBlocked | EventKind::VideoUnblocked);
                    if !was && holds(truth) && !is_gone {
                        let told = self.told(video, kind, pair[0]..=pair[1]);
                        assert!(told >= 1, "{kind} of {video:#?}");
                    }
                }
            }
        }
    }

    /// A new video is told by the very next poll of the newest.
    fn tells_the_new_at_once(&self) {
        let Some(first) = self.polls.first() else { return };
        for (i, poll) in self.polls.iter().enumerate().skip(1) {
            for video in self.world.videos.iter().filter(|video| video.history[0].0 > first.to) {
                let Some(truth) = self.definite(video, poll).filter(|truth| !truth.deleted) else { continue };
                let mut due = vec![EventKind::VideoCreated];
                if truth.is_ready() {
                    due.push(EventKind::VideoReady);
                }
                let is_plain = video.during(0, poll.to).all(|t| t.privacy == Privacy::Public && !t.blocked);
                if truth.is_published() && is_plain {
                    due.extend([EventKind::VideoListed, EventKind::VideoPublished]);
                }
                for kind in due {
                    assert_eq!(self.told(video, kind, 0..=i), 1, "{kind} at once of {video:#?}");
                }
                let before = self.definite(video, &self.polls[i - 1]);
                for (kind, holds) in EACH_TIME {
                    let is_watched = match kind {
                        EventKind::LiveStarted | EventKind::LiveEnded => true,
                        // A transcoding again of what is published is seen by the full poll.
                        EventKind::VideoFailed => !video.during(0, poll.from).any(Truth::is_ready),
                        _ => false,
                    };
                    if is_watched && before.is_some_and(|truth| !holds(truth)) && holds(truth) {
                        assert!(self.told(video, kind, i - 1..=i) >= 1, "{kind} at once of {video:#?}");
                    }
                }
            }
        }
    }

    /// What anyone may see of it is told; what can't be known is not.
    fn tells_what_the_public_sees(&self) {
        let Some(first) = self.polls.first() else { return };
        for video in &self.world.videos {
            let all = 0..=self.polls.len() - 1;
            for kind in [EventKind::VideoBlocked, EventKind::VideoUnblocked] {
                assert_eq!(self.told(video, kind, all.clone()), 0);
            }
            let is_new = video.history[0].0 > first.to;
            let was_listed = !is_new && video.during(0, first.to).any(Truth::is_listed);
            let mut seen_at = None;
            for (i, poll) in self.polls.iter().enumerate() {
                let Some(truth) = self.definite(video, poll) else { continue };
                if truth.deleted && seen_at.is_some() && poll.is_full {
                    assert_eq!(self.told(video, EventKind::VideoDeleted, 0..=i), 1, "{video:#?}");
                }
                let is_listed = truth.is_listed() && poll.is_full;
                if is_listed && i > 0 && is_new {
                    assert_eq!(self.told(video, EventKind::VideoCreated, 0..=i), 1, "{video:#?}");
                }
                if is_listed && i > 0 && !was_listed {
                    assert_eq!(self.told(video, EventKind::VideoListed, 0..=i), 1, "{video:#?}");
                }
                let stayed = seen_at.is_some_and(|at| video.during(at, poll.to).all(Truth::is_listed));
                if truth.is_published() && !poll.is_full && stayed && !was_listed {
                    assert_eq!(self.told(video, EventKind::VideoPublished, 0..=i), 1, "{video:#?}");
                }
                if is_listed {
                    seen_at = Some(poll.from);
                }
            }
        }
    }
}

fn privacy() -> impl Strategy<Value = Privacy> {
    prop_oneof![
        5 => Just(Privacy::Public),
        1 => Just(Privacy::Unlisted),
        2 => Just(Privacy::Private),
        1 => Just(Privacy::PasswordProtected),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let video = || 0..24_usize;
    prop_oneof![
        4 => (privacy(), any::<bool>(), prop::bool::weighted(0.2))
            .prop_map(|(privacy, wait, instant)| Op::Upload { privacy, wait, instant }),
        1 => (privacy(), any::<bool>()).prop_map(|(privacy, permanent)| Op::NewLive { privacy, permanent }),
        5 => video().prop_map(Op::Transcoded),
        3 => video().prop_map(Op::Failed),
        2 => video().prop_map(Op::TranscodeAgain),
        1 => video().prop_map(Op::Move),
        1 => video().prop_map(Op::Moved),
        3 => (video(), privacy()).prop_map(|(video, privacy)| Op::SetPrivacy(video, privacy)),
        1 => video().prop_map(Op::Block),
        2 => video().prop_map(Op::Unblock),
        3 => video().prop_map(Op::Start),
        2 => (video(), any::<bool>()).prop_map(|(live, replay)| Op::End { live, replay }),
        1 => video().prop_map(Op::Delete),
    ]
}

fn remote() -> impl Strategy<Value = Op> {
    (0..4000_i64).prop_map(|age| Op::Remote { age: SignedDuration::from_secs(age) })
}

fn step() -> impl Strategy<Value = Step> {
    let poll = (
        prop::bool::weighted(0.3),
        prop_oneof![2 => Just(Vec::new()), 1 => prop::collection::vec(op(), 1..6)],
        prop::option::weighted(0.1, 0..6_usize),
        prop::bool::weighted(0.05),
    );
    prop_oneof![
        6 => op().prop_map(Step::Happen),
        1 => (0..2000_i64).prop_map(Step::Wait),
        3 => poll.prop_map(|(is_full, meanwhile, fail_at, is_lost)| Step::Poll { is_full, meanwhile, fail_at, is_lost }),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(step(), 1..120)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn with_rights_each_transition_is_told_once(steps in steps()) {
        let history = run(Sight::Everything, Scope::Local, steps);
        history.tells_nothing_else();
        history.tells_everything();
        history.tells_the_new_at_once();
    }

    #[test]
    fn without_rights_each_transition_that_anyone_sees_is_told_once(steps in steps()) {
        let history = run(Sight::Public, Scope::Local, steps);
        history.tells_nothing_else();
        history.tells_what_the_public_sees();
    }

    #[test]
    fn of_other_instances_nothing_is_told_that_did_not_happen(
        steps in prop::collection::vec(prop_oneof![4 => step(), 1 => remote().prop_map(Step::Happen)], 1..120),
        is_public in any::<bool>(),
    ) {
        let sight = if is_public { Sight::Public } else { Sight::Everything };
        run(sight, Scope::All, steps).tells_nothing_else();
    }
}

#[test]
fn the_model_knows_what_is_listed() {
    let mut world = World::new();
    world.upload(Privacy::Public, false);
    assert!(world.videos[0].truth().is_listed() && !world.videos[0].truth().is_ready());
    world.happen(&Op::Failed(0));
    assert!(!world.videos[0].truth().is_listed());
    assert_eq!(world.videos[0].truth().state, VideoState::TranscodingFailed);
}
