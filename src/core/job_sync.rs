//! Exact accounting of jobs: each is told once, whatever the lists hide.
//!
//! A poll asks for pages through [`Ask`] and does no I/O of its own. It works on a
//! copy of what was known before, so that a poll that fails half-way leaves no trace.
//! How lists are cut, and why plain paging loses jobs, is told in ARCHITECTURE.md.

mod finished;
mod memory;
mod pending;
mod policy;
mod seek;
mod settle;
mod stuck;
mod tally;

use std::collections::{BTreeMap, BTreeSet, HashSet};

use jiff::{SignedDuration, Timestamp};

use super::job::{JobKey, JobList, JobRow, JobType, JobsPage, JobsQuery, JobsReply, Order, Payload, Pending};
use super::job_told::Told;
use memory::PendingJob;
pub use memory::{Memory, MemoryError};
use pending::{ListSeen, LongList};
pub use policy::{KNOWN_TYPES, Policy, StuckActive};
use seek::Probe;

/// The most rows that one question may ask for.
const PAGE: u64 = 100;
/// Neighbouring pages share half their rows, since rows shift between pages.
const STEP: u64 = 50;
/// What a server keeps of a type, at most, is this many pages.
const MOST_PAGES: u64 = 250;
/// What is longer is remembered of no job.
const LONGEST_UUID: usize = 64;
/// The server's clock is told in whole seconds.
const CLOCK_GRAIN: SignedDuration = SignedDuration::from_secs(1);

/// How far lists are read back when the server's clock was set back.
const SET_BACK: SignedDuration = SignedDuration::from_mins(10);

/// Where pages come from: an instance over HTTP, or a model of one.
pub trait Ask {
    type Error;

    fn jobs(&mut self, query: &JobsQuery) -> impl Future<Output = Result<JobsReply, Self::Error>> + Send;
}

/// What a poll found.
#[derive(Debug)]
pub struct Outcome {
    pub memory: Memory,
    /// In order of time.
    pub told: Vec<Told>,
    /// Fingerprints of the jobs that are now settled.
    pub settled: Vec<i64>,
    /// The server's clock at the first reply.
    pub at: Timestamp,
    /// Nothing was known before: what had already ended is not told.
    pub first: bool,
    /// The server's Redis was emptied since the last poll.
    pub emptied: bool,
}

/// One poll of all lists. `settled` holds the fingerprints of jobs told before.
pub async fn sync<A: Ask + Send>(
    ask: &mut A,
    before: &Memory,
    settled: &HashSet<i64>,
    policy: &Policy,
) -> Result<Outcome, A::Error> {
    let mut poll = Poll {
        ask,
        before,
        memory: before.clone(),
        settled,
        policy,
        first_date: None,
        pending: BTreeMap::new(),
        finished: BTreeMap::new(),
        numbers: BTreeMap::new(),
        unread: BTreeSet::new(),
        lists: BTreeMap::new(),
        long: Vec::new(),
        failed_whole: false,
        completed_whole: false,
        failed_alone: BTreeSet::new(),
        probes: BTreeMap::new(),
        covered: BTreeSet::new(),
        other_ends: BTreeSet::new(),
        proven_absent: BTreeSet::new(),
        absent_holes: BTreeSet::new(),
        hidden: BTreeMap::new(),
        lost_hidden: BTreeMap::new(),
        completed_totals: BTreeMap::new(),
        ended_now: BTreeSet::new(),
        ended_types: BTreeSet::new(),
        payloads: BTreeMap::new(),
    };
    // A job moves forward through these lists: one that moves between two questions
    // is met later rather than missed.
    poll.ask_pending(Pending::Delayed).await?;
    poll.ask_pending(Pending::Waiting).await?;
    poll.ask_pending(Pending::Active).await?;
    poll.ask_failed().await?;
    poll.ask_completed().await?;
    poll.close_long_lists().await?;
    poll.trace_tallies().await?;
    poll.seek_missing().await?;
    Ok(poll.settle())
}

