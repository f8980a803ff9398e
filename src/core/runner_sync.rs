//! Exact accounting of the jobs given to remote runners: each is told once, and so is
//! a runner that should work and does not.
//!
//! Their list pages properly, by last change: what changed since the last poll stands
//! at its top. So the unfinished jobs are remembered, and kept by what changed; as long
//! as there are as many of them as the server says, nobody is missing. Like the poll of
//! jobs, this one asks through [`Ask`], does no I/O, and works on a copy.

mod contact;
mod memory;
mod settle;
mod stuck;

use std::collections::{BTreeMap, BTreeSet, HashSet};

use jiff::{SignedDuration, Timestamp};

use super::job::JobType;
use super::job_sync::Policy;
use super::job_told::Told;
use super::runner::{
    RunnerJobRow, RunnerJobState, RunnerJobsList, RunnerJobsPage, RunnerJobsQuery, RunnerRow, RunnersPage,
};
pub use contact::RunnerTold;
pub use memory::{Memory, MemoryError};

/// The most rows that one question may ask for.
const PAGE: u64 = 100;
/// Neighbouring pages share some rows: others may be deleted between two questions.
const STEP: u64 = 90;
/// Of one walk.
const MOST_PAGES: u64 = 1000;
/// Of one that looks for a job which may well be deleted.
const DEEP_PAGES: u64 = 20;
/// More runners than this are not looked at.
const MOST_RUNNERS: u64 = 1000;
/// The server's clock is told in whole seconds.
const CLOCK_GRAIN: SignedDuration = SignedDuration::from_secs(1);

/// Where pages come from: an instance over HTTP, or a model of one.
pub trait Ask {
    type Error;

    fn jobs(&mut self, query: &RunnerJobsQuery) -> impl Future<Output = Result<RunnerJobsPage, Self::Error>> + Send;

    /// A page of at most 100 runners.
    fn runners(&mut self, start: u64) -> impl Future<Output = Result<RunnersPage, Self::Error>> + Send;
}

/// What a poll found.
#[derive(Debug)]
pub struct Outcome {
    pub memory: Memory,
    /// Of jobs, in order of time.
    pub told: Vec<Told>,
    pub runners_told: Vec<RunnerTold>,
    /// Fingerprints of the jobs that are now settled.
    pub settled: Vec<i64>,
    /// The server's clock at the first reply.
    pub at: Timestamp,
}

/// One poll. `settled` holds the fingerprints of jobs told before.
pub async fn sync<A: Ask + Send>(
    ask: &mut A,
    before: &Memory,
    settled: &HashSet<i64>,
    policy: &Policy,
) -> Result<Outcome, A::Error> {
    let mut poll = Poll {
        ask,
        before,
        settled,
        policy,
        first_date: None,
        types: before.types.keys().cloned().collect(),
        rows: BTreeMap::new(),
        total: None,
        ignores_state: before.meta.ignores_state,
        is_verified: false,
        unread: 0,
        runners: Vec::new(),
    };
    poll.walk(RunnerJobsList::Changes, MOST_PAGES, Some(before.meta.last_poll.unwrap_or(Timestamp::MAX))).await?;
    poll.verify_unfinished().await?;
    // Who was not seen may stand in a row that can't be read.
    poll.is_verified &= poll.unread == 0;
    poll.ask_runners().await?;
    Ok(poll.settle())
}

/// A poll under way: what was known, and what was seen since it began.
struct Poll<'a, A> {
    ask: &'a mut A,
    before: &'a Memory,
    settled: &'a HashSet<i64>,
    policy: &'a Policy,
    first_date: Option<Timestamp>,
    types: BTreeSet<JobType>,
    /// Every job that was seen, as it was last changed.
    rows: BTreeMap<String, RunnerJobRow>,
    /// How many jobs there are, whatever their state.
    total: Option<u64>,
    ignores_state: bool,
    /// The unfinished jobs were all seen: who was not is not among them.
    is_verified: bool,
    /// Rows that could not be read: they may be anybody's.
    unread: u64,
    runners: Vec<RunnerRow>,
}

