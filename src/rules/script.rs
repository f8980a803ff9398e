//! Runs of scripts. A run that fails leaves nothing behind but what it asked of the API,
//! and no run holds up a thread of the runtime: each has its own, with limits in time,
//! operations and memory.

mod api;
mod fault;
mod host;
mod json;
mod memory;
mod store;
mod told;
mod tools;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rhai::{Dynamic, Engine, EvalAltResult, Scope};
use serde_json::{Map, Value};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot};

use self::api::Api;
pub use self::host::{Dry, Host, Live};
use self::memory::Growth;
use self::store::Store;
pub use self::told::{Emitted, Metric};
use self::told::{Metrics, Told};
use super::Outcome;
use crate::core::call::Allow;
use crate::core::lang::engine::to_dynamic;
use crate::core::lang::script::{Script, engine};

/// Values nest deep before a limit ends them, and the engine follows them by recursion.
/// Only what is used of a stack is really taken.
const STACK: usize = 256 << 20;

/// Between two looks at the clock and the memory.
const OPERATIONS_UNWATCHED: u64 = 16;

/// A rule runs one at a time, so this is for configurations beyond all measure. Less
/// would make rules wait for each other: a run may wait for its API for long.
const AT_ONCE: usize = 64;

/// All that runs scripts: so many of them at once, each on a thread of its own.
#[derive(Debug)]
pub struct Scripts(Arc<Semaphore>);

/// What a run is given.
#[derive(Clone)]
pub struct Task {
    pub script: Script,
    /// CloudEvents. All of them are `events` in a batch, else the first is `event`.
    pub events: Vec<Value>,
    pub is_batch: bool,
    pub instance: Instance,
    /// The writes that the rule may make, on an instance that is not read-only.
    pub allow: Vec<Allow>,
    pub read_only: bool,
    /// What the rule keeps.
    pub stored: BTreeMap<String, Value>,
    pub timeout: Duration,
    /// Whether a run that failed is worth another try.
    pub retry: bool,
    pub host: Arc<dyn Host>,
}

/// The instance as a script sees it.
#[derive(Debug, Clone)]
pub struct Instance {
    pub name: String,
    pub url: String,
    pub version: Option<String>,
}

/// What a run did, to be kept in one transaction with the end of its delivery. All but
/// the outcome is empty if it failed.
#[derive(Debug, Clone, PartialEq)]
pub struct Ran {
    pub outcome: Outcome,
    /// In their order: an event's place is a part of its id.
    pub emitted: Vec<Emitted>,
    pub metrics: Vec<Metric>,
    /// What the rule keeps from now on; `None` takes a key away.
    pub store: BTreeMap<String, Option<Value>>,
}

impl Default for Scripts {
    fn default() -> Self {
        Self::new(AT_ONCE)
    }
}

impl Scripts {
    pub fn new(at_once: usize) -> Self {
        Self(Arc::new(Semaphore::new(at_once)))
    }

    /// Runs a script to its end. If this is dropped the script is ended too.
    pub async fn run(&self, task: Task) -> Ran {
        let Ok(permit) = Arc::clone(&self.0).acquire_owned().await else {
            return Ran::failed(true, "the daemon is stopping".to_owned(), None);
        };
        let stop = Stop::default();
        let (done, ran) = oneshot::channel();
        let (retry, runtime, stopped) = (task.retry, Handle::current(), Arc::clone(&stop.0));
        let thread = thread::Builder::new().name("script".to_owned()).stack_size(STACK).spawn(move || {
            let ran = run(task, runtime, stopped);
            drop(permit);
            // Whoever waited may be gone.
            let _ = done.send(ran);
        });
        match thread {
            Err(error) => Ran::failed(true, format!("start a thread for the script: {error}"), None),
            Ok(_) => ran.await.unwrap_or_else(|_| {
                Ran::failed(
                    retry,
                    "the engine of the scripts broke down; this is an error of tubewarden".to_owned(),
                    None,
                )
            }),
        }
    }
}

