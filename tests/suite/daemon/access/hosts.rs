//! By which names, with which methods and from which pages it can be asked, and what
//! every answer tells a browser.

use super::client::{ask, request, say};
use super::{LOCAL, guarded};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_local_listener_answers_to_no_strange_name() {
    let daemon = guarded(LOCAL).await;
    let port = daemon.address.port();
    for (host, status) in [
        ("localhost", 200),
        ("LocalHost.:1", 200),
        ("tubewarden.localhost", 200),
        (&format!("127.0.0.1:{port}"), 200),
        ("[::1]:9797", 200),
        // No name leads to an address that stands there itself.
        ("192.0.2.1", 200),
        ("metrics.example.com", 421),
        ("localhost.example.com", 421),
        ("127.0.0.1.example.com", 421),
        ("127.0.0.1@example.com", 400),
        ("local host", 400),
        ("localhost/", 400),
        ("", 400),
    ] {
        for path in ["/metrics", "/-/healthy", "/nowhere"] {
            let expected = if status == 200 && path == "/nowhere" { 404 } else { status };
            ask(daemon.address, "GET", path, &format!("Host: {host}\r\n")).await.assert(expected, host);
        }
    }
    for (what, text, status) in [
        ("none", "GET /metrics HTTP/1.1\r\nConnection: close\r\n\r\n".to_owned(), 400),
        ("none, of old", "GET /metrics HTTP/1.0\r\n\r\n".to_owned(), 200),
        ("two", request("GET", "/metrics", "Host: localhost\r\nHost: localhost\r\n"), 400),
        ("two in disguise", request("GET", "/metrics", "Host: localhost\r\nhost: example.com\r\n"), 400),
        ("in the target", request("GET", "http://localhost/metrics", ""), 200),
        ("another in the target", request("GET", "http://example.com/metrics", ""), 421),
        ("another beside the target", request("GET", "http://localhost/metrics", "Host: example.com\r\n"), 421),
    ] {
        say(daemon.address, text.as_bytes()).await.assert(status, what);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_are_given_or_do_not_matter_where_credentials_are_asked_for() {
    let token = "bearer_token = \"0123456789abcdef\"\n";
    for (server, other) in [
        (format!("{LOCAL}hosts = [\"Metrics.example.com\", \"tubewarden\"]\n"), 421),
        (format!("{LOCAL}{token}hosts = [\"metrics.example.com\"]\n"), 421),
        (format!("{LOCAL}hosts = [\"*\"]\n"), 200),
        (format!("{LOCAL}{token}"), 200),
        ("listen = \"0.0.0.0:0\"\n".to_owned(), 200),
    ] {
        let daemon = guarded(&server).await;
        let local = std::net::SocketAddr::from(([127, 0, 0, 1], daemon.address.port()));
        for (host, status) in [("metrics.example.com:443", 200), ("localhost", 200), ("example.com", other)] {
            ask(local, "GET", "/-/healthy", &format!("Host: {host}\r\n")).await.assert(status, &server);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn to_listen_beyond_this_machine_without_a_question_is_warned_about() {
    let token = "bearer_token = \"0123456789abcdef\"\n";
    let (everybody, unencrypted) = ("whoever reaches", "unencrypted");
    for (server, expected) in [
        (LOCAL.to_owned(), None),
        ("listen = \"[::1]:0\"\n".to_owned(), None),
        (format!("{LOCAL}{token}"), None),
        ("listen = \"0.0.0.0:0\"\n".to_owned(), Some(everybody)),
        (format!("listen = \"0.0.0.0:0\"\n{token}"), Some(unencrypted)),
    ] {
        let daemon = guarded(&server).await;
        let check = String::from_utf8(daemon.home.done(&["check"]).stderr).unwrap();
        for words in [everybody, unencrypted] {
            let times = usize::from(expected == Some(words));
            assert_eq!(daemon.told(words).len(), times, "{server}: {}", daemon.program.words());
            assert_eq!(check.matches(words).count(), times, "{server}: {check}");
        }
        assert_eq!(check.lines().count(), usize::from(expected.is_some()), "{check}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_reads_is_answered() {
    let daemon = guarded(LOCAL).await;
    for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "get"] {
        for path in ["/metrics", "/", "/-/healthy", "/-/ready"] {
            let reply = ask(daemon.address, method, path, "Content-Length: 0\r\n").await;
            reply.assert(405, method);
            assert!(reply.head.contains("allow: get,head"), "{reply:?}");
        }
    }
    for (method, target) in [("OPTIONS", "*"), ("CONNECT", "localhost:443"), ("POST", "/-/reload")] {
        ask(daemon.address, method, target, "").await.assert(404, method);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_would_change_something_is_taken_from_no_other_page() {
    let daemon = guarded(LOCAL).await;
    for (headers, status) in [
        ("", 404),
        ("Sec-Fetch-Site: same-origin\r\nOrigin: http://localhost\r\n", 404),
        ("Sec-Fetch-Site: none\r\n", 404),
        ("Origin: http://localhost\r\n", 404),
        ("Sec-Fetch-Site: cross-site\r\n", 403),
        ("Sec-Fetch-Site: same-site\r\nOrigin: http://localhost:1\r\n", 403),
        ("Origin: http://localhost:1\r\n", 403),
        ("Origin: https://example.com\r\n", 403),
        ("Origin: null\r\n", 403),
    ] {
        ask(daemon.address, "POST", "/-/reload", headers).await.assert(status, headers);
    }
    ask(daemon.address, "GET", "/metrics", "Sec-Fetch-Site: cross-site\r\n").await.assert(200, "a link is no harm");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_tells_a_browser_to_take_it_for_what_it_is() {
    let daemon = guarded(&format!("{LOCAL}bearer_token = \"0123456789abcdef\"\nhosts = [\"here\"]\n")).await;
    let token = "Authorization: Bearer 0123456789abcdef\r\n";
    for (method, path, headers, status) in [
        ("GET", "/metrics", token.to_owned(), 200),
        ("HEAD", "/", token.to_owned(), 200),
        ("GET", "/-/healthy", String::new(), 200),
        ("GET", "/metrics", String::new(), 401),
        ("GET", "/nowhere", token.to_owned(), 404),
        ("DELETE", "/metrics", token.to_owned(), 405),
        ("GET", "/metrics", format!("{token}Host: example.com\r\n"), 421),
        ("POST", "/metrics", format!("{token}Origin: null\r\n"), 403),
    ] {
        let reply = ask(daemon.address, method, path, &headers).await;
        reply.assert(status, path);
        for header in [
            "x-content-type-options: nosniff",
            "content-security-policy: default-src 'none'",
            "frame-ancestors 'none'",
            "x-frame-options: deny",
            "referrer-policy: no-referrer",
            "cache-control: no-store",
            "cross-origin-resource-policy: same-origin",
        ] {
            assert!(reply.head.contains(header), "{status}: {header}: {reply:?}");
        }
    }
}
