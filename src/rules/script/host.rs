//! Who runs a script: the daemon, which does what it says, or a trial, which shows it.

use std::sync::{Mutex, PoisonError};

use serde_json::Value;

use crate::core::call::{Method, Path};
use crate::core::text::clean;
use crate::peertube::{Boxed, Client, Error};

/// Where a script's calls and lines go. Calls are allowed when they come here, and lines
/// are clean.
pub trait Host: Send + Sync {
    fn call<'a>(
        &'a self,
        method: Method,
        path: &'a Path,
        body: Option<&'a Value>,
    ) -> Boxed<'a, Result<(u16, Value), Error>>;

    fn log(&self, is_warning: bool, line: &str);
}

/// The daemon.
#[derive(Debug)]
pub struct Live {
    pub client: Client,
    pub instance: String,
    pub rule: String,
}

impl Host for Live {
    fn call<'a>(
        &'a self,
        method: Method,
        path: &'a Path,
        body: Option<&'a Value>,
    ) -> Boxed<'a, Result<(u16, Value), Error>> {
        Box::pin(self.client.call(method, path, body))
    }

    fn log(&self, is_warning: bool, line: &str) {
        let (peertube_instance, rule) = (&self.instance, &self.rule);
        if is_warning {
            tracing::warn!(peertube_instance, rule, "{line}");
        } else {
            tracing::info!(peertube_instance, rule, "{line}");
        }
    }
}

/// A trial: it asks, but writes nothing, and says what it would have done.
#[derive(Debug)]
pub struct Dry {
    client: Client,
    lines: Mutex<Vec<String>>,
}

impl Dry {
    pub fn new(client: Client) -> Self {
        Self { client, lines: Mutex::default() }
    }

    /// What the script did so far, in its order, a line each.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.lines.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn show(&self, line: String) {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }
}

impl Host for Dry {
    /// A write that is held back is answered as PeerTube answers most of them.
    fn call<'a>(
        &'a self,
        method: Method,
        path: &'a Path,
        body: Option<&'a Value>,
    ) -> Boxed<'a, Result<(u16, Value), Error>> {
        Box::pin(async move {
            if method.is_write() {
                let body = body.map(|body| format!(" {body}")).unwrap_or_default();
                self.show(clean(&format!("held back: {method} {path}{body}"), 2000));
                return Ok((204, Value::Null));
            }
            let answer = self.client.call(method, path, body).await;
            let end = answer.as_ref().map_or_else(ToString::to_string, |(status, _)| status.to_string());
            self.show(clean(&format!("asked: {method} {path}: {end}"), 2000));
            answer
        })
    }

    fn log(&self, is_warning: bool, line: &str) {
        self.show(format!("log, {}: {line}", if is_warning { "warning" } else { "info" }));
    }
}
