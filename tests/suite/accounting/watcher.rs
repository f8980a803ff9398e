//! Polls a simulated instance without HTTP, and holds what was told against what
//! really happened.

use std::collections::{BTreeMap, HashSet};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use peertube_sim::jobs::{Ended, Jobs, ListError, ListQuery, Outcome as Truth};
use tubewarden::core::event::EventKind;
use tubewarden::core::glob::Globs;
use tubewarden::core::job::{JobKey, JobRow, JobType, JobsPage, JobsQuery, JobsReply, Order, Payload, UnreadJob};
use tubewarden::core::job_sync::{Ask, Memory, Policy, StuckActive, sync};
use tubewarden::core::job_told::Told;

/// An instance, its lists as the server gives them, and what each question cost.
pub(crate) struct Model<'a> {
    pub(crate) jobs: &'a mut Jobs,
    /// The world goes on between two questions.
    pub(crate) pause: Duration,
    /// Questions that are answered before the instance stops answering.
    pub(crate) patience: Option<u64>,
    pub(crate) questions: u64,
    pub(crate) rows: u64,
    pub(crate) asked: Option<&'a mut BTreeMap<String, (u64, u64)>>,
    pub(crate) odd: Option<&'a Odd>,
}

/// A job whose row can't be read.
#[derive(Debug, Clone)]
pub(crate) struct Odd {
    pub(crate) job: JobKey,
    /// But for its type.
    pub(crate) shows_type: bool,
}

#[derive(Debug)]
pub(crate) struct Unanswered;

impl Ask for Model<'_> {
    type Error = Unanswered;

    async fn jobs(&mut self, query: &JobsQuery) -> Result<JobsReply, Unanswered> {
        if self.patience.is_some_and(|patience| self.questions >= patience) {
            return Err(Unanswered);
        }
        let at = self.jobs.now() + self.pause;
        self.jobs.advance_to(at);
        let listing = self.jobs.list(&ListQuery {
            state: Some(query.list.as_str()),
            job_type: query.job_type.as_ref().map(|job_type| job_type.0.as_str()),
            start: query.start,
            count: query.count,
            oldest_first: query.order == Order::OldestFirst,
        });
        self.questions += 1;
        let listing = match listing {
            Ok(listing) => listing,
            Err(ListError::UnknownType) => return Ok(JobsReply::UnknownType),
            Err(error) => panic!("{query:?}: {error}"),
        };
        self.rows += listing.rows_read;
        if let Some(asked) = &mut self.asked {
            let job_type = query.job_type.as_ref().map_or("all", |job_type| &job_type.0);
            let what = format!("{} {job_type} {:?} {}", query.list.as_str(), query.order, query.start.min(1));
            let entry = asked.entry(what).or_default();
            *entry = (entry.0 + 1, entry.1 + listing.rows_read);
        }
        let rows = listing.rows.into_iter().map(|row| JobRow {
            key: JobKey { job_type: row.job_type.into(), id: row.id, created_at: row.created_at },
            processed_at: row.processed_on,
            finished_at: row.finished_on,
            error: row.error.map(|error| error.to_string()),
            parent: row.parent,
            payload: Payload { video_uuid: row.data["videoUUID"].as_str().map(str::to_owned), ..Payload::default() },
        });
        let (odd, rows): (Vec<_>, Vec<_>) = rows.partition(|row| self.odd.is_some_and(|odd| odd.job == row.key));
        let shown = |row: JobRow| self.odd.filter(|odd| odd.shows_type).map(|_| row.key.job_type);
        let unread = odd.into_iter().map(|row| UnreadJob { job_type: shown(row) }).collect();
        // The Date header is in whole seconds.
        let date = Timestamp::from_second(self.jobs.now().as_second()).unwrap();
        Ok(JobsReply::Page(JobsPage { total: listing.total, rows, unread, date }))
    }
}

/// Runs a future that never waits.
pub(crate) fn now<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("a model answers at once"),
    }
}

