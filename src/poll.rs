//! The polls of one instance: fetch → pure core → one transaction → metrics and log.
//! Nothing overlaps itself: each kind of poll has its own task, woken by the clock.

mod host;
mod jobs;
mod moderation;
mod reach;
mod remembered;
mod runners;
mod server;
mod stats;
mod updates;
mod videos;
mod vitals;

use std::collections::{BTreeSet, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::{Mutex as AsyncMutex, Semaphore, watch};
use tokio::task::JoinSet;

use crate::config;
use crate::core::event::{Event, Origin};
use crate::core::glob::Globs;
use crate::core::memory::{Documents, diff};
use crate::core::poll::PollKind;
use crate::core::rights::{Needs, Role};
use crate::core::video::Scope;
use crate::core::work::Work;
use crate::core::{job_sync, runner_sync, video_sync};
use crate::log;
use crate::metrics::InstanceMetrics;
use crate::peertube::{self, Client};
use crate::rules::Rules;
use crate::schedule::Wakes;
use crate::store::{Commit, Store};
use host::StoreHost;
use moderation::ModerationState;
pub use reach::{Course, ReachMemory};
use runners::RunnersState;
pub use server::ServerMemory;
pub use vitals::{Doing, Vitals};

/// A poll of a kind missed this often shows nothing rather than what was.
const STALE_AFTER: u32 = 3;

/// An account's role is asked for again after this long, unless a caller knows better.
const RIGHTS_LAST: Duration = Duration::from_secs(15 * 60);

/// Everything that the polls of one instance share.
#[derive(Debug)]
pub struct Instance {
    origin: Origin,
    client: Client,
    host: Arc<StoreHost>,
    store: Arc<Store>,
    metrics: InstanceMetrics,
    /// Which events are logged at info.
    log_events: Globs,
    rules: Arc<Rules>,
    policy: job_sync::Policy,
    scope: Scope,
    down_after: u32,
    jobs: AsyncMutex<JobsState>,
    /// Of the last poll of jobs: the poll of videos does not wait for one that is made.
    work: Mutex<Works>,
    videos: AsyncMutex<video_sync::Memory>,
    /// Both polls of videos share one memory: one at a time.
    videos_turn: AsyncMutex<()>,
    moderation: AsyncMutex<ModerationState>,
    runners: AsyncMutex<RunnersState>,
    server: AsyncMutex<ServerMemory>,
    reach: AsyncMutex<ReachMemory>,
    /// Parts of the memory that could not be read.
    unread: Mutex<BTreeSet<PollKind>>,
    rights: Mutex<Rights>,
    vitals: Arc<Vitals>,
    rights_last: Duration,
    clock_is_wrong: AtomicBool,
}

/// The unfinished jobs of videos, by where they are, as the last polls saw them.
#[derive(Debug, Default)]
struct Works {
    own: Option<Work>,
    at_runners: Option<Work>,
    /// The server is of before there were runners.
    has_no_runners: bool,
}

/// The account's role as it was told last.
#[derive(Debug, Default)]
struct Rights {
    role: Option<Role>,
    /// When; `None` if it has to be asked for again.
    at: Option<Instant>,
    /// Sign-ins by then: whoever gives an account another role ends its tokens.
    sign_ins: u64,
}

#[derive(Debug)]
struct JobsState {
    memory: job_sync::Memory,
    settled: HashSet<i64>,
    settled_read: Instant,
}

/// How one run of a poll went.
#[derive(Debug)]
enum Ran {
    Done,
    /// The account may not ask this.
    NotAllowed,
}

/// How a run ended, for who tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    Well,
    /// The account's rights don't allow it, so nothing was asked.
    Off,
    /// Why, as one line.
    Badly(String),
}

/// How a kind of poll goes, as long as the process runs.
#[derive(Debug, Default)]
struct Row {
    /// Runs in a row that failed.
    missed: u32,
    /// The account's rights don't allow it.
    is_off: bool,
}

