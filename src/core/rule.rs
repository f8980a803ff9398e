//! When a rule acts on an event that matches it, and when what it owes is due. Decided
//! once, in the transaction of the event, from what the rule did before; what is
//! decided is never decided anew by a retry or after a crash.

mod quiet;

use std::collections::{BTreeMap, VecDeque};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::event::Event;
use super::text::clean;
pub use quiet::{Quiet, QuietError};

/// A batch of more events is closed, and another one begun.
const MOST_IN_BATCH: u32 = 500;
/// Of so many happenings it is remembered that the rule acted on them.
const MOST_SEEN: usize = 10_000;
/// Types that a summary of what a limit swallowed names one by one.
const MOST_TYPES: usize = 32;
const LONGEST_KEY: usize = 200;

/// Who acts on events: a rule or a schedule, as far as the state knows it.
#[derive(Debug, Clone, PartialEq)]
pub struct Owner {
    /// Unique among both.
    pub name: String,
    pub action: ActionKind,
    pub terms: Terms,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ActionKind {
    Webhook,
    Exec,
    Script,
}

impl ActionKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Exec => "exec",
            Self::Script => "script",
        }
    }
}

/// When a rule acts, beside what it matches.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Terms {
    pub limit: Option<Limit>,
    pub dedupe: Option<Dedupe>,
    /// What happens within it is one delivery.
    pub batch: Option<SignedDuration>,
    pub quiet: Option<Quiet>,
}

/// At most so many deliveries in any span of that length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    pub most: u32,
    pub within: SignedDuration,
}

/// Of happenings with the same key, the first within that time is acted on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dedupe {
    pub by: DedupeBy,
    pub within: SignedDuration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DedupeBy {
    Video,
    JobType,
    Runner,
    Instance,
    Type,
}

/// What a rule remembers of what it did.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RuleMemory {
    /// When the deliveries began that count for the limit.
    acted: VecDeque<Timestamp>,
    /// When it last acted on what has that key.
    seen: BTreeMap<String, Timestamp>,
    /// By the instance that its events are of.
    open: BTreeMap<String, OpenBatch>,
    swallowed: Option<Swallowed>,
}

/// The delivery that takes more events until then.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct OpenBatch {
    delivery: String,
    closes: Timestamp,
    events: u32,
}

/// What the limit has swallowed since it was last summed up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Swallowed {
    pub since: Timestamp,
    pub count: u64,
    pub types: BTreeMap<String, u64>,
    /// Name and address of the instance where the last of it happened.
    pub instance: String,
    pub source: String,
}

/// What became of an event that a rule matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    /// A delivery of its own, or the first of a batch, which is not to be sent before.
    Owed {
        delivery: String,
        due: Timestamp,
    },
    /// One more event of a batch.
    Joins {
        delivery: String,
    },
    Limited,
    Deduplicated,
}

impl RuleMemory {
    /// The batches that an event would join, as far as is known here. One that is under
    /// way by now has to be closed.
    pub fn open_batches(&self) -> Vec<String> {
        self.open.values().map(|open| open.delivery.clone()).collect()
    }

    pub fn close_batch(&mut self, delivery: &str) {
        self.open.retain(|_, open| open.delivery != delivery);
    }

    /// Decides on an event of that moment, and remembers it.
    pub fn admit(&mut self, rule: &str, terms: &Terms, event: &Event, now: Timestamp) -> Admission {
        let key = terms.dedupe.and_then(|dedupe| dedupe.by.key(event));
        if self.is_repeated(terms, key.as_deref(), now) {
            return Admission::Deduplicated;
        }
        self.open.retain(|_, open| terms.batch.is_some() && now < open.closes && open.events < MOST_IN_BATCH);
        if let Some(open) = self.open.get_mut(event.instance()) {
            open.events += 1;
            let delivery = open.delivery.clone();
            self.see(key, now);
            return Admission::Joins { delivery };
        }
        if !self.is_within(terms, now) {
            self.swallow(event, now);
            return Admission::Limited;
        }
        self.see(key, now);
        let delivery = delivery_id(&event.id, rule);
        let collected = now.saturating_add(terms.batch.unwrap_or_default()).unwrap_or(now);
        let due = terms.quiet.as_ref().map_or(collected, |quiet| quiet.ends_after(collected));
        if terms.batch.is_some() {
            let open = OpenBatch { delivery: delivery.clone(), closes: due, events: 1 };
            self.open.insert(event.instance().to_owned(), open);
        }
        Admission::Owed { delivery, due }
    }

