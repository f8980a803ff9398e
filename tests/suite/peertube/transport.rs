//! Servers and proxies that misbehave: each is an error that says what to do, in
//! time and in bounds.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::json;
use tubewarden::core::job::JobList;
use tubewarden::core::video::{Scope, Sought, VideoSort, VideosQuery};
use tubewarden::peertube::{Backoff, BuildError, Cause, Client, MemoryHost, Options, Pause};
use wiremock::matchers::{any, header, header_exists, method, path};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use super::raw;
use super::world::{PASSWORD, World, account, anonymous, client, empty_page, failed_jobs, jobs_in, options, problem};

async fn answering(answer: ResponseTemplate) -> (MockServer, Client) {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(answer).mount(&server).await;
    let client = anonymous(&server.uri());
    (server, client)
}

async fn asked(server: &MockServer) -> Vec<Request> {
    server.received_requests().await.expect("a record")
}

#[tokio::test]
async fn a_limit_is_obeyed_before_anything_else_is_sent() {
    let limit = ResponseTemplate::new(429).insert_header("retry-after", "120").set_body_raw("Too many", "text/html");
    let (server, client) = answering(limit).await;
    let error = client.jobs(&failed_jobs()).await.expect_err("a limit");
    assert_eq!((error.label().as_ref(), error.is_transient(), error.reached()), ("429", true, Some(true)));

    let error = client.config().await.expect_err("a pause");
    assert!((118..=120).contains(&error.retry_after().expect("a pause").as_secs()), "{error}");
    assert_eq!((error.is_transient(), error.reached()), (true, None));
    assert_eq!(asked(&server).await.len(), 1);
}

#[tokio::test]
async fn retry_after_on_a_good_answer_means_nothing() {
    let (server, client) = answering(empty_page().insert_header("retry-after", "120")).await;
    for _ in 0..2 {
        client.jobs(&failed_jobs()).await.expect("a page");
    }
    assert_eq!(asked(&server).await.len(), 2);
}

#[tokio::test]
async fn an_instance_that_is_down_is_left_alone_for_a_while() {
    let server = MockServer::start().await;
    Mock::given(any())
        .respond_with(ResponseTemplate::new(502).set_body_raw("<h1>Bad gateway</h1>", "text/html"))
        .mount(&server)
        .await;
    let minute = Duration::from_mins(1);
    let options = Options { backoff: Backoff { first: minute, most: minute }, ..options(&server.uri()) };
    let client = Client::new(options, Arc::new(MemoryHost::default())).expect("a client");

    let error = client.config().await.expect_err("a bad gateway");
    assert_eq!((error.label().as_ref(), error.is_transient(), error.reached()), ("502", true, Some(false)));
    let error = client.config().await.expect_err("a pause");
    assert!(matches!(error.cause, Cause::Paused { why: Pause::Down, .. }), "{error}");
    assert_eq!(asked(&server).await.len(), 1);
}

#[tokio::test]
async fn a_page_of_html_is_no_answer() {
    let (_server, client) =
        answering(ResponseTemplate::new(200).set_body_raw("<h1>Maintenance</h1>", "text/html")).await;
    let error = client.jobs(&failed_jobs()).await.expect_err("no JSON");
    assert_eq!((error.label().as_ref(), error.reached()), ("decode", Some(false)));
    assert!(error.to_string().contains("text/html where JSON was expected"), "{error}");
    assert!(!error.to_string().contains("Maintenance"));
}

#[tokio::test]
async fn only_peertubes_own_404_means_that_a_video_is_gone() {
    let uuid = "447920ab-ec9e-42cc-8599-3ddfc78a41fa";
    let (_server, client) = answering(problem(404, None)).await;
    assert_eq!(client.video(uuid).await.expect("an answer"), Sought::Gone);
    let (_server, client) = answering(problem(401, None)).await;
    assert_eq!(client.video(uuid).await.expect("an answer"), Sought::Withheld);

    for other in [
        ResponseTemplate::new(404).set_body_raw("<h1>Not found</h1>", "text/html"),
        ResponseTemplate::new(404).set_body_raw("", "application/json"),
        ResponseTemplate::new(404).set_body_raw("{\"title\": \"Not", "application/json"),
    ] {
        let (_server, client) = answering(other).await;
        assert_eq!(client.video(uuid).await.expect_err("no finding").label(), "404");
    }
}