/// A poll under way: what was known, and what was seen since it began.
struct Poll<'a, A> {
    ask: &'a mut A,
    before: &'a Memory,
    memory: Memory,
    settled: &'a HashSet<i64>,
    policy: &'a Policy,
    first_date: Option<Timestamp>,
    /// Unfinished jobs, each in the state it was last seen in.
    pending: BTreeMap<JobKey, PendingJob>,
    finished: BTreeMap<JobKey, Finished>,
    /// Numbers seen of each type, with the creation of their jobs.
    numbers: BTreeMap<JobType, BTreeMap<u64, Timestamp>>,
    /// Types of rows that could not be read, `None` where not even that could.
    unread: BTreeSet<Option<JobType>>,
    lists: BTreeMap<Pending, ListSeen>,
    /// Long lists of which only the newest rows were asked for.
    long: Vec<LongList>,
    failed_whole: bool,
    completed_whole: bool,
    failed_alone: BTreeSet<JobType>,
    /// Pages of the completed list of one type (or of all, on old servers).
    probes: BTreeMap<Option<JobType>, Vec<Probe>>,
    /// Types of which all that finished since they were last covered was seen.
    covered: BTreeSet<JobType>,
    /// Completed lists that were walked from their other end for one that was sought.
    other_ends: BTreeSet<Option<JobType>>,
    proven_absent: BTreeSet<JobKey>,
    absent_holes: BTreeSet<(JobType, u64)>,
    /// Jobs of long lists that no page shows, and those of them that must have ended.
    hidden: BTreeMap<JobType, u64>,
    lost_hidden: BTreeMap<JobType, u64>,
    /// Totals of the completed lists of types, at the first question about each.
    completed_totals: BTreeMap<JobType, u64>,
    /// Every job that a list of ended ones showed, and their types.
    ended_now: BTreeSet<JobKey>,
    ended_types: BTreeSet<JobType>,
    /// What unfinished jobs are about.
    payloads: BTreeMap<JobKey, Payload>,
}

/// A row of one of the two lists of ended jobs.
struct Finished {
    list: JobList,
    row: JobRow,
}

