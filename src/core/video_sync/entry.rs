//! One remembered video, and what changed with it. `step` is pure: the same past and
//! the same sighting always tell the same, and what can't be known is not told.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Seen, Source};
use crate::core::event::EventKind;
use crate::core::video::{Privacy, VideoState};
use crate::core::video_facts::Facts;

/// A video's creation carries the time of its insertion, but it shows only when the
/// server's transaction ends.
const SLOW_COMMIT: SignedDuration = SignedDuration::from_secs(5);

/// How far a time that the server tells may lie ahead of its own clock: other
/// instances' clocks tell those of their videos.
const AHEAD: SignedDuration = SignedDuration::from_secs(60);

/// How long ago the poll before may lie for a transition without a time of its own
/// to be measured.
const PRECISE: SignedDuration = SignedDuration::from_mins(5);

/// What is told at most once in a uuid's life, and was.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Once(u8);

impl Once {
    pub(super) const CREATED: Self = Self(1);
    pub(super) const LISTED: Self = Self(2);
    pub(super) const READY: Self = Self(4);
    pub(super) const PUBLISHED: Self = Self(8);

    pub(super) fn has(self, one: Self) -> bool {
        self.0 & one.0 != 0
    }

    #[must_use]
    pub(super) fn with(self, one: Self) -> Self {
        Self(self.0 | one.0)
    }

    fn with_if(self, holds: bool, one: Self) -> Self {
        if holds { self.with(one) } else { self }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Entry {
    #[serde(rename = "f")]
    pub facts: Facts,
    #[serde(rename = "t")]
    pub created_at: Timestamp,
    #[serde(rename = "q", default, skip_serializing_if = "Option::is_none")]
    pub published_at: Option<Timestamp>,
    #[serde(rename = "w", default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<bool>,
    #[serde(rename = "b", default, skip_serializing_if = "Option::is_none")]
    pub blocked: Option<bool>,
    #[serde(rename = "h", default, skip_serializing_if = "Option::is_none")]
    pub local: Option<bool>,
    /// Since when it is in its state, as well as can be known.
    #[serde(rename = "e")]
    pub state_since: Timestamp,
    /// Whether the list shows it, by the last that was read of it.
    #[serde(rename = "v")]
    pub shown: bool,
    #[serde(rename = "o")]
    pub once: Once,
    /// Since when it is in a state that should pass, and no job is known for it.
    #[serde(rename = "j", default, skip_serializing_if = "Option::is_none")]
    pub idle_since: Option<Timestamp>,
    /// Told as stuck, or so at the first look.
    #[serde(rename = "k", default, skip_serializing_if = "std::ops::Not::not")]
    pub stuck: bool,
}

/// How urgently a video that no list brings up by itself is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Watch {
    /// It should change soon, or a live that is on the air may end.
    Soon,
    /// It may be tried again some day.
    Seldom,
}

impl Entry {
    pub(super) fn watch(&self) -> Option<Watch> {
        // Withheld from us: its own address answers nothing.
        self.facts.privacy?;
        match self.facts.state {
            Some(VideoState::Published) => self.on_air().then_some(Watch::Soon),
            Some(state) if state.is_passing() => Some(Watch::Soon),
            Some(_) => Some(Watch::Seldom),
            // A public list tells no state; its own address does.
            None => (self.shown && !self.once.has(Once::PUBLISHED)).then_some(Watch::Soon),
        }
    }

    pub(super) fn on_air(&self) -> bool {
        self.facts.is_live == Some(true) && self.facts.state == Some(VideoState::Published)
    }

    /// Its own address no longer shows it to us: who may see it is not known now.
    pub(super) fn withhold(&mut self) {
        self.facts.privacy = None;
        self.shown = false;
    }

    pub(super) fn is_public(&self) -> bool {
        self.facts.privacy == Some(Privacy::Public)
    }

    /// Whether anyone finds it in the public list: PeerTube lists what is published,
    /// and what is being transcoded if that need not be waited for.
    fn is_listed(&self) -> bool {
        self.is_public()
            && self.blocked != Some(true)
            && match self.facts.state {
                Some(VideoState::Published) => true,
                Some(VideoState::ToTranscode) => self.wait == Some(false),
                Some(_) => false,
                None => self.shown,
            }
    }

