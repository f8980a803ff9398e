//! The daemon: wiring, supervision, and the order of starting and stopping. A core
//! task that ends before it is told to ends the daemon, so that systemd restarts it.

mod one_round;
mod open;

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use jiff::{SignedDuration, Timestamp};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;

use crate::config::Config;
use crate::core::poll::PollKind;
use crate::http::{self, Readiness};
use crate::metrics::Metrics;
use crate::poll::Ways;
use crate::rules::{Acting, Place, Places, Rules};
use crate::schedule::{Clock, WakeHandle, phase_of};
use crate::service::{self, Manager, Watched};
use crate::store::{Access, Store};
pub use one_round::{OneRound, one_round};
pub use open::interval;

/// Instances that make the first run of a poll at the same time.
const FIRST_RUNS: usize = 16;
/// How long polls under way may take to finish when the daemon stops.
const GRACE: Duration = Duration::from_secs(20);
/// How often the store is pruned.
const PRUNE_EVERY: Duration = Duration::from_secs(3600);
/// Longer than any list of PeerTube keeps an ended job.
const SETTLED_KEPT: SignedDuration = SignedDuration::from_hours(8 * 24);

/// What a daemon is told that no configuration says.
#[derive(Debug, Default)]
pub struct Options {
    /// Who started it and wants to hear how it goes.
    pub manager: Option<Manager>,
    /// How long a poll may show no sign of life; `None` for what its time limits allow.
    pub hung_after: Option<Duration>,
    /// How long an account's role is taken for known; `None` for 15 minutes.
    pub rights_last: Option<Duration>,
}

/// A running daemon.
#[derive(Debug)]
pub struct Daemon {
    address: SocketAddr,
    store: Arc<Store>,
    clock: Clock,
    /// The polls, and what acts on what they find.
    polls: JoinSet<()>,
    /// The listener, the pruning: they outlive the polls.
    services: JoinSet<anyhow::Result<()>>,
    stop_polls: watch::Sender<bool>,
    stop_services: watch::Sender<bool>,
    wakes: BTreeMap<(String, PollKind), WakeHandle>,
}

impl Daemon {
    /// Starts everything: when this returns, the state is open and the listener answers.
    pub async fn start(config: &Config) -> anyhow::Result<Self> {
        Self::start_with(config, Options::default()).await
    }

    /// The same, and the service manager is told when it is done.
    pub async fn start_with(config: &Config, options: Options) -> anyhow::Result<Self> {
        let store = Arc::new(Store::open(&config.state.path, Access::Daemon).await?);
        let listener = TcpListener::bind(config.server.listen)
            .await
            .with_context(|| format!("listen on {}: is another daemon there?", config.server.listen))?;
        let address = listener.local_addr().context("find the address of the listener")?;
        let metrics = Metrics::new(open::BUILD)?;
        let clock = Clock::start().await?;
        let (stop_polls, stopping) = watch::channel(false);
        let (stop_services, services_stopping) = watch::channel(false);
        let (first_done, mut first_round) = mpsc::channel::<()>(1);
        let first_runs = Arc::new(Semaphore::new(FIRST_RUNS));

        let rules = Arc::new(Rules::open(config, &store, metrics.rules()).await?);
        let mut places = Places::new();
        let mut measured = BTreeMap::new();
        let mut polls = JoinSet::new();
        let mut wakes = BTreeMap::new();
        let mut vitals = Vec::new();
        for instance in &config.instances {
            let name = &instance.origin.name;
            let opened = open::open(instance, config, &store, &metrics, &rules, options.rights_last).await?;
            vitals.push(opened.vitals().clone());
            measured.insert(name.clone(), opened.metrics().clone());
            let (url, read_only) = (instance.origin.url.clone(), instance.read_only);
            places.insert(name.clone(), Place { url, client: opened.client().clone(), read_only });
            for kind in PollKind::ALL {
                let when = instance.polls.when(kind).clone();
                let alarm = clock.wakes(when, phase_of(name, kind.as_str())).await;
                wakes.insert((name.clone(), kind), alarm.hand());
                let ways =
                    Ways { first_runs: first_runs.clone(), stopping: stopping.clone(), first_done: first_done.clone() };
                polls.spawn(opened.clone().keep_polling(kind, alarm, ways));
            }
        }
        drop(first_done);
        let acting = Acting::new(config, rules, store.clone(), places, measured)?;
        acting.start(&clock, &mut polls, &stopping).await;

        let mut services = JoinSet::new();
        let asked = store.clone();
        let readiness = Readiness::new(move || {
            let store = asked.clone();
            async move { store.check().await.is_ok() }
        });
        let ready = readiness.clone();
        let state = http::State { metrics, readiness };
        let stop = stopped(services_stopping.clone());
        services.spawn(async move { http::serve(listener, state, stop).await.context("serve metrics") });
        services.spawn(keep_pruning(store.clone(), config.state.keep_events, services_stopping.clone()));
        services.spawn(async move {
            // Every poll holds a sender until its first run has ended.
            while first_round.recv().await.is_some() {}
            ready.set_first_round_done();
            stopped(services_stopping).await;
            Ok(())
        });
        if let Some(manager) = options.manager {
            let watched = Watched { store: store.clone(), polls: vitals, hung_after: options.hung_after };
            services.spawn(async move {
                service::keep_telling(manager, watched, stopping).await;
                Ok(())
            });
        }
        tracing::info!(listen = %address, instances = config.instances.len(), "tubewarden {} watches", open::BUILD.version);
        Ok(Self { address, store, clock, polls, services, stop_polls, stop_services, wakes })
    }

