//! What the simulated instance is busy with: uploads, imports and mail in a stream of
//! federation traffic. The same seed gives the same history, whoever watches it.

use std::time::Duration;

use jiff::Timestamp;
use peertube_sim::World;
use peertube_sim::jobs::{NewJob, work};
use peertube_sim::videos::{NewImport, NewVideo, Privacy, RemoteVideo, Trouble, VideoState};

/// What comes in, each at random times.
#[derive(Debug, Clone, Copy)]
enum Work {
    /// One message from or to another instance.
    Message,
    /// Something is told to all followers at once.
    Broadcast,
    RemoteVideo,
    Upload,
    Import,
    Mail,
    /// Rarer work of users.
    Chore,
    TranscodeAgain,
}

impl Work {
    const ALL: [Self; 8] = [
        Self::Message,
        Self::Broadcast,
        Self::RemoteVideo,
        Self::Upload,
        Self::Import,
        Self::Mail,
        Self::Chore,
        Self::TranscodeAgain,
    ];

    /// Seconds between two, on average.
    fn every(self) -> f64 {
        match self {
            Self::Message => 0.7,
            Self::Broadcast => 45.0,
            Self::RemoteVideo => 90.0,
            Self::Upload => 45.0,
            Self::Import => 240.0,
            Self::Mail => 35.0,
            Self::Chore => 120.0,
            Self::TranscodeAgain => 400.0,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Business {
    rng: fastrand::Rng,
    next: [(Timestamp, Work); Work::ALL.len()],
    named: u64,
    is_watched: bool,
}

impl Business {
    pub(crate) fn open(seed: u64, world: &mut World) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        world.jobs.set_concurrency("video-transcoding", 12);
        world.jobs.set_concurrency("video-import", 2);
        let stats = world.version().stats_type();
        world.jobs.add_recurring(Duration::from_secs(3_600), NewJob::new(stats));
        world.jobs.add_recurring(Duration::from_secs(7 * 86_400), NewJob::new("activitypub-cleaner"));
        let now = world.now();
        let next = Work::ALL.map(|work| (now + pause(&mut rng, work.every()), work));
        Self { rng, next, named: 0, is_watched: false }
    }

    /// From now on some videos have a schedule. One that had become public before its
    /// transcoding ended would look, at a first look, as if it were transcoded again.
    pub(crate) fn is_watched_from_now_on(&mut self) {
        self.is_watched = true;
    }

    /// Lets the world's time pass, with all that comes in meanwhile.
    pub(crate) fn go_on(&mut self, world: &mut World, until: Timestamp) {
        while let Some(next) = self.next.iter_mut().min_by_key(|next| next.0).filter(|next| next.0 <= until) {
            let (at, work) = *next;
            next.0 = at + pause(&mut self.rng, work.every());
            world.advance_to(at);
            self.begin(world, work);
        }
        world.advance_to(until);
    }

    fn begin(&mut self, world: &mut World, work: Work) {
        match work {
            Work::Message => {
                let job_type =
                    if self.rng.u8(..20) == 0 { "activitypub-http-fetcher" } else { "activitypub-http-unicast" };
                world.jobs.add(self.federation(job_type));
            }
            Work::Broadcast => {
                for follower in 0..self.rng.u64(60..200) {
                    let at = world.now() + Duration::from_millis(follower);
                    world.jobs.add_at(at, self.federation("activitypub-http-broadcast-parallel"));
                }
            }
            Work::RemoteVideo => {
                let published = world.now() - Duration::from_secs(self.rng.u64(60..86_400));
                world.receive(RemoteVideo::named(&self.name(), published));
            }
            Work::Upload => {
                let video = self.video(world);
                world.upload(video);
            }
            Work::Import => {
                let run = self.heavy_tailed(10.0);
                let import = NewImport { run, ..NewImport::of(self.video(world)) };
                world.import(if self.rng.u8(..5) == 0 { import.failing() } else { import });
            }
            Work::Mail => {
                let secret = format!("{:032x}", self.rng.u128(..));
                let mail = work::reset_mail(world.version(), self.rng.u64(1..1_000), &secret);
                // A mail server that is busy is asked again a minute later.
                world.jobs.add(if self.rng.u8(..20) == 0 { mail.fails(1) } else { mail });
            }
            Work::Chore => {
                let chores = ["create-user-export", "video-transcription", "video-redundancy"];
                let job = NewJob::new(self.rng.choice(chores).unwrap_or(chores[0])).run(self.heavy_tailed(5.0));
                world.jobs.add(if self.rng.u8(..10) == 0 { job.attempts(1).failing() } else { job });
            }
            Work::TranscodeAgain => {
                let published =
                    world.videos.iter().filter(|video| video.is_local() && video.state == VideoState::Published);
                let published: Vec<_> = published.map(|video| video.uuid.clone()).collect();
                if let Some(uuid) = self.rng.choice(&published) {
                    world.transcode_again(uuid);
                }
            }
        }
    }

    fn federation(&mut self, job_type: &'static str) -> NewJob {
        let job = NewJob::new(job_type).run(Duration::from_millis(self.rng.u64(40..300)));
        if self.rng.u16(..500) == 0 { job.failing() } else { job }
    }

    fn video(&mut self, world: &World) -> NewVideo {
        // One of a dozen is a film.
        let run = match self.rng.u8(..12) {
            0 => Duration::from_secs(self.rng.u64(300..1_200)),
            _ => self.heavy_tailed(8.0),
        };
        let video = NewVideo::named(&self.name()).run(run);
        match self.rng.u8(..24) {
            0 => video.trouble(Trouble::Storyboard),
            1 => video.trouble(Trouble::FirstTranscode),
            2 => video.trouble(Trouble::LesserTranscode),
            3 | 4 => video.without_waiting(),
            5 | 6 if self.is_watched => {
                video.scheduled(world.now() + Duration::from_secs(self.rng.u64(60..600)), Privacy::Public)
            }
            7 | 8 => video.privacy(Privacy::Unlisted),
            9 => video.nsfw(),
            _ => video,
        }
    }

    fn name(&mut self) -> String {
        self.named += 1;
        let kinds = ["A concert", "A film", "A lecture", "A talk", "Holidays", "News"];
        format!("{} {}", self.rng.choice(kinds).unwrap_or(kinds[0]), self.named)
    }

    /// Most are short, and a few take very long.
    fn heavy_tailed(&mut self, shortest_seconds: f64) -> Duration {
        let seconds = shortest_seconds * (1.0 - self.rng.f64()).powf(-1.0 / 1.3);
        Duration::from_millis((seconds.min(600.0) * 1_000.0) as u64)
    }
}

/// Between two of what comes at random times.
fn pause(rng: &mut fastrand::Rng, mean_seconds: f64) -> Duration {
    let seconds = -mean_seconds * (1.0 - rng.f64()).ln();
    Duration::from_millis((seconds * 1_000.0) as u64 + 1)
}