/// The daemon's side: what it remembers, and all that it ever told.
pub(crate) struct Watcher {
    pub(crate) policy: Policy,
    pub(crate) memory: Memory,
    pub(crate) settled: HashSet<i64>,
    pub(crate) told: Vec<Told>,
    /// What was told as stuck, each with the number of the poll that told it.
    pub(crate) stuck: Vec<(usize, Told)>,
    pub(crate) polls: u64,
    pub(crate) questions: u64,
    pub(crate) rows: u64,
    pub(crate) asked: BTreeMap<String, (u64, u64)>,
    pub(crate) odd: Option<Odd>,
    /// When each poll that succeeded began and ended.
    pub(crate) spans: Vec<(Timestamp, Timestamp)>,
}

/// The defaults of `[jobs]`.
pub(crate) fn policy() -> Policy {
    let count_only = [
        "activitypub-*",
        "federate-video",
        "notify",
        "manage-video-torrent",
        "videos-stats",
        "videos-views-stats",
        "transcoding-job-builder",
        "actor-keys",
        "build-automatic-tags",
    ];
    let by_type = [("video-transcoding", 12), ("video-import", 3)];
    let by_type = by_type.map(|(name, hours)| (name.into(), SignedDuration::from_hours(hours)));
    Policy {
        follow: Globs::new(["*"]),
        count_only: Globs::new(count_only),
        stuck_waiting: SignedDuration::from_mins(30),
        stuck_active: StuckActive { default: SignedDuration::from_hours(2), by_type: by_type.into() },
    }
}

impl Default for Watcher {
    fn default() -> Self {
        Self {
            policy: policy(),
            memory: Memory::default(),
            settled: HashSet::new(),
            told: Vec::new(),
            stuck: Vec::new(),
            polls: 0,
            questions: 0,
            rows: 0,
            asked: BTreeMap::new(),
            odd: None,
            spans: Vec::new(),
        }
    }
}

impl Watcher {
    /// One poll; with `patience`, one that the instance may not answer to the end.
    pub(crate) fn poll(&mut self, jobs: &mut Jobs, pause: Duration, patience: Option<u64>) -> bool {
        let start = jobs.now();
        let (asked, odd) = (Some(&mut self.asked), self.odd.as_ref());
        let mut model = Model { jobs, pause, patience, questions: 0, rows: 0, asked, odd };
        let outcome = now(sync(&mut model, &self.memory, &self.settled, &self.policy));
        let (questions, rows) = (model.questions, model.rows);
        let Ok(outcome) = outcome else { return false };
        self.memory = outcome.memory;
        self.settled.extend(outcome.settled);
        let (stuck, told): (Vec<_>, Vec<_>) =
            outcome.told.into_iter().partition(|told| told.kind == EventKind::JobStuck);
        self.told.extend(told);
        self.stuck.extend(stuck.into_iter().map(|told| (self.spans.len(), told)));
        self.polls += 1;
        // The first look asks more, once.
        if !self.spans.is_empty() {
            self.questions += questions;
            self.rows += rows;
        }
        self.spans.push((start, jobs.now()));
        true
    }

    /// As after a restart of the daemon: only what was stored is left.
    pub(crate) fn restart(&mut self) {
        self.memory = Memory::from_documents(&self.memory.to_documents()).unwrap();
    }
}

/// What was told, held against the truth.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// Followed jobs that ended after the first poll.
    pub(crate) followed: u64,
    pub(crate) missed: Vec<String>,
    pub(crate) twice: Vec<String>,
    pub(crate) invented: Vec<String>,
    /// Told as something other than they were.
    pub(crate) wrong: Vec<String>,
    pub(crate) unaccounted: u64,
    /// Purged before any poll could see them.
    pub(crate) purged: u64,
    /// Of these, those of a type of which no gap was told.
    pub(crate) untold_gaps: Vec<String>,
    /// Types whose counters differ from the truth.
    pub(crate) miscounted: Vec<String>,
}

fn name(job: &Ended) -> String {
    format!("{}/{}/{}", job.job_type, job.id, job.created_at.as_millisecond())
}

pub(crate) fn kind_of(outcome: Truth) -> EventKind {
    match outcome {
        Truth::Completed => EventKind::JobCompleted,
        Truth::Failed => EventKind::JobFailed,
        Truth::Cascaded => EventKind::JobCascaded,
        Truth::Cancelled => EventKind::JobCancelled,
    }
}

