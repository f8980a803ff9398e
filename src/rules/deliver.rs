//! Who delivers what rules owe: one task a rule, so that none waits for another's
//! endpoint. What failed waits by itself and blocks nothing behind it; a rule whose
//! every try fails rests as a whole.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tokio::sync::{Notify, watch};

use super::act::{Acted, Actor};
use super::book::Rules;
use super::{Delivery, Outcome};
use crate::config::Patience;
use crate::core::event::Origin;
use crate::core::glob::Globs;
use crate::core::rule::{ActionKind, Owner};
use crate::core::rule_told::{custom, limited};
use crate::log;
use crate::metrics::{Delivered, InstanceMetrics};
use crate::panics::caught;
use crate::peertube::Client;
use crate::store::{Committed, Next, Owed, Settlement, Store, StoreError, Turn, Verdict};

/// So many deliveries fail before a rule rests, and none succeeds.
const FAILURES_BEFORE_REST: usize = 3;
/// Of so many it is remembered that they failed.
const MOST_FAILURES: usize = 32;
/// The store is asked again after so long, if it fails.
const STORE_PAUSE: Duration = Duration::from_secs(1);
/// Nobody waits longer without looking: what is written by hand rings no bell here.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// Who delivers for one rule or schedule.
#[derive(Debug)]
pub(super) struct Courier {
    pub(super) owner: Arc<Owner>,
    pub(super) actor: Actor,
    pub(super) patience: Patience,
    pub(super) max_age: Option<Duration>,
    /// Whether it is a schedule, whose runs are counted.
    pub(super) is_schedule: bool,
    pub(super) shared: Arc<Shared>,
}

/// What all couriers share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) store: Arc<Store>,
    pub(super) rules: Arc<Rules>,
    pub(super) around: RwLock<Around>,
}

/// What they act among, which may change.
#[derive(Debug, Default)]
pub struct Around {
    /// Which events are logged at info.
    pub log_events: Globs,
    /// By name.
    pub instances: BTreeMap<String, Here>,
}

/// An instance, as those who act reach it.
#[derive(Debug, Clone)]
pub struct Here {
    pub origin: Origin,
    pub client: Client,
    pub read_only: bool,
    /// What is told outside a poll is counted like all else.
    pub metrics: InstanceMetrics,
}

/// When to stop.
#[derive(Debug, Clone)]
pub struct Signals {
    /// After what is under way.
    pub soon: watch::Receiver<bool>,
    /// What is under way is owed as before.
    pub now: watch::Receiver<bool>,
}

/// How the tries of a rule went lately.
#[derive(Debug)]
struct Course {
    began: Instant,
    /// Deliveries that failed since one succeeded. One that fails again and again says
    /// nothing of the others.
    failed: BTreeSet<i64>,
    rests_until: Option<Instant>,
}

