//! The daemon: wiring, supervision, and the order of starting and stopping. A core
//! task that ends before it is told to ends the daemon, so that systemd restarts it.

mod crew;
mod keeper;
mod one_round;
mod open;
mod reload;

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

use self::crew::{Crew, Unit};
use self::reload::Reloads;
use crate::config::{self, Config};
use crate::core::poll::PollKind;
use crate::http::{self, Door, Readiness};
use crate::metrics::{InstanceMetrics, Metrics};
use crate::poll::{Instance, Ways};
use crate::rules::{Acting, Around, Deed, Here, Ready, Rules, Signals, Task};
use crate::schedule::{Clock, WakeHandle, phase_of};
use crate::service::{self, AllVitals, Manager, Watched};
use crate::store::{Access, Store};
pub use one_round::{OneRound, one_round};
pub use open::interval;
pub use reload::{Loader, Refused, Reloader};

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
    /// Where another configuration comes from; without it there is no reload.
    pub loader: Option<Loader>,
}

/// A running daemon.
#[derive(Debug)]
pub struct Daemon {
    address: SocketAddr,
    store: Arc<Store>,
    clock: Clock,
    metrics: Metrics,
    rules: Arc<Rules>,
    acting: Acting,
    /// The polls, and what acts on what they find.
    crew: Crew,
    /// The listener, the pruning: they outlive the polls.
    services: JoinSet<anyhow::Result<()>>,
    stop_services: watch::Sender<bool>,
    /// What it runs by.
    config: Config,
    /// What it was started by, for what only a restart changes.
    started_by: Config,
    instances: BTreeMap<String, Arc<Instance>>,
    wakes: BTreeMap<(String, PollKind), WakeHandle>,
    vitals: AllVitals,
    keep_events: watch::Sender<Duration>,
    first_runs: Arc<Semaphore>,
    rights_last: Option<Duration>,
    manager: Option<Arc<Manager>>,
    reloads: Reloads,
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
        let door = Door::new(&config.server).context("open the listener")?;
        for warning in config.server.warnings() {
            tracing::warn!("{warning}");
        }
        let metrics = Metrics::new(open::BUILD)?;
        metrics.reloaded(true, Timestamp::now());
        let rules = Arc::new(Rules::open(config, &store, metrics.rules()).await?);
        let (stop_services, services_stopping) = watch::channel(false);
        let (keep_events, kept) = watch::channel(config.state.keep_events);
        let mut daemon = Self {
            address,
            clock: Clock::start().await?,
            acting: Acting::new(rules.clone(), store.clone()),
            rules,
            crew: Crew::default(),
            services: JoinSet::new(),
            stop_services,
            config: config.clone(),
            started_by: config.clone(),
            instances: BTreeMap::new(),
            wakes: BTreeMap::new(),
            vitals: AllVitals::default(),
            keep_events,
            first_runs: Arc::new(Semaphore::new(FIRST_RUNS)),
            rights_last: options.rights_last,
            manager: options.manager.map(Arc::new),
            reloads: Reloads::new(options.loader),
            store,
            metrics,
        };
        let deeds = daemon.prepare(Deed::all(config))?;
        let (first_done, mut first_round) = mpsc::channel::<()>(1);
        for instance in &config.instances {
            daemon.watch_instance(instance, config, None, &first_done).await?;
        }
        drop(first_done);
        daemon.look_around();
        daemon.act(deeds).await;
        daemon.fire(config.schedules.iter().filter(|schedule| schedule.enabled).cloned().collect()).await;
        let showing = |acting: &Acting, signals: &Signals| acting.keep_showing(signals.soon.clone());
        let acting = &daemon.acting;
        daemon.crew.start(Unit::Showing, async |signals| vec![Box::pin(showing(acting, signals)) as Task]).await;