    /// Where `/metrics` is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Wakes a poll by hand. Whether there is such a poll.
    pub fn wake(&self, instance: &str, kind: PollKind) -> bool {
        let handle = self.wakes.get(&(instance.to_owned(), kind));
        if let Some(handle) = handle {
            handle.wake();
        }
        handle.is_some()
    }

    /// The state, for those who read it beside the polls.
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// Runs until `stop` is done, then ends in good order.
    pub async fn run_until(mut self, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
        let ended = tokio::select! {
            () = stop => None,
            Some(ended) = self.services.join_next() => Some(ended),
            Some(ended) = self.polls.join_next() => Some(ended.map(Ok)),
        };
        let result = match ended {
            None => Ok(()),
            Some(Ok(Ok(()))) => Err(anyhow!("a task ended that never should")),
            Some(Ok(Err(error))) => Err(error),
            Some(Err(panic)) => Err(anyhow!(panic).context("a task that never should end panicked")),
        };
        self.stop().await.and(result)
    }

    /// Polls first: what is under way is finished, or leaves no trace. Then the
    /// listener, so that a last scrape sees all of it; the state last.
    async fn stop(mut self) -> anyhow::Result<()> {
        tracing::info!("stopping");
        self.stop_polls.send_replace(true);
        let polls = &mut self.polls;
        if tokio::time::timeout(GRACE, async { while polls.join_next().await.is_some() {} }).await.is_err() {
            tracing::warn!("polls that did not end in time are dropped; they will be made anew");
            self.polls.shutdown().await;
        }
        self.tell_what_is_owed().await;
        self.clock.stop().await;
        self.stop_services.send_replace(true);
        let services = &mut self.services;
        if tokio::time::timeout(GRACE, async { while services.join_next().await.is_some() {} }).await.is_err() {
            self.services.shutdown().await;
        }
        self.store.close().await.context("close the state")?;
        tracing::info!("stopped");
        Ok(())
    }
}

impl Daemon {
    async fn tell_what_is_owed(&self) {
        match self.store.owes().await {
            Ok(owes) => {
                let (pending, dead) =
                    owes.iter().fold((0, 0), |(pending, dead), of| (pending + of.pending, dead + of.dead));
                if pending + dead > 0 {
                    tracing::info!(pending, dead, "deliveries are still owed, and are kept");
                }
            }
            Err(error) => tracing::warn!(error = %anyhow!(error), "what is owed could not be read"),
        }
    }
}

/// Waits for SIGTERM or SIGINT.
pub async fn stop_signal() -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

async fn stopped(mut stopping: watch::Receiver<bool>) {
    // A sender that is gone has nothing left to say but this.
    let _ = stopping.wait_for(|stopping| *stopping).await;
}

async fn keep_pruning(store: Arc<Store>, keep: Duration, mut stopping: watch::Receiver<bool>) -> anyhow::Result<()> {
    loop {
        prune(&store, keep).await;
        tokio::select! {
            _ = stopping.wait_for(|stopping| *stopping) => return Ok(()),
            () = tokio::time::sleep(PRUNE_EVERY) => {}
        }
    }
}

async fn prune(store: &Store, keep: Duration) {
    let now = Timestamp::now();
    let keep = SignedDuration::try_from(keep).unwrap_or(SignedDuration::MAX);
    let events_before = now.saturating_sub(keep).unwrap_or(Timestamp::MIN);
    let settled_before = now.saturating_sub(SETTLED_KEPT).unwrap_or(Timestamp::MIN);
    match store.prune(events_before, settled_before).await {
        Ok(pruned) => tracing::debug!(
            events = pruned.events,
            settled = pruned.settled,
            dead_letters = pruned.dead_letters,
            "pruned the state"
        ),
        Err(error) => tracing::warn!(error = %anyhow!(error), "the state could not be pruned"),
    }
}
