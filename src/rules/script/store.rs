//! `store`: a rule's own small map. What a run sets is seen by it at once, and by others
//! only if it succeeds.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rhai::{Dynamic, Engine};
use serde_json::Value;

use super::json::to_json;
use super::{Thrown, throw};
use crate::core::lang::engine::to_dynamic;

const LONGEST_KEY: usize = 200;
const LONGEST_VALUE: usize = 64 << 10;
const MOST_KEYS: usize = 1000;
/// All of it is read at each run.
const MOST_BYTES: usize = 1 << 20;

#[derive(Clone)]
pub(super) struct Store(Arc<Mutex<State>>);

struct State {
    all: BTreeMap<String, Value>,
    bytes: usize,
    changes: BTreeMap<String, Option<Value>>,
}

pub(super) fn register(engine: &mut Engine) {
    engine
        .register_type_with_name::<Store>("store")
        .register_fn("get", |store: Store, key: &str| store.get(key))
        .register_fn("set", |store: Store, key: &str, value: Dynamic| store.set(key, &value));
}

impl Store {
    pub(super) fn of(all: BTreeMap<String, Value>) -> Self {
        let bytes = all.iter().map(|(key, value)| size(key, value)).sum();
        Self(Arc::new(Mutex::new(State { all, bytes, changes: BTreeMap::new() })))
    }

    pub(super) fn changes(&self) -> BTreeMap<String, Option<Value>> {
        std::mem::take(&mut self.state().changes)
    }

    fn get(&self, key: &str) -> Dynamic {
        self.state().all.get(key).map_or(Dynamic::UNIT, to_dynamic)
    }

    /// Setting `()` takes the key away, for that is what an unknown one gives.
    fn set(&self, key: &str, value: &Dynamic) -> Thrown<()> {
        if key.is_empty() || key.chars().count() > LONGEST_KEY {
            return throw(format!("a key of store has 1 to {LONGEST_KEY} characters"));
        }
        let value = to_json(value).or_else(|wrong| throw(format!("store.set: the value {wrong}")))?;
        let mut state = self.state();
        let before = state.all.get(key).map_or(0, |value| size(key, value));
        if value.is_null() {
            state.all.remove(key);
            state.bytes -= before;
            state.changes.insert(key.to_owned(), None);
            return Ok(());
        }
        let after = size(key, &value);
        if after - key.len() > LONGEST_VALUE {
            return throw(format!("a value of store has at most {LONGEST_VALUE} bytes of JSON"));
        }
        if before == 0 && state.all.len() >= MOST_KEYS {
            return throw(format!("a rule keeps at most {MOST_KEYS} keys; take old ones away by store.set(key, ())"));
        }
        if state.bytes - before + after > MOST_BYTES {
            return throw(format!(
                "a rule keeps at most {MOST_BYTES} bytes of JSON; take old keys away by store.set(key, ())"
            ));
        }
        state.bytes = state.bytes - before + after;
        state.all.insert(key.to_owned(), value.clone());
        state.changes.insert(key.to_owned(), Some(value));
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn size(key: &str, value: &Value) -> usize {
    key.len() + value.to_string().len()
}