impl std::fmt::Debug for Task {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Task").field("script", &self.script).field("instance", &self.instance).finish_non_exhaustive()
    }
}

impl Ran {
    fn failed(retry: bool, why: String, after: Option<Duration>) -> Self {
        let outcome = if retry { Outcome::Again { why, after } } else { Outcome::Dead { why } };
        Self { outcome, emitted: Vec::new(), metrics: Vec::new(), store: BTreeMap::new() }
    }
}

/// Ends the run when nobody waits for it any more.
#[derive(Default)]
struct Stop(Arc<AtomicBool>);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn run(task: Task, runtime: Handle, stopped: Arc<AtomicBool>) -> Ran {
    let deadline = Instant::now() + task.timeout;
    let (script, retry) = (task.script.clone(), task.retry);
    let mut engine = engine();
    watch(&mut engine, deadline, task.timeout, stopped);

    let told = Told::default();
    let metrics = Metrics::default();
    let store = Store::of(task.stored.clone());
    let log = tools::Log::of(Arc::clone(&task.host));
    let api = Api::new(&task, runtime, deadline);
    tools::register(&mut engine, &log);
    told::register(&mut engine, &told);
    store::register(&mut engine);
    api::register(&mut engine);

    let events = if task.is_batch {
        ("events", task.events.iter().map(to_dynamic).collect::<rhai::Array>().into())
    } else {
        ("event", task.events.first().map_or(Dynamic::UNIT, to_dynamic))
    };
    let given = [
        ("api", Dynamic::from(api.clone())),
        ("store", Dynamic::from(store.clone())),
        ("metric", Dynamic::from(metrics.clone())),
        ("log", Dynamic::from(log)),
        ("time", Dynamic::from(tools::Time)),
        ("url", Dynamic::from(tools::Url)),
        ("version", Dynamic::from(tools::Version)),
        ("instance", instance(&task.instance)),
        events,
    ];
    give(&mut engine, given.into());

    match engine.run_ast_with_scope(&mut Scope::new(), script.ast()) {
        Ok(()) => Ran { outcome: Outcome::Done, emitted: told.take(), metrics: metrics.take(), store: store.changes() },
        Err(error) => Ran::failed(retry, fault::tell(script.name(), *error), api.pause()),
    }
}

/// Gives a script its variables, in its functions and closures too: those don't see the
/// scope that a script begins with.
fn give(engine: &mut Engine, given: BTreeMap<&'static str, Dynamic>) {
    #[expect(deprecated, reason = "it is not, but may change with the engine's version")]
    engine.on_var(move |name, index, context| {
        // The script's own variables come first; an index says that there is one.
        if index > 0 || !given.contains_key(name) || context.scope().contains(name) {
            return Ok(None);
        }
        Ok(given.get(name).cloned())
    });
}

/// Ends a run that takes too long, takes too much, or that nobody waits for.
fn watch(engine: &mut Engine, deadline: Instant, timeout: Duration, stopped: Arc<AtomicBool>) {
    let growth = Growth::begin();
    engine.on_progress(move |operations| {
        if operations % OPERATIONS_UNWATCHED != 0 {
            return None;
        }
        if stopped.load(Ordering::Relaxed) {
            return Some("the daemon is stopping".into());
        }
        if Instant::now() >= deadline {
            return Some(fault::too_late(timeout).into());
        }
        growth.is_too_much().then(|| "takes more memory than a script may".into())
    });
}

fn instance(instance: &Instance) -> Dynamic {
    let mut map = Map::new();
    map.insert("name".to_owned(), instance.name.clone().into());
    map.insert("url".to_owned(), instance.url.clone().into());
    map.insert("version".to_owned(), instance.version.clone().into());
    to_dynamic(&Value::Object(map))
}

/// What functions of the interface give, or throw.
type Thrown<T> = Result<T, Box<EvalAltResult>>;

fn throw<T>(text: impl Into<String>) -> Thrown<T> {
    Err(text.into().into())
}
