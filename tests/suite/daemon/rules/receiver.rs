//! Who receives webhooks, as a chat or an alert manager would.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use jiff::Timestamp;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// What was taken.
#[derive(Debug, Clone)]
pub(crate) struct Taken {
    pub(crate) id: String,
    pub(crate) headers: HeaderMap,
    /// What is no JSON is text.
    pub(crate) body: Value,
    /// When it came.
    pub(crate) at: Timestamp,
}

/// A server on a port of its own, which ends with its value.
pub(crate) struct Receiver {
    address: std::net::SocketAddr,
    state: Arc<State>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    tries: AtomicUsize,
    status: AtomicU16,
    taken: Mutex<Vec<Taken>>,
    /// What holds this is refused.
    poison: Mutex<Option<String>>,
}

impl Receiver {
    /// Refuses those tries for now, by their number from 1 on.
    pub(crate) async fn refusing(refuses: fn(usize) -> bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State { status: AtomicU16::new(200), ..State::default() });
        let of_this = state.clone();
        let take = move |headers: HeaderMap, body: Bytes| async move {
            let number = of_this.tries.fetch_add(1, Ordering::SeqCst) + 1;
            let status = of_this.status.load(Ordering::SeqCst);
            let poison = of_this.poison.lock().unwrap().clone();
            if refuses(number) || poison.is_some_and(|poison| String::from_utf8_lossy(&body).contains(&poison)) {
                return StatusCode::SERVICE_UNAVAILABLE;
            }
            if status == 200 {
                let id = headers["webhook-id"].to_str().unwrap().to_owned();
                let text = || String::from_utf8(body.to_vec()).unwrap().into();
                let body = serde_json::from_slice(&body).unwrap_or_else(|_| text());
                of_this.taken.lock().unwrap().push(Taken { id, headers, body, at: Timestamp::now() });
            }
            StatusCode::from_u16(status).unwrap()
        };
        let app = Router::new().route("/hook", post(take));
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { address, state, task }
    }

    /// Takes connections and never answers.
    pub(crate) async fn silent() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            let mut held = Vec::new();
            while let Ok((connection, _)) = listener.accept().await {
                held.push(connection);
            }
        });
        Self { address, state: Arc::default(), task }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// Answers with this status from now on; only 200 takes what comes.
    pub(crate) fn answer(&self, status: u16) {
        self.state.status.store(status, Ordering::SeqCst);
    }

    /// Refuses from now on what holds this text.
    pub(crate) fn refuse_with(&self, poison: &str) {
        *self.state.poison.lock().unwrap() = Some(poison.to_owned());
    }

    pub(crate) fn accepted(&self) -> Vec<Taken> {
        self.state.taken.lock().unwrap().clone()
    }

    pub(crate) fn ids(&self) -> BTreeSet<String> {
        self.state.taken.lock().unwrap().iter().map(|taken| taken.id.clone()).collect()
    }

    pub(crate) fn tries(&self) -> usize {
        self.state.tries.load(Ordering::SeqCst)
    }

    pub(crate) fn refused(&self) -> usize {
        self.tries() - self.accepted().len()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}
