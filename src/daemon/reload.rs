//! Another configuration while the daemon runs. All of it is read and prepared first;
//! what is wrong changes nothing. Then only what is different is stopped and started:
//! polls and deliveries under way are finished before.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot, watch};

use super::crew::Unit;
use super::{Daemon, GRACE};
use crate::config::{self, Config, ConfigErrors};
use crate::peertube::{Client, MemoryHost};
use crate::poll::client_options;
use crate::rules::{Deed, Ready};

/// How long a delivery that was told to end may take to do so.
const LAST_WORDS: Duration = Duration::from_secs(8);
/// How long reading it may take: a file may never answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// So many that ask at the same time are heard, one after another.
const MOST_ASKING: usize = 8;

/// Reads the configuration anew.
#[derive(Clone)]
pub struct Loader(Arc<dyn Fn() -> Result<Config, ConfigErrors> + Send + Sync>);

impl Loader {
    pub fn new(load: impl Fn() -> Result<Config, ConfigErrors> + Send + Sync + 'static) -> Self {
        Self(Arc::new(load))
    }
}

impl fmt::Debug for Loader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Loader")
    }
}

/// Why the configuration that ran still does.
pub type Refused = String;

type Asked = oneshot::Sender<Result<(), Refused>>;

/// Asks a daemon for a reload. Clones ask the same.
#[derive(Debug, Clone)]
pub struct Reloader(mpsc::Sender<Asked>);

impl Reloader {
    /// Whether the new configuration runs, or else why not.
    pub async fn reload(&self) -> Result<(), Refused> {
        let stopping = || "the daemon is stopping".to_owned();
        let (asked, answer) = oneshot::channel();
        self.0.send(asked).await.map_err(|_| stopping())?;
        answer.await.unwrap_or_else(|_| Err(stopping()))
    }
}

/// The daemon's side of it.
#[derive(Debug)]
pub(super) struct Reloads {
    loader: Option<Loader>,
    asking: mpsc::Sender<Asked>,
    asked: mpsc::Receiver<Asked>,
    stopping: watch::Sender<bool>,
}

impl Reloads {
    pub(super) fn new(loader: Option<Loader>) -> Self {
        let (asking, asked) = mpsc::channel(MOST_ASKING);
        Self { loader, asking, asked, stopping: watch::Sender::new(false) }
    }

    pub(super) fn reloader(&self) -> Reloader {
        Reloader(self.asking.clone())
    }

    pub(super) async fn next(&mut self) -> Asked {
        match self.asked.recv().await {
            Some(asked) => asked,
            None => std::future::pending().await,
        }
    }

    /// Becomes true when the daemon begins to stop.
    pub(super) fn stopping(&self) -> watch::Receiver<bool> {
        self.stopping.subscribe()
    }

    /// Whoever asks from now on is told that it stops.
    pub(super) fn stop(&mut self) {
        self.stopping.send_replace(true);
        self.asked.close();
    }
}

/// What is to be done.
#[derive(Debug)]
struct Change {
    /// To be stopped, for they are gone or different.
    instances_out: BTreeSet<String>,
    /// To be started, for they are new or different.
    instances_in: Vec<config::Instance>,
    deeds_out: BTreeSet<String>,
    deeds_in: BTreeMap<String, Deed>,
    timers_out: Vec<config::Schedule>,
    timers_in: Vec<config::Schedule>,
}

impl Change {
    fn between(old: &Config, new: &Config) -> Self {
        // What they all share makes all of them different.
        let shared = |config: &Config| (config.jobs.clone(), config.videos.clone(), config.log.events.clone());
        let is_shared_same = shared(old) == shared(new);
        let is_in = |config: &Config, instance| is_shared_same && config.instances.contains(instance);
        let out = old.instances.iter().filter(|instance| !is_in(new, instance));
        let instances_out: BTreeSet<String> = out.map(|instance| instance.origin.name.clone()).collect();
        let instances_in: Vec<_> = new.instances.iter().filter(|instance| !is_in(old, instance)).cloned().collect();
        let (was, is) = (Deed::all(old), Deed::all(new));
        let is_other = |name: &String, deed: &Deed, other: &BTreeMap<String, Deed>| other.get(name) != Some(deed);
        // A script may be speaking with an instance that is to be stopped.
        let differs = |name: &String, deed: &Deed, other: &BTreeMap<String, Deed>| {
            is_other(name, deed, other) || (deed.is_script() && !instances_out.is_empty())
        };
        // What fires it speaks with nobody, and misses no time while others are stopped.
        let timers = |deeds: &BTreeMap<String, Deed>, other| {
            let others = deeds.iter().filter(|(name, deed)| is_other(name, deed, other));
            others.filter_map(|(_, deed)| deed.schedule().cloned()).collect::<Vec<_>>()
        };
        let (timers_out, timers_in) = (timers(&was, &is), timers(&is, &was));
        let deeds_out = was.iter().filter(|(name, deed)| differs(name, deed, &is)).map(|(name, _)| name.clone());
        let deeds_out: BTreeSet<String> = deeds_out.collect();
        let deeds_in = is.into_iter().filter(|(name, deed)| differs(name, deed, &was)).collect();
        Self { instances_in, deeds_out, deeds_in, instances_out, timers_out, timers_in }
    }
}