/// Jobs that ended during the first poll may or may not be told. Failed ones that were
/// purged before a poll could see them can't be told one by one, nor what was listed
/// when Redis was emptied: they have to be told as a gap.
pub(crate) fn judge(watcher: &Watcher, jobs: &Jobs) -> Verdict {
    let policy = policy();
    let (began, looked) = watcher.spans.first().copied().unwrap();
    let began = Timestamp::from_second(began.as_second()).unwrap();
    let mut verdict = Verdict::default();
    let mut told: BTreeMap<String, Vec<&Told>> = BTreeMap::new();
    let mut gaps: BTreeMap<JobType, u64> = BTreeMap::new();
    for one in &watcher.told {
        if let Some(missing) = one.missing {
            verdict.unaccounted += missing.count;
            *gaps.entry(one.job_type.clone()).or_default() += missing.count;
            continue;
        }
        let created = one.created_at.unwrap().as_millisecond();
        let key = format!("{}/{}/{created}", one.job_type, one.job_id.as_deref().unwrap());
        told.entry(key).or_default().push(one);
    }
    let mut counts: BTreeMap<(JobType, bool), (u64, u64)> = BTreeMap::new();
    for ended in jobs.ended() {
        let job_type = JobType::from(ended.job_type);
        let of_this = told.remove(&name(ended)).unwrap_or_default();
        if of_this.len() > 1 {
            verdict.twice.push(name(ended));
        }
        if of_this.iter().any(|told| told.kind != kind_of(ended.outcome)) {
            verdict.wrong.push(name(ended));
        }
        if ended.finished_on < began {
            if !of_this.is_empty() {
                verdict.invented.push(name(ended));
            }
            continue;
        }
        if watcher.spans.last().is_some_and(|(last, _)| ended.finished_on >= *last) {
            // The last poll need not have met it: told or not, counted or not.
            counts.entry((job_type, ended.outcome == Truth::Completed)).or_default().1 += 1;
            continue;
        }
        let could_be_seen = watcher
            .spans
            .iter()
            .any(|(from, to)| *from >= ended.finished_on && ended.left_at.is_none_or(|left| left > *to));
        let count = counts.entry((job_type.clone(), ended.outcome == Truth::Completed)).or_default();
        // Of what was made amid the first look, a counted type can't tell how much was
        // before it.
        let is_amid = !policy.follows(&job_type) && ended.created_at >= began && ended.created_at < looked;
        count.0 += u64::from(ended.finished_on >= looked && could_be_seen && !is_amid);
        count.1 += 1;
        let tells = match ended.outcome {
            Truth::Completed => policy.follows(&job_type),
            _ => policy.tells_failures(&job_type),
        };
        if tells && ended.finished_on >= looked {
            verdict.followed += 1;
            let emptied = ended.left_at.is_some() && gaps.contains_key(&JobType::from("*"));
            if of_this.is_empty() && could_be_seen && !emptied {
                verdict.missed.push(format!("{} {:?}", name(ended), ended.outcome));
            } else if of_this.is_empty() {
                verdict.purged += 1;
                let told = gaps.contains_key(&job_type) || gaps.contains_key(&JobType::from("*"));
                if !told {
                    verdict.untold_gaps.push(format!("{} {:?}", name(ended), ended.outcome));
                }
            }
        }
    }
    verdict.invented.extend(told.into_keys());
    let view = watcher.memory.view();
    for ((job_type, completed), (least, most)) in counts {
        let known = view.types.get(&job_type).cloned().unwrap_or_default();
        let counted = if completed { known.completed } else { known.failed + known.cascaded };
        // What a gap hides of failures is counted with the completed ones.
        let most = if completed { most + gaps.get(&job_type).map_or(0, |_| verdict.purged + 1000) } else { most };
        if !(least..=most).contains(&counted) {
            let what = if completed { "completed" } else { "failed" };
            verdict.miscounted.push(format!("{job_type} {what}: {counted}, not {least} to {most}"));
        }
    }
    verdict
}