    /// When what the limit swallowed is to be summed up: as soon as it allows one more.
    pub fn sums_up_at(&self, terms: &Terms) -> Option<Timestamp> {
        let swallowed = self.swallowed.as_ref()?;
        let frees = terms.limit.zip(self.acted.front()).map(|(limit, first)| first.saturating_add(limit.within));
        Some(frees.and_then(Result::ok).unwrap_or(swallowed.since))
    }

    /// What to sum up, which then begins anew.
    pub fn sum_up(&mut self, terms: &Terms, now: Timestamp) -> Option<Swallowed> {
        self.sums_up_at(terms).filter(|at| now >= *at)?;
        self.swallowed.take()
    }

    fn is_repeated(&mut self, terms: &Terms, key: Option<&str>, now: Timestamp) -> bool {
        let Some(dedupe) = terms.dedupe else {
            self.seen.clear();
            return false;
        };
        self.seen.retain(|_, at| now.duration_since(*at) < dedupe.within && *at <= now);
        key.is_some_and(|key| self.seen.contains_key(key))
    }

    /// Only what is acted on: what a limit swallowed has still to come.
    fn see(&mut self, key: Option<String>, now: Timestamp) {
        let Some(key) = key else { return };
        if self.seen.len() >= MOST_SEEN
            && let Some(oldest) = self.seen.iter().min_by_key(|(_, at)| **at).map(|(key, _)| key.clone())
        {
            self.seen.remove(&oldest);
        }
        self.seen.insert(key, now);
    }

    fn is_within(&mut self, terms: &Terms, now: Timestamp) -> bool {
        let Some(limit) = terms.limit else {
            self.acted.clear();
            return true;
        };
        // A clock that was set back must not hold the limit for ever.
        self.acted.retain(|at| now.duration_since(*at) < limit.within && *at <= now);
        let is_within = self.acted.len() < limit.most as usize;
        if is_within {
            self.acted.push_back(now);
        }
        is_within
    }

    fn swallow(&mut self, event: &Event, now: Timestamp) {
        let swallowed = self.swallowed.get_or_insert_with(|| Swallowed {
            since: now,
            count: 0,
            types: BTreeMap::new(),
            instance: String::new(),
            source: String::new(),
        });
        swallowed.count += 1;
        (swallowed.instance, swallowed.source) = (event.instance().to_owned(), event.source.clone());
        if swallowed.types.len() < MOST_TYPES || swallowed.types.contains_key(event.type_name()) {
            *swallowed.types.entry(event.type_name().to_owned()).or_default() += 1;
        }
    }
}

impl DedupeBy {
    /// What makes two events the same to a rule. Without it an event is like no other.
    pub fn key(self, event: &Event) -> Option<String> {
        let text = |value: Option<&serde_json::Value>| value.and_then(|value| value.as_str()).map(str::to_owned);
        let own = match self {
            Self::Video => text(event.data.get("video").and_then(|video| video.get("uuid")))?,
            Self::JobType => text(event.data.get("job_type"))?,
            Self::Runner => text(event.data.get("runner"))?,
            Self::Type => event.type_name().to_owned(),
            Self::Instance => String::new(),
        };
        Some(clean(&format!("{} {own}", event.instance()), LONGEST_KEY))
    }
}

/// The id of what a rule owes for an event: the same at each try and after a crash.
pub fn delivery_id(event: &str, rule: &str) -> String {
    let hash = Sha256::digest(rule);
    let digits: String = hash.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    format!("{event}-{digits}")
}

#[cfg(test)]
mod tests;
