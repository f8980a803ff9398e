//! Videos that nobody works on: in a state that should pass, and no unfinished job is
//! for them. Told only by jobs that were seen whole, five minutes after the video was
//! first seen without one, and once until its state changes or a job of it appears.

use jiff::{SignedDuration, Timestamp};

use super::entry::Entry;
use super::{Memory, Outcome, Told};
use crate::core::event::EventKind;
use crate::core::video::VideoState;
use crate::core::video_facts::Facts;
use crate::core::work::Work;

/// Between a video's row and its first job, and between two jobs of it, lies a moment.
const IDLE: SignedDuration = SignedDuration::from_mins(5);

impl Outcome {
    /// Looks at the videos by the light of the jobs. At the first time, which belongs to
    /// the first look, what is stuck is noted and not told.
    pub fn tell_stuck(&mut self, work: &Work) {
        let Self { memory, told, seen, .. } = self;
        let (Some(_), Some(now)) = (memory.state.since, memory.state.mark) else { return };
        let is_first = !std::mem::replace(&mut memory.state.judged, true);
        for (uuid, entry) in &mut memory.entries {
            if !is_idle(uuid, entry, work) {
                (entry.idle_since, entry.stuck) = (None, false);
            } else if is_first && is_old(entry, work) {
                (entry.idle_since, entry.stuck) = (Some(now), true);
            } else if seen.contains(uuid) && !entry.stuck {
                // What other polls saw of its state may not be so any more.
                let since = *entry.idle_since.get_or_insert(now);
                let at = since.saturating_add(IDLE).unwrap_or(since);
                if work.at >= at {
                    entry.stuck = true;
                    let since = Some(entry.state_since);
                    told.push(Told { kind: EventKind::VideoStuck, at, facts: entry.facts.clone(), since });
                }
            }
        }
        told.sort_by_key(|told| told.at);
    }
}

impl Memory {
    /// How many videos are stuck, for the first look.
    pub fn stuck(&self, work: &Work) -> u64 {
        let stuck = |(uuid, entry): &(&String, &Entry)| is_idle(uuid, entry, work) && is_old(entry, work);
        self.entries.iter().filter(stuck).count() as u64
    }

    /// Those told as stuck or so at the first look, with since when they are in their
    /// state; `None` until one has looked at the videos by the light of the jobs.
    pub fn stuck_now(&self) -> Option<impl Iterator<Item = (&Facts, Timestamp)>> {
        let stuck = self.entries.values().filter(|entry| entry.stuck && entry.facts.privacy.is_some());
        self.state.judged.then(|| stuck.map(|entry| (&entry.facts, entry.state_since)))
    }
}

/// Whether it should change, and no job is known that would change it.
fn is_idle(uuid: &str, entry: &Entry, work: &Work) -> bool {
    let state = entry.facts.state.filter(|state| state.is_passing());
    // One that is withheld from us may be in another state by now; one of another
    // instance waits for that.
    let is_ours = entry.facts.privacy.is_some() && entry.local != Some(false);
    let may_be_imported = state == Some(VideoState::ToImport) && work.imports;
    state.is_some() && is_ours && !may_be_imported && !work.videos.contains(uuid)
}

/// Whether its job would be there by now, if it had one.
fn is_old(entry: &Entry, work: &Work) -> bool {
    work.at.duration_since(entry.created_at) >= IDLE
}
