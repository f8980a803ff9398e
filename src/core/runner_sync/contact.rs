//! Which runners should work and don't. An idle runner says nothing for hours, so that
//! silence alone means nothing.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::memory::{Memory, Offline, PendingJob, RunnerMemory};
use super::{Ask, Poll};
use crate::core::event::{Event, EventKind, Origin};
use crate::core::runner::RunnerJobState;
use crate::core::text::clean;

/// A runner that should speak and is silent for so long is offline.
const SILENT: SignedDuration = SignedDuration::from_mins(5);

/// One thing to tell of a runner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunnerTold {
    pub kind: EventKind,
    pub runner: String,
    pub last_contact: Timestamp,
    pub jobs_held: u64,
    /// Jobs that wait for any runner.
    pub jobs_waiting: u64,
    pub at: Timestamp,
}

impl RunnerTold {
    pub fn to_event(&self, origin: &Origin) -> Event {
        let name = clean(&self.runner, 200);
        let data = json!({
            "runner": name,
            "last_contact": self.last_contact,
            "jobs_held": self.jobs_held,
            "jobs_waiting": self.jobs_waiting,
        });
        let data: Map<String, Value> = data.as_object().cloned().unwrap_or_default();
        Event::new(origin, self.kind, &self.runner, Some(name), self.at, data)
    }
}

impl<A: Ask + Send> Poll<'_, A> {
    /// Looks at each runner there is, and says who went offline or came back.
    pub(super) fn renew_runners(&self, memory: &mut Memory, now: Timestamp) -> Vec<RunnerTold> {
        let mut told = Vec::new();
        let known = std::mem::take(&mut memory.runners);
        let waiting: Vec<&PendingJob> =
            memory.pending.values().filter(|job| job.state == RunnerJobState::Pending).collect();
        let mut runners = std::collections::BTreeMap::new();
        for row in &self.runners {
            let known = known.get(&row.name);
            let is_held = |job: &&PendingJob| {
                job.state == RunnerJobState::Processing && job.runner.as_deref() == Some(row.name.as_str())
            };
            let held: Vec<&PendingJob> = memory.pending.values().filter(is_held).collect();
            let is_silent = |jobs: &[&PendingJob]| {
                let since = jobs.iter().map(|job| job.since).min();
                since.is_some_and(|since| now.duration_since(since.max(row.last_contact)) >= SILENT)
            };
            let is_offline = is_silent(&held) || is_silent(&waiting);
            let spoke = known.is_none_or(|known| row.last_contact > known.last_contact);
            // Silence that goes on is told once, whatever becomes of the jobs.
            let was = known.and_then(|known| known.offline).filter(|_| !spoke);
            let told_before = known.is_some_and(|known| known.offline == Some(Offline::Told));
            let tell = |kind| RunnerTold {
                kind,
                runner: row.name.clone(),
                last_contact: row.last_contact,
                jobs_held: held.len() as u64,
                jobs_waiting: waiting.len() as u64,
                at: now,
            };
            if spoke && told_before {
                told.push(tell(EventKind::RunnerOnline));
            }
            let offline = match was {
                None if is_offline && self.before.is_new() => Some(Offline::Noted),
                None if is_offline => {
                    told.push(tell(EventKind::RunnerOffline));
                    Some(Offline::Told)
                }
                was => was,
            };
            runners.insert(row.name.clone(), RunnerMemory { last_contact: row.last_contact, offline });
        }
        memory.runners = runners;
        told
    }
}