impl<A: Ask + Send> Poll<'_, A> {
    /// Asks one question and notes every row of the reply. `None`: the server does
    /// not know the type.
    async fn page(
        &mut self,
        list: JobList,
        job_type: Option<&JobType>,
        start: u64,
        count: u64,
        order: Order,
    ) -> Result<Option<JobsPage>, A::Error> {
        let query = JobsQuery { list, job_type: job_type.cloned(), start, count, order };
        let page = match self.ask.jobs(&query).await? {
            JobsReply::Page(page) => page,
            JobsReply::UnknownType => {
                if let Some(job_type) = job_type {
                    let now = self.first_date;
                    self.memory.type_mut(job_type).refused = now;
                }
                return Ok(None);
            }
        };
        self.first_date.get_or_insert(page.date);
        self.unread.extend(page.unread.iter().map(|row| row.job_type.clone()));
        if job_type.is_some_and(|asked| page.rows.iter().any(|row| row.key.job_type != *asked)) {
            self.memory.meta.ignores_type = true;
        }
        if let Some(job_type) = job_type.filter(|_| list == JobList::Completed && !self.memory.meta.ignores_type) {
            self.completed_totals.entry(job_type.clone()).or_insert(page.total);
        }
        for row in &page.rows {
            let (job_type, known) = (&row.key.job_type, &self.memory.types);
            if known.contains_key(job_type) || job_type.may_join(known.len()) {
                self.note(list, row, page.date);
            } else {
                self.memory.meta.leaves_types_out = true;
            }
        }
        Ok(Some(page))
    }

    fn note(&mut self, list: JobList, row: &JobRow, date: Timestamp) {
        let key = &row.key;
        let known = self.memory.type_mut(&key.job_type);
        known.seen = true;
        // An upgrade brought what the server did not know before.
        known.refused = None;
        known.mixed |= policy::has_no_number(key);
        known.moved = known.moved.max(row.processed_at).max(row.finished_at);
        if let Some(number) = key.number() {
            self.numbers.entry(key.job_type.clone()).or_default().insert(number, key.created_at);
        }
        let state = match list {
            JobList::Delayed => Pending::Delayed,
            JobList::Waiting => Pending::Waiting,
            JobList::Active => Pending::Active,
            JobList::Failed | JobList::Completed => {
                self.finished.insert(key.clone(), Finished { list, row: row.clone() });
                return;
            }
        };
        let known = self.before.pending.get(key);
        let due = known.map_or_else(|| key.recurring_due().unwrap_or(key.created_at), |job| job.due);
        // One that was delayed or had begun waits anew.
        let waits_from = match self.pending.get(key).or(known) {
            Some(job) if job.state == Pending::Waiting => job.waits_from,
            Some(_) => Some(date),
            None => (row.error.is_some() || row.processed_at.is_some()).then_some(date),
        };
        self.payloads.insert(key.clone(), row.payload.clone());
        self.pending.insert(
            key.clone(),
            PendingJob {
                state,
                due,
                processed_at: row.processed_at,
                retried: row.error.is_some() || known.is_some_and(|job| job.retried),
                parent: row.parent.clone(),
                absent: 0,
                sought: 0,
                last_seen: None,
                waits_from: waits_from.filter(|_| state == Pending::Waiting),
                video: row.payload.video_uuid.clone().filter(|uuid| uuid.len() <= LONGEST_UUID),
            },
        );
    }

    /// The server's clock when this poll began.
    fn now(&self) -> Timestamp {
        self.first_date.or(self.before.meta.last_poll).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// Before this instant, strictly, everything of the type was seen by polls before
    /// this one. On the first poll there is nothing before.
    fn since(&self, job_type: &JobType) -> Timestamp {
        let covered = self.before.types.get(job_type).and_then(|known| known.covered);
        let since = covered.or(self.before.meta.first_poll).unwrap_or_else(|| self.now());
        // By a clock that was set back, all that came since then is older than that.
        let since = if self.is_set_back() { self.now().saturating_sub(SET_BACK).unwrap_or(since) } else { since };
        since.saturating_sub(CLOCK_GRAIN).unwrap_or(since)
    }

    /// Whether the server's clock shows less than at the last poll.
    fn is_set_back(&self) -> bool {
        self.before.meta.last_poll.is_some_and(|last| self.now() < last)
    }

    /// Whether a type is counted by the numbers of its jobs: never told one by one,
    /// and no job of it without a number.
    fn is_tallied(&self, job_type: &JobType) -> bool {
        !self.policy.follows(job_type)
            && !policy::is_flow_type(job_type)
            && !self.memory.types.get(job_type).is_some_and(|known| known.mixed)
    }

    /// Whether a job of this type that was not met may stand in a row that can't be read:
    /// then it is neither proven to be nowhere nor given up.
    fn may_be_unread(&self, job_type: &JobType) -> bool {
        self.unread.contains(&None) || self.unread.iter().flatten().any(|unread| unread == job_type)
    }

    /// The scope of a question about one type: all types, where the server ignores
    /// what is asked.
    fn scope(&self, job_type: &JobType) -> Option<JobType> {
        (!self.memory.meta.ignores_type).then(|| job_type.clone())
    }

    fn is_refused(&self, job_type: &JobType) -> bool {
        let refused = self.memory.types.get(job_type).and_then(|known| known.refused);
        refused.is_some_and(|at| self.now().duration_since(at) < SignedDuration::from_hours(24))
    }

    /// Types seen, and those that PeerTube is known to have.
    fn all_types(&self) -> BTreeSet<JobType> {
        let known = KNOWN_TYPES.iter().map(|name| JobType::from(*name));
        self.memory.seen_types().into_iter().chain(known).filter(|name| !self.is_refused(name)).collect()
    }
}
