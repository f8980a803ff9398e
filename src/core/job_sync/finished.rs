//! The lists of ended jobs: whether a page proves that nothing is hidden, and the
//! walk through one type's list where it doesn't.

use jiff::{SignedDuration, Timestamp};

use super::pending::is_whole;
use super::seek::Probe;
use super::{Ask, CLOCK_GRAIN, MOST_PAGES, PAGE, Poll, STEP};
use crate::core::job::{JobList, JobType, JobsPage, Order};

/// Beyond this a walk takes smaller steps.
const LONG_WAY: u64 = 300;
const SMALL_STEP: u64 = 20;
/// Within this a job that is tried again has ended for good.
const RETRIES: SignedDuration = SignedDuration::from_hours(1);
/// Enough rows to see the highest number among jobs that end at the same time.
pub(super) const SAMPLE: u64 = 15;

impl<A: Ask + Send> Poll<'_, A> {
    pub(super) async fn ask_failed(&mut self) -> Result<(), A::Error> {
        if let Some(page) = self.page(JobList::Failed, None, 0, PAGE, Order::NewestFirst).await? {
            self.memory.meta.listed_failed = page.total;
            self.failed_whole = is_whole(&page);
            if !self.failed_whole {
                let oldest = page.rows.iter().map(|row| row.key.created_at).min();
                // Few failed jobs of a type are kept, so none was cut from its candidates.
                for job_type in self.memory.seen_types() {
                    let since = self.failures_seen(&job_type);
                    if oldest.is_none_or(|oldest| oldest >= since) {
                        self.ask_failed_of(&job_type).await?;
                    }
                }
            }
        }
        Ok(())
    }

    /// No job that failed since the last poll was created before this instant, but for
    /// those that are known to have been pending then, and are sought. Of a tallied type
    /// none is known but when the oldest of them was created; one that is tried again may
    /// slip through the lists of the unfinished.
    fn failures_seen(&self, job_type: &JobType) -> Timestamp {
        let known = self.before.types.get(job_type).filter(|known| known.pending_known && known.hidden == 0);
        let (Some(last), Some(known)) = (self.before.meta.last_poll, known) else { return self.since(job_type) };
        let (seen, slack) = if self.is_tallied(job_type) {
            (known.oldest_pending.map_or(last, |oldest| oldest.min(last)), RETRIES)
        } else {
            (last, CLOCK_GRAIN)
        };
        seen.saturating_sub(slack).unwrap_or(seen)
    }

    /// The failed jobs of one type, where the page of all types didn't show them.
    pub(super) async fn ask_failed_of(&mut self, job_type: &JobType) -> Result<(), A::Error> {
        if !self.failed_whole && !self.failed_alone.contains(job_type) {
            let scope = self.scope(job_type);
            if self.page(JobList::Failed, scope.as_ref(), 0, PAGE, Order::NewestFirst).await?.is_some() {
                self.failed_alone.insert(job_type.clone());
            }
        }
        Ok(())
    }

    pub(super) async fn ask_completed(&mut self) -> Result<(), A::Error> {
        let Some(page) = self.page(JobList::Completed, None, 0, PAGE, Order::NewestFirst).await? else {
            return Ok(());
        };
        self.memory.meta.listed_completed = page.total;
        if is_whole(&page) {
            self.completed_whole = true;
            self.probes.entry(None).or_default().push(Probe::new(0, &page));
            self.covered = self.all_types();
            return Ok(());
        }
        if self.before.is_new() {
            return self.look_at_each_type().await;
        }
        let mut unseen = Vec::new();
        let mut numbered = Vec::new();
        for job_type in self.all_types() {
            let seen = self.memory.types.get(&job_type).is_some_and(|known| known.seen);
            let on_page = page.rows.iter().any(|row| row.key.job_type == job_type);
            if self.is_tallied(&job_type) {
                if !on_page {
                    unseen.push(job_type);
                }
            } else if self.is_covered_by(&page, &job_type) {
                self.covered.insert(job_type);
            } else if self.memory.meta.ignores_type {
                return self.walk_all_types().await;
            } else if !seen {
                unseen.push(job_type);
            } else if self.has_whole_numbers(&job_type) && self.may_wait(&page, &job_type) {
                numbered.push(job_type);
            } else {
                self.walk(Some(&job_type), self.since(&job_type)).await?;
            }
        }
        self.ask_in_turn(numbered).await?;
        self.ask_in_turn(unseen).await
    }

    /// At the first poll: how high the numbers of each type are, or that it is empty.
    async fn look_at_each_type(&mut self) -> Result<(), A::Error> {
        for job_type in self.all_types() {
            if self.memory.meta.ignores_type {
                break;
            }
            let page = self.completed_page(Some(&job_type), 0).await?;
            if let Some(page) = page.filter(|page| self.is_tallied(&job_type) && !is_whole(page)) {
                // The last number may stand on a job that overtook a page of others.
                let start = page.total.saturating_sub(PAGE);
                self.page(JobList::Completed, Some(&job_type), start, PAGE, Order::OldestFirst).await?;
            }
        }
        self.covered = self.all_types();
        Ok(())
    }

    /// Types that a full page may have hidden and that there is no sign of: one a poll,
    /// the one that has waited longest. What the server keeps for days allows it.
    async fn ask_in_turn(&mut self, unseen: Vec<JobType>) -> Result<(), A::Error> {
        let waited =
            |job_type: &JobType| self.before.types.get(job_type).and_then(|known| known.turn.max(known.covered));
        let Some(job_type) = unseen.into_iter().min_by_key(waited) else { return Ok(()) };
        let now = self.now();
        self.memory.type_mut(&job_type).turn = Some(now);
        if self.is_tallied(&job_type) {
            self.page(JobList::Completed, Some(&job_type), 0, SAMPLE, Order::NewestFirst).await?;
            Ok(())
        } else {
            self.walk(Some(&job_type), self.since(&job_type)).await
        }
    }

    /// Whether the first page of all types shows every job of this type that was born
    /// and completed since the type was covered. The page must reach back before
    /// then, and the type's own candidates must not have been cut: had more than a
    /// page of them ended, the page would show a hundred born since or expected.
    fn is_covered_by(&self, page: &JobsPage, job_type: &JobType) -> bool {
        let since = self.since(job_type);
        let reaches_back = page.rows.iter().any(|row| row.key.created_at < since);
        let born = page.rows.iter().filter(|row| row.key.job_type == *job_type && row.key.created_at >= since).count();
        let left = self.before.pending.keys().filter(|key| key.job_type == *job_type);
        let ended = left.filter(|key| !self.pending.contains_key(key)).count();
        reaches_back && ((born + ended) as u64) < PAGE
    }

    /// Whether a type whose numbers tell of each job can be left for another poll: its
    /// failures are told at once all the same, and so is what was pending.
    fn may_wait(&self, page: &JobsPage, job_type: &JobType) -> bool {
        let shown = page.rows.iter().filter(|row| row.key.job_type == *job_type).count();
        (shown as u64) < STEP && !self.before.pending.keys().any(|key| key.job_type == *job_type)
    }

    async fn walk_all_types(&mut self) -> Result<(), A::Error> {
        let types = self.all_types();
        let since = types.iter().map(|job_type| self.since(job_type)).min();
        self.walk(None, since.unwrap_or_else(|| self.now())).await?;
        self.covered = types;
        Ok(())
    }

    /// Walks a list back until a page shows a job that finished before `since`. One
    /// that was merely created before it proves nothing: a long runner stands at the
    /// end of the very first page.
    async fn walk(&mut self, job_type: Option<&JobType>, since: Timestamp) -> Result<(), A::Error> {
        let mut start = 0;
        let mut total = 0;
        let mut step = STEP;
        for _ in 0..MOST_PAGES {
            let Some(page) = self.completed_page(job_type, start).await? else { return Ok(()) };
            total = page.total;
            let reached = page.rows.iter().any(|row| row.finished_at.is_some_and(|at| at < since));
            if reached || start + PAGE >= page.total {
                break;
            }
            start += step;
            // A long way back is gone in smaller steps: rows shift by more.
            if start >= LONG_WAY {
                step = SMALL_STEP;
            }
        }
        if start > 0 {
            let from = total.saturating_sub(start + 2 * PAGE);
            self.walk_other_end(job_type, from, total, step).await?;
        }
        if let Some(job_type) = job_type {
            self.covered.insert(job_type.clone());
        }
        Ok(())
    }

    /// Who overtook more than a page of others is only seen from the other end.
    pub(super) async fn walk_other_end(
        &mut self,
        job_type: Option<&JobType>,
        from: u64,
        total: u64,
        step: u64,
    ) -> Result<(), A::Error> {
        let last = total.saturating_sub(PAGE);
        let mut start = from;
        loop {
            self.page(JobList::Completed, job_type, start, PAGE, Order::OldestFirst).await?;
            if start >= last {
                return Ok(());
            }
            start = (start + step).min(last);
        }
    }

    /// A page of completed jobs, newest first, kept as evidence of what isn't there.
    pub(super) async fn completed_page(
        &mut self,
        job_type: Option<&JobType>,
        start: u64,
    ) -> Result<Option<JobsPage>, A::Error> {
        let page = self.page(JobList::Completed, job_type, start, PAGE, Order::NewestFirst).await?;
        if let Some(page) = &page {
            let scope = if self.memory.meta.ignores_type { None } else { job_type.cloned() };
            self.probes.entry(scope).or_default().push(Probe::new(start, page));
        }
        Ok(page)
    }

    /// Whether every list that a job of this type could be in was seen whole, so that
    /// not being seen means something.
    pub(super) fn pending_is_complete(&self, job_type: &JobType) -> bool {
        self.lists.len() == 3 && self.lists.values().all(|list| list.is_complete(job_type))
    }
}
