//! Seeking a job that must have ended, by its known creation, in its type's list of
//! completed ones: found, or proven not to be there.
//!
//! A page from `start` is cut from the first `start + 101` jobs by finish. If none
//! of its rows is older than the sought one, that lies deeper (or is what the cut
//! drops); if none is newer, shallower. If it stands between the two and isn't
//! there, it is not in the list, provided that the page reaches back, by finish, to
//! when the job was last known not to have ended. Ties hide rows, so every
//! comparison is strict, and where they leave it unclear the list is walked from its
//! other end.

use jiff::Timestamp;

use super::{Ask, CLOCK_GRAIN, PAGE, Poll, STEP};
use crate::core::job::{JobKey, JobType, JobsPage};

/// Questions that seeking may ask in one poll; what is left is sought in the next.
pub(super) const MOST_QUESTIONS: u32 = 60;

/// Questions for one job of a list that doesn't add up.
const MOST_FOR_ONE: u32 = 4;

/// A number that was passed over may never turn up: its list is walked so seldom.
const SELDOM: u64 = 8;

/// What one page showed.
#[derive(Debug)]
pub(super) struct Probe {
    start: u64,
    total: u64,
    created: Vec<Timestamp>,
    first_finished: Option<Timestamp>,
}

/// A job that is sought: one that was pending, or a number that was passed over.
#[derive(Debug, Clone)]
enum Target {
    Known { key: JobKey, unfinished_at: Timestamp },
    Hole { job_type: JobType, number: u64, after: Timestamp, before: Timestamp },
}

enum Verdict {
    Absent,
    Look(u64),
    /// Nothing more can be learnt in this poll.
    Unclear,
}

impl Probe {
    pub(super) fn new(start: u64, page: &JobsPage) -> Self {
        Self {
            start,
            // What can't be read is no row of it.
            total: page.total.saturating_sub(page.unread.len() as u64),
            created: page.rows.iter().map(|row| row.key.created_at).collect(),
            first_finished: page.rows.iter().filter_map(|row| row.finished_at).min(),
        }
    }
}

impl Target {
    fn job_type(&self) -> &JobType {
        match self {
            Self::Known { key, .. } => &key.job_type,
            Self::Hole { job_type, .. } => job_type,
        }
    }

    /// It is older than a job of that creation.
    fn is_before(&self, created: &Timestamp) -> bool {
        match self {
            Self::Known { key, .. } => *created > key.created_at,
            Self::Hole { before, .. } => created > before,
        }
    }

    /// It is younger.
    fn is_after(&self, created: &Timestamp) -> bool {
        match self {
            Self::Known { key, .. } => *created < key.created_at,
            Self::Hole { after, .. } => created < after,
        }
    }

    /// It had not finished before this.
    fn unfinished_at(&self) -> Timestamp {
        match self {
            Self::Known { unfinished_at, .. } => *unfinished_at,
            Self::Hole { after, .. } => *after,
        }
    }

    fn created_about(&self) -> Timestamp {
        match self {
            Self::Known { key, .. } => key.created_at,
            Self::Hole { after, .. } => *after,
        }
    }
}