#[tokio::test]
async fn only_peertubes_own_403_means_that_a_right_is_missing() {
    let (_server, client) = answering(ResponseTemplate::new(403).set_body_raw("blocked", "text/html")).await;
    let error = client.jobs(&failed_jobs()).await.expect_err("a wall");
    assert!(!error.is_forbidden());
    assert_eq!(error.reached(), Some(false));
}

#[tokio::test]
async fn what_is_no_uuid_is_not_asked_for() {
    let (server, client) = answering(empty_page()).await;
    for bad in ["", "..", "a/b", "a?b", "é", &"a".repeat(65)] {
        assert_eq!(client.video(bad).await.expect_err(bad).label(), "local");
    }
    assert!(asked(&server).await.is_empty());
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_its_host_is_named() {
    let other = MockServer::start().await;
    Mock::given(any()).respond_with(empty_page()).mount(&other).await;
    let target = other.uri().replace("127.0.0.1", "localhost") + "/login?next=secret";
    for status in [301, 302, 307, 308] {
        let server = MockServer::start().await;
        let there = ResponseTemplate::new(status).insert_header("location", target.as_str());
        Mock::given(path("/api/v1/users/token")).respond_with(there.clone()).mount(&server).await;
        let oauth = json!({"client_id": "id", "client_secret": "secret"});
        let oauth = ResponseTemplate::new(200).set_body_json(oauth);
        Mock::given(path("/api/v1/oauth-clients/local")).respond_with(oauth).mount(&server).await;
        Mock::given(any()).respond_with(there).mount(&server).await;

        let (client, _) = client(&server.uri());
        let error = client.jobs(&failed_jobs()).await.expect_err("a redirect of the sign-in");
        assert!(error.to_string().contains("to localhost, which is not followed"), "{error}");
        assert!(!error.to_string().contains("secret"), "{error}");
        let error = anonymous(&server.uri()).config().await.expect_err("a redirect");
        assert_eq!((error.label().as_ref(), error.reached()), (status.to_string().as_str(), Some(false)));
    }
    assert!(asked(&other).await.is_empty(), "nothing went to the other host");
}

#[tokio::test]
async fn an_endless_body_is_refused_while_it_arrives() {
    let sent = Arc::new(AtomicUsize::new(0));
    let counter = sent.clone();
    let (url, _) = raw::serve(move |out, _, _| {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
        let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
        let mut all = out.write_all(head.as_bytes());
        for _ in 0..16_384 {
            all = all.and_then(|()| out.write_all(chunk.as_bytes()));
            if all.is_err() {
                break;
            }
            counter.fetch_add(0x10000, Ordering::SeqCst);
        }
        false
    });
    let error = anonymous(&url).jobs(&failed_jobs()).await.expect_err("a gibibyte");
    assert!(matches!(error.cause, Cause::TooLarge { limit: 8_388_608 }), "{error}");
    assert!(sent.load(Ordering::SeqCst) < 32 << 20, "{} bytes were taken", sent.load(Ordering::SeqCst));
}

#[tokio::test]
async fn a_body_that_says_that_it_is_too_long_is_not_read() {
    let (url, _) = raw::serve(|out, _, _| {
        write!(out, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1073741824\r\n\r\n").is_ok()
    });
    let error = anonymous(&url).jobs(&failed_jobs()).await.expect_err("a gibibyte");
    assert!(matches!(error.cause, Cause::TooLarge { .. }), "{error}");
}

#[tokio::test]
async fn an_answer_that_is_cut_is_an_error() {
    // By the connection: fewer bytes than were promised.
    let (url, _) = raw::serve(|out, _, _| {
        let sent =
            write!(out, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 90\r\n\r\n{{\"tot");
        assert!(sent.is_ok());
        false
    });
    let error = anonymous(&url).jobs(&failed_jobs()).await.expect_err("a cut answer");
    assert_eq!((error.label().as_ref(), error.is_transient(), error.reached()), ("connect", true, Some(false)));

    // By somebody between: whole for HTTP, half for JSON.
    let (url, _) = raw::serve(|out, _, _| raw::answer(out, "{\"total\": 3, \"data\": [{\"id\": \"hunter2"));
    let error = anonymous(&url).jobs(&failed_jobs()).await.expect_err("half an answer");
    assert_eq!((error.label().as_ref(), error.is_transient()), ("decode", true));
    assert!(!error.to_string().contains("hunter2"), "{error}");
}

#[tokio::test]
async fn a_refusal_that_is_cut_is_no_refusal() {
    let (url, _) = raw::serve(|out, _, _| {
        let kind = "Content-Type: application/problem+json\r\nContent-Length: 300";
        let sent = write!(out, "HTTP/1.1 403 Forbidden\r\n{kind}\r\n\r\n{{\"type\":");
        assert!(sent.is_ok());
        false
    });
    let error = anonymous(&url).jobs(&failed_jobs()).await.expect_err("a cut refusal");
    assert!(!error.is_forbidden() && error.is_transient(), "{error}");
}

#[tokio::test]
async fn an_answer_that_dawdles_ends_in_time() {
    let (url, _) = raw::serve(|out, _, _| {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 90\r\n\r\n";
        // A byte now and then for ever: each read is quick, the whole is not.
        let mut all = out.write_all(head.as_bytes());
        while all.is_ok() {
            std::thread::sleep(Duration::from_millis(20));
            all = out.write_all(b" ");
        }
        false
    });
    let timeout = Duration::from_millis(300);
    let client = Client::new(Options { timeout, ..options(&url) }, Arc::new(MemoryHost::default())).expect("a client");
    let began = Instant::now();
    let error = client.jobs(&failed_jobs()).await.expect_err("a time-out");
    assert!(began.elapsed() < Duration::from_secs(3));
    assert_eq!((error.label().as_ref(), error.is_transient(), error.reached()), ("timeout", true, Some(false)));
}

#[tokio::test]
async fn a_pooled_connection_that_is_dead_costs_the_caller_nothing() {
    // Each connection serves one request and then hangs up on the next.
    let (url, met) = raw::serve(|out, _, request| request == 0 && raw::answer(out, "{\"total\": 0, \"data\": []}"));
    let client = anonymous(&url);
    for _ in 0..3 {
        client.jobs(&failed_jobs()).await.expect("a page");
    }
    assert_eq!(met.connections(), 3);
}

#[tokio::test]
async fn a_server_that_always_hangs_up_is_asked_twice_and_no_more() {
    let (url, met) = raw::serve(|_, _, _| false);
    let error = anonymous(&url).jobs(&failed_jobs()).await.expect_err("no answer");
    assert_eq!((error.label().as_ref(), met.requests()), ("connect", 2));
}

#[tokio::test]
async fn where_nothing_listens_or_speaks_tls_is_told() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let free = listener.local_addr().expect("an address");
    drop(listener);
    let error = anonymous(&format!("http://{free}")).config().await.expect_err("nobody");
    assert_eq!((error.label().as_ref(), error.reached()), ("connect", Some(false)));
    assert!(error.to_string().contains("refused"), "{error}");

    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("https://{}", listener.local_addr().expect("an address"));
    std::thread::spawn(move || {
        let (mut out, _) = listener.accept().expect("a connection");
        write!(out, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").expect("an answer");
        // Until the other side hangs up, lest the answer be lost.
        std::io::copy(&mut out, &mut std::io::sink()).ok();
    });
    match Client::new(options(&url), Arc::new(MemoryHost::default())) {
        Ok(client) => {
            let error = client.config().await.expect_err("no TLS");
            assert_eq!((error.label().as_ref(), error.reached()), ("tls", Some(false)), "{error}");
        }
        // A system without root certificates says what to install.
        Err(error) => assert!(matches!(error, BuildError::Transport { .. }), "{error}"),
    }
}

#[tokio::test]
async fn what_did_not_change_is_not_sent_again() {
    let server = MockServer::start().await;
    let date = |text| move |answer: ResponseTemplate| answer.insert_header("date", text);
    let unchanged = date("Tue, 24 Nov 2026 04:00:00 GMT")(ResponseTemplate::new(304));
    Mock::given(header("if-none-match", "W/\"a-tag\"")).respond_with(unchanged).mount(&server).await;
    let row = json!({"id": "1", "type": "email", "createdAt": "2026-11-24T02:00:00.000Z"});
    let page = ResponseTemplate::new(200).set_body_json(json!({"total": 1, "data": [row]}));
    let page = date("Tue, 24 Nov 2026 03:00:00 GMT")(page.insert_header("etag", "W/\"a-tag\""));
    Mock::given(any()).respond_with(page).mount(&server).await;

    let client = anonymous(&server.uri());
    let first = client.jobs(&failed_jobs()).await.expect("a page");
    let second = client.jobs(&failed_jobs()).await.expect("a page");
    assert_eq!((first.total, &first.rows), (1, &second.rows));
    let at = |text: &str| text.parse::<Timestamp>().expect("a time");
    assert_eq!((first.date, second.date), (at("2026-11-24T03:00:00Z"), at("2026-11-24T04:00:00Z")));

    client.jobs(&jobs_in(JobList::Active)).await.expect("another page");
    let conditional: Vec<_> = asked(&server).await.iter().map(|r| r.headers.contains_key("if-none-match")).collect();
    assert_eq!(conditional, [false, true, false]);
}

#[tokio::test]
async fn an_answer_that_was_spoilt_on_its_way_is_sent_again() {
    let server = MockServer::start().await;
    Mock::given(header_exists("if-none-match")).respond_with(ResponseTemplate::new(304)).mount(&server).await;
    let tagged = |body| ResponseTemplate::new(200).insert_header("etag", "W/\"a-tag\"").set_body_json(body);
    let spoilt = tagged(json!({"serverV": "8.2.1"}));
    Mock::given(any()).respond_with(spoilt).up_to_n_times(1).mount(&server).await;
    Mock::given(any()).respond_with(tagged(json!({"serverVersion": "8.2.1"}))).mount(&server).await;

    let client = anonymous(&server.uri());
    assert_eq!(client.config().await.expect_err("no version").label(), "decode");
    for _ in 0..2 {
        assert_eq!(client.config().await.expect("a version").server_version, "8.2.1");
    }
    assert_eq!(asked(&server).await.len(), 3);
}

#[tokio::test]
async fn an_answer_without_a_date_is_no_page() {
    let (url, _) = raw::serve(|out, _, _| {
        let body = "{\"total\": 0, \"data\": []}";
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json";
        write!(out, "{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).is_ok()
    });
    let error = anonymous(&url).jobs(&failed_jobs()).await.expect_err("no date");
    assert!(error.to_string().contains("no Date header"), "{error}");
}

#[tokio::test]
async fn connecting_elsewhere_speaks_as_the_public_host() {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(empty_page()).mount(&server).await;
    let connect = Some(server.uri().parse().expect("an address"));
    for (url, host) in [
        ("https://peertube.example.com", "peertube.example.com"),
        ("http://peertube.example.com:80", "peertube.example.com"),
        ("http://peertube.example.com:9000", "peertube.example.com:9000"),
    ] {
        let options = Options { connect: connect.clone(), ..options(url) };
        let client = Client::new(options, Arc::new(MemoryHost::default())).expect("a client");
        client.jobs(&failed_jobs()).await.expect("a page");
        let last = asked(&server).await.pop().expect("a request");
        assert_eq!(last.headers["host"], host);
        assert!(last.headers["user-agent"].to_str().expect("text").starts_with("tubewarden/"));
    }
}

#[tokio::test]
async fn questions_are_asked_as_peertube_understands_them() {
    let (server, world) = World::start().await;
    let (client, _) = client(&server.uri());
    let mut query = VideosQuery {
        start: 100,
        count: 50,
        sort: VideoSort::NewestCreated,
        scope: Scope::Local,
        skip_count: false,
        everything: true,
    };
    client.videos(&query).await.expect("a page");
    (query.scope, query.skip_count, query.everything) = (Scope::All, true, false);
    client.videos(&query).await.expect("a page");
    client.jobs(&jobs_in(JobList::Delayed)).await.expect("a page");
    let questions: Vec<_> = asked(&server).await.iter().filter_map(|r| r.url.query().map(str::to_owned)).collect();
    assert_eq!(
        questions,
        [
            "start=100&count=50&sort=-createdAt&nsfw=both&isLocal=true&include=7\
             &privacyOneOf=1&privacyOneOf=2&privacyOneOf=3&privacyOneOf=4&privacyOneOf=5",
            "start=100&count=50&sort=-createdAt&nsfw=both&skipCount=true",
            "start=0&count=100&sort=-createdAt",
        ]
    );
    assert!(world.state().asked.iter().all(|(_, token)| token.is_some()), "public questions carry the token too");
}

#[tokio::test]
async fn an_anonymous_client_sends_no_token_and_never_signs_in() {
    let server = MockServer::start().await;
    Mock::given(header_exists("authorization")).respond_with(ResponseTemplate::new(500)).mount(&server).await;
    Mock::given(method("POST")).respond_with(ResponseTemplate::new(500)).mount(&server).await;
    Mock::given(any()).respond_with(problem(401, Some("unauthorized_request"))).mount(&server).await;
    let client = anonymous(&server.uri());
    let error = client.jobs(&failed_jobs()).await.expect_err("no right");
    assert!(error.is_forbidden() && !client.has_account());
    assert_eq!(asked(&server).await.len(), 1);
}

#[tokio::test]
async fn no_secret_is_ever_shown() {
    // A server that repeats all that it was sent, wherever it can.
    let server = MockServer::start().await;
    let echo = |request: &Request| {
        let sent = format!("{} {:?}", String::from_utf8_lossy(&request.body), request.headers);
        let body = json!({"code": sent, "detail": sent, "title": sent, "total": sent, "data": sent});
        let status = if request.url.path().ends_with("failed") { 200 } else { 400 };
        ResponseTemplate::new(status).set_body_raw(body.to_string(), "application/json")
    };
    let oauth = json!({"client_id": "the-client", "client_secret": "the-client-secret"});
    let oauth = ResponseTemplate::new(200).set_body_json(oauth);
    Mock::given(path("/api/v1/oauth-clients/local")).respond_with(oauth).mount(&server).await;
    let tokens = json!({"access_token": "the-access", "refresh_token": "the-refresh", "expires_in": 3600});
    let good = Mock::given(path("/api/v1/users/token")).respond_with(ResponseTemplate::new(200).set_body_json(tokens));
    good.up_to_n_times(1).with_priority(1).mount(&server).await;
    Mock::given(any()).respond_with(echo).with_priority(9).mount(&server).await;

    let (client, host) = client(&server.uri());
    let mut shown = vec![format!("{client:?} {:?}", client.state())];
    for list in [JobList::Failed, JobList::Active] {
        let error = client.jobs(&jobs_in(list)).await.expect_err("nonsense");
        shown.push(format!("{error} {error:?} {}", error.label()));
    }
    let (refused, host_of_refused) = super::world::client(&server.uri());
    let error = refused.me().await.expect_err("a sign-in that is refused");
    shown.push(format!("{error} {error:?} {refused:?} {host_of_refused:?}"));
    shown.push(format!("{host:?} {:?} {:?}", options(&server.uri()), account()));
    for text in &shown {
        for secret in [PASSWORD, "the-access", "the-refresh", "the-client-secret", "Bearer"] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
}
