//! The HTTP listener: metrics, health, readiness, and an index of them. It only
//! reads, and whatever a client does, it holds a bounded part of the process.

mod connections;
mod negotiate;
mod readiness;

use std::future::Future;
use std::io;

use axum::Router;
use axum::extract::{self, DefaultBodyLimit};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tower_http::compression::CompressionLayer;

use crate::metrics::Metrics;

use self::connections::Limits;

pub use self::readiness::Readiness;

/// The largest body that a request may bring.
const MAX_BODY: usize = 16 * 1024;

/// Why the listener ended by itself.
#[derive(Debug, thiserror::Error)]
#[error("accept HTTP connections; is the limit of open files too low?")]
pub struct HttpError(#[source] io::Error);

/// What the answers are made of.
#[derive(Debug, Clone)]
pub struct State {
    pub metrics: Metrics,
    pub readiness: Readiness,
}

/// Serves until `shutdown` is ready, and then for a short while those requests that
/// have begun.
pub async fn serve(listener: TcpListener, state: State, shutdown: impl Future<Output = ()>) -> Result<(), HttpError> {
    connections::serve(listener, router(state), Limits::default(), shutdown).await.map_err(HttpError)
}

/// The routes, without a listener.
pub fn router(state: State) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/metrics", get(metrics))
        .route("/-/healthy", get(healthy))
        .route("/-/ready", get(ready))
        .fallback(not_found)
        .with_state(state)
        .layer(CompressionLayer::new())
        .layer(DefaultBodyLimit::max(MAX_BODY))
}

async fn index() -> &'static str {
    "tubewarden\n\n\
     /metrics    what is measured, as Prometheus text or OpenMetrics\n\
     /-/healthy  200 while the process serves\n\
     /-/ready    200 once the first round of polls has ended and the state store answers\n"
}

async fn metrics(extract::State(state): extract::State<State>, headers: HeaderMap) -> Response {
    let format = negotiate::format(&headers);
    match state.metrics.render(format) {
        Ok(text) => ([(header::CONTENT_TYPE, format.content_type()), (header::VARY, "accept")], text).into_response(),
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "cannot answer a scrape");
            (StatusCode::INTERNAL_SERVER_ERROR, "the metrics could not be written; see the log\n").into_response()
        }
    }
}

async fn healthy() -> &'static str {
    "healthy\n"
}

async fn ready(extract::State(state): extract::State<State>) -> Response {
    let missing = state.readiness.missing().await;
    if missing.is_empty() {
        "ready\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {}\n", missing.join("; "))).into_response()
    }
}

async fn not_found() -> (StatusCode, &'static str) {
    (StatusCode::NOT_FOUND, "nothing is here; / names what is\n")
}

#[cfg(test)]
mod tests;
