//! What the numbers of jobs tell: how many of a count-only type ended, that one was
//! passed over unseen, and that the server's Redis was emptied.
//!
//! Numbers are given in order of creation, without holes, as long as no job of the
//! type has another kind of id.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::finished::SAMPLE;
use super::memory::{Hole, Tally, TypeMemory};
use super::{Ask, PAGE, Poll, policy};
use crate::core::job::{JobKey, JobList, JobType, Order};
use crate::core::job_told::Told;

/// Jobs made at the same time may get their numbers in another order.
const DISORDER: SignedDuration = SignedDuration::from_secs(5);
/// A little less than any list keeps an ended job.
const LISTED_FOR: SignedDuration = SignedDuration::from_mins(9);
/// Polls without a higher number after which a type has calmed down.
const CALM: u8 = 10;
/// Polls that see jobs go without a trace before they are unaccounted.
const PATIENCE: u8 = 3;
/// No server keeps more jobs of a type than this: older holes can't be filled.
const MOST_HOLES: u64 = 10_000;

impl<A: Ask + Send> Poll<'_, A> {
    /// Whether a number of this type that was never seen is a job that was never seen.
    pub(super) fn has_whole_numbers(&self, job_type: &JobType) -> bool {
        let known = self.memory.types.get(job_type);
        !policy::is_flow_type(job_type) && known.is_some_and(|known| known.seen && !known.mixed)
    }

    /// A number that is not above the highest, on a job that is younger than all seen
    /// before: the counters have begun again, of every type. What was pending then is
    /// lost.
    pub(super) fn notice_emptied(&mut self, now: Timestamp, told: &mut Vec<Told>) -> bool {
        let restarted = self.numbers.iter().any(|(job_type, numbers)| {
            let highest = self.memory.types.get(job_type).and_then(|known| known.highest);
            highest.is_some_and(|(highest, created)| {
                numbers.iter().any(|(number, at)| *number <= highest && at.duration_since(created) > DISORDER)
            })
        });
        // The shortest that an ended job is listed is ten minutes.
        let gone = self.before.meta.last_ended.as_ref().is_some_and(|(key, at)| {
            let whole = self.completed_whole && self.failed_whole && self.unread.is_empty();
            whole && now.duration_since(*at) < LISTED_FOR && !self.finished.contains_key(key)
        });
        let was_listed = self.before.meta.listed_completed + self.before.meta.listed_failed > 0;
        let nothing_listed = self.memory.meta.listed_completed + self.memory.meta.listed_failed == 0;
        let emptied = restarted || gone || (was_listed && nothing_listed);
        if emptied {
            // What ended since the last poll, of any type, is gone without a trace.
            told.push(Told::unaccounted(&JobType::from("*"), now, 0, "emptied"));
            for (name, known) in &mut self.memory.types {
                if let (Some(tally), Some((highest, _))) = (&mut known.tally, known.highest) {
                    let left = tally.left(highest);
                    if left > 0 {
                        tally.vanished += left;
                        known.unaccounted += left;
                        told.push(Told::unaccounted(name, now, left, "emptied"));
                    }
                    tally.begin_again();
                }
                known.highest = Some((0, now));
                for (number, _) in std::mem::take(&mut known.holes) {
                    known.unaccounted += 1;
                    let mut lost = Told::unaccounted(name, now, 1, "emptied");
                    lost.job_id = Some(number.to_string());
                    told.push(lost);
                }
            }
        }
        let last = self.finished.values().filter(|ended| ended.list == JobList::Completed);
        let last =
            last.filter_map(|ended| Some((ended.row.key.clone(), ended.row.finished_at?))).max_by_key(|(_, at)| *at);
        self.memory.meta.last_ended = last;
        emptied
    }

    /// Takes the numbers seen in this poll into account.
    pub(super) fn renew_numbers(&mut self, now: Timestamp, first: bool, emptied: bool, told: &mut Vec<Told>) {
        let names: Vec<JobType> = self.memory.types.keys().cloned().collect();
        for name in names {
            if self.is_tallied(&name) {
                self.renew_tally(&name, now, first, told);
            } else if self.has_whole_numbers(&name) {
                self.renew_holes(&name, now, first, emptied, told);
            }
            let is_tallied = self.is_tallied(&name);
            let last_poll = self.before.meta.last_poll;
            let known = self.memory.type_mut(&name);
            if !is_tallied && known.tally.take().is_some() {
                known.tallied_until = last_poll;
            }
            let numbers = self.numbers.remove(&name).unwrap_or_default();
            // After an emptying, rows of before may have been seen early in this poll.
            let young = |at: &Timestamp| !emptied || self.before.meta.last_poll.is_none_or(|last| *at >= last);
            let youngest = numbers.values().copied().filter(young).max();
            let highest = numbers.into_keys().next_back().zip(youngest);
            // A clock that was set back makes no job younger than those before it.
            known.highest = match (known.highest, highest) {
                (Some((number, at)), Some((seen, youngest))) => Some((number.max(seen), at.max(youngest))),
                (known, seen) => known.or(seen),
            };
            if known.highest.is_none() && (first || !self.before.is_new()) && !known.seen {
                // Nothing of this type was ever listed: its numbers begin at 1.
                known.highest = self.covered.contains(&name).then_some((0, now));
            }
        }
    }

    /// Two questions about tallied types that the first page leaves open: where those
    /// went that are gone from the pending ones, before they are taken for lost; and,
    /// once a type has calmed down, whether its last job overtook so many that it is
    /// on no page from this end.
    pub(super) async fn trace_tallies(&mut self) -> Result<(), A::Error> {
        for (name, known) in &self.before.types {
            let Some(tally) = known.tally.as_ref().filter(|_| self.is_tallied(name)) else { continue };
            if tally.doubt + 1 >= PATIENCE && !self.finished.keys().any(|key| key.job_type == *name) {
                self.page(JobList::Completed, Some(name), 0, SAMPLE, Order::NewestFirst).await?;
            }
            if tally.calm == CALM && !self.completed_whole {
                let Some(page) = self.page(JobList::Completed, Some(name), 0, 0, Order::OldestFirst).await? else {
                    continue;
                };
                let start = page.total.saturating_sub(PAGE);
                self.page(JobList::Completed, Some(name), start, PAGE, Order::OldestFirst).await?;
            }
        }
        Ok(())
    }

    fn renew_tally(&mut self, name: &JobType, now: Timestamp, first: bool, told: &mut Vec<Told>) {
        let Some(known) = self.memory.types.get(name) else { return };
        let last = known.highest.map(|(highest, _)| highest);
        if known.tally.is_none() {
            // Too high rather than too low, so that nothing is counted that ended before.
            let seen = self.numbers.get(name).and_then(|numbers| numbers.keys().next_back().copied());
            let base = last.filter(|_| !first).or(seen).unwrap_or(0);
            let Some(pending) = self.pending_up_to(name, Some(base)) else { return };
            // What ended before the first look is not counted.
            let offset = i64::try_from(base.saturating_sub(pending)).unwrap_or(i64::MAX);
            self.memory.type_mut(name).tally = Some(Tally { offset, ..Tally::default() });
            return;
        }
        let Some(pending) = self.pending_up_to(name, last) else { return };
        let numbers = self.numbers.get(name);
        let (traced, is_unread) = (self.ended_types.contains(name), self.may_be_unread(name));
        let known = self.memory.type_mut(name);
        let Some(tally) = &mut known.tally else { return };
        let Some((highest, _)) = known.highest else { return };
        let higher = numbers.and_then(|numbers| numbers.keys().next_back()).is_some_and(|seen| *seen > highest);
        tally.calm = if higher { 0 } else { tally.calm.saturating_add(1) };
        let gone = tally.left(highest).saturating_sub(pending);
        if gone == 0 {
            tally.doubt = 0;
        } else if traced {
            tally.doubt = 0;
            tally.ended += gone;
        } else if !is_unread {
            tally.doubt += 1;
            if tally.doubt >= PATIENCE {
                tally.doubt = 0;
                tally.vanished += gone;
                known.unaccounted += gone;
                told.push(Told::unaccounted(name, now, gone, "vanished"));
            }
        }
        let completed = tally.ended.saturating_sub(tally.failed);
        known.completed += completed.saturating_sub(tally.completed);
        tally.completed = tally.completed.max(completed);
    }

    /// Jobs of a tallied type that have not ended, up to a number: exact where every
    /// list was seen, else at most that many too many.
    fn pending_up_to(&self, name: &JobType, highest: Option<u64>) -> Option<u64> {
        if self.lists.len() < 3 {
            return None;
        }
        let mut sum = 0;
        for (state, list) in &self.lists {
            sum += if list.is_complete(name) {
                let below = |key: &JobKey| key.number().is_some_and(|n| highest.is_none_or(|highest| n <= highest));
                self.pending
                    .iter()
                    .filter(|(key, job)| key.job_type == *name && job.state == *state && below(key))
                    .count() as u64
            } else {
                self.pending_total(*state, name)?
            };
        }
        Some(sum)
    }

    fn renew_holes(&mut self, name: &JobType, now: Timestamp, first: bool, emptied: bool, told: &mut Vec<Told>) {
        let numbers = self.numbers.get(name).cloned().unwrap_or_default();
        let complete = self.pending_is_complete(name) && !self.may_be_unread(name);
        let absent: Vec<u64> =
            self.absent_holes.iter().filter(|(job_type, _)| job_type == name).map(|(_, number)| *number).collect();
        let last_poll = self.before.meta.last_poll;
        let known = self.memory.type_mut(name);
        known.holes.retain(|number, _| !numbers.contains_key(number));
        let mut lost = Vec::new();
        for number in absent {
            if let Some(hole) = known.holes.get_mut(&number) {
                hole.absent += u8::from(complete);
                if hole.absent >= PATIENCE {
                    lost.push(number);
                }
            }
        }
        for number in &lost {
            known.holes.remove(number);
            known.unaccounted += 1;
            let mut job = Told::unaccounted(name, now, 1, "passed unseen");
            job.job_id = Some(number.to_string());
            told.push(job);
        }
        if !first {
            let young: BTreeMap<u64, Timestamp> =
                numbers.into_iter().filter(|(_, at)| !emptied || last_poll.is_none_or(|last| *at >= last)).collect();
            let passed = note_holes(known, &young);
            if passed > 0 {
                known.unaccounted += passed;
                told.push(Told::unaccounted(name, now, passed, "passed unseen"));
            }
        }
        for number in lost {
            // When it was created is not known: the number has to do.
            let created_at = Timestamp::UNIX_EPOCH;
            self.memory.lost.insert(JobKey { job_type: name.clone(), id: number.to_string(), created_at }, now);
        }
    }
}