/// What a run of a poll needs from the daemon.
#[derive(Debug, Clone)]
pub struct Ways {
    /// So many first runs are made at once.
    pub first_runs: Arc<Semaphore>,
    pub stopping: watch::Receiver<bool>,
    /// Gets a message when a first run has ended, well or badly.
    pub first_done: tokio::sync::mpsc::Sender<()>,
}

impl Instance {
    /// Opens an instance with what the store remembers of it.
    pub async fn open(
        config: &config::Instance,
        common: &config::Config,
        store: Arc<Store>,
        metrics: InstanceMetrics,
        rules: Arc<Rules>,
    ) -> anyhow::Result<Self> {
        let origin = config.origin.clone();
        let name = &origin.name;
        if let crate::store::Enrolment::Moved { from } = store.enrol(&origin).await? {
            tracing::warn!(peertube_instance = %name, from, to = %origin.url, "the instance has another address: its history begins anew");
        }
        let settled: HashSet<i64> = store.settled(name).await?.into_iter().collect();
        let documents = store.memory(name, PollKind::Config).await?;
        let (server, reach) = (ServerMemory::from_documents(&documents), ReachMemory::from_documents(&documents));
        let host = Arc::new(StoreHost::new(config, store.clone(), metrics.clone()));
        let client = Client::new(client_options(config), host.clone())?;
        let vitals = Arc::new(Vitals::new(name, config.timeout, reach.down_since().is_some()));
        let settled_read = Instant::now();
        let jobs = JobsState { memory: job_sync::Memory::default(), settled: settled.clone(), settled_read };
        let runners = RunnersState { memory: runner_sync::Memory::default(), settled, settled_read };
        for kind in PollKind::ALL {
            metrics.stale(kind);
        }
        let opened = Self {
            origin,
            client,
            host,
            store,
            metrics,
            log_events: common.log.events.clone(),
            rules,
            policy: common.jobs.clone(),
            scope: common.videos.scope,
            down_after: config.down_after,
            jobs: AsyncMutex::new(jobs),
            work: Mutex::default(),
            videos: AsyncMutex::default(),
            videos_turn: AsyncMutex::new(()),
            runners: AsyncMutex::new(runners),
            moderation: AsyncMutex::default(),
            unread: Mutex::default(),
            server: AsyncMutex::new(server),
            reach: AsyncMutex::new(reach),
            rights: Mutex::default(),
            vitals,
            rights_last: RIGHTS_LAST,
            clock_is_wrong: AtomicBool::new(false),
        };
        opened.remember_all().await?;
        Ok(opened)
    }

    /// Asks for the account's role again after so long.
    #[must_use]
    pub fn with_rights_last(mut self, rights_last: Duration) -> Self {
        self.rights_last = rights_last;
        self
    }

    /// The signs of life of its polls.
    pub fn vitals(&self) -> &Arc<Vitals> {
        &self.vitals
    }

    /// What asks the instance, in the name of its one account.
    pub fn client(&self) -> &Client {
        &self.client
    }

    pub fn metrics(&self) -> &InstanceMetrics {
        &self.metrics
    }

    pub fn name(&self) -> &str {
        &self.origin.name
    }

    /// Runs one kind of poll until the daemon stops: at once, then at each wake.
    pub async fn keep_polling(self: Arc<Self>, kind: PollKind, mut wakes: Wakes, mut ways: Ways) {
        let mut row = Row::default();
        if let Ok(_turn) = ways.first_runs.clone().acquire_owned().await
            && !*ways.stopping.borrow()
        {
            self.run_and_tell(kind, &mut row).await;
        }
        drop(ways.first_done);
        loop {
            self.vitals.waits_for_clock(kind, wakes.due());
            tokio::select! {
                () = stopped(&mut ways.stopping) => return,
                () = wakes.next() => {}
            }
            self.run_and_tell(kind, &mut row).await;
        }
    }

