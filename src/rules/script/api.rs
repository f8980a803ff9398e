//! `api`: the instance's REST API, as far as the rule allows it. Nothing is written that
//! neither the rule names nor the instance permits, whatever the script asks.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rhai::{Array, Dynamic, Engine, EvalAltResult, Map, Position};
use serde_json::Value;
use tokio::runtime::Handle;

use super::host::Host;
use super::json::to_json;
use super::{Task, Thrown, fault, throw};
use crate::core::call::{Allow, Method, Path};
use crate::core::lang::engine::to_dynamic;

/// As many as PeerTube gives at once.
const PAGE: usize = 100;
const MOST_PAGES: usize = 20;
const MOST_CALLS: usize = 500;
const LONGEST_BODY: usize = 1 << 20;

/// The object that scripts call.
#[derive(Clone)]
pub(super) struct Api(Arc<Inner>);

struct Inner {
    host: Arc<dyn Host>,
    runtime: Handle,
    allow: Vec<Allow>,
    read_only: bool,
    deadline: Instant,
    timeout: Duration,
    calls: AtomicUsize,
    /// How long the instance wants to be left alone, if the last call was told so.
    pause: Mutex<Option<Duration>>,
}

pub(super) fn register(engine: &mut Engine) {
    engine
        .register_type_with_name::<Api>("api")
        .register_fn("get", |api: Api, path: &str| api.ask(Method::Get, path, Dynamic::UNIT))
        .register_fn("post", |api: Api, path: &str, body: Dynamic| api.ask(Method::Post, path, body))
        .register_fn("put", |api: Api, path: &str, body: Dynamic| api.ask(Method::Put, path, body))
        .register_fn("delete", |api: Api, path: &str| api.ask(Method::Delete, path, Dynamic::UNIT))
        .register_fn("pages", |api: Api, path: &str, most: i64| api.pages(path, most));
}

impl Api {
    pub(super) fn new(task: &Task, runtime: Handle, deadline: Instant) -> Self {
        Self(Arc::new(Inner {
            host: Arc::clone(&task.host),
            runtime,
            allow: task.allow.clone(),
            read_only: task.read_only,
            deadline,
            timeout: task.timeout,
            calls: AtomicUsize::new(0),
            pause: Mutex::default(),
        }))
    }

    /// How long to wait before another run, if the instance asked for it.
    pub(super) fn pause(&self) -> Option<Duration> {
        *self.0.pause.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask(&self, method: Method, path: &str, body: Dynamic) -> Thrown<Map> {
        let path = parse(method, path)?;
        let body = match to_json(&body) {
            Ok(Value::Null) => None,
            Ok(body) => Some(body),
            Err(wrong) => return throw(format!("{method} {path}: the body {wrong}")),
        };
        if body.as_ref().is_some_and(|body| body.to_string().len() > LONGEST_BODY) {
            return throw(format!("{method} {path}: the body is longer than {LONGEST_BODY} bytes"));
        }
        let (status, body) = self.call(method, &path, body.as_ref())?;
        Ok([("status".into(), i64::from(status).into()), ("body".into(), to_dynamic(&body))].into())
    }

    /// The rows of a list, a page after the other.
    fn pages(&self, path: &str, most: i64) -> Thrown<Array> {
        let path = parse(Method::Get, path)?;
        let most = usize::try_from(most).ok().filter(|most| *most <= PAGE * MOST_PAGES);
        let Some(most) = most else { return throw(format!("api.pages gives from 0 to {} rows", PAGE * MOST_PAGES)) };
        if path.parameters().any(|name| matches!(name, "start" | "count")) {
            return throw("api.pages sets start and count itself; leave them out of the path");
        }
        let mut rows = Array::new();
        while rows.len() < most {
            let (start, count) = (rows.len(), PAGE.min(most - rows.len()));
            let page = path.with_query(&format!("start={start}&count={count}"));
            let (status, mut body) = self.call(Method::Get, &page, None)?;
            let (Some(total), Some(Value::Array(data))) =
                (body["total"].as_u64(), body.get_mut("data").map(Value::take))
            else {
                return throw(format!("GET {path}: answered {status} without a list of `data` and its `total`"));
            };
            let is_last = data.is_empty() || (start + data.len()) as u64 >= total;
            rows.extend(data.iter().take(most - start).map(to_dynamic));
            if is_last {
                break;
            }
        }
        Ok(rows)
    }

    fn call(&self, method: Method, path: &Path, body: Option<&Value>) -> Thrown<(u16, Value)> {
        let inner = &*self.0;
        if method.is_write() {
            inner.may_write(method, path)?;
        }
        if inner.calls.fetch_add(1, Ordering::Relaxed) >= MOST_CALLS {
            return throw(format!("a script may call the API {MOST_CALLS} times in a run"));
        }
        let deadline = tokio::time::Instant::from_std(inner.deadline);
        let call = inner.host.call(method, path, body);
        let answer = inner.runtime.block_on(async { tokio::time::timeout_at(deadline, call).await });
        let Ok(answer) = answer else {
            // No script may catch this, for its time is over.
            let why = fault::too_late(inner.timeout).into();
            return Err(EvalAltResult::ErrorTerminated(why, Position::NONE).into());
        };
        let pause = answer.as_ref().err().and_then(|error| error.retry_after());
        *inner.pause.lock().unwrap_or_else(PoisonError::into_inner) = pause;
        answer.or_else(|error| throw(format!("{method} {path}: {error}")))
    }
}

impl Inner {
    fn may_write(&self, method: Method, path: &Path) -> Thrown<()> {
        let is_named = self.allow.iter().any(|allow| allow.allows(method, path));
        let missing = match (is_named, self.read_only) {
            (true, false) => return Ok(()),
            (false, false) => format!("write \"{method} {path}\" into `script.allow`, where * stands for one segment"),
            (true, true) => "set `read_only = false` for the instance".to_owned(),
            (false, true) => format!(
                "write \"{method} {path}\" into `script.allow`, where * stands for one segment, and set `read_only = false` for the instance"
            ),
        };
        throw(format!("{method} {path} is not allowed; to allow it, {missing}"))
    }
}

fn parse(method: Method, path: &str) -> Thrown<Path> {
    Path::parse(path).or_else(|wrong| throw(format!("{method}: {wrong}")))
}