        let asked = daemon.store.clone();
        let readiness = Readiness::new(move || {
            let store = asked.clone();
            async move { store.trouble().is_none() && store.check().await.is_ok() }
        });
        let ready = readiness.clone();
        let (store, state) = (daemon.store.clone(), daemon.metrics.state().clone());
        daemon.services.spawn(keeper::keep(store, state, services_stopping.clone()));
        let reloader = daemon.reloader();
        let reload = config.server.reload.then(|| {
            http::Reload::new(move || {
                let reloader = reloader.clone();
                async move { reloader.reload().await }
            })
        });
        let state = http::State { metrics: daemon.metrics.clone(), readiness, reload };
        let stop = stopped(services_stopping.clone());
        let services = &mut daemon.services;
        services.spawn(async move { http::serve(listener, state, door, stop).await.context("serve metrics") });
        services.spawn(keep_pruning(daemon.store.clone(), kept, services_stopping.clone()));
        let stopping = services_stopping.clone();
        services.spawn(async move {
            // Every poll holds a sender until its first run has ended.
            while first_round.recv().await.is_some() {}
            ready.set_first_round_done();
            stopped(stopping).await;
            Ok(())
        });
        if let Some(manager) = daemon.manager.clone() {
            let (store, polls) = (daemon.store.clone(), daemon.vitals.clone());
            let watched = Watched { store, polls, hung_after: options.hung_after };
            let stopping = daemon.reloads.stopping();
            services.spawn(async move {
                service::keep_telling(&manager, watched, stopping).await;
                Ok(())
            });
        }
        tracing::info!(listen = %address, instances = config.instances.len(), "tubewarden {} watches", open::BUILD.version);
        Ok(daemon)
    }

    /// All that can fail about starting rules and schedules.
    fn prepare(&self, deeds: BTreeMap<String, Deed>) -> anyhow::Result<BTreeMap<String, Ready>> {
        deeds.into_iter().map(|(name, deed)| Ok((name, self.acting.prepare(deed)?))).collect()
    }

    /// Opens an instance and starts its polls.
    async fn watch_instance(
        &mut self,
        instance: &config::Instance,
        config: &Config,
        metrics: Option<InstanceMetrics>,
        first_done: &mpsc::Sender<()>,
    ) -> anyhow::Result<()> {
        let name = &instance.origin.name;
        let metrics = open::measured(instance, &self.metrics, metrics)?;
        let opened = open::open(instance, config, &self.store, metrics, &self.rules, self.rights_last).await?;
        self.vitals.add(opened.vitals().clone());
        let mut alarms = Vec::new();
        for kind in PollKind::ALL {
            let alarm = self.clock.wakes(instance.polls.when(kind).clone(), phase_of(name, kind.as_str())).await;
            self.wakes.insert((name.clone(), kind), alarm.hand());
            alarms.push((kind, alarm));
        }
        let first_runs = self.first_runs.clone();
        let polls = async |signals: &Signals| {
            let poll = |(kind, alarm)| {
                let (first_runs, first_done) = (first_runs.clone(), first_done.clone());
                let ways = Ways { first_runs, stopping: signals.soon.clone(), first_done };
                Box::pin(opened.clone().keep_polling(kind, alarm, ways)) as Task
            };
            alarms.into_iter().map(poll).collect()
        };
        self.crew.start(Unit::Instance(name.clone()), polls).await;
        self.instances.insert(name.clone(), opened);
        Ok(())
    }

    /// Tells those who act what instances there are now.
    fn look_around(&self) {
        let here = |config: &config::Instance| {
            let opened = self.instances.get(&config.origin.name)?;
            let (client, metrics) = (opened.client().clone(), opened.metrics().clone());
            let (origin, read_only) = (config.origin.clone(), config.read_only);
            Some((origin.name.clone(), Here { origin, client, read_only, metrics }))
        };
        let instances = self.config.instances.iter().filter_map(here).collect();
        self.acting.set_around(Around { log_events: self.config.log.events.clone(), instances });
    }

    async fn act(&mut self, deeds: BTreeMap<String, Ready>) {
        for (name, ready) in deeds {
            let acting = &self.acting;
            self.crew
                .start(Unit::Deed(name), async |signals| acting.deliver(ready, signals).into_iter().collect())
                .await;
        }
    }

    async fn fire(&mut self, schedules: Vec<config::Schedule>) {
        for schedule in schedules {
            let (acting, clock) = (&self.acting, &self.clock);
            let unit = Unit::Timer(schedule.name.clone());
            self.crew.start(unit, async |signals| vec![acting.fire(schedule, clock, signals).await]).await;
        }
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

    /// Asks for reloads.
    pub fn reloader(&self) -> Reloader {
        self.reloads.reloader()
    }

    /// Runs until `stop` is done, then ends in good order.
    pub async fn run_until(mut self, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
        let mut stop = std::pin::pin!(stop);
        let result = loop {
            let ended = tokio::select! {
                () = &mut stop => break Ok(()),
                Some(ended) = self.services.join_next() => ended,
                ended = self.crew.watch() => ended.map(Ok),
                asked = self.reloads.next() => {
                    let reload = self.reload(asked);
                    // A stop does not wait for it; whatever it was about to end is ended then.
                    tokio::select! {
                        reloaded = reload => match reloaded {
                            Ok(()) => continue,
                            Err(error) => break Err(error),
                        },
                        () = &mut stop => break Ok(()),
                    }
                }
            };
            break match ended {
                Ok(Ok(())) => Err(anyhow!("a task ended that never should")),
                Ok(Err(error)) => Err(error),
                Err(panic) => Err(anyhow!(panic).context("a task that never should end panicked")),
            };
        };
        // What ended it is told first.
        let stopped = self.stop().await;
        result.and(stopped)
    }

    /// Polls first: what is under way is finished, or leaves no trace. Then the
    /// listener, so that a last scrape sees all of it; the state last.
    async fn stop(mut self) -> anyhow::Result<()> {
        tracing::info!("stopping");
        self.reloads.stop();
        if !self.crew.stop(GRACE).await {
            tracing::warn!("polls that did not end in time are dropped; they will be made anew");
        }
        self.tell_what_is_owed().await;
        self.clock.stop().await;
        self.stop_services.send_replace(true);
        let services = &mut self.services;
        if tokio::time::timeout(GRACE, async { while services.join_next().await.is_some() {} }).await.is_err() {
            self.services.shutdown().await;
        }
        if let Err(error) = self.store.close().await {
            tracing::warn!(error = %anyhow!(error), "the state is left as after a kill, and is put in order by the next start");
        }
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

async fn keep_pruning(
    store: Arc<Store>,
    keep: watch::Receiver<Duration>,
    mut stopping: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    loop {
        let how_long = *keep.borrow();
        prune(&store, how_long).await;
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
