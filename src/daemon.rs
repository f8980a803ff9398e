//! The daemon: wiring, supervision, and the order of starting and stopping. A core
//! task that ends before it is told to ends the daemon, so that systemd restarts it.

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

use crate::config::{Config, When};
use crate::core::poll::PollKind;
use crate::core::rights::Needs;
use crate::http::{self, Readiness};
use crate::metrics::{Build, Metrics};
use crate::poll::{Instance, Ways};
use crate::schedule::{Clock, WakeHandle, phase_of};
use crate::store::{Access, Store};

/// Instances that make the first run of a poll at the same time.
const FIRST_RUNS: usize = 16;
/// How long polls under way may take to finish when the daemon stops.
const GRACE: Duration = Duration::from_secs(20);
/// How often the store is pruned.
const PRUNE_EVERY: Duration = Duration::from_secs(3600);
/// Longer than any list of PeerTube keeps an ended job.
const SETTLED_KEPT: SignedDuration = SignedDuration::from_hours(8 * 24);

/// A running daemon.
#[derive(Debug)]
pub struct Daemon {
    address: SocketAddr,
    store: Arc<Store>,
    clock: Clock,
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
        let store = Arc::new(Store::open(&config.state.path, Access::Daemon).await?);
        let listener = TcpListener::bind(config.server.listen)
            .await
            .with_context(|| format!("listen on {}: is another daemon there?", config.server.listen))?;
        let address = listener.local_addr().context("find the address of the listener")?;
        let build = Build {
            version: env!("CARGO_PKG_VERSION"),
            revision: option_env!("TUBEWARDEN_REVISION").unwrap_or("unknown"),
        };
        let metrics = Metrics::new(build)?;
        let clock = Clock::start().await?;
        let (stop_polls, stopping) = watch::channel(false);
        let (stop_services, services_stopping) = watch::channel(false);
        let (first_done, mut first_round) = mpsc::channel::<()>(1);
        let first_runs = Arc::new(Semaphore::new(FIRST_RUNS));

        let mut polls = JoinSet::new();
        let mut wakes = BTreeMap::new();
        for instance in &config.instances {
            let name = &instance.origin.name;
            let kinds: Vec<(PollKind, Duration, bool)> = PollKind::ALL
                .into_iter()
                .map(|kind| {
                    let is_on = kind.needs() == Needs::Nothing || instance.account.is_some();
                    (kind, interval(instance.polls.when(kind)), is_on)
                })
                .collect();
            let opened = Instance::open(instance, config, store.clone(), metrics.instance(name, &kinds)?).await?;
            let opened = Arc::new(opened);
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
        tracing::info!(listen = %address, instances = config.instances.len(), "tubewarden {} watches", build.version);
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
        let now = Timestamp::now();
        let keep = SignedDuration::try_from(keep).unwrap_or(SignedDuration::MAX);
        let events_before = now.saturating_sub(keep).unwrap_or(Timestamp::MIN);
        let settled_before = now.saturating_sub(SETTLED_KEPT).unwrap_or(Timestamp::MIN);
        match store.prune(events_before, settled_before).await {
            Ok(pruned) => tracing::debug!(events = pruned.events, settled = pruned.settled, "pruned the state"),
            Err(error) => tracing::warn!(error = %anyhow!(error), "the state could not be pruned"),
        }
        tokio::select! {
            _ = stopping.wait_for(|stopping| *stopping) => return Ok(()),
            () = tokio::time::sleep(PRUNE_EVERY) => {}
        }
    }
}

/// How far apart two runs are; of a cron line, the next two.
fn interval(when: &When) -> Duration {
    match when {
        When::Every(every) => *every,
        When::Cron(cron) => {
            let first = cron.next_after(Timestamp::now());
            let second = first.and_then(|first| cron.next_after(first));
            first.zip(second).map_or(Duration::ZERO, |(first, second)| second.duration_since(first).unsigned_abs())
        }
    }
}
