//! What each path answers, to whom.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::metrics::Build;

use super::*;

struct World {
    address: std::net::SocketAddr,
    readiness: Readiness,
    store: Arc<AtomicBool>,
}

async fn world() -> World {
    let store = Arc::new(AtomicBool::new(true));
    let asked = Arc::clone(&store);
    let readiness = Readiness::new(move || {
        let asked = Arc::clone(&asked);
        async move { asked.load(Ordering::SeqCst) }
    });
    let metrics = Metrics::new(Build { version: "1.2.3", revision: "abc" }).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let state = State { metrics, readiness: readiness.clone(), reload: None };
    tokio::spawn(serve(listener, state, Door::open_to_all(), std::future::pending()));
    World { address, readiness, store }
}

/// The head of the answer, lower case, and its body.
async fn ask(world: &World, method: &str, path: &str, headers: &str) -> (String, Vec<u8>) {
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    let request = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let body = answer.split_off(end + 4);
    (String::from_utf8(answer).unwrap().to_ascii_lowercase(), body)
}

async fn text(world: &World, path: &str) -> (String, String) {
    let (head, body) = ask(world, "GET", path, "").await;
    (head, String::from_utf8(body).unwrap())
}

fn assert_status(head: &str, status: u16) {
    assert!(head.starts_with(&format!("http/1.1 {status}")), "{status} expected: {head}");
}

#[tokio::test]
async fn a_scraper_gets_the_format_that_it_prefers() {
    let world = world().await;

    let (head, body) = text(&world, "/metrics").await;
    assert_status(&head, 200);
    assert!(head.contains("content-type: text/plain; version=0.0.4; charset=utf-8"), "{head}");
    assert!(body.contains("tubewarden_build_info{revision=\"abc\",version=\"1.2.3\"} 1\n"), "{body}");

    let (head, body) = ask(&world, "GET", "/metrics", "Accept: application/openmetrics-text;version=1.0.0\r\n").await;
    assert!(head.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8"), "{head}");
    assert!(head.contains("vary: accept"), "{head}");
    assert!(body.ends_with(b"# EOF\n"));
}

#[tokio::test]
async fn answers_are_compressed_for_who_wants_it_and_for_nobody_else() {
    let world = world().await;
    for wants in ["gzip", "br, gzip;q=0.5", "*"] {
        let (head, body) = ask(&world, "GET", "/metrics", &format!("Accept-Encoding: {wants}\r\n")).await;
        assert!(head.contains("content-encoding: gzip"), "{wants}: {head}");
        assert!(head.contains("vary: accept-encoding"), "{wants}: {head}");
        // Chunked: after the length of the first chunk stands the mark of gzip.
        assert!(body.windows(2).any(|two| two == [0x1f, 0x8b]), "{wants}");
    }
    for refuses in ["identity", "gzip;q=0", "br", "gzip;q=0.1, identity;q=0.9"] {
        let (head, body) = ask(&world, "GET", "/metrics", &format!("Accept-Encoding: {refuses}\r\n")).await;
        assert!(!head.contains("content-encoding"), "{refuses}: {head}");
        assert!(body.starts_with(b"# HELP"), "{refuses}");
    }
}

#[tokio::test]
async fn head_is_answered_without_a_body_and_other_methods_not_at_all() {
    let world = world().await;
    for headers in ["", "Accept-Encoding: gzip\r\n"] {
        let (head, body) = ask(&world, "HEAD", "/metrics", headers).await;
        assert_status(&head, 200);
        assert!(body.is_empty(), "{headers}");
    }
    for path in ["/metrics", "/", "/-/healthy", "/-/ready"] {
        let (head, _) = ask(&world, "POST", path, "Content-Length: 0\r\n").await;
        assert_status(&head, 405);
        assert!(head.contains("allow: get,head"), "{head}");
    }
    let (head, _) = text(&world, "/-/reload").await;
    assert_status(&head, 404);
    let (head, _) = text(&world, "/metrics/..%2f").await;
    assert_status(&head, 404);
}

#[tokio::test]
async fn it_is_ready_when_the_first_round_has_ended_and_the_store_answers() {
    let world = world().await;
    let (head, _) = text(&world, "/-/healthy").await;
    assert_status(&head, 200);
    let (head, body) = text(&world, "/-/ready").await;
    assert_status(&head, 503);
    assert_eq!(body, "not ready: the first round of polls has not ended\n");

    world.readiness.set_first_round_done();
    let (head, body) = text(&world, "/-/ready").await;
    assert_status(&head, 200);
    assert_eq!(body, "ready\n");

    world.store.store(false, Ordering::SeqCst);
    let (head, body) = text(&world, "/-/ready").await;
    assert_status(&head, 503);
    assert_eq!(body, "not ready: the state store does not answer\n");
    let (head, _) = text(&world, "/-/healthy").await;
    assert_status(&head, 200);
}

#[tokio::test]
async fn a_store_that_hangs_does_not_answer() {
    let readiness = Readiness::new(std::future::pending);
    readiness.set_first_round_done();
    assert_eq!(readiness.missing().await, ["the state store does not answer"]);
}

#[tokio::test]
async fn the_index_names_every_path() {
    let world = world().await;
    let (head, body) = text(&world, "/").await;
    assert!(head.contains("content-type: text/plain; charset=utf-8"), "{head}");
    for path in ["/metrics", "/-/healthy", "/-/ready"] {
        assert!(body.contains(path));
    }
}
