//! What clients may take, and what becomes of those who take more.

use axum::routing::get;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Notify, oneshot};

use super::*;

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(50);

struct Server {
    address: std::net::SocketAddr,
    stop: oneshot::Sender<()>,
    ended: tokio::task::JoinHandle<io::Result<()>>,
    /// `/soon` and `/large` were asked for.
    asked: Arc<Notify>,
    /// `/soon` is answered.
    answer: Arc<Notify>,
}

/// More than the kernel takes for a client that doesn't read.
const LARGE: usize = 32 * 1024 * 1024;

async fn start(limits: Limits) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let (asked, answer) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (tell, wait, tell_large) = (asked.clone(), answer.clone(), asked.clone());
    let soon = async move || {
        tell.notify_one();
        wait.notified().await;
        "soon"
    };
    let large = async move || {
        tell_large.notify_one();
        vec![b'x'; LARGE]
    };
    let panic = async || {
        if true {
            panic!("a defect")
        }
    };
    let router = Router::new()
        .route("/", get(async || "hello"))
        .route("/never", get(std::future::pending::<()>))
        .route("/soon", get(soon))
        .route("/large", get(large))
        .route("/panic", get(panic));
    let ended = tokio::spawn(async move {
        serve(listener, router, None, limits, async {
            let _ = stopped.await;
        })
        .await
    });
    Server { address, stop, ended, asked, answer }
}

fn places(most: usize, most_answers: usize, answer: Duration) -> Bounds {
    Bounds { most, most_answers, moment: Duration::ZERO, answer }
}

fn limits() -> Limits {
    Limits {
        places: places(8, 8, Duration::ZERO),
        handshake: LONG,
        header_read: LONG,
        age: LONG,
        grace: LONG,
        headers: 4096,
        buffer: 8192,
    }
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
    for headers in [format!("X: {}", "x".repeat(5000)), format!("X: {}", "x".repeat(500_000)), "X: x\r\n".repeat(101)] {
        let answer = rest(send(&server, &format!("GET / HTTP/1.1\r\n{headers}\r\n\r\n")).await).await;
        assert!(answer.starts_with("HTTP/1.1 431"), "{} bytes: {answer}", headers.len());
    }
}

#[tokio::test]
async fn who_comes_when_all_places_are_taken_gets_that_of_who_was_silent_longest() {
    let server = start(Limits { places: places(3, 8, LONG), ..limits() }).await;
    let silent = send(&server, "").await;
    let slow = send(&server, "GET / HTTP/1.1\r\nHost: x\r\n").await;
    // He came first, but was heard of since.
    let mut polite = send(&server, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    polite.read_exact(&mut [0; 20]).await.unwrap();
    for _ in 0..2 {
        assert!(get_once(&server).await.ends_with("hello"));
    }
    let _held: Vec<TcpStream> = [send(&server, "").await, send(&server, "").await].into();
    assert_eq!(rest(silent).await, "");
    assert_eq!(rest(slow).await, "");
    polite.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    assert!(rest(polite).await.ends_with("hello"));
}

#[tokio::test]
async fn a_crowd_that_comes_at_once_is_let_in_by_turns() {
    let bounds = Bounds { moment: Duration::from_millis(300), ..places(4, 8, Duration::ZERO) };
    let server = start(Limits { places: bounds, ..limits() }).await;
    let mut crowd = Vec::new();
    for _ in 0..4 {
        crowd.push(send(&server, "").await);
    }
    // They have not had their moment yet, and then make room.
    let next = send(&server, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert!(timeout(SHORT, next.readable()).await.is_err(), "all places are taken");
    for stream in &crowd {
        assert!(timeout(Duration::ZERO, stream.readable()).await.is_err(), "nobody was ended for it");
    }
    assert!(rest(next).await.ends_with("hello"));
    assert_eq!(rest(crowd.remove(0)).await, "");
}

#[tokio::test]
async fn an_answer_under_way_goes_before_who_asks_for_nothing() {
    let server = start(Limits { places: places(2, 8, LONG), ..limits() }).await;
    let asking = send(&server, "GET /soon HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    server.asked.notified().await;
    for _ in 0..2 {
        let slow = send(&server, "").await;
        let _next = send(&server, "").await;
        assert_eq!(rest(slow).await, "");
    }
    server.answer.notify_one();
    assert!(rest(asking).await.ends_with("soon"));
}

#[tokio::test]
async fn answers_that_nobody_takes_are_so_many_at_most() {
    let server = start(Limits { places: places(8, 2, Duration::ZERO), ..limits() }).await;
    let mut greedy = Vec::new();
    for _ in 0..4 {
        greedy.push(send(&server, "GET /large HTTP/1.1\r\nHost: x\r\n\r\n").await);
        server.asked.notified().await;
    }
    assert!(rest(greedy.remove(0)).await.len() < LARGE, "it was cut");
    assert!(rest(greedy.remove(0)).await.len() < LARGE, "it was cut");
    let mut whole = 0;
    let mut last = greedy.remove(1);
    while whole < LARGE {
        whole += timeout(Duration::from_secs(10), last.read(&mut [0; 65536])).await.unwrap().unwrap();
    }
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
