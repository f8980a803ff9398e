//! The lists of unfinished jobs. A list that could not be completed proves nothing
//! about what is not in it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::seek::MOST_QUESTIONS;
use super::{Ask, CLOCK_GRAIN, MOST_PAGES, PAGE, Poll, STEP};
use crate::core::job::{JobKey, JobList, JobType, JobsPage, Order, Pending};

/// Enough for the recurring jobs that always stand in the delayed list.
const SHORT: u64 = 15;
/// Polls in a row that count too few before those that hid are taken for lost.
const PATIENCE: u8 = 3;
/// A list that goes on not to add up is looked into each so many polls.
const SELDOM: u64 = 8;
/// How many of a list that doesn't add up are sought one by one.
const SUSPECTS: usize = 6;
/// Where pages of the ended jobs begin that look for those who left a long list.
const DEEPER: [u64; 2] = [100, 300];
/// By how much a long list may have grown since it was last asked.
const GROWTH: u64 = 60;

/// What is known of one list in this poll.
#[derive(Debug, Default)]
pub(super) struct ListSeen {
    pub total: u64,
    /// Every row of it was seen.
    pub whole: bool,
    /// Totals of the types that were asked alone.
    pub totals: BTreeMap<JobType, u64>,
    /// Types of which every row was seen.
    pub complete: BTreeSet<JobType>,
    /// The types asked make up the total: there are no others.
    pub rest_empty: bool,
}

/// A list too long to walk each time. Its newest rows were seen, back to the last
/// poll: with what was known before, they should make up its total.
#[derive(Debug)]
pub(super) struct LongList {
    pub job_type: JobType,
    pub total: u64,
    pub date: Timestamp,
    /// All of it was asked for, and only so many rows were shown.
    pub walked: Option<u64>,
}

/// A walk through a whole list: how many rows it showed, of how many.
struct Walk {
    rows: u64,
    total: u64,
    date: Timestamp,
}

impl Walk {
    fn is_whole(&self) -> bool {
        self.rows >= self.total
    }

    fn into_long(self, job_type: &JobType) -> LongList {
        LongList { job_type: job_type.clone(), total: self.total, date: self.date, walked: Some(self.rows) }
    }
}

impl ListSeen {
    pub(super) fn is_complete(&self, job_type: &JobType) -> bool {
        self.whole || self.complete.contains(job_type) || (self.rest_empty && !self.totals.contains_key(job_type))
    }
}

impl Pending {
    fn list(self) -> JobList {
        match self {
            Self::Delayed => JobList::Delayed,
            Self::Waiting => JobList::Waiting,
            Self::Active => JobList::Active,
        }
    }
}

