//! The loop that accepts connections. At most so many at a time, none of them for ever,
//! and all of them ended when it returns.

mod places;
mod stream;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;

use super::access::Peer;
use super::seldom::Seldom;
use super::tls::Shown;

use self::places::{Bounds, Places, Seat};
use self::stream::{Answer, Stream};

/// Pause after an accept that failed: open files may become free.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// So many failures in a row are no passing shortage.
const ACCEPT_FAILURES: u32 = 60;

/// What clients may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Connections and answers at a time; for one more, that which is longest idle is ended.
    pub(super) places: Bounds,
    /// How long to agree on TLS.
    pub(super) handshake: Duration,
    /// From one answer, or the connection, to the end of the next request's headers.
    pub(super) header_read: Duration,
    /// How long a connection is used again; one that reads no answer ends here too.
    pub(super) age: Duration,
    /// How long a request that has begun may still take when its connection ends.
    pub(super) grace: Duration,
    /// Bytes of the headers of a request.
    pub(super) headers: usize,
    /// Bytes of an answer not yet taken.
    pub(super) buffer: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            places: Bounds {
                most: 256,
                most_answers: 64,
                moment: Duration::from_millis(500),
                answer: Duration::from_secs(2),
            },
            handshake: Duration::from_secs(10),
            header_read: Duration::from_secs(20),
            age: Duration::from_secs(300),
            grace: Duration::from_secs(5),
            headers: 16 * 1024,
            buffer: 64 * 1024,
        }
    }
}

/// Serves until `shutdown` is ready, or connections can't be accepted any more. Over TLS
/// if there are certificates to show.
pub(super) async fn serve(
    listener: TcpListener,
    router: Router,
    tls: Option<Shown>,
    limits: Limits,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    // Nothing is ever sent: that the sender is gone is the signal to end.
    let (stop, stopping) = watch::channel(());
    let places = Places::new(limits.places);
    let common = Arc::new(Common { router, tls, limits, full: Seldom::default(), refused: Seldom::default() });
    let mut connections = JoinSet::new();
    let mut failures = 0;
    let mut shutdown = pin!(shutdown);
    let ended = loop {
        let full_until = places.full_until();
        tokio::select! {
            () = &mut shutdown => break Ok(()),
            Some(ended) = connections.join_next() => note(ended),
            () = wait_until(full_until), if full_until.is_some() => {}
            // Those that are ended count until they are gone, which takes no time to speak of.
            accepted = listener.accept(), if full_until.is_none() && connections.len() < 2 * limits.places.most => match accepted {
                Ok((stream, peer)) => {
                    failures = 0;
                    let (seat, full) = places.enter();
                    if full && let Some(times) = common.full.now() {
                        tracing::warn!(
                            most = limits.places.most, times,
                            "too many HTTP connections: those longest idle are ended; told once a minute at most"
                        );
                    }
                    let id = seat.id();
                    let task = connection(stream, peer, common.clone(), Arc::new(seat), stopping.clone());
                    places.serve(id, connections.spawn(task));
                }
                Err(error) if is_of_the_client(&error) => {}
                Err(error) if failures < ACCEPT_FAILURES => {
                    failures += 1;
                    if failures == 1 {
                        tracing::warn!(%error, "cannot accept an HTTP connection; trying again each second");
                    }
                    places.end_one();
                    sleep(ACCEPT_PAUSE).await;
                }
                Err(error) => break Err(error),
            },
        }
    };
    drop((listener, stop, stopping));
    // A connection has twice the grace: one for its own end, one to be polled at all.
    let all = async {
        while let Some(ended) = connections.join_next().await {
            note(ended)
        }
    };
    if timeout(limits.grace * 2, all).await.is_err() {
        connections.shutdown().await;
    }
    ended
}

async fn wait_until(at: Option<Instant>) {
    if let Some(at) = at {
        sleep_until(at.into()).await;
    }
}

/// What all connections share.
struct Common {
    router: Router,
    tls: Option<Shown>,
    limits: Limits,
    full: Seldom,
    refused: Seldom,
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    common: Arc<Common>,
    seat: Arc<Seat>,
    mut stopping: watch::Receiver<()>,
) {
    let Some(shown) = &common.tls else { return http(stream, peer, &common, seat, stopping).await };
    let acceptor = TlsAcceptor::from(shown.borrow().clone());
    let agreed = tokio::select! {
        agreed = timeout(common.limits.handshake, acceptor.accept(stream)) => agreed,
        _ = stopping.changed() => return,
    };
    match agreed {
        Ok(Ok(stream)) => http(stream, peer, &common, seat, stopping).await,
        Ok(Err(error)) if is_about_who(&error) => {
            if let Some(times) = common.refused.now() {
                let client = peer.to_string();
                tracing::warn!(client, times, %error, "a client without a right certificate; told once a minute at most");
            }
        }
        Ok(Err(error)) => tracing::debug!(client = %peer, %error, "a client did not agree on TLS"),
        Err(_) => tracing::debug!(client = %peer, "a client did not agree on TLS in time"),
    }
}

async fn http(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    peer: SocketAddr,
    common: &Common,
    seat: Arc<Seat>,
    mut stopping: watch::Receiver<()>,
) {
    let limits = common.limits;
    let router = TowerToHyperService::new(common.router.clone());
    let of_answers = Arc::clone(&seat);
    let service = service_fn(move |mut request: Request<Incoming>| {
        let seat = Arc::clone(&of_answers);
        seat.asked();
        request.extensions_mut().insert(Peer(peer));
        let answer = router.call(request);
        async move { answer.await.map(|answer| answer.map(|body| Answer::new(body, seat))) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_read)
        .max_header_size(limits.headers)
        .max_buf_size(limits.buffer)
        .serve_connection(TokioIo::new(Stream::new(stream, seat)), service);
    let mut connection = pin!(connection);
    // How a client's connection ends is no concern of ours: scrapers give up, probes
    // hang up.
    tokio::select! {
        _ = &mut connection => return,
        _ = stopping.changed() => {}
        () = sleep(limits.age) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = timeout(limits.grace, connection).await;
}

/// Whether a client had no certificate to show, or one that is not right.
fn is_about_who(error: &io::Error) -> bool {
    let error = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
    matches!(error, Some(rustls::Error::NoCertificatesPresented | rustls::Error::InvalidCertificate(_)))
}

fn is_of_the_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}

fn note(ended: Result<(), JoinError>) {
    // One that had to give up its place was ended on purpose.
    if let Err(error) = ended
        && !error.is_cancelled()
    {
        tracing::error!(error = &error as &dyn std::error::Error, "an HTTP connection ended by a defect");
    }
}

#[cfg(test)]
mod tests;
