//! A chat that rules send to: what arrived there, by its id.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context;
use axum::Router;
use axum::body::Bytes;
use axum::http::HeaderMap;
use axum::routing::post;
use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tubewarden::core::event::EventKind;
use tubewarden::core::rule::delivery_id;
use tubewarden::store::{EventFilter, Store};

/// The name of the rule that sends here.
pub(crate) const RULE: &str = "new videos to the chat";

/// A server on a port of its own, which ends with its value.
pub(crate) struct Chat {
    url: String,
    arrived: Arrived,
    task: JoinHandle<()>,
}

/// How often each id arrived.
type Arrived = Arc<Mutex<BTreeMap<String, u64>>>;

/// What arrived, held against what was to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) arrived: usize,
    pub(crate) owed: usize,
}

impl Chat {
    pub(crate) async fn open() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("open the chat")?;
        let url = format!("http://{}/hook", listener.local_addr()?);
        let arrived = Arrived::default();
        let of_this = arrived.clone();
        let take = move |headers: HeaderMap, _: Bytes| async move {
            let id = headers.get("webhook-id").and_then(|id| id.to_str().ok()).unwrap_or_default();
            *lock(&of_this).entry(id.to_owned()).or_default() += 1;
        };
        let app = Router::new().route("/hook", post(take));
        let task = tokio::spawn(async move { drop(axum::serve(listener, app).await) });
        Ok(Self { url, arrived, task })
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// How many of the videos that were published since then arrived.
    pub(crate) async fn sent(&self, store: &Store, since: Timestamp) -> anyhow::Result<Sent> {
        let (mut owed, mut arrived) = (0, 0);
        let mut filter = EventFilter { since: Some(since), ..EventFilter::default() };
        loop {
            let page = store.events(&filter).await?;
            let Some(last) = page.last() else { return Ok(Sent { arrived, owed }) };
            filter.after_seq = last.seq;
            for stored in page.iter().filter(|stored| stored.event.kind == EventKind::VideoPublished) {
                owed += 1;
                arrived += usize::from(lock(&self.arrived).contains_key(&delivery_id(&stored.event.id, RULE)));
            }
        }
    }
}

impl Drop for Chat {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock(arrived: &Arrived) -> MutexGuard<'_, BTreeMap<String, u64>> {
    arrived.lock().unwrap_or_else(PoisonError::into_inner)
}
