//! What the server answers when it is asked for its jobs. Nothing here changes a job.

use std::fmt;
use std::sync::Arc;

use super::queue::{STATES, State};
use super::{JobView, Jobs, Version, timestamp};

/// How the lists are called, whatever else the version does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Naming {
    /// `/jobs/completed` and `/jobs/waiting`.
    Todays,
    /// `/jobs/complete` and `/jobs/inactive`, and no others for these two.
    Old,
    /// Either is understood; rows that are asked for without one have the old.
    Both,
    /// The later way: `/jobs?states=a,b` alone, and no `/jobs/{state}`.
    ByStates,
}

impl Naming {
    pub(super) fn of(version: Version) -> Self {
        match version {
            Version::QuickStart => Self::Both,
            Version::V6_3 | Version::V8_2 => Self::Todays,
        }
    }

    fn is_old(self) -> bool {
        matches!(self, Self::Old | Self::Both)
    }
}

/// A question: `GET /api/v1/jobs/{state}?jobType=…&start=…&count=…&sort=…`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListQuery<'a> {
    pub state: Option<&'a str>,
    pub job_type: Option<&'a str>,
    pub start: u64,
    pub count: u64,
    /// `sort=createdAt`.
    pub oldest_first: bool,
}

/// What the server gives where a parameter is missing.
impl Default for ListQuery<'_> {
    fn default() -> Self {
        Self { state: None, job_type: None, start: 0, count: 15, oldest_first: false }
    }
}

/// A reply.
#[derive(Debug, Clone, PartialEq)]
pub struct Listing {
    /// What is kept in the state, of the type asked.
    pub total: u64,
    pub rows: Vec<JobView>,
    /// What the server had to read: for each type asked, what it keeps in the state,
    /// `start + count + 1` at most.
    pub rows_read: u64,
}

/// Why a question is refused, all with status 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListError {
    UnknownState,
    UnknownType,
    TooMany,
}

impl ListError {
    /// The parameter that is wrong.
    pub fn parameter(self) -> &'static str {
        match self {
            Self::UnknownState => "state",
            Self::UnknownType => "jobType",
            Self::TooMany => "count",
        }
    }
}

impl fmt::Display for ListError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "incorrect request parameters: {}", self.parameter())
    }
}

impl std::error::Error for ListError {}

impl Jobs {
    /// Answers as of [`Jobs::now`].
    pub fn list(&self, query: &ListQuery) -> Result<Listing, ListError> {
        if query.count > 100 {
            return Err(ListError::TooMany);
        }
        let asked = asked_states(self.naming, self.version, query.state)?;
        let queues = match query.job_type {
            Some(job_type) if self.version != Version::QuickStart => {
                let queue = *self.by_type.get(job_type).ok_or(ListError::UnknownType)?;
                if !self.queues[queue].served {
                    return Err(ListError::UnknownType);
                }
                queue..queue + 1
            }
            _ => 0..self.queues.len(),
        };

        // The first `depth` of each list, in the order of the list.
        let depth = usize::try_from(query.start.saturating_add(query.count).saturating_add(1)).unwrap_or(usize::MAX);
        let mut candidates = Vec::new();
        let (mut total, mut rows_read) = (0, 0);
        for queue in self.queues[queues].iter().filter(|queue| queue.served) {
            let mut kept = 0;
            for list in asked.states.iter().map(|state| queue.list(*state)) {
                kept += list.len();
                if query.oldest_first {
                    candidates.extend(list.values().take(depth));
                } else {
                    candidates.extend(list.values().rev().take(depth));
                }
            }
            total += kept as u64;
            rows_read += kept.min(depth) as u64;
        }

        // Merged by creation, then turned round as a whole: so ties are turned too.
        candidates.sort_by_key(|slot| self.job(*slot).map(|job| job.created));
        if !query.oldest_first {
            candidates.reverse();
        }
        let rows = candidates
            .into_iter()
            .skip(usize::try_from(query.start).unwrap_or(usize::MAX))
            .take(usize::try_from(query.count).unwrap_or(0))
            .filter_map(|slot| self.view(slot, asked.label))
            .collect();
        Ok(Listing { total, rows, rows_read })
    }

    fn view(&self, slot: usize, label: Option<&'static str>) -> Option<JobView> {
        let job = self.job(slot)?;
        Some(JobView {
            job_type: self.queues[job.queue].name,
            id: job.id.to_string(),
            state: label.unwrap_or_else(|| own_label(self.naming, job.state)),
            data: Arc::clone(&job.data),
            progress: job.progress_at(self.now),
            priority: job.priority,
            parent: job.parent.as_ref().map(|parent| parent.id.to_string()),
            error: job.error.clone(),
            created_at: timestamp(job.created),
            processed_on: job.processed.map(timestamp),
            finished_on: job.finished.map(timestamp),
            version: self.version,
        })
    }
}

struct Asked {
    states: &'static [State],
    /// Rows carry the state asked; without one, each its own.
    label: Option<&'static str>,
}

fn asked_states(naming: Naming, version: Version, state: Option<&str>) -> Result<Asked, ListError> {
    let old = version == Version::QuickStart;
    let (states, label): (&[State], _) = match state {
        None => return Ok(Asked { states: &STATES, label: None }),
        Some("active") => (&[State::Active], "active"),
        Some("completed") if naming != Naming::Old => (&[State::Completed], "completed"),
        Some("complete") if naming.is_old() => (&[State::Completed], "complete"),
        Some("failed") => (&[State::Failed], "failed"),
        Some("waiting") if naming != Naming::Old => {
            (&[State::Waiting, State::WaitingChildren, State::Prioritized], "waiting")
        }
        Some("inactive") if naming.is_old() => {
            (&[State::Waiting, State::WaitingChildren, State::Prioritized], "inactive")
        }
        Some("delayed") => (&[State::Delayed], "delayed"),
        // By `?states=` each of them is named.
        Some("waiting,waiting-children,prioritized") if !old => {
            return Ok(Asked { states: &[State::Waiting, State::WaitingChildren, State::Prioritized], label: None });
        }
        Some("paused") if !old => (&[], "paused"),
        Some("waiting-children") if !old => (&[State::WaitingChildren], "waiting-children"),
        Some("prioritized") if !old => (&[State::Prioritized], "prioritized"),
        Some(_) => return Err(ListError::UnknownState),
    };
    Ok(Asked { states, label: Some(label) })
}

fn own_label(naming: Naming, state: State) -> &'static str {
    match state {
        State::Completed if naming.is_old() => "complete",
        State::Waiting | State::WaitingChildren | State::Prioritized if naming.is_old() => "inactive",
        _ => state.as_str(),
    }
}