impl<A: Ask + Send> Poll<'_, A> {
    async fn page(&mut self, list: RunnerJobsList, start: u64, count: u64) -> Result<RunnerJobsPage, A::Error> {
        let page = self.ask.jobs(&RunnerJobsQuery { list, start, count }).await?;
        self.first_date.get_or_insert(page.date);
        self.unread += page.unread;
        match list {
            // The first one: it counts all that was known, also who is deleted meanwhile.
            RunnerJobsList::Changes => _ = self.total.get_or_insert(page.total),
            RunnerJobsList::Unfinished => {
                self.ignores_state |= page.rows.iter().filter_map(|row| row.state).any(|state| !state.is_unfinished());
            }
        }
        for row in &page.rows {
            if !self.types.contains(&row.job_type) {
                if !row.job_type.may_join(self.types.len()) {
                    continue;
                }
                self.types.insert(row.job_type.clone());
            }
            let known = self.rows.get(&row.uuid);
            if known.is_none_or(|known| known.updated_at <= row.updated_at) {
                self.rows.insert(row.uuid.clone(), row.clone());
            }
        }
        Ok(page)
    }

    /// Reads a list to its end, or the changes back to before `back_to`. Whether it got
    /// there with no gap between two pages.
    async fn walk(
        &mut self,
        list: RunnerJobsList,
        most_pages: u64,
        back_to: Option<Timestamp>,
    ) -> Result<bool, A::Error> {
        let mut start = 0;
        let mut seen: BTreeSet<String> = BTreeSet::new();
        let mut edge: Option<Timestamp> = None;
        for _ in 0..most_pages {
            let page = self.page(list, start, PAGE).await?;
            let at = |row: &RunnerJobRow| match list {
                RunnerJobsList::Changes => row.updated_at,
                RunnerJobsList::Unfinished => row.created_at,
            };
            // Rows that left between two questions draw others up, out of sight.
            let goes_on = start == 0
                || page.rows.first().zip(edge).is_some_and(|(first, edge)| match list {
                    RunnerJobsList::Changes => at(first) > edge,
                    RunnerJobsList::Unfinished => at(first) < edge,
                })
                || page.rows.iter().any(|row| seen.contains(&row.uuid));
            if !goes_on {
                start = start.saturating_sub(PAGE);
                continue;
            }
            edge = page.rows.last().map(at);
            let is_back = edge.zip(back_to).is_some_and(|(edge, back_to)| edge < self.grain_before(back_to));
            let rows = page.rows.len() as u64 + page.unread;
            if is_back || rows < PAGE || start + rows >= page.total {
                // Of the changes, a short page is the end, whatever the total says.
                return Ok(list == RunnerJobsList::Changes || start + rows >= page.total);
            }
            seen.extend(page.rows.into_iter().map(|row| row.uuid));
            start += STEP;
        }
        Ok(false)
    }

    /// Holds the unfinished jobs against how many the server has, and looks at each if
    /// that does not agree.
    async fn verify_unfinished(&mut self) -> Result<(), A::Error> {
        let mut total = self.count_unfinished().await?;
        if !self.ignores_state && total > PAGE && total != self.unfinished().len() as u64 {
            // More likely than not it was a change between two questions.
            self.walk(RunnerJobsList::Changes, MOST_PAGES, self.first_date).await?;
            total = self.count_unfinished().await?;
        }
        let agrees = total == self.unfinished().len() as u64;
        if !agrees && (!self.ignores_state || self.before.is_new()) {
            self.is_verified = self.walk(RunnerJobsList::Unfinished, MOST_PAGES, None).await?;
        }
        let missing = self.before.pending.iter().filter(|(uuid, _)| !self.rows.contains_key(*uuid));
        let is_sought_again = missing.clone().any(|(_, job)| job.absent > 0);
        let Some(oldest) = missing.map(|(_, job)| job.updated_at).min() else { return Ok(()) };
        if self.is_verified {
            // It may have ended, and been stored, long after the time that it is given.
            if is_sought_again {
                self.walk(RunnerJobsList::Changes, DEEP_PAGES, Some(oldest)).await?;
            }
        } else if self.ignores_state
            && (is_sought_again || !self.before.meta.ignores_state || self.total != Some(self.expected_total()))
        {
            // Totals may have agreed by chance as long as that was not known. Who is there
            // must stand, in the order of changes, before where it stood last.
            self.is_verified = self.walk(RunnerJobsList::Changes, MOST_PAGES, Some(oldest)).await?;
        }
        Ok(())
    }

    async fn count_unfinished(&mut self) -> Result<u64, A::Error> {
        let page = self.page(RunnerJobsList::Unfinished, 0, 1).await?;
        let is_unfinished = |row: &RunnerJobRow| row.state.is_none_or(RunnerJobState::is_unfinished);
        if self.total != Some(page.total) && page.rows.iter().all(is_unfinished) {
            // It does tell states apart, since an upgrade perhaps.
            self.ignores_state = false;
        }
        Ok(page.total)
    }

    /// The jobs that have not ended, by what is known so far.
    fn unfinished(&self) -> BTreeSet<String> {
        let is_unfinished = |row: &RunnerJobRow| row.state.is_some_and(RunnerJobState::is_unfinished);
        let known = self.before.pending.keys().filter(|uuid| !self.rows.contains_key(*uuid));
        let seen = self.rows.values().filter(|row| is_unfinished(row)).map(|row| &row.uuid);
        known.chain(seen).cloned().collect()
    }

    /// How many jobs there are if none was deleted since the last poll.
    fn expected_total(&self) -> u64 {
        let since = self.before.meta.last_poll;
        let is_new = |row: &&RunnerJobRow| since.is_none_or(|since| row.created_at >= since);
        self.before.meta.total + self.rows.values().filter(is_new).count() as u64
    }

    async fn ask_runners(&mut self) -> Result<(), A::Error> {
        for start in (0..MOST_RUNNERS).step_by(PAGE as usize) {
            let page = self.ask.runners(start).await?;
            let is_end = page.rows.is_empty() || start + page.rows.len() as u64 + page.unread >= page.total;
            self.runners.extend(page.rows);
            if is_end {
                break;
            }
        }
        Ok(())
    }

    /// The server's clock when this poll began.
    fn now(&self) -> Timestamp {
        self.first_date.or(self.before.meta.last_poll).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// What is strictly older than this was seen by then. A clock that was set back
    /// must hide nothing.
    fn grain_before(&self, at: Timestamp) -> Timestamp {
        let at = at.min(self.now());
        at.saturating_sub(CLOCK_GRAIN).unwrap_or(at)
    }
}
