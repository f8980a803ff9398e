//! What the state says of all instances: the polls' memory and the history, read
//! beside a daemon or without one. It holds no secret, and every text in it is one
//! safe line. As JSON it is what scripts rely on: fields are added, never changed.

mod jobs;
mod moderation;
mod runners;
mod stuck;
mod videos;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::config::{self, Config};
use crate::core::moderation::Memory as ModerationMemory;
use crate::core::poll::PollKind;
use crate::core::rights::Role;
use crate::core::text::clean;
use crate::core::{job_sync, runner_sync, video_sync};
use crate::poll::{ReachMemory, ServerMemory};
use crate::store::{Holder, KnownInstance, Owes, Store};
pub use jobs::{Jobs, Queue};
pub use moderation::{Moderation, Waiting};
pub use runners::{Runner, RunnerQueue, Runners};
pub use stuck::{Stuck, StuckJob, StuckJobs, StuckType, StuckVideo};
pub use videos::{Videos, VideosIn};

const LONGEST: usize = 500;
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// All that is configured, as it was at the last polls.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Status {
    pub at: Timestamp,
    pub daemon: Daemon,
    pub instances: Vec<Instance>,
    /// What rules and schedules owe; those that owe nothing are left out.
    pub owed: Vec<Owed>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Owed {
    /// The name of the rule or the schedule.
    pub rule: String,
    pub pending: u64,
    /// Given up, and kept to be tried again by hand.
    pub dead: u64,
    pub oldest_pending_at: Option<Timestamp>,
}

