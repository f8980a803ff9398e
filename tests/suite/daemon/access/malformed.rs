//! What is no request, or one of an attacker's making: refused in time, and a scrape
//! is answered all the while.

use std::time::{Duration, Instant};

use super::client::{ask, request, say};
use super::{LOCAL, guarded};

/// What it is, the words, and what may be answered; nothing, where it is only hung up.
type Said = (&'static str, Vec<u8>, &'static [Option<u16>]);

/// What nobody should say.
fn said() -> Vec<Said> {
    const REFUSED: &[Option<u16>] = &[Some(400)];
    const HUNG_UP: &[Option<u16>] = &[Some(400), None];
    let line = |line: &str| format!("{line}\r\nHost: localhost\r\nConnection: close\r\n\r\n").into_bytes();
    let get = |headers: &str| request("GET", "/metrics", headers).into_bytes();
    let post = |headers: &str, body: &str| (request("POST", "/metrics", headers) + body).into_bytes();
    let mut random = fastrand::Rng::with_seed(7);
    let noise: Vec<u8> = (0..20_000).map(|_| random.u8(..)).collect();
    vec![
        ("noise", noise, HUNG_UP),
        ("noise of zeros", vec![0; 100_000], HUNG_UP),
        ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".repeat(50), HUNG_UP),
        ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec(), HUNG_UP),
        ("HTTP/0.9", b"GET /metrics\r\n\r\n".to_vec(), REFUSED),
        ("SSH", b"SSH-2.0-OpenSSH_9.2\r\n\r\n".to_vec(), REFUSED),
        ("a version of its own", line("GET /metrics HTTP/7.3"), REFUSED),
        ("no target", line("GET HTTP/1.1"), REFUSED),
        ("a space in the target", line("GET /met rics HTTP/1.1"), REFUSED),
        ("a NUL in the target", line("GET /metrics\0 HTTP/1.1"), REFUSED),
        ("a method of many letters", line(&format!("{} /metrics HTTP/1.1", "G".repeat(5000))), &[Some(405)]),
        ("a method of odd letters", line("G(T /metrics HTTP/1.1"), REFUSED),
        ("a long target", line(&format!("GET /{} HTTP/1.1", "x".repeat(12_000))), &[Some(404)]),
        ("a longer target", line(&format!("GET /{} HTTP/1.1", "x".repeat(20_000))), &[Some(431)]),
        ("a huge target", line(&format!("GET /{} HTTP/1.1", "x".repeat(1_000_000))), &[Some(414), Some(431)]),
        ("a large header", get(&format!("X: {}\r\n", "x".repeat(15_000))), &[Some(200)]),
        ("a larger header", get(&format!("X: {}\r\n", "x".repeat(17_000))), &[Some(431)]),
        ("a huge header", get(&format!("X: {}\r\n", "x".repeat(3_000_000))), &[Some(431), None]),
        ("a hundred headers", get(&"X: x\r\n".repeat(101)), &[Some(431)]),
        ("100,000 headers", get(&"X: x\r\n".repeat(100_000)), &[Some(431)]),
        ("a header without a colon", get("Xx\r\n"), REFUSED),
        ("a space before the colon", get("X : x\r\n"), REFUSED),
        ("a folded header", get("X: x\r\n x\r\n"), REFUSED),
        ("a NUL in a header", get("X: a\0b\r\n"), REFUSED),
        ("a lone carriage return", get("X: a\rb\r\n"), REFUSED),
        ("two lengths", post("Content-Length: 3\r\nContent-Length: 4\r\n", "abc"), REFUSED),
        ("a length below zero", post("Content-Length: -1\r\n", ""), REFUSED),
        ("a length beyond all numbers", post("Content-Length: 99999999999999999999\r\n", ""), REFUSED),
        ("a length in words", post("Content-Length: many\r\n", ""), REFUSED),
        ("a length and chunks", post("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), &[Some(405)]),
        ("chunks of its own kind", post("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"), REFUSED),
        ("chunks that are none", post("Transfer-Encoding: chunked\r\n", "zz\r\n\r\n"), &[Some(405)]),
        ("a long body", post("Content-Length: 3000000\r\n", &"x".repeat(3_000_000)), &[Some(405)]),
        ("a body that never comes", post("Content-Length: 3000000\r\n", ""), &[Some(405)]),
        ("wants to go on", get("Expect: 100-continue\r\n"), &[Some(200)]),
        ("wants another protocol", get("Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"), &[Some(200)]),
        ("a path upward", line("GET /../../etc/passwd HTTP/1.1"), &[Some(404)]),
        ("a path in disguise", line("GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1"), &[Some(404)]),
        ("a path that is no text", line("GET /%ff%fe%00 HTTP/1.1"), &[Some(404)]),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_request_is_refused_and_a_scrape_is_answered_after_each() {
    let daemon = guarded(LOCAL).await;
    let (mut slowest, all) = (Duration::ZERO, said());
    let count = all.len();
    for (what, bytes, expected) in all {
        let begun = Instant::now();
        let reply = say(daemon.address, &bytes).await;
        assert!(expected.contains(&reply.status), "{what}: {reply:?}");
        assert!(begun.elapsed() < Duration::from_secs(10), "{what}: {:?}", begun.elapsed());
        let begun = Instant::now();
        ask(daemon.address, "GET", "/metrics", "").await.assert(200, what);
        slowest = slowest.max(begun.elapsed());
    }
    println!("slowest of {count} scrapes: {slowest:?}");
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
    let words = daemon.program.words();
    assert!(!words.contains("defect") && !words.contains("panicked"), "{words}");
}
