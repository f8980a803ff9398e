//! All that acts, as the daemon starts and stops it: a task for each rule, one for each
//! schedule, and one that keeps what is shown of them true.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::act::{Actor, Places, Surroundings};
use super::book::Rules;
use super::deliver::{Courier, Shared};
use super::schedule::Timer;
use super::script::Scripts;
use super::values::Values;
use crate::config::Config;
use crate::core::event::Origin;
use crate::metrics::InstanceMetrics;
use crate::schedule::Clock;
use crate::store::Store;

/// What people write to the state beside the daemon is noticed after so long.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// What is shown is renewed this often at most.
const SHOW_EVERY: Duration = Duration::from_millis(500);

/// What there is to start.
#[derive(Debug)]
pub struct Acting {
    couriers: Vec<Courier>,
    timers: Vec<Timer>,
    shared: Arc<Shared>,
    values: Values,
}

impl Acting {
    pub fn new(
        config: &Config,
        rules: Arc<Rules>,
        store: Arc<Store>,
        places: Places,
        instances: BTreeMap<String, InstanceMetrics>,
    ) -> anyhow::Result<Self> {
        let values = Values::default();
        let around = Surroundings {
            scripts: Arc::new(Scripts::default()),
            places: Arc::new(places),
            store: store.clone(),
            metrics: rules.metrics().clone(),
            values: values.clone(),
        };
        let log_events = config.log.events.clone();
        let shared = Arc::new(Shared { store, rules, log_events, instances });
        let mut couriers = Vec::new();
        let of_rules = config.rules.iter().filter(|rule| rule.enabled).map(|of| (&of.name, &of.action, of.max_age));
        let of_schedules = config.schedules.iter().filter(|of| of.enabled).map(|of| (&of.name, &of.action, None));
        let is_schedule = |name: &str| config.schedules.iter().any(|schedule| schedule.name == name);
        for (name, action, max_age) in of_rules.chain(of_schedules) {
            let Some(owning) = shared.rules.owning(name) else { continue };
            couriers.push(Courier {
                owner: owning.owner.clone(),
                actor: Actor::new(name, action, &around)?,
                patience: action.patience.clone(),
                max_age,
                is_schedule: is_schedule(name),
                shared: shared.clone(),
            });
        }
        let timers = config.schedules.iter().filter(|schedule| schedule.enabled).map(|schedule| {
            let is_meant = |origin: &&Origin| schedule.instance.as_ref().is_none_or(|name| *name == origin.name);
            let origins = config.instances.iter().map(|instance| &instance.origin).filter(is_meant);
            Timer { schedule: schedule.clone(), origins: origins.cloned().collect(), shared: shared.clone() }
        });
        Ok(Self { couriers, timers: timers.collect(), shared, values })
    }

    /// Starts all of it; it ends when `stopping` says so.
    pub async fn start(self, clock: &Clock, tasks: &mut JoinSet<()>, stopping: &watch::Receiver<bool>) {
        for courier in self.couriers {
            tasks.spawn(courier.keep_delivering(stopping.clone()));
        }
        for timer in self.timers {
            tasks.spawn(timer.keep_firing(clock.clone(), stopping.clone()).await);
        }
        tasks.spawn(keep_showing(self.shared, self.values, stopping.clone()));
    }
}

/// Renews what is shown of deliveries, and looks for what was written by hand.
async fn keep_showing(shared: Arc<Shared>, values: Values, mut stopping: watch::Receiver<bool>) {
    loop {
        let now = Timestamp::now();
        values.sweep(now, shared.rules.metrics());
        if let Err(error) = show(&shared, now).await {
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

async fn show(shared: &Shared, now: Timestamp) -> Result<(), crate::store::StoreError> {
    let owes = shared.store.owes().await?;
    let (rules, metrics) = (&shared.rules, shared.rules.metrics());
    for name in rules.names().filter(|name| !owes.iter().any(|owes| owes.rule == **name)) {
        metrics.owes(name, 0, 0, None);
    }
    for owes in &owes {
        metrics.owes(&owes.rule, owes.pending, owes.dead, owes.oldest_pending_at);
    }
    for (rule, due) in shared.store.owed_rules().await? {
        if due <= now {
            rules.ring(&rule);
        }
    }
    Ok(())
}