/// Numbers above the highest that were passed over by those seen now. So many of them are
/// remembered and no more; gives how many older ones are given up for that.
fn note_holes(known: &mut TypeMemory, numbers: &BTreeMap<u64, Timestamp>) -> u64 {
    let Some((mut highest, mut after)) = known.highest else { return 0 };
    let last = numbers.keys().next_back().copied().unwrap_or_default();
    for (number, at) in numbers.range(highest + 1..) {
        let from = (highest + 1).max(last.saturating_sub(MOST_HOLES));
        for hole in from..*number {
            known.holes.insert(hole, Hole { after, before: *at, absent: 0 });
        }
        (highest, after) = (*number, *at);
    }
    let mut given_up = 0;
    while known.holes.len() as u64 > MOST_HOLES && known.holes.pop_first().is_some() {
        given_up += 1;
    }
    given_up
}

impl Tally {
    /// Jobs up to `highest` that have neither ended nor vanished.
    fn left(&self, highest: u64) -> u64 {
        let gone = i128::from(self.offset) + i128::from(self.ended) + i128::from(self.vanished);
        u64::try_from(i128::from(highest) - gone).unwrap_or(0)
    }

    /// The numbers start at 1 again.
    fn begin_again(&mut self) {
        self.offset = i64::try_from(self.ended + self.vanished).map_or(i64::MIN, |gone| -gone);
        self.doubt = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_holes_are_remembered_and_the_oldest_given_up() {
        let at = Timestamp::UNIX_EPOCH;
        let mut known = TypeMemory { highest: Some((0, at)), ..TypeMemory::default() };
        // Numbers that lie apart as no server's do: each pair alone has more holes than that.
        let far_apart: BTreeMap<u64, Timestamp> = (1..100).map(|turn| (turn << 40, at)).collect();
        assert_eq!(note_holes(&mut known, &far_apart), 0);
        assert_eq!(known.holes.len() as u64, MOST_HOLES);
        known.highest = Some((99 << 40, at));
        assert_eq!(note_holes(&mut known, &BTreeMap::from([((99 << 40) + 6, at)])), 5);
        assert_eq!(known.holes.len() as u64, MOST_HOLES);
        assert_eq!(known.holes.keys().next_back(), Some(&((99 << 40) + 5)));
    }
}
