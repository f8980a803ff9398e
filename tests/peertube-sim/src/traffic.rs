//! Work for the queues of an instance. The same seed gives the same work, and none of
//! it depends on what the queues do with it.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;

use crate::jobs::{Jobs, NewFlow, NewJob, uuid, work};

/// What an instance is busy with. Figures are for an hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Traffic {
    /// 60 jobs, recurring ones included.
    Quiet,
    /// 500 jobs: federation, uploads, mail, imports. An ordinary instance, for weeks.
    Everyday,
    /// 15,000 jobs: federation, steady and in bursts of 20, uploads, mail, imports.
    Mixed,
    /// 89,000 federation jobs in bursts of 200 beside others, all in the first half.
    FederationBursts,
    /// Ten federation jobs a second beside others.
    FederationSteady,
    /// Hundreds of transcodes wait, by priority.
    TranscodeBacklog,
    /// 6,000 transcodes of very different lengths, 20 in parallel, by priority, beside
    /// some federation.
    HeavyTranscodes,
}

impl Traffic {
    pub const ALL: [Self; 7] = [
        Self::Quiet,
        Self::Everyday,
        Self::Mixed,
        Self::FederationBursts,
        Self::FederationSteady,
        Self::TranscodeBacklog,
        Self::HeavyTranscodes,
    ];

    /// Schedules the work of a period. The first is to begin at [`Jobs::now`] or later.
    pub fn fill(self, jobs: &mut Jobs, from: Timestamp, period: Duration, seed: u64) {
        let mut source = Source { rng: fastrand::Rng::with_seed(seed), jobs, from, period };
        source.recurring();
        match self {
            Self::Quiet => {
                source.uploads(3.0);
                source.mail(14.0);
                source.imports(5.0);
            }
            Self::Everyday => {
                source.jobs.set_concurrency("video-transcoding", 3);
                source.federation(330.0, 1);
                source.uploads(9.0);
                source.mail(25.0);
                source.imports(8.0);
            }
            Self::Mixed => {
                source.jobs.set_concurrency("video-transcoding", 4);
                source.jobs.set_concurrency("video-import", 2);
                source.federation(7_200.0, 1);
                source.federation(6_740.0, 20);
                source.uploads(66.0);
                source.mail(160.0);
                source.imports(70.0);
            }
            Self::FederationBursts => {
                source.jobs.set_concurrency("video-transcoding", 3);
                source.period /= 2;
                source.federation(178_000.0, 200);
                source.beside_federation(2.0);
            }
            Self::FederationSteady => {
                source.jobs.set_concurrency("video-transcoding", 3);
                source.federation(36_000.0, 1);
                source.beside_federation(0.95);
            }
            Self::TranscodeBacklog => {
                source.jobs.set_concurrency("video-transcoding", 6);
                source.federation(3_600.0, 1);
                source.backlog(600, 700.0, 6.5, 600);
                source.mail(40.0);
            }
            Self::HeavyTranscodes => {
                source.jobs.set_concurrency("video-transcoding", 20);
                source.backlog(0, 6_000.0, 4.2, 3_600);
                source.federation(7_200.0, 1);
                source.mail(40.0);
            }
        }
    }
}

/// A small mixture of everything: bursts, ties, retries, recurring jobs, cascades,
/// cancellations, priorities. For histories by the thousand.
pub fn random(jobs: &mut Jobs, from: Timestamp, period: Duration, seed: u64) {
    let mut source = Source { rng: fastrand::Rng::with_seed(seed), jobs, from, period };
    for job_type in ["video-transcoding", "video-import", "email"] {
        let workers = source.rng.usize(1..=6);
        source.jobs.set_concurrency(job_type, workers);
    }
    let every = Duration::from_secs(source.rng.u64(1..=20) * 60);
    let stats = source.jobs.version().stats_type();
    source.jobs.add_recurring(every, NewJob::new(stats));
    for _ in 0..source.rng.usize(5..40) {
        source.something();
    }
}

