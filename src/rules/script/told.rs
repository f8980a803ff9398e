//! `emit` and `metric`: what a script tells. It is only noted here, in bounded numbers;
//! whoever ran the script tells it once the run has succeeded.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rhai::{Dynamic, Engine};
use serde_json::{Map, Value};

use super::json::to_json;
use super::{Thrown, throw};

const MOST_EVENTS: usize = 100;
const LONGEST_TYPE: usize = 64;
const LONGEST_DATA: usize = 64 << 10;
const MOST_NAMES: usize = 64;
const LONGEST_NAME: usize = 64;
const LONGEST_TTL: Duration = Duration::from_hours(24 * 366);

/// An event of a script's own.
#[derive(Debug, Clone, PartialEq)]
pub struct Emitted {
    /// `custom.` and a name.
    pub kind: String,
    pub data: Map<String, Value>,
}

/// What a script measured.
#[derive(Debug, Clone, PartialEq)]
pub enum Metric {
    Set {
        name: String,
        value: f64,
        /// How long it is worth to be shown.
        ttl: Duration,
    },
    Count {
        name: String,
        by: u64,
    },
}

#[derive(Clone, Default)]
pub(super) struct Told(Arc<Mutex<Vec<Emitted>>>);

#[derive(Clone, Default)]
pub(super) struct Metrics(Arc<Mutex<Names>>);

#[derive(Default)]
struct Names {
    set: BTreeMap<String, (f64, Duration)>,
    counted: BTreeMap<String, u64>,
}

pub(super) fn register(engine: &mut Engine, told: &Told) {
    let told = told.clone();
    engine
        .register_type_with_name::<Metrics>("metric")
        .register_fn("emit", move |kind: &str, data: Dynamic| told.emit(kind, &data))
        .register_fn("set", |metrics: Metrics, name: &str, value: Dynamic, ttl: Dynamic| {
            metrics.set(name, &value, &ttl)
        })
        .register_fn("inc", |metrics: Metrics, name: &str| metrics.count(name));
}

impl Told {
    pub(super) fn take(&self) -> Vec<Emitted> {
        std::mem::take(&mut self.events())
    }

    fn emit(&self, kind: &str, data: &Dynamic) -> Thrown<()> {
        let is_plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, b'_' | b'.');
        let name = kind.strip_prefix("custom.").unwrap_or_default();
        if name.is_empty() || name.len() > LONGEST_TYPE || !name.bytes().all(is_plain) {
            return throw(format!(
                "the type of an event of your own is custom. and up to {LONGEST_TYPE} of a-z, 0-9, _ and ."
            ));
        }
        let data = match to_json(data) {
            Ok(Value::Object(data)) => data,
            Ok(_) => return throw("the data of an event is a map, as #{ count: 3 }"),
            Err(wrong) => return throw(format!("the data of {kind} {wrong}")),
        };
        if serde_json::to_string(&data).map_or(0, |text| text.len()) > LONGEST_DATA {
            return throw(format!("the data of an event has at most {LONGEST_DATA} bytes of JSON"));
        }
        let mut events = self.events();
        if events.len() >= MOST_EVENTS {
            return throw(format!("a script may emit {MOST_EVENTS} events in a run"));
        }
        events.push(Emitted { kind: kind.to_owned(), data });
        Ok(())
    }

    fn events(&self) -> MutexGuard<'_, Vec<Emitted>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Metrics {
    pub(super) fn take(&self) -> Vec<Metric> {
        let Names { set, counted } = std::mem::take(&mut *self.names());
        let set = set.into_iter().map(|(name, (value, ttl))| Metric::Set { name, value, ttl });
        set.chain(counted.into_iter().map(|(name, by)| Metric::Count { name, by })).collect()
    }

    fn set(&self, name: &str, value: &Dynamic, ttl: &Dynamic) -> Thrown<()> {
        let name = self.name(name)?;
        let Some(value) = number(value) else { return throw("the value of a metric is a number") };
        let ttl = number(ttl).filter(|ttl| *ttl > 0.0).and_then(|ttl| Duration::try_from_secs_f64(ttl).ok());
        let Some(ttl) = ttl.filter(|ttl| *ttl <= LONGEST_TTL) else {
            return throw("a metric is shown for a number of seconds, above 0 and up to a year");
        };
        self.names().set.insert(name, (value, ttl));
        Ok(())
    }

    fn count(&self, name: &str) -> Thrown<()> {
        let name = self.name(name)?;
        *self.names().counted.entry(name).or_default() += 1;
        Ok(())
    }

    fn name(&self, name: &str) -> Thrown<String> {
        let is_plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_';
        let begins_well = name.bytes().next().is_some_and(|c| !c.is_ascii_digit());
        if !begins_well || name.len() > LONGEST_NAME || !name.bytes().all(is_plain) {
            return throw(format!("a metric's name has up to {LONGEST_NAME} of a-z, 0-9 and _, and no digit first"));
        }
        let names = self.names();
        let is_known = names.set.contains_key(name) || names.counted.contains_key(name);
        if !is_known && names.set.len() + names.counted.len() >= MOST_NAMES {
            return throw(format!("a rule has at most {MOST_NAMES} metrics"));
        }
        Ok(name.to_owned())
    }

    fn names(&self) -> MutexGuard<'_, Names> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn number(value: &Dynamic) -> Option<f64> {
    let number = value.as_float().or_else(|_| value.as_int().map(|whole| whole as f64));
    number.ok().filter(|number| number.is_finite())
}
