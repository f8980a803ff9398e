//! All that acts, as the daemon starts and stops it: a task for each rule, two for each
//! schedule (one fires, one acts), and one that keeps what is shown of them true.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;

use super::act::Actor;
use super::book::Rules;
use super::deliver::{Around, Courier, Shared, Signals};
use super::schedule::Timer;
use super::script::Scripts;
use super::values::Values;
use crate::config::{self, Config};
use crate::core::rule::ActionKind;
use crate::schedule::Clock;
use crate::store::{Store, StoreError};

/// What people write to the state beside the daemon is noticed after so long.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// What is shown is renewed this often at most.
const SHOW_EVERY: Duration = Duration::from_millis(500);

/// A rule or a schedule that is to be acted by.
#[derive(Debug, Clone, PartialEq)]
pub enum Deed {
    Rule(config::Rule),
    Schedule(config::Schedule),
}

/// All that acts.
#[derive(Debug)]
pub struct Acting {
    pub(super) scripts: Arc<Scripts>,
    pub(super) shared: Arc<Shared>,
    pub(super) values: Values,
}

/// What can be started.
#[derive(Debug)]
pub struct Ready {
    deed: Deed,
    actor: Actor,
}

/// A task to be.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Deed {
    /// All that are enabled, by name.
    pub fn all(config: &Config) -> BTreeMap<String, Self> {
        let rules = config.rules.iter().filter(|rule| rule.enabled).cloned().map(Self::Rule);
        let schedules = config.schedules.iter().filter(|schedule| schedule.enabled).cloned().map(Self::Schedule);
        rules.chain(schedules).map(|deed| (deed.name().to_owned(), deed)).collect()
    }

    /// What fires it, if time does.
    pub fn schedule(&self) -> Option<&config::Schedule> {
        match self {
            Self::Rule(_) => None,
            Self::Schedule(schedule) => Some(schedule),
        }
    }

    pub fn is_script(&self) -> bool {
        self.action().kind() == ActionKind::Script
    }

    fn name(&self) -> &str {
        match self {
            Self::Rule(rule) => &rule.name,
            Self::Schedule(schedule) => &schedule.name,
        }
    }

    fn action(&self) -> &config::Action {
        match self {
            Self::Rule(rule) => &rule.action,
            Self::Schedule(schedule) => &schedule.action,
        }
    }
}

impl Acting {
    pub fn new(rules: Arc<Rules>, store: Arc<Store>) -> Self {
        let shared = Arc::new(Shared { store, rules, around: RwLock::default() });
        Self { scripts: Arc::default(), shared, values: Values::default() }
    }

    /// From now on it acts among these instances.
    pub fn set_around(&self, around: Around) {
        *self.shared.around.write().unwrap_or_else(PoisonError::into_inner) = around;
    }

    /// All that can fail about starting.
    pub fn prepare(&self, deed: Deed) -> anyhow::Result<Ready> {
        let actor = Actor::new(deed.name(), deed.action(), self)?;
        Ok(Ready { deed, actor })
    }

    /// What makes the deliveries of one of them; it ends when the signals say so.
    pub fn deliver(&self, ready: Ready, signals: &Signals) -> Option<Task> {
        let Ready { deed, actor } = ready;
        let owning = self.shared.rules.owning(deed.name())?;
        let courier = Courier {
            owner: owning.owner,
            actor,
            patience: deed.action().patience.clone(),
            max_age: if let Deed::Rule(rule) = &deed { rule.max_age } else { None },
            is_schedule: matches!(deed, Deed::Schedule(_)),
            shared: self.shared.clone(),
        };
        Some(Box::pin(courier.keep_delivering(owning.bell, signals.clone())))
    }

    /// What fires a schedule, whoever acts then.
    pub async fn fire(&self, schedule: config::Schedule, clock: &Clock, signals: &Signals) -> Task {
        let timer = Timer { schedule, shared: self.shared.clone() };
        Box::pin(timer.keep_firing(clock.clone(), signals.soon.clone()).await)
    }

    /// Keeps what is shown of them true.
    pub fn keep_showing(&self, stopping: watch::Receiver<bool>) -> impl Future<Output = ()> + Send + use<> {
        keep_showing(self.shared.clone(), self.values.clone(), stopping)
    }
}

/// Renews what is shown of deliveries, and looks for what was written by hand.
async fn keep_showing(shared: Arc<Shared>, values: Values, mut stopping: watch::Receiver<bool>) {
    let mut shown = BTreeSet::new();
    loop {
        let now = Timestamp::now();
        values.sweep(now, shared.rules.metrics());
        if let Err(error) = show(&shared, now, &mut shown).await {
            tracing::debug!(error = %anyhow::anyhow!(error), "what is owed could not be read");
        }
        tokio::select! {
            _ = stopping.wait_for(|stopping| *stopping) => return,
            () = shared.rules.changed.notified() => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        tokio::time::sleep(SHOW_EVERY).await;
    }
}

/// `shown` are those that something was shown of the last time.
async fn show(shared: &Shared, now: Timestamp, shown: &mut BTreeSet<String>) -> Result<(), StoreError> {
    let owes = shared.store.owes().await?;
    let (rules, metrics) = (&shared.rules, shared.rules.metrics());
    for name in rules.names().iter().filter(|name| !owes.iter().any(|owes| owes.rule == **name)) {
        metrics.owes(name, 0, 0, None);
    }
    for owes in &owes {
        metrics.owes(&owes.rule, owes.pending, owes.dead, owes.oldest_pending_at);
    }
    // A rule that is gone is shown as long as it has dead letters.
    let show: BTreeSet<String> = rules.names().into_iter().chain(owes.into_iter().map(|owes| owes.rule)).collect();
    for gone in shown.difference(&show) {
        metrics.owes_no_more(gone);
    }
    *shown = show;
    for (rule, due) in shared.store.owed_rules().await? {
        if due <= now {
            rules.ring(&rule);
        }
    }
    Ok(())
}