    /// At the upload `publishedAt` lies a little before `createdAt`; it moves when
    /// the first transcoding ends, a live begins, or the video leaves Private.
    fn was_moved(&self) -> bool {
        self.published_at.is_some_and(|at| at > self.created_at)
    }

    /// What must be taken as having been so before the first look.
    fn once_before(&self) -> Once {
        let ready = matches!(self.facts.state, Some(VideoState::Published) | None) || self.was_moved();
        Once::default()
            .with(Once::CREATED)
            .with_if(ready, Once::READY)
            .with_if(self.is_public() && ready || self.is_listed(), Once::LISTED)
            .with_if(self.is_public() && ready, Once::PUBLISHED)
    }
}

/// What is known of a video that is seen, before it is seen.
#[derive(Debug, Clone, Copy)]
pub(super) enum Before<'a> {
    Known(&'a Entry),
    /// It was deleted, or seemed so, after this was told of it.
    Deleted(Once),
    Unknown,
}

/// When we began to look, and when we looked last.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ground {
    /// The first look; `None` while it lasts.
    pub since: Option<Timestamp>,
    pub last: Option<Timestamp>,
}

/// What a sighting changes.
#[derive(Debug)]
pub(super) struct Step {
    pub entry: Entry,
    pub told: Vec<(EventKind, Timestamp)>,
    /// Created → first ready, where it could be measured.
    pub ready_seconds: Option<f64>,
}

/// The past that a sighting is compared with.
struct Was {
    state: Option<VideoState>,
    blocked: Option<bool>,
    on_air: bool,
    once: Once,
}

pub(super) fn step(before: Before<'_>, seen: &Seen, ground: Ground) -> Step {
    let mut now = learn(before, seen);
    let was = past(before, &now, ground);
    let (moment, is_exact) = moment(before, &now, seen.date, ground);
    now.once = was.once;

    let state = now.facts.state;
    let is_ready = state == Some(VideoState::Published);
    // A server that tells no state at the video's own address either: what is listed
    // there is as published as can be known.
    let is_published = is_ready || (state.is_none() && seen.source == Source::OwnAddress);
    let is_listed = now.is_listed();
    let mut told = Vec::new();
    for (kind, one, holds, at) in [
        (EventKind::VideoCreated, Once::CREATED, true, sane(now.created_at, seen.date)),
        (EventKind::VideoListed, Once::LISTED, is_listed, moment),
        (EventKind::VideoReady, Once::READY, is_ready, moment),
        (EventKind::VideoPublished, Once::PUBLISHED, is_listed && is_published, moment),
    ] {
        if holds && !now.once.has(one) {
            told.push((kind, at));
            now.once = now.once.with(one);
        }
    }

    let is_measured = told.iter().any(|(kind, _)| *kind == EventKind::VideoReady)
        && now.facts.is_live != Some(true)
        && (is_exact || ground.last.is_some_and(|last| seen.date.duration_since(last) <= PRECISE));
    let ready_seconds =
        is_measured.then(|| moment.duration_since(sane(now.created_at, seen.date)).as_secs_f64().max(0.0));

    if state.is_some_and(VideoState::is_failed) && state != was.state {
        told.push((EventKind::VideoFailed, seen.date));
    }
    match (was.blocked, now.blocked) {
        (None | Some(false), Some(true)) => told.push((EventKind::VideoBlocked, seen.date)),
        (Some(true), Some(false)) => told.push((EventKind::VideoUnblocked, seen.date)),
        _ => {}
    }
    match (was.on_air, now.on_air()) {
        (false, true) => told.push((EventKind::LiveStarted, moment)),
        (true, false) => told.push((EventKind::LiveEnded, seen.date)),
        _ => {}
    }
    Step { entry: now, told, ready_seconds }
}

