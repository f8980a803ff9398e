//! What the state says of all instances: the polls' memory and the history, read
//! beside a daemon or without one. It holds no secret, and every text in it is one
//! safe line. As JSON it is what scripts rely on: fields are added, never changed.

use std::collections::BTreeMap;

use anyhow::Context;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::config::{self, Config};
use crate::core::job::Pending;
use crate::core::poll::PollKind;
use crate::core::rights::Role;
use crate::core::text::clean;
use crate::core::video::VideoState;
use crate::core::view::{JobsView, VideosView};
use crate::core::{job_sync, video_sync};
use crate::poll::{ReachMemory, ServerMemory};
use crate::store::{Holder, KnownInstance, Store};

const LONGEST: usize = 500;
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// All that is configured, as it was at the last polls.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Status {
    pub at: Timestamp,
    pub daemon: Daemon,
    pub instances: Vec<Instance>,
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
    // Runners, moderation and what is stuck belong here, each read from the memory of
    // its poll, and with a line of its own in `cli/status/text.rs`.
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

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Jobs {
    /// Types with jobs that have not ended.
    pub queues: Vec<Queue>,
    /// Since the daemon first ran.
    pub unaccounted: BTreeMap<String, u64>,
    /// In the last 24 hours, of themselves.
    pub failed_24h: BTreeMap<String, u64>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Queue {
    pub job_type: String,
    pub active: u64,
    pub waiting: u64,
    pub delayed: u64,
    /// When the oldest was started.
    pub oldest_active_at: Option<Timestamp>,
    /// When the oldest was due.
    pub oldest_waiting_at: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Videos {
    /// In states that should pass by themselves.
    pub passing: Vec<VideosIn>,
    pub failed: Vec<VideosIn>,
    /// Whose state is not told to the account.
    pub unknown: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct VideosIn {
    pub state: &'static str,
    pub videos: u64,
    pub oldest_since: Option<Timestamp>,
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
        Ok(Self { at, daemon, instances })
    }
}

impl Instance {
    /// One that no daemon has watched yet.
    fn unknown(config: &config::Instance) -> Self {
        let account =
            |username: &String| Account { username: clean(username, LONGEST), signed_in: false, refused: None };
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
    let jobs = job_sync::Memory::from_documents(&store.memory(name, PollKind::Jobs).await?)
        .with_context(|| format!("read what is remembered of the jobs of {name}"))?;
    let videos = video_sync::Memory::from_documents(&store.memory(name, PollKind::Videos).await?)
        .with_context(|| format!("read what is remembered of the videos of {name}"))?;
    let failed = store.failed_since(name, at.saturating_sub(DAY).unwrap_or(Timestamp::MIN)).await?;
    let signed_in = store.signed_in(name).await?;
    let account = |username: &String| {
        let refused = reach.refused().map(|code| clean(code, LONGEST));
        let signed_in = refused.is_none() && signed_in.as_ref().is_some_and(|is| is.username == *username);
        Account { username: clean(username, LONGEST), signed_in, refused }
    };
    let (is, since) = match (reach.down_since(), reach.up_since()) {
        (Some(down), _) => (Reach::Down, Some(down)),
        (None, Some(up)) => (Reach::Up, Some(up)),
        (None, None) => (Reach::Unknown, None),
    };
    let is_known = |kind| reach.course(kind).is_some_and(|course| course.succeeded_at.is_some() && !course.is_off);
    Ok(Instance {
        version: server.version().map(|version| clean(version, LONGEST)),
        first_seen_at: Some(known.first_seen),
        reach: is,
        reach_since: since,
        account: config.username.as_ref().map(account),
        polls: PollKind::ALL.map(|kind| poll(kind, &reach)).into(),
        jobs: is_known(PollKind::Jobs).then(|| Jobs::of(&jobs.view(), failed)),
        videos: (is_known(PollKind::Videos) || is_known(PollKind::VideosFull)).then(|| Videos::of(&videos.view())),
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
        error: course.error.map(|error| clean(&error, LONGEST)),
    }
}

impl Jobs {
    fn of(view: &JobsView, failed_24h: BTreeMap<String, u64>) -> Self {
        let safe = |text: &str| clean(text, LONGEST);
        let queues = view.types.iter().map(|(job_type, known)| {
            let count = |state| known.pending.get(&state).copied().unwrap_or(0);
            Queue {
                job_type: safe(&job_type.0),
                active: count(Pending::Active),
                waiting: count(Pending::Waiting),
                delayed: count(Pending::Delayed),
                oldest_active_at: known.oldest_active,
                oldest_waiting_at: known.oldest_waiting,
            }
        });
        let unaccounted = view.types.iter().map(|(job_type, known)| (safe(&job_type.0), known.unaccounted));
        Self {
            queues: queues.filter(|queue| queue.active + queue.waiting + queue.delayed > 0).collect(),
            unaccounted: unaccounted.filter(|(_, jobs)| *jobs > 0).collect(),
            failed_24h: failed_24h.into_iter().map(|(job_type, jobs)| (safe(&job_type), jobs)).collect(),
        }
    }
}

impl Videos {
    fn of(view: &VideosView) -> Self {
        let states = || (1..=12).map(VideoState::from_id);
        let count = |state| view.videos.iter().filter(|((_, is), _)| *is == state).map(|(_, videos)| videos).sum();
        let videos_in = |state: VideoState| {
            let state = state.as_str();
            VideosIn { state, videos: count(state), oldest_since: view.oldest_in_state.get(state).copied() }
        };
        let those = |is: fn(VideoState) -> bool| {
            let all = states().filter(|state| is(*state)).map(videos_in);
            all.filter(|videos_in| videos_in.videos > 0).collect()
        };
        Self { passing: those(VideoState::is_passing), failed: those(VideoState::is_failed), unknown: count("other") }
    }
}
