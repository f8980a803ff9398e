//! The loop that accepts connections. At most so many at a time, none of them for
//! ever, and all of them ended when it returns.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};

/// Pause after an accept that failed: open files may become free.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// So many failures in a row are no passing shortage.
const ACCEPT_FAILURES: u32 = 60;

/// What clients may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Connections at a time; who comes later waits in the kernel's queue.
    pub(super) connections: usize,
    /// From one answer, or the connection, to the end of the next request's headers.
    pub(super) header_read: Duration,
    /// How long a connection is used again; one that reads no answer ends here too.
    pub(super) age: Duration,
    /// How long a request that has begun may still take when its connection ends.
    pub(super) grace: Duration,
    /// Bytes of headers, and of an answer not yet taken.
    pub(super) buffer: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 64,
            header_read: Duration::from_secs(20),
            age: Duration::from_secs(300),
            grace: Duration::from_secs(5),
            buffer: 64 * 1024,
        }
    }
}

/// Serves until `shutdown` is ready, or connections can't be accepted any more.
pub(super) async fn serve(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    // Nothing is ever sent: that the sender is gone is the signal to end.
    let (stop, stopping) = watch::channel(());
    let mut connections = JoinSet::new();
    let mut failures = 0;
    let mut shutdown = pin!(shutdown);
    let ended = loop {
        tokio::select! {
            () = &mut shutdown => break Ok(()),
            Some(ended) = connections.join_next() => note(ended),
            accepted = listener.accept(), if connections.len() < limits.connections => match accepted {
                Ok((stream, _)) => {
                    failures = 0;
                    connections.spawn(connection(stream, router.clone(), limits, stopping.clone()));
                }
                Err(error) if is_of_the_client(&error) => {}
                Err(error) if failures < ACCEPT_FAILURES => {
                    failures += 1;
                    if failures == 1 {
                        tracing::warn!(%error, "cannot accept an HTTP connection; trying again each second");
                    }
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

async fn connection(stream: TcpStream, router: Router, limits: Limits, mut stopping: watch::Receiver<()>) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_read)
        .max_buf_size(limits.buffer)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
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

fn is_of_the_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}

fn note(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(error = &error as &dyn std::error::Error, "an HTTP connection ended by a defect");
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::oneshot;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);
    const SHORT: Duration = Duration::from_millis(50);

    struct Server {
        address: std::net::SocketAddr,
        stop: oneshot::Sender<()>,
        ended: tokio::task::JoinHandle<io::Result<()>>,
    }

    async fn start(limits: Limits) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let router =
            Router::new().route("/", get(|| async { "hello" })).route("/never", get(std::future::pending::<()>)).route(
                "/panic",
                get(|| async {
                    if true {
                        panic!("a defect")
                    }
                }),
            );
        let ended = tokio::spawn(async move {
            serve(listener, router, limits, async {
                let _ = stopped.await;
            })
            .await
        });
        Server { address, stop, ended }
    }

    fn limits() -> Limits {
        Limits { connections: 8, header_read: LONG, age: LONG, grace: LONG, buffer: 8192 }
    }

    async fn send(server: &Server, request: &str) -> TcpStream {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }

    /// Everything until the other side closes, which it must do by itself.
    async fn rest(mut stream: TcpStream) -> String {
        let mut bytes = Vec::new();
        // A connection that is cut may be told as a reset.
        let _ = timeout(Duration::from_secs(10), stream.read_to_end(&mut bytes)).await.expect("the server closes");
        String::from_utf8(bytes).unwrap()
    }

    async fn get_once(server: &Server) -> String {
        rest(send(server, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await).await
    }

    #[tokio::test]
    async fn headers_that_never_end_are_not_waited_for() {
        let server = start(Limits { header_read: SHORT, ..limits() }).await;
        let answer = rest(send(&server, "GET / HTTP/1.1\r\nHost: x\r\n").await).await;
        assert!(!answer.contains("200"), "{answer}");
        assert!(get_once(&server).await.ends_with("hello"));
    }

    #[tokio::test]
    async fn headers_without_measure_are_refused() {
        let server = start(limits()).await;
        let answer = rest(send(&server, &format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(100_000))).await).await;
        assert!(!answer.contains("200"), "{answer}");
    }

    #[tokio::test]
    async fn who_comes_when_all_places_are_taken_is_served_when_one_is_free() {
        let server = start(Limits { connections: 1, ..limits() }).await;
        let idle = send(&server, "").await;
        let second = send(&server, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
        assert!(timeout(SHORT, second.readable()).await.is_err(), "the only place is taken");
        drop(idle);
        assert!(rest(second).await.ends_with("hello"));
    }

    #[tokio::test]
    async fn a_request_that_never_ends_is_cut() {
        let server = start(Limits { age: SHORT, grace: SHORT, ..limits() }).await;
        assert_eq!(rest(send(&server, "GET /never HTTP/1.1\r\nHost: x\r\n\r\n").await).await, "");
    }

    #[tokio::test]
    async fn a_handler_that_panics_takes_nobody_with_it() {
        let server = start(limits()).await;
        assert_eq!(rest(send(&server, "GET /panic HTTP/1.1\r\nHost: x\r\n\r\n").await).await, "");
        assert!(get_once(&server).await.ends_with("hello"));
    }

    #[tokio::test]
    async fn shutting_down_closes_what_is_idle_at_once_and_what_hangs_in_time() {
        let server = start(Limits { grace: SHORT, ..limits() }).await;
        let idle = send(&server, "").await;
        let hanging = send(&server, "GET /never HTTP/1.1\r\nHost: x\r\n\r\n").await;
        assert!(get_once(&server).await.ends_with("hello"));
        server.stop.send(()).unwrap();
        assert!(timeout(Duration::from_secs(10), server.ended).await.unwrap().unwrap().is_ok());
        assert_eq!(rest(idle).await, "");
        assert_eq!(rest(hanging).await, "");
        assert!(TcpStream::connect(server.address).await.is_err(), "nobody listens any more");
    }
}