    /// One run, in a task of its own: a panic ends the run and nothing else, and the task
    /// ends with who waits for it.
    pub async fn run(self: &Arc<Self>, kind: PollKind) -> Ended {
        let this = self.clone();
        let mut task = JoinSet::new();
        task.spawn(self.vitals.clone().of_run(kind, async move { this.poll(kind).await }));
        let ended = match task.join_next().await {
            None | Some(Ok(Ok(Ran::Done))) => Ended::Well,
            Some(Ok(Ok(Ran::NotAllowed))) => Ended::Off,
            Some(Ok(Err(error))) => Ended::Badly(reason(&error)),
            Some(Err(panic)) => Ended::Badly(format!("it panicked: {panic}")),
        };
        self.vitals.ended();
        ended
    }

    /// One run of many: what is new about it is told to the metrics and to the log.
    async fn run_and_tell(self: &Arc<Self>, kind: PollKind, row: &mut Row) {
        let began = Instant::now();
        let ended = self.run(kind).await;
        let took = began.elapsed();
        let name = &self.origin.name;
        let needs = kind.needs();
        let was_off = row.is_off;
        row.is_off = ended == Ended::Off || (was_off && ended != Ended::Well);
        if row.is_off && !was_off {
            tracing::info!(peertube_instance = %name, poll = %kind, %needs, "the account does not allow this poll: it is off");
        } else if was_off && !row.is_off {
            tracing::info!(peertube_instance = %name, poll = %kind, "the account allows this poll now: it is on");
        }
        self.metrics.poll_enabled(kind, !row.is_off);
        match ended {
            Ended::Off => self.metrics.stale(kind),
            Ended::Well => {
                self.metrics.polled(kind, true, took, Timestamp::now());
                if row.missed > 0 {
                    tracing::info!(peertube_instance = %name, poll = %kind, missed = row.missed, "the poll succeeds again");
                    row.missed = 0;
                }
            }
            Ended::Badly(error) => {
                self.metrics.polled(kind, false, took, Timestamp::now());
                // The first of a row is a warning; what follows is the same trouble.
                if row.missed == 0 {
                    tracing::warn!(peertube_instance = %name, poll = %kind, error, "the poll failed; it will be tried again");
                } else {
                    tracing::debug!(peertube_instance = %name, poll = %kind, error, "the poll failed again");
                }
                row.missed = row.missed.saturating_add(1);
                if row.missed >= STALE_AFTER {
                    self.metrics.stale(kind);
                }
            }
        }
    }

    async fn poll(&self, kind: PollKind) -> anyhow::Result<Ran> {
        let began = Instant::now();
        let result = self.poll_if_allowed(kind).await;
        self.note_reach(kind, &result, began).await?;
        result
    }

    /// A refusal says that the role is not what it was: it is asked for anew, and the
    /// poll is made once more, if it still may be.
    async fn poll_if_allowed(&self, kind: PollKind) -> anyhow::Result<Ran> {
        let result = self.poll_by_role(kind).await;
        if !self.client.has_account() || !is_forbidden(&result) {
            return result;
        }
        self.forget_role();
        let again = self.poll_by_role(kind).await;
        // PeerTube's word comes before what we conclude from a role.
        if kind.needs() != Needs::Nothing && is_forbidden(&again) { Ok(Ran::NotAllowed) } else { again }
    }

    async fn poll_by_role(&self, kind: PollKind) -> anyhow::Result<Ran> {
        let needs = kind.needs();
        if needs != Needs::Nothing && !needs.are_met_by(self.role().await?) {
            return Ok(Ran::NotAllowed);
        }
        self.expect_memory_of(kind).await?;
        match kind {
            PollKind::Jobs => self.poll_jobs().await?,
            PollKind::Videos | PollKind::VideosFull => self.poll_videos(kind).await?,
            PollKind::Runners => self.poll_runners().await?,
            PollKind::Moderation => self.poll_moderation().await?,
            PollKind::Config => self.poll_config().await?,
            PollKind::Stats => self.poll_stats().await?,
        }
        Ok(Ran::Done)
    }