impl Daemon {
    /// What is wrong with the configuration is the answer; an error ends the daemon.
    pub(super) async fn reload(&mut self, asked: Asked) -> anyhow::Result<()> {
        self.tell_manager(&format!(
            "RELOADING=1\nMONOTONIC_USEC={}\nSTATUS=reading the configuration anew\n",
            monotonic()
        ))
        .await;
        let answer = match self.read().await {
            Ok((config, change, deeds)) => {
                self.change_to(config, &change, deeds).await.context("take over the new configuration")?;
                let count = |count: usize| count as u64;
                tracing::info!(
                    instances_stopped = count(change.instances_out.len()),
                    instances_started = count(change.instances_in.len()),
                    rules_stopped = count(change.deeds_out.len()),
                    rules_started = count(change.deeds_in.len()),
                    "the configuration was read anew"
                );
                Ok(())
            }
            Err(problem) => {
                for line in problem.lines() {
                    tracing::error!("{line}");
                }
                tracing::error!(
                    "the new configuration is wrong, or can't be taken over: the one before goes on; `tubewarden check` says what is wrong with it"
                );
                Err(problem)
            }
        };
        self.metrics.reloaded(answer.is_ok(), Timestamp::now());
        self.tell_manager("READY=1\n").await;
        // Who asked may be gone.
        let _ = asked.send(answer);
        Ok(())
    }

    /// All that can be wrong with a configuration is found here.
    async fn read(&self) -> Result<(Config, Change, BTreeMap<String, Ready>), Refused> {
        let Some(loader) = self.reloads.loader.clone() else {
            return Err("this daemon was started without a configuration file".to_owned());
        };
        let loading = tokio::task::spawn_blocking(move || (loader.0)());
        let loaded = tokio::time::timeout(PATIENCE, loading).await;
        let loaded = loaded.map_err(|_| {
            format!(
                "reading it did not end within {PATIENCE:?}: is one of its files a pipe, or on a disk that is gone?"
            )
        })?;
        let config =
            loaded.map_err(|panic| format!("reading it failed: {panic}"))?.map_err(|errors| errors.to_string())?;
        let change = Change::between(&self.config, &config);
        for instance in &change.instances_in {
            let client = Client::new(client_options(instance), Arc::new(MemoryHost::default()));
            client.map_err(|error| format!("instance {}: {:#}", instance.origin.name, anyhow::anyhow!(error)))?;
        }
        let deeds = self.prepare(change.deeds_in.clone()).map_err(|error| format!("{error:#}"))?;
        // It will have to be written to, when there is no way back.
        self.store.try_write().await.map_err(|error| format!("{:#}", anyhow::anyhow!(error)))?;
        Ok((config, change, deeds))
    }

    async fn change_to(
        &mut self,
        config: Config,
        change: &Change,
        deeds: BTreeMap<String, Ready>,
    ) -> anyhow::Result<()> {
        self.tell_what_waits_for_a_restart(&config);
        let timers_out = change.timers_out.iter().map(|schedule| Unit::Timer(schedule.name.clone()));
        let deeds_out: Vec<Unit> = timers_out.chain(change.deeds_out.iter().cloned().map(Unit::Deed)).collect();
        self.crew.retire(&deeds_out, GRACE, LAST_WORDS).await;
        let instances_out: Vec<Unit> = change.instances_out.iter().cloned().map(Unit::Instance).collect();
        self.crew.retire(&instances_out, GRACE, Duration::ZERO).await;

        self.rules.replace(&config, &self.store).await?;
        self.config = config.clone();
        // What measured a changed instance goes on, so that its counters do.
        let mut measured = BTreeMap::new();
        for name in &change.instances_out {
            self.wakes.retain(|(instance, _), _| instance != name);
            if let Some(opened) = self.instances.remove(name) {
                self.vitals.remove(opened.vitals());
                measured.insert(name.clone(), opened.metrics().clone());
            }
        }
        // The first round was made long ago: nobody waits for these.
        let (first_done, _) = mpsc::channel(1);
        for instance in &change.instances_in {
            let metrics = measured.remove(&instance.origin.name);
            self.watch_instance(instance, &config, metrics, &first_done).await?;
        }
        measured.into_values().for_each(crate::metrics::InstanceMetrics::remove);
        self.look_around();
        self.act(deeds).await;
        self.fire(change.timers_in.clone()).await;
        self.keep_events.send_replace(config.state.keep_events);
        Ok(())
    }

    /// Again at each reload, until it is done.
    fn tell_what_waits_for_a_restart(&self, new: &Config) {
        let old = &self.started_by;
        for (key, is_other) in [
            ("[server]", old.server != new.server),
            ("state.url", old.state.path != new.state.path),
            ("log.format", old.log.format != new.log.format),
            ("log.level", old.log.filter != new.log.filter),
        ] {
            if is_other {
                tracing::warn!(key, "what was changed there is taken over by a restart alone");
            }
        }
    }

    async fn tell_manager(&self, words: &str) {
        if let Some(manager) = &self.manager {
            manager.tell(words).await;
        }
    }
}

/// The clock that systemd compares a reload's beginning with, in microseconds.
fn monotonic() -> i64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec.saturating_mul(1_000_000).saturating_add(now.tv_nsec / 1000)
}
