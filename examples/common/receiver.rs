//! Where rules send to: what arrived there, by its id.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context;
use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A server on a port of its own, which ends with its value.
pub(crate) struct Receiver {
    url: String,
    arrived: Arrived,
    task: JoinHandle<()>,
}

/// How often each id arrived.
type Arrived = Arc<Mutex<HashMap<String, u64>>>;

impl Receiver {
    /// One that answers each with this.
    pub(crate) async fn open(answer: impl Fn() -> StatusCode + Clone + Send + Sync + 'static) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("open the receiver")?;
        let url = format!("http://{}/hook", listener.local_addr()?);
        let arrived = Arrived::default();
        let of_this = arrived.clone();
        let take = move |headers: HeaderMap, _: Bytes| async move {
            let status = answer();
            if status.is_success() {
                let id = headers.get("webhook-id").and_then(|id| id.to_str().ok()).unwrap_or_default();
                *lock(&of_this).entry(id.to_owned()).or_default() += 1;
            }
            status
        };
        let app = Router::new().route("/hook", post(take));
        let task = tokio::spawn(async move { drop(axum::serve(listener, app).await) });
        Ok(Self { url, arrived, task })
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn has(&self, id: &str) -> bool {
        lock(&self.arrived).contains_key(id)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock(arrived: &Arrived) -> MutexGuard<'_, HashMap<String, u64>> {
    arrived.lock().unwrap_or_else(PoisonError::into_inner)
}