impl<A: Ask + Send> Poll<'_, A> {
    pub(super) async fn ask_pending(&mut self, state: Pending) -> Result<(), A::Error> {
        let list = state.list();
        let last = self.before.meta.list_totals.get(&state).copied().unwrap_or(0);
        let count = if (SHORT + 1..=PAGE).contains(&last) { PAGE } else { SHORT };
        let Some(mut page) = self.page(list, None, 0, count, Order::NewestFirst).await? else { return Ok(()) };
        if !is_whole(&page) && count < PAGE && page.total <= PAGE {
            match self.page(list, None, 0, PAGE, Order::NewestFirst).await? {
                Some(longer) => page = longer,
                None => return Ok(()),
            }
        }
        let mut seen = ListSeen { total: page.total, whole: is_whole(&page), ..ListSeen::default() };
        if !seen.whole {
            if self.memory.meta.ignores_type {
                seen.whole = self.walk_pending(list, None).await?.is_some_and(|walk| walk.is_whole());
            } else {
                self.ask_pending_by_type(state, &page, &mut seen).await?;
            }
        }
        self.lists.insert(state, seen);
        Ok(())
    }

    /// First the types that are likely to be there; then, if these don't make up the
    /// total, the other types ever seen, and one that never was.
    async fn ask_pending_by_type(
        &mut self,
        state: Pending,
        page: &JobsPage,
        seen: &mut ListSeen,
    ) -> Result<(), A::Error> {
        let on_page = page.rows.iter().map(|row| row.key.job_type.clone());
        let before = self.before.types.iter().filter(|(_, known)| known.pending.get(&state).is_some_and(|n| *n > 0));
        let likely: BTreeSet<JobType> = on_page.chain(before.map(|(name, _)| name.clone())).collect();
        let others = self.memory.seen_types().into_iter().filter(|name| !likely.contains(name));
        let mut asked: Vec<JobType> = likely.iter().cloned().chain(others).collect();
        if self.before.is_new() {
            // The first look counts what it sees, so it asks for each type once.
            asked.extend(self.all_types().into_iter().filter(|name| !asked.contains(name)).collect::<Vec<_>>());
        } else {
            asked.extend(self.unseen_in_turn());
        }
        for job_type in asked {
            if seen.totals.values().sum::<u64>() >= seen.total {
                break;
            }
            self.ask_pending_of(state, &job_type, seen).await?;
        }
        seen.rest_empty = seen.totals.values().sum::<u64>() >= seen.total;
        Ok(())
    }

    fn unseen_in_turn(&self) -> Option<JobType> {
        let seen = self.memory.seen_types();
        let unseen: Vec<JobType> = self.all_types().into_iter().filter(|name| !seen.contains(name)).collect();
        let turn = usize::try_from(self.before.meta.polls).unwrap_or(0).checked_rem(unseen.len())?;
        unseen.get(turn).cloned()
    }

    async fn ask_pending_of(
        &mut self,
        state: Pending,
        job_type: &JobType,
        seen: &mut ListSeen,
    ) -> Result<(), A::Error> {
        let list = state.list();
        if self.is_tallied(job_type) {
            // The total is all that counts; the row is the oldest that waits.
            if let Some(page) = self.page(list, Some(job_type), 0, 1, Order::OldestFirst).await? {
                seen.totals.insert(job_type.clone(), page.total);
                if is_whole(&page) {
                    seen.complete.insert(job_type.clone());
                }
            }
            return Ok(());
        }
        let known = self.before.types.get(job_type);
        let expected = known.and_then(|known| known.pending.get(&state)).copied().unwrap_or(0);
        let was_known = state == Pending::Waiting && known.is_some_and(|known| known.pending_known);
        let mut newest_from = expected.checked_sub(GROWTH).filter(|_| was_known && expected > PAGE);
        if newest_from.is_none() {
            let Some(page) = self.page(list, Some(job_type), 0, PAGE, Order::NewestFirst).await? else { return Ok(()) };
            seen.totals.insert(job_type.clone(), page.total);
            if is_whole(&page) {
                seen.complete.insert(job_type.clone());
                return Ok(());
            }
            newest_from = page.total.checked_sub(PAGE).filter(|_| was_known);
        }
        if let Some(start) = newest_from
            && let Some(page) = self.page(list, Some(job_type), start, PAGE, Order::OldestFirst).await?
        {
            seen.totals.insert(job_type.clone(), page.total);
            let last = self.before.meta.last_poll.and_then(|last| last.saturating_sub(CLOCK_GRAIN).ok());
            let reaches_back = last.is_some_and(|last| page.rows.iter().any(|row| row.key.created_at < last));
            if page.total <= start + PAGE && reaches_back {
                self.long.push(LongList {
                    job_type: job_type.clone(),
                    total: page.total,
                    date: page.date,
                    walked: None,
                });
                return Ok(());
            }
        }
        if let Some(walk) = self.walk_pending(list, Some(job_type)).await? {
            if walk.is_whole() {
                seen.complete.insert(job_type.clone());
            } else if state == Pending::Waiting {
                self.long.push(walk.into_long(job_type));
            }
        }
        Ok(())
    }

    /// Walks a whole list by pages that overlap, from both ends, until the distinct
    /// rows are as many as its total.
    async fn walk_pending(&mut self, list: JobList, job_type: Option<&JobType>) -> Result<Option<Walk>, A::Error> {
        let mut rows: BTreeSet<JobKey> = BTreeSet::new();
        let mut walk = None;
        for order in [Order::NewestFirst, Order::OldestFirst] {
            let mut start = 0;
            for _ in 0..MOST_PAGES {
                let Some(page) = self.page(list, job_type, start, PAGE, order).await? else { return Ok(None) };
                rows.extend(page.rows.iter().map(|row| row.key.clone()));
                let so_far = Walk { rows: rows.len() as u64, total: page.total, date: page.date };
                if so_far.is_whole() {
                    return Ok(Some(so_far));
                }
                walk = Some(so_far);
                if start + PAGE >= page.total {
                    break;
                }
                start += STEP;
            }
        }
        Ok(walk)
    }

    /// Asked after the lists of ended jobs, so that who left a long list is known.
    pub(super) async fn close_long_lists(&mut self) -> Result<(), A::Error> {
        for mut long in std::mem::take(&mut self.long) {
            let surplus = self.memory.type_mut(&long.job_type).surplus;
            if surplus < PATIENCE || self.before.meta.polls.is_multiple_of(SELDOM) {
                let scope = self.scope(&long.job_type);
                if long.walked.is_none() {
                    // Where somebody left unseen, the oldest among more of the ended jobs may
                    // show who, far cheaper than the whole list.
                    for start in DEEPER {
                        if self.surplus(&long) > 0 {
                            self.completed_page(scope.as_ref(), start).await?;
                        }
                    }
                    self.seek_suspects(&long, SUSPECTS).await?;
                }
                if long.walked.is_none()
                    && !self.adds_up(&long)
                    && let Some(walk) = self.walk_pending(JobList::Waiting, Some(&long.job_type)).await?
                {
                    if walk.is_whole() {
                        self.note_complete(&long.job_type);
                        continue;
                    }
                    long = walk.into_long(&long.job_type);
                }
                self.seek_suspects(&long, usize::MAX).await?;
            }
            self.close(&long);
        }
        Ok(())
    }

    /// Looks among the ended jobs for those that should wait and were not met, the
    /// oldest first: a page drops the oldest of its candidates.
    async fn seek_suspects(&mut self, long: &LongList, most: usize) -> Result<(), A::Error> {
        let mut suspects: Vec<JobKey> = self.unmet_waiting(&long.job_type).cloned().collect();
        suspects.sort_by_key(|key| key.created_at);
        let mut budget = if most == usize::MAX { MOST_QUESTIONS } else { 4 * u32::try_from(most).unwrap_or(1) };
        for key in suspects.into_iter().take(most) {
            if self.surplus(long) <= 0 {
                break;
            }
            self.seek_waiting(&key, &mut budget).await?;
        }
        Ok(())
    }

    /// Takes the arithmetic for what it is worth. A job that begins between two
    /// questions makes it wrong by one, once: what stays wrong is believed.
    fn close(&mut self, long: &LongList) {
        let surplus = self.surplus(long);
        let mut hidden = self.still_hidden(&long.job_type);
        let is_exact = long.walked.is_some() || !self.adds_up(long);
        self.keep_waiting(&long.job_type);
        let known = self.memory.type_mut(&long.job_type);
        known.surplus = if surplus > 0 { known.surplus.saturating_add(1) } else { 0 };
        known.deficit = if surplus < 0 { known.deficit.saturating_add(1) } else { 0 };
        if surplus < 0 && (is_exact || known.deficit >= PATIENCE) {
            known.deficit = 0;
            hidden += surplus.unsigned_abs();
        }
        if known.surplus >= PATIENCE {
            let lost = surplus.unsigned_abs().min(hidden);
            known.surplus = if lost > 0 { 0 } else { known.surplus };
            hidden -= lost;
            self.lost_hidden.insert(long.job_type.clone(), lost);
        }
        self.hidden.insert(long.job_type.clone(), hidden);
        if hidden == 0 && surplus <= 0 {
            self.note_complete(&long.job_type);
        }
    }

    fn note_complete(&mut self, job_type: &JobType) {
        if let Some(seen) = self.lists.get_mut(&Pending::Waiting) {
            seen.complete.insert(job_type.clone());
        }
    }

    /// Whether those that waited before and were not met elsewhere, with those seen
    /// waiting now and those that never were seen, are as many as the list said; those
    /// that began right after it answered may be missing from them.
    fn adds_up(&self, long: &LongList) -> bool {
        let of_type = |key: &JobKey| key.job_type == long.job_type;
        let recent = long.date.saturating_sub(CLOCK_GRAIN).unwrap_or(long.date);
        let begun = |at: Option<Timestamp>| at.is_some_and(|at| at >= recent);
        let left = self
            .pending
            .iter()
            .filter(|(key, job)| of_type(key) && job.state == Pending::Active && begun(job.processed_at));
        let ended = self.finished.iter().filter(|(key, ended)| of_type(key) && begun(ended.row.processed_at));
        let gone = i64::try_from(left.count() + ended.count()).unwrap_or(i64::MAX);
        (-gone..=0).contains(&self.surplus(long))
    }

    /// How many more should wait than the list says: that many left unseen.
    fn surplus(&self, long: &LongList) -> i64 {
        let still = self.unmet_waiting(&long.job_type).count() as u64;
        let new =
            self.pending.iter().filter(|(key, job)| key.job_type == long.job_type && job.state == Pending::Waiting);
        let shown = long.walked.unwrap_or_else(|| new.count() as u64);
        let should = still + shown + self.still_hidden(&long.job_type);
        i64::try_from(should).unwrap_or(i64::MAX).saturating_sub_unsigned(long.total)
    }

    /// Of the jobs that hid, those that this poll did not show either: an old one that
    /// nobody knew was one of them.
    pub(super) fn still_hidden(&self, job_type: &JobType) -> u64 {
        let hidden = self.before.types.get(job_type).map_or(0, |known| known.hidden);
        let Some(last) = self.before.meta.last_poll.and_then(|last| last.saturating_sub(CLOCK_GRAIN).ok()) else {
            return hidden;
        };
        let is_old =
            |key: &JobKey| key.job_type == *job_type && key.created_at < last && !self.before.pending.contains_key(key);
        let begun = self.pending.keys().filter(|key| is_old(key)).count();
        let ended = self.finished.iter().filter(|(key, ended)| {
            is_old(key)
                && ended.row.finished_at.is_some_and(|at| at >= last)
                && !self.settled.contains(&key.fingerprint())
                && !self.pending.contains_key(key)
        });
        hidden.saturating_sub((begun + ended.count()) as u64)
    }

    fn unmet_waiting(&self, job_type: &JobType) -> impl Iterator<Item = &JobKey> {
        self.before.pending.iter().filter_map(move |(key, job)| {
            let unmet = key.job_type == *job_type
                && job.state != Pending::Active
                && !self.pending.contains_key(key)
                && !self.finished.contains_key(key);
            unmet.then_some(key)
        })
    }

    fn keep_waiting(&mut self, job_type: &JobType) {
        let unmet: Vec<JobKey> = self.unmet_waiting(job_type).cloned().collect();
        for key in unmet {
            if let Some(job) = self.before.pending.get(&key) {
                let mut job = job.clone();
                if job.state != Pending::Waiting {
                    job.waits_from = self.first_date;
                }
                job.state = Pending::Waiting;
                job.absent = 0;
                job.sought = 0;
                job.last_seen = None;
                self.pending.insert(key, job);
            }
        }
    }
}

/// Whether a first page shows its whole list, be it with rows that can't be read.
pub(super) fn is_whole(page: &JobsPage) -> bool {
    (page.rows.len() + page.unread.len()) as u64 >= page.total
}
