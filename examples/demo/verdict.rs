//! What was told, held against what happened. Nothing that was missed, told twice or
//! told wrongly goes unnamed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use peertube_sim::World;
use peertube_sim::jobs::{Ended, Outcome};
use peertube_sim::videos::What;
use tubewarden::core::event::{Event, EventKind};
use tubewarden::core::job::{JobKey, JobType};
use tubewarden::core::job_sync::Policy;
use tubewarden::store::{EventFilter, Store, StoreError};

use crate::scrape::Scrape;

/// A transcode that ran at least this long is a long one.
const LONG: Duration = Duration::from_secs(300);

/// What happened at the instance since the daemon's first look.
#[derive(Debug)]
pub(crate) struct Truth {
    /// How many completed and how many failed of each type, told one by one or not.
    ended: BTreeMap<&'static str, Ends>,
    /// Those that the configuration wants to be told one by one, with how they ended.
    jobs: BTreeMap<JobKey, EventKind>,
    long_transcodes: u64,
    /// Videos of the instance's own that became public and published for the first time.
    videos: BTreeSet<String>,
}

impl Truth {
    pub(crate) fn since(world: &World, looked: Timestamp, policy: &Policy) -> Self {
        let ended = || world.jobs.ended().iter().filter(|job| job.finished_on > looked);
        let is_long = |job: &&Ended| job.processed_on.is_some_and(|at| job.finished_on >= at + LONG);
        let published = world.videos.truth().iter().filter(|it| it.what == What::Published && it.first && it.local);
        let mut ends = BTreeMap::<_, Ends>::new();
        for job in ended() {
            let ends = ends.entry(job.job_type).or_default();
            *if job.outcome.is_failure() { &mut ends.failed } else { &mut ends.completed } += 1;
        }
        Self {
            ended: ends,
            jobs: ended().filter(|job| is_told(job, policy)).map(|job| (key(job), kind(job.outcome))).collect(),
            long_transcodes: ended().filter(|job| job.job_type == "video-transcoding").filter(is_long).count() as u64,
            videos: published.filter(|it| it.at > looked).map(|it| it.uuid.clone()).collect(),
        }
    }
}

/// How many jobs ended well, and how many badly.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Ends {
    completed: u64,
    failed: u64,
}

impl Ends {
    /// As the daemon's counters have it.
    fn counted(counters: &Scrape, job_type: &str) -> Self {
        let sum = |name| counters.sum(name, &[("job_type", job_type)]) as u64;
        Self { completed: sum("peertube_jobs_completed_total"), failed: sum("peertube_jobs_failed_total") }
    }

    fn all(self) -> u64 {
        self.completed + self.failed
    }
}

/// What the daemon's store holds.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) jobs: BTreeMap<JobKey, Vec<EventKind>>,
    pub(crate) videos: BTreeMap<String, u64>,
    /// Events without a job, or without a video, that should have one.
    unclear: Vec<String>,
}

impl Told {
    pub(crate) async fn read(store: &Store) -> Result<Self, StoreError> {
        let mut told = Self::default();
        let mut filter = EventFilter { limit: 1_000, ..EventFilter::default() };
        loop {
            let page = store.events(&filter).await?;
            let Some(last) = page.last() else { return Ok(told) };
            filter.after_seq = last.seq;
            page.into_iter().for_each(|stored| told.note(&stored.event));
        }
    }

    /// Whether nothing is missing, here or in the daemon's metrics. Whether there is
    /// more than that is another matter.
    pub(crate) fn is_all(&self, truth: &Truth, counters: &Scrape) -> bool {
        truth.jobs.iter().all(|(job, kind)| self.has(job, *kind))
            && truth.videos.iter().all(|uuid| self.videos.contains_key(uuid))
            && truth.ended.iter().all(|(job_type, ends)| Ends::counted(counters, job_type) == *ends)
    }

    fn has(&self, job: &JobKey, kind: EventKind) -> bool {
        self.jobs.get(job).is_some_and(|told| told.contains(&kind))
    }

    fn note(&mut self, event: &Event) {
        match event.kind {
            EventKind::JobCompleted | EventKind::JobFailed | EventKind::JobCascaded | EventKind::JobCancelled => {
                match key_of(event) {
                    Some(key) => self.jobs.entry(key).or_default().push(event.kind),
                    None => self.unclear.push(event.to_json().to_string()),
                }
            }
            EventKind::VideoPublished => match event.data.get("video").and_then(|video| video["uuid"].as_str()) {
                Some(uuid) => *self.videos.entry(uuid.to_owned()).or_default() += 1,
                None => self.unclear.push(event.to_json().to_string()),
            },
            // There is no job here that has to go missing.
            EventKind::JobUnaccounted => self.unclear.push(event.to_json().to_string()),
            _ => {}
        }
    }
}

/// The end of the story, as text.
#[derive(Debug)]
pub(crate) struct Verdict {
    jobs: Share,
    videos: Share,
    /// Jobs of all types, by the counters.
    counted: Share,
    seen_plainly: usize,
    long_transcodes: u64,
    twice: usize,
    /// All that is not as it should be, one a line.
    wrong: Vec<String>,
}

