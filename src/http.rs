//! The HTTP listener: metrics, health, readiness, and an index of them. It only reads,
//! answers only who is let in, and whatever a client does, it holds a bounded part of the
//! process.

mod access;
mod connections;
mod harden;
mod negotiate;
mod readiness;
mod reload;
mod seldom;
mod tls;

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::sync::Arc;

use axum::Router;
use axum::extract::{self, DefaultBodyLimit};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tokio::net::TcpListener;
use tower_http::compression::CompressionLayer;

use crate::certificates::CertificatesError;
use crate::config;
use crate::metrics::Metrics;

use self::access::Access;
use self::connections::Limits;
use self::tls::Certificates;

pub use self::readiness::Readiness;
pub use self::reload::Reload;

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
    /// What reads the configuration anew; without it nobody may ask for that.
    pub reload: Option<Reload>,
}

/// Who is let in, and by which certificates the listener is known.
#[derive(Debug)]
pub struct Door {
    access: Access,
    certificates: Option<Certificates>,
}

impl Door {
    /// As `[server]` says.
    pub fn new(server: &config::Server) -> Result<Self, CertificatesError> {
        let certificates = server.tls.as_ref().map(Certificates::open).transpose()?;
        Ok(Self { access: Access::new(server), certificates })
    }

    /// Plain HTTP for whoever comes.
    pub fn open_to_all() -> Self {
        Self { access: Access::open_to_all(), certificates: None }
    }
}

/// Serves until `shutdown` is ready, and then for a short while those requests that
/// have begun.
pub async fn serve(
    listener: TcpListener,
    state: State,
    door: Door,
    shutdown: impl Future<Output = ()>,
) -> Result<(), HttpError> {
    let router = guarded(router(state), door.access);
    let shown = door.certificates.as_ref().map(Certificates::shown);
    let reading = async {
        match door.certificates {
            Some(certificates) => certificates.keep_reading().await,
            None => std::future::pending::<Infallible>().await,
        }
    };
    let serving = connections::serve(listener, router, shown, Limits::default(), shutdown);
    tokio::select! {
        ended = serving => ended.map_err(HttpError),
        never = reading => match never {},
    }
}

/// Outermost, so that nothing is reached but through it.
fn guarded(router: Router, access: Access) -> Router {
    router.layer(from_fn_with_state(Arc::new(access), access::guard))
}

/// The routes, without a listener.
pub fn router(state: State) -> Router {
    let mut routes = Router::new()
        .route("/", get(index))
        .route("/metrics", get(metrics))
        .route("/-/healthy", get(healthy))
        .route("/-/ready", get(ready))
        .fallback(not_found);
    if state.reload.is_some() {
        routes = routes.route("/-/reload", post(reload).put(reload));
    }
    routes.with_state(state).layer(CompressionLayer::new()).layer(DefaultBodyLimit::max(MAX_BODY))
}

async fn index() -> &'static str {
    "tubewarden\n\n\
     /metrics    what is measured, as Prometheus text or OpenMetrics\n\
     /-/healthy  200 while the process serves\n\
     /-/ready    200 once the first round of polls has ended and the state store answers\n\
     /-/reload   POST: reads the configuration anew, if server.reload allows it\n"
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

async fn reload(extract::State(state): extract::State<State>) -> Response {
    let Some(reload) = state.reload else { return not_found().await.into_response() };
    match reload.reload().await {
        Ok(()) => "the configuration was read anew\n".into_response(),
        Err(why) => (StatusCode::INTERNAL_SERVER_ERROR, format!("what ran goes on: {why}\n")).into_response(),
    }
}

async fn not_found() -> (StatusCode, &'static str) {
    (StatusCode::NOT_FOUND, "nothing is here; / names what is\n")
}

#[cfg(test)]
mod tests;