struct Source<'a> {
    rng: fastrand::Rng,
    jobs: &'a mut Jobs,
    from: Timestamp,
    period: Duration,
}

impl Source<'_> {
    /// About a dozen: several starts of the server have left theirs.
    fn recurring(&mut self) {
        let stats = self.jobs.version().stats_type();
        for _ in 0..6 {
            self.jobs.add_recurring(HOUR, NewJob::new(stats));
            self.jobs.add_recurring(7 * 24 * HOUR, NewJob::new("activitypub-cleaner"));
        }
    }

    /// `hourly` jobs in bursts of `size` at the same instant.
    fn federation(&mut self, hourly: f64, size: usize) {
        let shared = Arc::new(json!({ "uris": ["https://remote.example.net/inbox"] }));
        for _ in 0..self.times(hourly / size as f64) {
            let at = self.moment();
            // A burst is one broadcast: of one type. What few workers serve is rare.
            let job_type = match self.rng.u32(..100) {
                0 if size == 1 => "activitypub-http-fetcher",
                ..50 => "activitypub-http-broadcast-parallel",
                _ => "activitypub-http-unicast",
            };
            for _ in 0..size {
                let run = Duration::from_millis(self.rng.u64(40..300));
                let job = NewJob { data: Arc::clone(&shared), ..NewJob::new(job_type).run(run) };
                let job = if self.rng.u32(..500) == 0 { job.failing() } else { job };
                self.jobs.add_at(at, job);
            }
        }
    }

    fn uploads(&mut self, hourly: f64) {
        for _ in 0..self.times(hourly) {
            let (at, flow) = (self.moment(), self.upload(6.0));
            self.jobs.add_flow_at(at, flow);
        }
    }

    fn mail(&mut self, hourly: f64) {
        for _ in 0..self.times(hourly) {
            let (at, mail) = (self.moment(), self.reset_mail());
            let mail = match self.rng.u32(..100) {
                0 => mail.failing(),
                1..=5 => mail.fails(1),
                _ => mail,
            };
            self.jobs.add_at(at, mail);
        }
    }

    /// Imports, and the other rare work of users.
    fn imports(&mut self, hourly: f64) {
        for _ in 0..self.times(hourly) {
            let job_type = self
                .rng
                .choice([
                    "video-import",
                    "video-import",
                    "video-live-ending",
                    "create-user-export",
                    "video-file-import",
                    "video-transcription",
                ])
                .unwrap_or("video-import");
            let run = self.heavy_tailed(5.0);
            let job = NewJob::new(job_type).run(run).data(json!({ "videoUUID": &*uuid(&mut self.rng) }));
            let job = if self.rng.u32(..10) == 0 { job.failing() } else { job };
            let at = self.moment();
            self.jobs.add_at(at, job);
        }
    }

    /// Some 370 of followed types, times `rate`.
    fn beside_federation(&mut self, rate: f64) {
        self.uploads(35.0 * rate);
        self.mail(90.0 * rate);
        self.imports(35.0 * rate);
    }

    /// So many transcodes at the beginning, then others.
    fn backlog(&mut self, first: usize, hourly: f64, shortest: f64, longest: u64) {
        for turn in 0..first + self.times(hourly) {
            // What waits at first was put there one after the other.
            let waits = Duration::from_millis(turn as u64 * 37);
            let at = if turn < first { self.from + waits } else { self.moment() };
            let version = self.jobs.version();
            let video = uuid(&mut self.rng);
            let resolution = self.resolution();
            let job = work::transcode(version, &video, resolution, turn % 2 == 0);
            let job = self.as_transcode(job, shortest);
            let job = NewJob { run: job.run.min(Duration::from_secs(longest)), ..job };
            self.jobs.add_flow_at(at, job.into());
        }
    }

    fn something(&mut self) {
        let at = self.moment();
        let version = self.jobs.version();
        match self.rng.u32(..12) {
            0 => self.burst(at, "activitypub-http-unicast", 300),
            1 => self.burst(at, "activitypub-http-broadcast-parallel", 120),
            2 => self.burst(at, "email", 8),
            3 => self.burst(at, "video-import", 130),
            4 => {
                let fails = self.rng.u32(1..=5);
                let mail = self.reset_mail().fails(fails);
                self.jobs.add_at(at, mail);
            }
            5 => {
                for _ in 0..self.rng.usize(1..14) {
                    let run = self.heavy_tailed(0.5);
                    self.jobs.add_at(at, NewJob::new("video-import").run(run).failing());
                }
            }
            6 => {
                let storyboard = NewJob::new("generate-video-storyboard").failing();
                let flow = NewFlow::new(NewJob::new("federate-video"))
                    .child(NewFlow::new(NewJob::new("notify")).child(storyboard));
                self.jobs.add_flow_at(at, flow);
            }
            7 => self.jobs.cancel_longest_at(at, "video-transcoding"),
            8 => {
                let delay = Duration::from_secs(self.rng.u64(1..600));
                self.jobs.add_at(at, NewJob::new("video-redundancy").delay(delay));
            }
            9 => {
                let flow = self.upload(2.0);
                self.jobs.add_flow_at(at, flow);
            }
            _ => {
                for _ in 0..self.rng.usize(1..30) {
                    let resolution = self.resolution();
                    let video = uuid(&mut self.rng);
                    let job = self.as_transcode(work::transcode(version, &video, resolution, false), 2.0);
                    self.jobs.add_flow_at(at, job.into());
                }
            }
        }
    }

    /// Up to `most` jobs at the same instant.
    fn burst(&mut self, at: Timestamp, job_type: &'static str, most: usize) {
        for _ in 0..self.rng.usize(2..=most) {
            let run = Duration::from_millis(self.rng.u64(..2_000));
            self.jobs.add_at(at, NewJob::new(job_type).run(run));
        }
    }

    fn upload(&mut self, shortest: f64) -> NewFlow {
        let version = self.jobs.version();
        let video = uuid(&mut self.rng);
        work::upload(version, &video, |job| self.as_transcode(job, shortest))
    }

    /// A few of a hundred fail.
    fn as_transcode(&mut self, job: NewJob, shortest: f64) -> NewJob {
        let users_share = self.rng.u64(1..=40);
        let priority = if self.rng.u32(..4) == 0 { 10_000 + users_share } else { 100 + users_share };
        let job = job.run(self.heavy_tailed(shortest)).priority(priority);
        if self.rng.u32(..100) < 3 { job.failing() } else { job }
    }

    fn reset_mail(&mut self) -> NewJob {
        let secret = format!("{:032x}", self.rng.u128(..));
        work::reset_mail(self.jobs.version(), self.rng.u64(1..1_000), &secret)
    }

    fn resolution(&mut self) -> u32 {
        self.rng.choice([144, 240, 360, 480, 720, 1080]).unwrap_or(480)
    }

    /// Most are short, and a few take an hour.
    fn heavy_tailed(&mut self, shortest_seconds: f64) -> Duration {
        let seconds = shortest_seconds * (1.0 - self.rng.f64()).powf(-1.0 / 1.3);
        Duration::from_millis((seconds.min(3_600.0) * 1_000.0) as u64)
    }

    /// How often something happens in the period.
    fn times(&self, hourly: f64) -> usize {
        (hourly * self.period.as_secs_f64() / HOUR.as_secs_f64()).round() as usize
    }

    fn moment(&mut self) -> Timestamp {
        let within = self.rng.u64(..(self.period.as_millis() as u64).max(1));
        self.from.saturating_add(Duration::from_millis(within)).unwrap_or(self.from)
    }
}

const HOUR: Duration = Duration::from_secs(3_600);

#[cfg(test)]
mod tests;