/// Whether a process holds the state.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Daemon {
    pub running: bool,
    pub pid: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Instance {
    pub name: String,
    pub url: String,
    pub version: Option<String>,
    /// Null if it was never watched at this address.
    pub first_seen_at: Option<Timestamp>,
    pub reach: Reach,
    pub reach_since: Option<Timestamp>,
    /// Null without an account.
    pub account: Option<Account>,
    pub polls: Vec<Poll>,
    /// Null until they are known, and where the account may not ask.
    pub jobs: Option<Jobs>,
    pub videos: Option<Videos>,
    pub runners: Option<Runners>,
    pub moderation: Option<Moderation>,
    pub stuck: Stuck,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    Up,
    Down,
    Unknown,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Account {
    pub username: String,
    pub signed_in: bool,
    /// The code of the refusal that stands.
    pub refused: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Poll {
    pub poll: &'static str,
    /// False if the account may not make it; null before its first run.
    pub enabled: Option<bool>,
    /// The least role that may make it; null if anyone may.
    pub needs: Option<&'static str>,
    pub last_success_at: Option<Timestamp>,
    pub last_end_at: Option<Timestamp>,
    /// Of the last run, if it failed.
    pub error: Option<String>,
}

impl Status {
    pub async fn read(config: &Config, store: &Store, holder: Option<Holder>, at: Timestamp) -> anyhow::Result<Self> {
        let known = store.instances().await?;
        let mut instances = Vec::with_capacity(config.instances.len());
        for instance in &config.instances {
            let origin = &instance.origin;
            let known = known.iter().find(|known| known.name == origin.name && known.url == origin.url);
            instances.push(match known {
                Some(known) => read_instance(instance, known, store, at).await?,
                None => Instance::unknown(instance),
            });
        }
        let daemon = Daemon { running: holder.is_some(), pid: holder.and_then(|holder| holder.pid) };
        let owed = store.owes().await?.into_iter().map(Owed::of).collect();
        Ok(Self { at, daemon, instances, owed })
    }
}

impl Owed {
    fn of(owes: Owes) -> Self {
        let Owes { rule, pending, dead, oldest_pending_at } = owes;
        Self { rule: safe(&rule), pending, dead, oldest_pending_at }
    }
}

impl Instance {
    /// One that no daemon has watched yet.
    fn unknown(config: &config::Instance) -> Self {
        let account = |username: &String| Account { username: safe(username), signed_in: false, refused: None };
        Self {
            name: config.origin.name.clone(),
            url: config.origin.url.clone(),
            version: None,
            first_seen_at: None,
            reach: Reach::Unknown,
            reach_since: None,
            account: config.username.as_ref().map(account),
            polls: PollKind::ALL.map(|kind| poll(kind, &ReachMemory::default())).into(),
            jobs: None,
            videos: None,
            runners: None,
            moderation: None,
            stuck: Stuck::default(),
        }
    }
}

async fn read_instance(
    config: &config::Instance,
    known: &KnownInstance,
    store: &Store,
    at: Timestamp,
) -> anyhow::Result<Instance> {
    let name = &known.name;
    let documents = store.memory(name, PollKind::Config).await?;
    let (server, reach) = (ServerMemory::from_documents(&documents), ReachMemory::from_documents(&documents));
    // A part that can't be read is not known, which the poll's own error explains.
    let jobs = job_sync::Memory::from_documents(&store.memory(name, PollKind::Jobs).await?).ok();
    let videos = video_sync::Memory::from_documents(&store.memory(name, PollKind::Videos).await?).ok();
    let runners = runner_sync::Memory::from_documents(&store.memory(name, PollKind::Runners).await?).ok();
    let moderation = ModerationMemory::from_documents(&store.memory(name, PollKind::Moderation).await?).ok();
    let failed = store.failed_since(name, at.saturating_sub(DAY).unwrap_or(Timestamp::MIN)).await?;
    let signed_in = store.signed_in(name).await?;
    let account = |username: &String| {
        let refused = reach.refused().map(safe);
        let signed_in = refused.is_none() && signed_in.as_ref().is_some_and(|is| is.username == *username);
        Account { username: safe(username), signed_in, refused }
    };
    let (is, since) = match (reach.down_since(), reach.up_since()) {
        (Some(down), _) => (Reach::Down, Some(down)),
        (None, Some(up)) => (Reach::Up, Some(up)),
        (None, None) => (Reach::Unknown, None),
    };
    let is_known = |kind| reach.course(kind).is_some_and(|course| course.succeeded_at.is_some() && !course.is_off);
    let jobs = jobs.filter(|_| is_known(PollKind::Jobs));
    let videos = videos.as_ref();
    // A server of before there were runners has none, whatever the poll says.
    let runners = runners.filter(|runners| is_known(PollKind::Runners) && !runners.is_new());
    let stuck = Stuck {
        jobs: jobs.as_ref().map(|jobs| StuckJobs::of(jobs.stuck())),
        runner_jobs: runners.as_ref().map(|runners| StuckJobs::of(runners.stuck())),
        videos: videos.and_then(|videos| videos.stuck_now()).filter(|_| jobs.is_some()).map(StuckVideo::all_of),
    };
    let sees_videos = is_known(PollKind::Videos) || is_known(PollKind::VideosFull);
    Ok(Instance {
        version: server.version().map(safe),
        first_seen_at: Some(known.first_seen),
        reach: is,
        reach_since: since,
        account: config.username.as_ref().map(account),
        polls: PollKind::ALL.map(|kind| poll(kind, &reach)).into(),
        jobs: jobs.map(|jobs| Jobs::of(&jobs.view(), failed)),
        videos: videos.filter(|_| sees_videos).map(|videos| Videos::of(&videos.view())),
        runners: runners.map(|runners| Runners::of(&runners.view())),
        moderation: moderation.filter(|_| is_known(PollKind::Moderation)).as_ref().map(Moderation::of),
        stuck,
        ..Instance::unknown(config)
    })
}

fn poll(kind: PollKind, reach: &ReachMemory) -> Poll {
    let course = reach.course(kind).cloned().unwrap_or_default();
    Poll {
        poll: kind.as_str(),
        enabled: course.ended_at.map(|_| !course.is_off),
        needs: kind.needs().least().map(Role::as_str),
        last_success_at: course.succeeded_at,
        last_end_at: course.ended_at,
        error: course.error.map(|error| safe(&error)),
    }
}

/// Text from strangers, whole as far as that is sane.
fn safe(text: &str) -> String {
    clean(text, LONGEST)
}