impl<A: Ask + Send> Poll<'_, A> {
    /// Looks for every job that is not where it was and has not been seen to end.
    pub(super) async fn seek_missing(&mut self) -> Result<(), A::Error> {
        let mut budget = MOST_QUESTIONS;
        for target in self.targets() {
            let allowed = if self.is_worth_asking(&target) { &mut budget } else { &mut 0 };
            self.seek(&target, allowed).await?;
        }
        Ok(())
    }

    /// Looks for one job that was waiting, in a list that can't tell whether it is.
    pub(super) async fn seek_waiting(&mut self, key: &JobKey, budget: &mut u32) -> Result<(), A::Error> {
        let target = self.known_target(key, None);
        let mut own = MOST_FOR_ONE.min(*budget);
        let before = own;
        self.seek(&target, &mut own).await?;
        *budget -= before - own;
        Ok(())
    }

    async fn seek(&mut self, target: &Target, budget: &mut u32) -> Result<(), A::Error> {
        let job_type = target.job_type();
        self.ask_failed_of(job_type).await?;
        while !self.is_found(target) {
            match self.judge(target) {
                Verdict::Absent => {
                    self.note_absent(target);
                    break;
                }
                Verdict::Look(start) if *budget > 0 => {
                    *budget -= 1;
                    let scope = self.scope(job_type);
                    if self.completed_page(scope.as_ref(), start).await?.is_none() {
                        break;
                    }
                }
                Verdict::Unclear => {
                    let asked = self.ask_other_end(target, *budget).await?;
                    *budget -= asked;
                    if asked == 0 {
                        break;
                    }
                }
                Verdict::Look(_) => break,
            }
        }
        Ok(())
    }

    /// Walks a list from its other end, once a poll: jobs that were made together may
    /// stand on no page from the first. How many questions that was.
    async fn ask_other_end(&mut self, target: &Target, budget: u32) -> Result<u32, A::Error> {
        let scope = self.scope(target.job_type());
        let probes = self.probes.get(&scope).into_iter().flatten();
        let total = probes.map(|probe| probe.total).max().unwrap_or(0);
        let questions = u32::try_from(total / STEP).unwrap_or(u32::MAX).saturating_add(1);
        let is_turn = matches!(target, Target::Known { .. }) || self.before.meta.polls.is_multiple_of(SELDOM);
        if !is_turn || questions > budget || !self.other_ends.insert(scope.clone()) {
            return Ok(0);
        }
        self.walk_other_end(scope.as_ref(), 0, total, STEP).await?;
        Ok(questions)
    }

    fn known_target(&self, key: &JobKey, last_seen: Option<Timestamp>) -> Target {
        let seen = last_seen.or(self.before.meta.last_poll).unwrap_or_else(|| self.now());
        Target::Known { key: key.clone(), unfinished_at: seen.saturating_sub(CLOCK_GRAIN).unwrap_or(seen) }
    }

    fn targets(&self) -> Vec<Target> {
        let now = self.now();
        let known = self.before.pending.iter().filter(|(key, _)| {
            // Recurring jobs are made anew when the server starts: the old ones vanish.
            !self.is_tallied(&key.job_type) && key.recurring_due().is_none_or(|due| due <= now)
        });
        let known = known.map(|(key, job)| self.known_target(key, job.last_seen));
        let holes = self.before.types.iter().flat_map(|(job_type, known)| {
            known.holes.iter().map(move |(number, hole)| Target::Hole {
                job_type: job_type.clone(),
                number: *number,
                after: hole.after,
                before: hole.before,
            })
        });
        known.chain(holes).filter(|target| !self.is_found(target)).collect()
    }

    fn is_found(&self, target: &Target) -> bool {
        match target {
            Target::Known { key, .. } => self.pending.contains_key(key) || self.finished.contains_key(key),
            Target::Hole { job_type, number, .. } => {
                self.numbers.get(job_type).is_some_and(|numbers| numbers.contains_key(number))
            }
        }
    }

    /// What hid in several polls running is asked for seldom: the list must change first.
    fn is_worth_asking(&self, target: &Target) -> bool {
        let sought = match target {
            Target::Known { key, .. } => self.before.pending.get(key).map_or(0, |job| job.sought),
            Target::Hole { .. } => 0,
        };
        sought < 3 || sought % 8 == 0
    }

    fn note_absent(&mut self, target: &Target) {
        match target {
            Target::Known { key, .. } => {
                self.proven_absent.insert(key.clone());
            }
            Target::Hole { job_type, number, .. } => {
                self.absent_holes.insert((job_type.clone(), *number));
            }
        }
    }

    fn judge(&self, target: &Target) -> Verdict {
        let of_type = self.probes.get(&self.scope(target.job_type())).into_iter().flatten();
        let of_all = self.probes.get(&None).into_iter().flatten().filter(|probe| probe.is_whole());
        let mut low: Option<&Probe> = None;
        let mut high: Option<u64> = None;
        let mut asked = Vec::new();
        for probe in of_type.chain(of_all) {
            asked.push(probe.start);
            let newer = probe.created.iter().any(|created| target.is_before(created));
            let older = probe.created.iter().any(|created| target.is_after(created));
            let strictly_newer = probe.created.iter().all(|created| target.is_before(created));
            let strictly_older = probe.created.iter().all(|created| target.is_after(created));
            let all_asked = probe.start + PAGE >= probe.total && !probe.created.is_empty();
            let reaches_back =
                all_asked || probe.first_finished.is_some_and(|finished| finished < target.unfinished_at());
            if probe.is_whole()
                || (newer && older && reaches_back)
                || (all_asked && strictly_newer)
                || (probe.start == 0 && strictly_older && reaches_back)
            {
                return Verdict::Absent;
            }
            if newer && older {
                // It would be here, had this page reached back far enough.
                low = Some(low.filter(|low| low.start >= probe.start).unwrap_or(probe));
                continue;
            }
            if probe.created.is_empty() || older {
                high = Some(high.map_or(probe.start, |high| high.min(probe.start)));
            } else if low.is_none_or(|low| low.start < probe.start) {
                low = Some(probe);
            }
        }
        let next = match (low, high) {
            (None, _) => 0,
            (Some(low), Some(high)) => low.start.midpoint(high),
            (Some(low), None) => self.guess(target, low),
        };
        if asked.contains(&next) { Verdict::Unclear } else { Verdict::Look(next) }
    }

    /// How deep a job lies, from how fast its type's jobs end: those that finished
    /// since it was created stand before it.
    fn guess(&self, target: &Target, low: &Probe) -> u64 {
        let now = self.now();
        let age = now.duration_since(target.created_about()).as_secs_f64();
        let span = low.first_finished.map_or(0.0, |first| now.duration_since(first).as_secs_f64());
        let depth = (low.start + PAGE) as f64;
        let estimate = if span > 0.0 { depth * age / span } else { 2.0 * depth };
        let last = low.total.saturating_sub(PAGE);
        // Not beyond what doubling would try, so that a bad estimate costs little.
        let most = (4 * (low.start + PAGE)).min(last);
        (estimate.clamp(0.0, 1e9) as u64).saturating_sub(STEP).clamp((low.start + STEP).min(most), most)
    }
}

impl Probe {
    fn is_whole(&self) -> bool {
        self.start == 0 && self.created.len() as u64 >= self.total
    }
}
