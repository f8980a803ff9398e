//! A thousand clients who take their time, in each way that there is: a scrape goes
//! before them all.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;

use super::client::{ask, converse, request};
use super::tls::{Authority, connect};
use super::{Guarded, LOCAL, guarded, guarded_at};
use crate::daemon::harness::{Home, eventually};

const CLIENTS: usize = 1000;
/// Prometheus gives up then; on a machine that is not busy it is a fraction of a second.
const IN_TIME: Duration = Duration::from_secs(10);
/// Who was hung up on comes again.
const AGAIN: Duration = Duration::from_secs(3);

/// A way to take one's time.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Way {
    Silent,
    /// A letter of a header now and then, for ever.
    Headers,
    /// The same with a body that was announced.
    Body,
    /// Nothing more after a first answer.
    Idle,
    /// Asks again and again and reads nothing.
    Greedy,
    /// The beginning of an agreement on TLS.
    Handshake,
}

/// Keeps a thousand of them at it until it is dropped.
struct Slow {
    clients: JoinSet<()>,
    connected: Arc<AtomicUsize>,
}

impl Slow {
    fn begin(address: SocketAddr, ways: &[Way], tls: Option<TlsConnector>) -> Self {
        let connected = Arc::new(AtomicUsize::new(0));
        let mut clients = JoinSet::new();
        for number in 0..CLIENTS {
            let (way, connected, tls) = (ways[number % ways.len()], connected.clone(), tls.clone());
            clients.spawn(async move {
                loop {
                    let Ok(stream) = TcpStream::connect(address).await else { continue };
                    connected.fetch_add(1, Ordering::Relaxed);
                    match &tls {
                        Some(tls) if ![Way::Silent, Way::Handshake].contains(&way) => {
                            if let Ok(stream) = connect(tls, stream).await {
                                dawdle(stream, way).await;
                            }
                        }
                        _ => dawdle(stream, way).await,
                    }
                    sleep(AGAIN).await;
                }
            });
        }
        Self { clients, connected }
    }

    async fn all_connected(&self) {
        let all = async || (self.connected.load(Ordering::Relaxed) >= CLIENTS).then_some(());
        eventually("all of them have come", all).await;
    }
}

/// Until the other side has enough.
async fn dawdle(mut stream: impl AsyncRead + AsyncWrite + Unpin, way: Way) {
    let get = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n";
    let begin = match way {
        Way::Silent => String::new(),
        Way::Headers => format!("{get}X: "),
        Way::Body => format!("{get}Content-Length: 1000000\r\n\r\n").replace("GET", "POST"),
        Way::Idle | Way::Greedy => format!("{get}\r\n"),
        Way::Handshake => "\u{16}\u{3}\u{1}\u{2}".to_owned(),
    };
    if stream.write_all(begin.as_bytes()).await.is_err() || stream.flush().await.is_err() {
        return;
    }
    let mut answer = vec![0; 65536];
    loop {
        let goes_on = match way {
            Way::Headers | Way::Body => {
                let said = stream.write_all(b"x").await.and(stream.flush().await);
                said.is_ok()
                    && timeout(AGAIN, stream.read(&mut answer)).await.is_ok_and(|read| read.is_ok_and(|n| n > 0))
            }
            Way::Greedy => {
                sleep(AGAIN).await;
                stream.write_all(begin.as_bytes()).await.is_ok()
            }
            Way::Silent | Way::Idle | Way::Handshake => stream.read(&mut answer).await.is_ok_and(|read| read > 0),
        };
        if !goes_on {
            return;
        }
    }
}

/// Scrapes for some seconds; how long the slowest and the middle one took.
async fn scrape_beside(daemon: &Guarded, slow: &Slow, scrape: impl AsyncFn() -> Option<u16>) -> (Duration, Duration) {
    slow.all_connected().await;
    let mut took = Vec::new();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(6) || took.len() < 20 {
        let asked = Instant::now();
        let status = timeout(IN_TIME, scrape()).await.unwrap_or_else(|_| panic!("a scrape was not answered in time"));
        assert_eq!(status, Some(200));
        took.push(asked.elapsed());
        sleep(Duration::from_millis(50)).await;
    }
    let files = fs::read_dir(format!("/proc/{}/fd", daemon.program.id())).unwrap().count();
    assert!(files < 600, "{files} open files");
    took.sort();
    let (middle, slowest) = (took[took.len() / 2], took[took.len() - 1]);
    println!(
        "{} scrapes beside {CLIENTS} slow clients: middle {middle:?}, slowest {slowest:?}, {files} files",
        took.len()
    );
    (middle, slowest)
}

async fn plain(ways: &[Way]) {
    let daemon = guarded(LOCAL).await;
    let slow = Slow::begin(daemon.address, ways, None);
    scrape_beside(&daemon, &slow, async || ask(daemon.address, "GET", "/metrics", "").await.status).await;
    // One that is kept open to scrape again is heard of more often than the slow ones.
    drop(slow.clients);
    assert!(!daemon.told("those longest idle are ended").is_empty(), "there were too many");
    assert_eq!(daemon.told("defect").len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_who_never_end_their_request_keep_no_scrape_away() {
    plain(&[Way::Silent, Way::Headers]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_who_do_everything_but_leave_keep_no_scrape_away() {
    plain(&[Way::Silent, Way::Headers, Way::Body, Way::Idle, Way::Greedy]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_who_never_agree_on_tls_keep_no_scrape_away() {
    let authority = Authority::new("ours");
    let home = Home::new("");
    authority.server().write(&home);
    let server = format!("{LOCAL}tls_cert_file = \"cert.pem\"\ntls_key_file = \"key.pem\"\n");
    let daemon = guarded_at(home, &server).await;
    let connector = authority.client();
    // Whoever agrees costs arithmetic on both sides: a few do, and take their time after it.
    let (mut ways, few) = ([Way::Silent, Way::Handshake].repeat(9), [Way::Headers, Way::Idle]);
    ways.extend(few);
    let slow = Slow::begin(daemon.address, &ways, Some(connector.clone()));
    let scrape = async || {
        let stream = TcpStream::connect(daemon.address).await.unwrap();
        let stream = connect(&connector, stream).await.unwrap();
        converse(stream, request("GET", "/metrics", "").as_bytes()).await.unwrap().status
    };
    scrape_beside(&daemon, &slow, scrape).await;
}
