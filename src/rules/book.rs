//! Which rules act on an event. What they are to do is decided with the event's own
//! transaction; here it is only said who is concerned.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};

use anyhow::Context;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tokio::sync::Notify;

use crate::config::{self, Config};
use crate::core::event::{Event, EventKind};
use crate::core::rule::{Admission, Owner, Terms};
use crate::metrics::{Delivered, RuleMetrics};
use crate::panics::caught_now;
use crate::store::{Claim, Committed, Store};

/// Events that a script tells about events that a script told, and so on.
const DEEPEST: u64 = 4;

/// What events are about that have the time of the instance's clock.
const THEIRS: [&str; 6] = ["abuse", "job", "live", "registration", "runner", "video"];

/// All rules and schedules, as the configuration has them now.
#[derive(Debug)]
pub struct Rules {
    book: RwLock<Book>,
    metrics: RuleMetrics,
    /// By how much the clocks of instances are behind ours, where it is much.
    clocks: Mutex<BTreeMap<String, SignedDuration>>,
    /// Something was owed or settled, so that what is shown of it is old.
    pub(super) changed: Notify,
    /// The configuration was read anew: what stopped for good may begin again.
    pub(super) reloaded: Notify,
}

#[derive(Debug, Default)]
struct Book {
    /// Those that are enabled.
    rules: Vec<Entry>,
    owners: BTreeMap<String, Owning>,
}

#[derive(Debug)]
struct Entry {
    rule: config::Rule,
    owner: Arc<Owner>,
    added_at: Timestamp,
    has_failed: AtomicBool,
}

#[derive(Debug, Clone)]
pub(super) struct Owning {
    pub(super) owner: Arc<Owner>,
    pub(super) added_at: Timestamp,
    pub(super) bell: Arc<Notify>,
}

impl Rules {
    /// Makes the state know them.
    pub async fn open(config: &Config, store: &Store, metrics: &RuleMetrics) -> anyhow::Result<Self> {
        let rules = Self {
            book: RwLock::default(),
            metrics: metrics.clone(),
            clocks: Mutex::default(),
            changed: Notify::new(),
            reloaded: Notify::new(),
        };
        rules.replace(config, store).await?;
        Ok(rules)
    }

    /// From now on these are the rules, and no others.
    pub async fn replace(&self, config: &Config, store: &Store) -> anyhow::Result<()> {
        let of_rules = config.rules.iter().map(|rule| (&rule.name, &rule.action, rule.terms.clone()));
        let of_schedules = config.schedules.iter().map(|of| (&of.name, &of.action, Terms::default()));
        let all: Vec<_> = of_rules.chain(of_schedules).collect();
        let names: Vec<_> = all.iter().map(|(name, _, terms)| (name.as_str(), terms.batch.is_some())).collect();
        let enrolled =
            store.enrol_rules(&names, Timestamp::now()).await.context("make the rules known to the state")?;
        for (rule, owed) in &enrolled.orphaned {
            tracing::warn!(
                rule,
                owed,
                "the rule is not in the configuration any more: what it owed is kept as dead letters; see `tubewarden deliveries list`"
            );
        }
        let mut owners = BTreeMap::new();
        let bell = |name: &str| self.book().owners.get(name).map(|owning| owning.bell.clone()).unwrap_or_default();
        for (name, action, terms) in all {
            let owner = Arc::new(Owner { name: name.clone(), action: action.kind(), terms });
            let added_at = enrolled.added_at.get(name).copied().unwrap_or(Timestamp::MAX);
            self.metrics.begin(name, owner.action);
            // Who goes on with its work still hears it.
            owners.insert(name.clone(), Owning { owner, added_at, bell: bell(name) });
        }
        let mut rules = Vec::new();
        for rule in config.rules.iter().filter(|rule| rule.enabled) {
            if let Some(owning) = owners.get(&rule.name) {
                let (owner, added_at) = (owning.owner.clone(), owning.added_at);
                rules.push(Entry { rule: rule.clone(), owner, added_at, has_failed: AtomicBool::new(false) });
            }
        }
        let book = Book { rules, owners };
        let before = std::mem::replace(&mut *self.book.write().unwrap_or_else(PoisonError::into_inner), book);
        for (name, gone) in &before.owners {
            if self.owning(name).is_none_or(|owning| owning.owner.action != gone.owner.action) {
                self.metrics.end(name, gone.owner.action);
            }
        }
        self.changed.notify_one();
        self.reloaded.notify_waiters();
        Ok(())
    }