impl Courier {
    pub(super) async fn keep_delivering(self, bell: Arc<Notify>, signals: Signals) {
        let Signals { mut soon, now: stopping } = signals;
        let mut course = Course { began: Instant::now(), failed: BTreeSet::new(), rests_until: None };
        let mut has_failed = false;
        while !*soon.borrow() {
            let step = self.step(&mut course, &stopping).await;
            let had_failed = std::mem::replace(&mut has_failed, step.is_err());
            let wait = match step {
                Ok(Step::Done) => continue,
                Ok(Step::Wait(wait)) => wait.min(LOOK_EVERY),
                Ok(Step::Stopped) => {
                    // A task that ends by itself would end the daemon.
                    tokio::select! {
                        _ = soon.wait_for(|stopping| *stopping) => return,
                        () = self.shared.rules.reloaded.notified() => continue,
                    }
                }
                Err(error) => {
                    // Tried again each second, but told once.
                    if !had_failed {
                        tracing::warn!(rule = %self.owner.name, error = %anyhow::anyhow!(error), "deliveries wait for the state");
                    }
                    STORE_PAUSE
                }
            };
            tokio::select! {
                _ = soon.wait_for(|stopping| *stopping) => return,
                () = bell.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    async fn step(&self, course: &mut Course, stopping: &watch::Receiver<bool>) -> Result<Step, StoreError> {
        let name = &self.owner.name;
        let mut wait = LOOK_EVERY;
        if self.owner.terms.limit.is_some()
            && let Some(at) = self.shared.store.sums_up_at(name, &self.owner.terms).await?
        {
            let now = Timestamp::now();
            if now >= at {
                self.sum_up(now).await?;
                return Ok(Step::Done);
            }
            wait = wait.min(until(at, now));
        }
        if let Some(rests_until) = course.rests_until {
            let left = rests_until.saturating_duration_since(Instant::now());
            if !left.is_zero() {
                return Ok(Step::Wait(wait.min(left)));
            }
            course.rests_until = None;
        }
        let now = Timestamp::now();
        let quiet = self.owner.terms.quiet.as_ref().and_then(|quiet| quiet.holds_until(now));
        let turn = match (quiet, course.failed.len() < FAILURES_BEFORE_REST) {
            (Some(_), _) => Turn::ByHand,
            (None, true) => Turn::Oldest,
            // Whether the other side is back is best learnt by what it has not refused yet.
            (None, false) => Turn::Fresh,
        };
        if let Some(end) = quiet {
            wait = wait.min(until(end, now));
        }
        match self.shared.store.next_owed(name, now, turn).await? {
            Next::Nothing => Ok(Step::Wait(wait)),
            Next::At(due) => Ok(Step::Wait(wait.min(until(due, now)))),
            Next::Owed(owed) => self.deliver(owed, course, stopping).await,
            Next::Unreadable { seq, id } => {
                // One that would be met again for ever must not stand before all others.
                let why = "what it is to deliver can't be read; a newer or damaged program wrote it".to_owned();
                tracing::error!(rule = %name, delivery = %id, why, "a delivery is given up; see `tubewarden deliveries list`");
                let settlement = Settlement::new(seq, name, Verdict::Dead { why }, now);
                self.settle(&settlement, stopping).await;
                self.shared.rules.metrics().delivered(name, self.owner.action, Delivered::Dead, 1);
                Ok(Step::Done)
            }
        }
    }

    /// One try, and what it leads to.
    async fn deliver(
        &self,
        owed: Owed,
        course: &mut Course,
        stopping: &watch::Receiver<bool>,
    ) -> Result<Step, StoreError> {
        let (name, action) = (&self.owner.name, self.owner.action);
        let metrics = self.shared.rules.metrics();
        let now = Timestamp::now();
        if self.drops_stale(&owed, now, stopping).await? {
            return Ok(Step::Done);
        }
        let delivery = Delivery { id: &owed.id, rule: name, events: &owed.events, is_batch: owed.is_batch };
        let began = Instant::now();
        let acted = match caught(self.actor.act(&delivery, stopping)).await {
            Ok(acted) => acted,
            Err(panic) => {
                metrics.failed(name);
                Acted::failed(format!("the try broke down, which is a defect of tubewarden: {panic}"))
            }
        };
        metrics.tried(name, action, began.elapsed());
        if *stopping.borrow() && acted.outcome != Outcome::Done {
            // Not its fault: it is owed as before.
            return Ok(Step::Stopped);
        }
        if matches!(action, ActionKind::Script) && acted.outcome != Outcome::Done {
            metrics.failed(name);
        }
        let verdict = self.verdict(&owed, &acted.outcome, course);
        let result = match &verdict {
            Verdict::Gone => Delivered::Ok,
            Verdict::Again { .. } => Delivered::Retry,
            Verdict::Dead { .. } => Delivered::Dead,
        };
        self.tell(&owed, &verdict);
        let stopped = matches!(acted.outcome, Outcome::Gone { .. });
        let settlement = self.settlement(&owed, verdict, acted);
        self.settle(&settlement, stopping).await;
        metrics.delivered(name, action, result, 1);
        if self.is_schedule && result != Delivered::Retry {
            let instance = owed.events.first().and_then(|event| event["data"]["instance"].as_str());
            metrics.ran(instance.unwrap_or_default(), name, result == Delivered::Ok, Timestamp::now());
        }
        if stopped {
            tracing::warn!(rule = %name, "the address is gone for good (410): the rule delivers nothing more until it is loaded anew");
            return Ok(Step::Stopped);
        }
        Ok(Step::Done)
    }

    /// Leaves out what is older than the rule acts on. Whether one of many events is, is
    /// asked before the first try alone: later the delivery has its content.
    async fn drops_stale(
        &self,
        owed: &Owed,
        now: Timestamp,
        stopping: &watch::Receiver<bool>,
    ) -> Result<bool, StoreError> {
        if owed.is_by_hand {
            return Ok(false);
        }
        let left: Vec<Value> = owed.events.iter().filter(|event| !self.is_stale(event, now)).cloned().collect();
        let stale = owed.events.len() - left.len();
        if left.is_empty() {
            self.settle(&Settlement::new(owed.seq, &self.owner.name, Verdict::Gone, now), stopping).await;
        } else if stale > 0 && owed.tries == 0 {
            self.shared.store.shed(owed.seq, &left).await?;
        } else {
            return Ok(false);
        }
        let (rule, delivery) = (&self.owner.name, &owed.id);
        tracing::info!(
            rule,
            delivery,
            events = stale,
            tries = owed.tries,
            "too old for the rule (`max_age`): left out"
        );
        self.shared.rules.metrics().delivered(rule, self.owner.action, Delivered::Stale, stale as u64);
        Ok(true)
    }

    fn verdict(&self, owed: &Owed, outcome: &Outcome, course: &mut Course) -> Verdict {
        let (why, after) = match outcome {
            Outcome::Done => {
                course.failed.clear();
                return Verdict::Gone;
            }
            Outcome::Dead { why } | Outcome::Gone { why } => {
                // It was answered, so the other side is there.
                course.failed.clear();
                return Verdict::Dead { why: why.clone() };
            }
            Outcome::Again { why, after } => (why, *after),
        };
        if course.failed.len() < MOST_FAILURES {
            course.failed.insert(owed.seq);
        }
        // A schedule has its own times.
        if let Some(over) = course.failed.len().checked_sub(FAILURES_BEFORE_REST).filter(|_| !self.is_schedule) {
            course.rests_until = Some(Instant::now() + self.pause(over as u32));
        }
        if let Some(after) = after {
            let until = Instant::now() + after;
            course.rests_until = Some(course.rests_until.map_or(until, |rests| rests.max(until)));
        }
        let now = Timestamp::now();
        // Negative after the clock was set back.
        let waited = Duration::try_from(now.duration_since(owed.first_due_at)).unwrap_or_default();
        // After a long time off, the other side may come up later than we do.
        let has_tried = course.began.elapsed() >= self.patience.give_up.min(self.patience.max_backoff);
        if waited >= self.patience.give_up && has_tried {
            let tries = owed.tries.saturating_add(1);
            return Verdict::Dead { why: format!("given up after {tries} tries: {why}") };
        }
        let pause = self.pause(owed.tries).max(after.unwrap_or_default());
        let due = now.saturating_add(SignedDuration::try_from(pause).unwrap_or(SignedDuration::MAX));
        Verdict::Again { due: due.unwrap_or(now), why: why.clone() }
    }

    /// Doubled with each try, and up to a fifth less.
    fn pause(&self, tries: u32) -> Duration {
        let doubled = self.patience.backoff.saturating_mul(2_u32.saturating_pow(tries));
        doubled.min(self.patience.max_backoff).mul_f64(0.8 + 0.2 * fastrand::f64())
    }

    fn is_stale(&self, event: &Value, now: Timestamp) -> bool {
        let at = event["time"].as_str().and_then(|at| at.parse::<Timestamp>().ok());
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (of, instance) = (text(&event["type"]), text(&event["data"]["instance"]));
        let age = at.map(|at| now.duration_since(self.shared.rules.our_time(&of, &instance, at)));
        self.max_age.zip(age).is_some_and(|(most, age)| age.is_positive() && age.unsigned_abs() > most)
    }

    fn settlement(&self, owed: &Owed, verdict: Verdict, acted: Acted) -> Settlement {
        let mut settlement = Settlement::new(owed.seq, &self.owner.name, verdict, Timestamp::now());
        if acted.outcome != Outcome::Done {
            return settlement;
        }
        let told = acted.emitted.into_iter().enumerate();
        settlement.events = told
            .filter_map(|(place, emitted)| custom(&owed.events, &self.owner.name, place, emitted.kind, emitted.data))
            .collect();
        settlement.claims = self.shared.rules.claims(&settlement.events);
        settlement.kept = acted.kept;
        settlement
    }

    /// Stores how a try ended; as long as the state does not take it, nothing else is
    /// tried, for this one would come again. It does after a stop.
    async fn settle(&self, settlement: &Settlement, stopping: &watch::Receiver<bool>) {
        let mut stopping = stopping.clone();
        let mut has_failed = false;
        loop {
            let error = match self.shared.store.settle(settlement).await {
                Ok(committed) => {
                    self.shared.tell(&committed);
                    self.shared.rules.changed.notify_one();
                    return;
                }
                Err(error) => anyhow::anyhow!(error),
            };
            let (rule, why) = (&self.owner.name, "how a delivery ended could not be stored");
            if has_failed {
                tracing::debug!(rule, error = %error, "{why}");
            } else {
                tracing::warn!(rule, error = %error, "{why}; the rule waits until it can be");
            }
            has_failed = true;
            tokio::select! {
                _ = stopping.wait_for(|stopping| *stopping) => return,
                () = tokio::time::sleep(STORE_PAUSE) => {}
            }
        }
    }

    async fn sum_up(&self, now: Timestamp) -> Result<(), StoreError> {
        let owner = &self.owner;
        let tell = |swallowed: &_| {
            let event = limited(&owner.name, swallowed, now);
            let claims = self.shared.rules.claims(std::slice::from_ref(&event));
            (event, claims)
        };
        if let Some(committed) = self.shared.store.sum_up(&owner.name, &owner.terms, now, tell).await? {
            self.shared.tell(&committed);
        }
        Ok(())
    }

    fn tell(&self, owed: &Owed, verdict: &Verdict) {
        let (rule, delivery) = (&self.owner.name, &owed.id);
        match verdict {
            Verdict::Gone => tracing::debug!(rule, delivery, tries = owed.tries + 1, "delivered"),
            Verdict::Again { why, .. } if owed.tries == 0 => {
                tracing::warn!(rule, delivery, why, "a delivery failed; it will be tried again");
            }
            Verdict::Again { why, .. } => tracing::debug!(rule, delivery, why, "a delivery failed again"),
            Verdict::Dead { why } => {
                tracing::warn!(rule, delivery, why, "a delivery is given up; see `tubewarden deliveries list`")
            }
        }
    }
}

impl Shared {
    pub(super) fn here(&self, instance: &str) -> Option<Here> {
        self.around().instances.get(instance).cloned()
    }

    /// The instances that a schedule is for.
    pub(super) fn origins(&self, only: Option<&str>) -> Vec<Origin> {
        let around = self.around();
        let all = around.instances.values().map(|here| &here.origin);
        all.filter(|origin| only.is_none_or(|only| only == origin.name)).cloned().collect()
    }

    fn around(&self) -> RwLockReadGuard<'_, Around> {
        self.around.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// After a commit that no poll made.
    pub(super) fn tell(&self, committed: &Committed) {
        for event in &committed.told {
            let around = self.around();
            if let Some(here) = around.instances.get(event.instance()) {
                here.metrics.told(event.kind);
            }
            log::event(event, around.log_events.matches(event.type_name()));
        }
        self.rules.admitted(committed);
    }
}

enum Step {
    /// Something was done: look again at once.
    Done,
    Wait(Duration),
    /// Nothing more will be done until it is loaded anew.
    Stopped,
}

fn until(at: Timestamp, now: Timestamp) -> Duration {
    // A millisecond more: what is due is stored in whole ones.
    at.duration_since(now).try_into().unwrap_or(Duration::ZERO) + Duration::from_millis(1)
}