    /// Commits what a poll learnt, then tells it: to the metrics and to the log.
    async fn commit(
        &self,
        poll: PollKind,
        before: &Documents,
        after: &Documents,
        settled: Vec<(i64, Timestamp)>,
        events: Vec<Event>,
    ) -> anyhow::Result<()> {
        let changes = diff(before, after);
        if changes.is_empty() && settled.is_empty() && events.is_empty() {
            return Ok(());
        }
        self.note_clock();
        let claims = self.rules.claims(&events);
        let commit = Commit { instance: self.origin.name.clone(), poll, changes, settled, events, claims };
        let committed = self.store.commit(&commit).await.context("store what the poll learnt")?;
        self.rules.admitted(&committed);
        for event in &committed.told {
            self.metrics.told(event.kind);
            log::event(event, self.log_events.matches(event.type_name()));
        }
        Ok(())
    }

    /// Events have the time of the instance's clock, rules are given by ours. What is far
    /// apart is told once, and when it agrees again.
    fn note_clock(&self) {
        let ahead = self.client.clock_ahead();
        self.rules.set_clock(&self.origin.name, SignedDuration::ZERO.saturating_sub(ahead));
        let is_wrong = !ahead.is_zero();
        if self.clock_is_wrong.swap(is_wrong, Ordering::Relaxed) == is_wrong {
            return;
        }
        let name = &self.origin.name;
        if is_wrong {
            let seconds = ahead.as_secs();
            tracing::warn!(peertube_instance = %name, ahead_seconds = seconds, "the instance's clock and ours differ: times of its events are by its own; set both clocks right");
        } else {
            tracing::info!(peertube_instance = %name, "the instance's clock and ours agree again");
        }
    }

    /// What the account may see. Asked now and then, since rights change.
    async fn role(&self) -> Result<Option<Role>, peertube::Error> {
        if !self.client.has_account() {
            return Ok(None);
        }
        {
            let known = self.rights.lock().unwrap_or_else(PoisonError::into_inner);
            let is_recent = known.at.is_some_and(|at| at.elapsed() < self.rights_last);
            if is_recent && known.sign_ins == self.host.sign_ins() {
                return Ok(known.role);
            }
        }
        let role = self.client.me().await?.role;
        let mut known = self.rights.lock().unwrap_or_else(PoisonError::into_inner);
        let before = known.role.replace(role);
        (known.at, known.sign_ins) = (Some(Instant::now()), self.host.sign_ins());
        if before.is_some_and(|before| before != role) {
            tracing::info!(peertube_instance = %self.origin.name, %role, "the account has another role now");
        }
        Ok(Some(role))
    }

    fn forget_role(&self) {
        self.rights.lock().unwrap_or_else(PoisonError::into_inner).at = None;
    }

    /// Whether a poll may be made, as far as that is known by now.
    fn may(&self, kind: PollKind) -> bool {
        let role = self.rights.lock().unwrap_or_else(PoisonError::into_inner).role;
        let is_unknown = self.client.has_account() && role.is_none();
        is_unknown || kind.needs().are_met_by(role)
    }
}

fn is_forbidden(result: &anyhow::Result<Ran>) -> bool {
    let error = result.as_ref().err().and_then(|error| error.downcast_ref::<peertube::Error>());
    error.is_some_and(peertube::Error::is_forbidden)
}

/// An error as one line. The client's errors are whole by themselves.
fn reason(error: &anyhow::Error) -> String {
    match error.downcast_ref::<peertube::Error>() {
        Some(error) => error.to_string(),
        None => format!("{error:#}"),
    }
}

async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // A sender that is gone has nothing left to say but this.
    let _ = stopping.wait_for(|stopping| *stopping).await;
}

/// How the client is to reach an instance, from its configuration.
pub fn client_options(config: &config::Instance) -> peertube::Options {
    let mut options = peertube::Options::new(config.origin.clone(), config.url.clone());
    options.connect = config.connect.clone();
    options.authorities = config.authorities.clone();
    options.timeout = config.timeout;
    options.read_only = config.read_only;
    options.account = config.account.as_ref().map(|account| peertube::Account {
        username: account.username.clone(),
        password: account.password.clone(),
        totp_secret: account.totp.clone(),
    });
    options
}