/// So many of so many.
#[derive(Debug, Clone, Copy)]
struct Share {
    part: u64,
    whole: u64,
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.part, self.whole)
    }
}

impl Verdict {
    /// `counters` are the daemon's metrics, `plain` is what the plain poller saw.
    pub(crate) fn of(truth: &Truth, told: &Told, counters: &Scrape, plain: &BTreeSet<JobKey>) -> Self {
        let is_missed = |job: &JobKey, kind| !told.has(job, kind);
        let missed_jobs: Vec<_> = truth.jobs.iter().filter(|(job, kind)| is_missed(job, **kind)).collect();
        let missed_videos: Vec<_> = truth.videos.iter().filter(|uuid| !told.videos.contains_key(*uuid)).collect();
        let jobs_twice: Vec<_> = told.jobs.iter().filter(|(_, kinds)| kinds.len() > 1).collect();
        let videos_twice: Vec<_> = told.videos.iter().filter(|(_, times)| **times > 1).collect();
        let twice = jobs_twice.len() + videos_twice.len();

        let mut wrong = Vec::new();
        wrong.extend(missed_jobs.iter().map(|(job, kind)| format!("missed: {kind} {}", name(job))));
        wrong.extend(missed_videos.iter().map(|uuid| format!("missed: video.published {uuid}")));
        wrong.extend(jobs_twice.iter().map(|(job, kinds)| format!("twice: {kinds:?} {}", name(job))));
        wrong.extend(videos_twice.iter().map(|(uuid, _)| format!("twice: video.published {uuid}")));
        let invented = told.jobs.keys().filter(|job| !truth.jobs.contains_key(*job));
        wrong.extend(invented.map(|job| format!("not to be told: {}", name(job))));
        let invented = told.videos.keys().filter(|uuid| !truth.videos.contains(*uuid));
        wrong.extend(invented.map(|uuid| format!("not to be told: video.published {uuid}")));
        wrong.extend(told.unclear.iter().map(|event| format!("not to be told: {event}")));

        let mut counted = Share { part: 0, whole: 0 };
        for (job_type, ended) in &truth.ended {
            let by_counters = Ends::counted(counters, job_type);
            counted.part += by_counters.all();
            counted.whole += ended.all();
            if by_counters != *ended {
                wrong.push(format!("miscounted: {by_counters:?} of {job_type}, not {ended:?}"));
            }
        }
        let share = |whole: usize, missed: usize| Share { part: (whole - missed) as u64, whole: whole as u64 };
        Self {
            jobs: share(truth.jobs.len(), missed_jobs.len()),
            videos: share(truth.videos.len(), missed_videos.len()),
            counted,
            seen_plainly: truth.jobs.keys().filter(|job| plain.contains(*job)).count(),
            long_transcodes: truth.long_transcodes,
            twice,
            wrong,
        }
    }

    /// Whether each was told exactly once, and each was counted.
    pub(crate) fn is_right(&self) -> bool {
        self.wrong.is_empty()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { jobs, videos, counted, seen_plainly, long_transcodes, twice, wrong } = self;
        wrong.iter().try_for_each(|line| writeln!(f, "{line}"))?;
        writeln!(f, "Since the daemon's first look {} jobs ended there. {} of them", counted.whole, jobs.whole)?;
        writeln!(f, "are to be told one by one, among them {long_transcodes} transcodes of five minutes or more;")?;
        writeln!(f, "{} videos were, for the first time, both public and published.", videos.whole)?;
        writeln!(f, "counted {counted} jobs of all types in /metrics")?;
        writeln!(f, "told {jobs} jobs, {videos} videos, {twice} twice")?;
        write!(f, "polling GET /api/v1/jobs/completed?count=100 as often would have seen {seen_plainly} of them")
    }
}

/// As [`Policy`] has it: completions of followed types, and failures of more.
fn is_told(job: &Ended, policy: &Policy) -> bool {
    let job_type = JobType::from(job.job_type);
    if job.outcome.is_failure() { policy.tells_failures(&job_type) } else { policy.follows(&job_type) }
}

fn kind(outcome: Outcome) -> EventKind {
    match outcome {
        Outcome::Completed => EventKind::JobCompleted,
        Outcome::Failed => EventKind::JobFailed,
        Outcome::Cascaded => EventKind::JobCascaded,
        Outcome::Cancelled => EventKind::JobCancelled,
    }
}

fn key(job: &Ended) -> JobKey {
    JobKey { job_type: JobType::from(job.job_type), id: job.id.clone(), created_at: job.created_at }
}

fn key_of(event: &Event) -> Option<JobKey> {
    let text = |field| event.data.get(field)?.as_str();
    Some(JobKey {
        job_type: JobType::from(text("job_type")?),
        id: text("job_id")?.to_owned(),
        created_at: text("created_at")?.parse().ok()?,
    })
}

fn name(job: &JobKey) -> String {
    format!("{}/{} created at {}", job.job_type, job.id, job.created_at)
}