/// What is known after a sighting: what it tells, else what was known.
fn learn(before: Before<'_>, seen: &Seen) -> Entry {
    let row = &seen.row;
    let known = match before {
        Before::Known(entry) => Some(entry),
        Before::Deleted(_) | Before::Unknown => None,
    };
    let is_public_list = seen.source == Source::List && row.state.is_none();
    let wait = row.wait_transcoding.or(known.and_then(|entry| entry.wait));
    let mut facts = Facts::of(row);
    if let Some(old) = known.map(|entry| &entry.facts) {
        facts.url = facts.url.or_else(|| old.url.clone());
        facts.channel = facts.channel.or_else(|| old.channel.clone());
        facts.account = facts.account.or_else(|| old.account.clone());
        facts.duration = facts.duration.or(old.duration);
        facts.is_live = facts.is_live.or(old.is_live);
        facts.nsfw = facts.nsfw.or(old.nsfw);
    }
    facts.privacy = match row.privacy {
        None if is_public_list => Some(Privacy::Public),
        None => known.and_then(|entry| entry.facts.privacy),
        told => told,
    };
    facts.state = match row.state {
        None if is_public_list => state_of_listed(known, facts.is_live, wait),
        None => known.and_then(|entry| entry.facts.state),
        told => told,
    };
    let blocked = known.and_then(|entry| entry.blocked);
    let published_at = row.published_at.or(known.and_then(|entry| entry.published_at));
    let mut entry = Entry {
        facts,
        created_at: row.created_at,
        published_at,
        wait,
        blocked: if is_public_list { blocked.map(|_| false) } else { row.blacklisted.or(blocked) },
        local: row.is_local.or(known.and_then(|entry| entry.local)),
        state_since: seen.date,
        shown: seen.source == Source::List || known.is_none_or(|entry| entry.shown),
        once: Once::default(),
        idle_since: None,
        stuck: false,
    };
    entry.state_since = match known {
        Some(old) if old.facts.state == entry.facts.state => {
            (entry.idle_since, entry.stuck) = (old.idle_since, old.stuck);
            old.state_since
        }
        None if !entry.was_moved() => sane(entry.created_at, seen.date),
        _ => seen.date,
    };
    entry
}

/// The state of a video of which only the public list is seen: it is published, or
/// is being transcoded and that need not be waited for.
fn state_of_listed(known: Option<&Entry>, is_live: Option<bool>, wait: Option<bool>) -> Option<VideoState> {
    if is_live == Some(true) || wait == Some(true) {
        return Some(VideoState::Published);
    }
    known
        .and_then(|entry| entry.facts.state)
        .filter(|state| matches!(state, VideoState::Published | VideoState::ToTranscode))
}

fn past(before: Before<'_>, now: &Entry, ground: Ground) -> Was {
    let as_now = |once| Was { state: now.facts.state, blocked: now.blocked, on_air: now.on_air(), once };
    let since = match (before, ground.since) {
        (Before::Known(was), _) => {
            let Entry { blocked, once, .. } = *was;
            return Was { state: was.facts.state, blocked, on_air: was.on_air(), once };
        }
        (Before::Deleted(once), _) => return as_now(once),
        (Before::Unknown, None) => return as_now(now.once_before()),
        (Before::Unknown, Some(since)) => since,
    };
    let published_since = now.published_at.is_some_and(|at| at >= since);
    if now.created_at >= since.saturating_sub(SLOW_COMMIT).unwrap_or(since) {
        Was { state: None, blocked: None, on_air: false, once: Once::default() }
    } else if now.local == Some(false) && !published_since {
        // Of another instance, where it was published before we looked at all.
        as_now(now.once_before())
    } else {
        // An older one that was hidden from us until now. It was not in the list, and
        // now it is; of anything else in its past we can't know.
        let once = Once::default().with(Once::CREATED).with_if(now.once_before().has(Once::READY), Once::READY);
        Was { on_air: now.on_air() && !published_since, ..as_now(once) }
    }
}

/// When the transition happened that a sighting shows, by the server's own word where
/// there is one, else the time of its reply; and whether it was its word.
fn moment(before: Before<'_>, now: &Entry, date: Timestamp, ground: Ground) -> (Timestamp, bool) {
    let told = match (before, ground.since) {
        (Before::Known(was), _) => now.published_at.filter(|_| now.published_at != was.published_at),
        (Before::Unknown, Some(since)) if now.created_at < since => now.published_at.filter(|at| *at >= since),
        (Before::Unknown, _) => Some(now.published_at.map_or(now.created_at, |at| at.max(now.created_at))),
        (Before::Deleted(_), _) => None,
    };
    told.map_or((date, false), |at| (sane(at, date), true))
}

fn sane(at: Timestamp, date: Timestamp) -> Timestamp {
    if at.duration_since(date) > AHEAD { date } else { at }
}