    fn book(&self) -> RwLockReadGuard<'_, Book> {
        self.book.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The clock of an instance is behind ours by so much.
    pub fn set_clock(&self, instance: &str, behind: SignedDuration) {
        let mut clocks = self.clocks.lock().unwrap_or_else(PoisonError::into_inner);
        if behind.is_positive() {
            clocks.insert(instance.to_owned(), behind);
        } else {
            clocks.remove(instance);
        }
    }

    /// A time of an event by our clock: what an instance told has the time of its own, and
    /// where that is behind, nothing would seem to happen after a rule was added.
    pub(super) fn our_time(&self, of: &str, instance: &str, at: Timestamp) -> Timestamp {
        let is_of_the_instance = of.split_once('.').is_some_and(|(about, _)| THEIRS.contains(&about));
        let clocks = self.clocks.lock().unwrap_or_else(PoisonError::into_inner);
        let behind = clocks.get(instance).filter(|_| is_of_the_instance);
        behind.and_then(|behind| at.checked_add(*behind).ok()).unwrap_or(at)
    }

    /// Which rules act on these events.
    pub fn claims(&self, events: &[Event]) -> Vec<Claim> {
        let mut claims = Vec::new();
        let book = self.book();
        for (place, event) in events.iter().enumerate() {
            let mut json = None;
            for entry in &book.rules {
                let at = self.our_time(event.type_name(), event.instance(), event.time);
                if entry.is_concerned(event, at) && self.holds(entry, json.get_or_insert_with(|| event.to_json())) {
                    claims.push(Claim { event: place, owner: entry.owner.clone() });
                }
            }
        }
        claims
    }

    /// Counts what became of claims, and wakes who delivers.
    pub fn admitted(&self, committed: &Committed) {
        for admitted in &committed.admitted {
            let (name, action) = (&admitted.owner.name, admitted.owner.action);
            match admitted.admission {
                Admission::Limited => self.metrics.delivered(name, action, Delivered::Limited, 1),
                Admission::Deduplicated => self.metrics.delivered(name, action, Delivered::Deduplicated, 1),
                Admission::Owed { .. } | Admission::Joins { .. } => {}
            }
            // What the limit swallowed for the first time is to be summed up in time, too.
            self.ring(name);
        }
        if !committed.admitted.is_empty() {
            self.changed.notify_one();
        }
    }

    pub(super) fn ring(&self, owner: &str) {
        if let Some(owning) = self.book().owners.get(owner) {
            owning.bell.notify_one();
        }
    }

    pub(super) fn owning(&self, owner: &str) -> Option<Owning> {
        self.book().owners.get(owner).cloned()
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.book().owners.keys().cloned().collect()
    }

    pub(super) fn metrics(&self) -> &RuleMetrics {
        &self.metrics
    }

    /// Whether the condition holds. One that throws doesn't, and is told the first time.
    fn holds(&self, entry: &Entry, event: &Value) -> bool {
        let Some(when) = &entry.rule.when else { return true };
        // A condition that breaks its engine would break each poll that tells of the event.
        let held = caught_now(|| when.matches(event));
        match held.unwrap_or_else(|panic| Err(format!("it broke down: {panic}"))) {
            Ok(holds) => holds,
            Err(error) => {
                let rule = &entry.rule.name;
                self.metrics.failed(rule);
                if entry.has_failed.swap(true, Ordering::Relaxed) {
                    tracing::debug!(rule, event_id = event["id"].as_str(), error, "the condition failed again");
                } else {
                    tracing::warn!(rule, error, "the condition of the rule failed, which counts as no match");
                }
                false
            }
        }
    }
}

impl Entry {
    fn is_concerned(&self, event: &Event, at: Timestamp) -> bool {
        let rule = &self.rule;
        rule.on.matches(event.type_name())
            && rule.instances.as_ref().is_none_or(|names| names.iter().any(|name| name == event.instance()))
            && at >= self.added_at
            && !self.is_of_itself(event)
    }

    /// A rule never acts on what its own script told, nor on its own summary, nor when
    /// scripts answer each other without end.
    fn is_of_itself(&self, event: &Event) -> bool {
        let is_by_this = event.data.get("rule").and_then(Value::as_str) == Some(&self.rule.name);
        match event.kind {
            EventKind::Custom => is_by_this || depth(event) >= DEEPEST,
            EventKind::RuleLimited => is_by_this,
            _ => false,
        }
    }
}

/// How many scripts stand between an event and what happened.
pub(super) fn depth(event: &Event) -> u64 {
    event.data.get("depth").and_then(Value::as_u64).unwrap_or(0)
}
