//! What a receiver gets, and what its answers, or their absence, are taken for.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use secrecy::SecretString;
use serde_json::Value;
use tubewarden::config::{self, Method, Patience};
use tubewarden::rules::webhook::Webhook;
use tubewarden::rules::{Delivery, Outcome};
use wiremock::matchers::{any, method, path};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use super::receiver::Receiver;
use super::{again, delivery, event};

const OLD: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const NEW: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oDHb/b5DqPzrCnZxQyFfY9mfQvYUkl0LnY";
/// In the address, where a chat has its token.
const TOKEN: &str = "T0KEN-in-the-address";

fn hook(url: impl Into<String>) -> config::Webhook {
    config::Webhook::new(SecretString::from(url.into()))
}

fn patience() -> Patience {
    Patience { timeout: Duration::from_secs(10), ..Patience::default() }
}

fn webhook(config: &config::Webhook) -> Webhook {
    Webhook::new(config, &patience()).unwrap()
}

async fn send(webhook: &Webhook) -> Outcome {
    let events = [event()];
    let delivery = delivery(&events);
    webhook.send(&delivery, &delivery.body()).await
}

/// A receiver that gives one answer always, at an address that is a secret.
async fn answering(answer: ResponseTemplate) -> (MockServer, Webhook) {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(answer).mount(&server).await;
    let webhook = webhook(&hook(format!("{}/hooks/{TOKEN}", server.uri())));
    (server, webhook)
}

async fn asked(server: &MockServer) -> Vec<Request> {
    server.received_requests().await.unwrap()
}

#[tokio::test]
async fn a_receiver_gets_the_event_under_the_same_id_at_each_try() {
    let (server, webhook) = answering(ResponseTemplate::new(204)).await;
    assert_eq!(send(&webhook).await, Outcome::Done);
    assert_eq!(send(&webhook).await, Outcome::Done);

    for request in asked(&server).await {
        assert_eq!((request.method.as_str(), request.url.path()), ("POST", "/hooks/T0KEN-in-the-address"));
        assert_eq!(request.body_json::<Value>().unwrap(), event());
        assert_eq!(request.headers["content-type"], "application/cloudevents+json");
        assert_eq!(request.headers["webhook-id"], "3f0c9a-0a1b2c3d");
        assert_eq!(request.headers["user-agent"], concat!("tubewarden/", env!("CARGO_PKG_VERSION")));
        assert!(!request.headers.contains_key("webhook-signature"), "there is no secret to sign with");
        assert!(!request.headers.contains_key("accept-encoding"));
        let timestamp: i64 = request.headers["webhook-timestamp"].to_str().unwrap().parse().unwrap();
        assert!((Timestamp::now().as_second() - timestamp).abs() < 60);
    }
}

#[tokio::test]
async fn a_batch_comes_as_an_array_even_of_one() {
    let (server, webhook) = answering(ResponseTemplate::new(200)).await;
    for events in [vec![event()], vec![event(), event()]] {
        let delivery = Delivery { is_batch: true, ..delivery(&events) };
        assert_eq!(webhook.send(&delivery, &delivery.body()).await, Outcome::Done);
        let request = asked(&server).await.pop().unwrap();
        assert_eq!(request.headers["content-type"], "application/cloudevents-batch+json");
        assert_eq!(request.body_json::<Vec<Value>>().unwrap(), events);
    }
}

#[tokio::test]
async fn a_rule_may_say_method_type_headers_and_body() {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(ResponseTemplate::new(200)).mount(&server).await;
    let address = server.uri().replace("http://", "http://me:p%40ss@");
    let header = |name: &str, value: &str| (name.to_owned(), SecretString::from(value.to_owned()));
    for (kind, name) in [(Method::Put, "PUT"), (Method::Patch, "PATCH")] {
        let config = config::Webhook {
            method: kind,
            content_type: Some("text/plain; charset=utf-8".into()),
            headers: vec![header("X-Priority", "5"), header("User-Agent", "mine"), header("title", "Vidéo")],
            ..hook(&address)
        };
        let events = [event()];
        assert_eq!(webhook(&config).send(&delivery(&events), b"{ as it is }\n").await, Outcome::Done);
        let request = asked(&server).await.pop().unwrap();
        assert_eq!((request.method.as_str(), request.body.as_slice()), (name, b"{ as it is }\n".as_slice()));
        assert_eq!(request.headers["content-type"], "text/plain; charset=utf-8");
        assert_eq!(
            (&request.headers["x-priority"], &request.headers["user-agent"]),
            (&"5".parse().unwrap(), &"mine".parse().unwrap())
        );
        assert_eq!(request.headers["title"].as_bytes(), "Vidéo".as_bytes());
        assert_eq!(request.headers["authorization"], "Basic bWU6cEBzcw==", "as the address has it");
    }
}

#[tokio::test]
async fn a_receiver_believes_what_is_signed_and_nothing_that_was_tampered_with() {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(ResponseTemplate::new(200)).mount(&server).await;
    let secrets = vec![SecretString::from(OLD.to_owned())];
    assert_eq!(send(&webhook(&config::Webhook { secrets, ..hook(server.uri()) })).await, Outcome::Done);
    let request = asked(&server).await.pop().unwrap();

    let receiver = Receiver::new(OLD);
    let now = Timestamp::now().as_second();
    assert_eq!(receiver.verify(&request, now), Ok(()));
    assert_eq!(receiver.verify(&request, now + 240), Ok(()));
    for wrong in [now - 360, now + 360] {
        assert_eq!(receiver.verify(&request, wrong), Err("the clock is wrong"));
    }
    assert_eq!(Receiver::new(NEW).verify(&request, now), Err("no signature fits"));

    let tampered = |change: &dyn Fn(&mut Request)| {
        let mut request = request.clone();
        change(&mut request);
        receiver.verify(&request, now)
    };
    assert_eq!(tampered(&|_| {}), Ok(()));
    assert_eq!(tampered(&|request| request.body.push(b' ')), Err("no signature fits"));
    assert_eq!(tampered(&|request| request.body[20] ^= 1), Err("no signature fits"));
    for (name, value) in [("webhook-id", "another-0a1b2c3d".to_owned()), ("webhook-timestamp", (now + 100).to_string())]
    {
        let changed = tampered(&|request| {
            request.headers.insert(name, value.parse().unwrap());
        });
        assert_eq!(changed, Err("no signature fits"), "{name}");
    }
}

#[tokio::test]
async fn while_the_secret_is_changed_both_the_old_and_the_new_one_are_believed() {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(ResponseTemplate::new(200)).mount(&server).await;
    let secrets = [NEW, OLD].map(|secret| SecretString::from(secret.to_owned())).to_vec();
    assert_eq!(send(&webhook(&config::Webhook { secrets, ..hook(server.uri()) })).await, Outcome::Done);

    let mut request = asked(&server).await.pop().unwrap();
    let now = Timestamp::now().as_second();
    for secret in [OLD, NEW] {
        assert_eq!(Receiver::new(secret).verify(&request, now), Ok(()));
    }
    request.body[20] ^= 1;
    for secret in [OLD, NEW] {
        assert_eq!(Receiver::new(secret).verify(&request, now), Err("no signature fits"));
    }
}

#[tokio::test]
async fn each_answer_is_taken_for_what_it_says() {
    let seconds = |count| Some(Duration::from_secs(count));
    let again = |why: &str, after| Outcome::Again { why: why.to_owned(), after };
    let dead = |why: &str| Outcome::Dead { why: why.to_owned() };
    let gone = |why: &str| Outcome::Gone { why: why.to_owned() };
    for (status, retry_after, expected) in [
        (200, None, Outcome::Done),
        (299, Some("60"), Outcome::Done),
        (400, None, dead("http://127.0.0.1 answered 400 Bad Request")),
        (401, Some("60"), dead("http://127.0.0.1 answered 401 Unauthorized")),
        (404, None, dead("http://127.0.0.1 answered 404 Not Found")),
        (410, None, gone("http://127.0.0.1 answered 410 Gone")),
        (408, None, again("http://127.0.0.1 answered 408 Request Timeout", None)),
        (425, None, again("http://127.0.0.1 answered 425 Too Early", None)),
        (429, None, again("http://127.0.0.1 answered 429 Too Many Requests", None)),
        (429, Some("7"), again("http://127.0.0.1 answered 429 Too Many Requests", seconds(7))),
        (429, Some("soon"), again("http://127.0.0.1 answered 429 Too Many Requests", None)),
        (500, None, again("http://127.0.0.1 answered 500 Internal Server Error", None)),
        (503, Some("86400"), again("http://127.0.0.1 answered 503 Service Unavailable", seconds(3600))),
        (
            503,
            Some("Tue, 24 Nov 2026 02:01:30 GMT"),
            again("http://127.0.0.1 answered 503 Service Unavailable", seconds(90)),
        ),
        (599, None, again("http://127.0.0.1 answered 599 <unknown status code>", None)),
    ] {
        let mut answer = ResponseTemplate::new(status)
            .insert_header("date", "Tue, 24 Nov 2026 02:00:00 GMT")
            .set_body_string(format!("the receiver repeats {TOKEN}"));
        if let Some(text) = retry_after {
            answer = answer.insert_header("retry-after", text);
        }
        let (_server, webhook) = answering(answer).await;
        assert_eq!(send(&webhook).await, expected, "{status} {retry_after:?}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed_wherever_it_leads() {
    let elsewhere = MockServer::start().await;
    Mock::given(any()).respond_with(ResponseTemplate::new(200)).mount(&elsewhere).await;
    let target = elsewhere.uri().replace("127.0.0.1", "localhost");
    for status in [301, 302, 303, 307, 308] {
        let answer = ResponseTemplate::new(status).insert_header("location", format!("{target}/{TOKEN}"));
        let (server, webhook) = answering(answer).await;
        let why = again(send(&webhook).await);
        assert!(why.contains(&format!("answered {status} ")) && why.contains("a redirect to localhost"), "{why}");
        assert!(!why.contains(TOKEN), "{why}");
        assert_eq!(asked(&server).await.len(), 1);
    }
    assert!(asked(&elsewhere).await.is_empty(), "nothing went elsewhere");
}

/// A server by hand: each connection is given to `serve`.
fn listen(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let serve = Arc::new(serve);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = serve.clone();
            thread::spawn(move || serve(stream));
        }
    });
    port
}

/// Reads the head of a request and its body.
fn read(stream: &mut impl Read) -> String {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(reader.read_line(&mut head).unwrap() > 0, "the request is cut: {head}");
    }
    let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
    reader.read_exact(&mut vec![0; length.unwrap_or(0)]).unwrap();
    head
}

#[tokio::test]
async fn a_receiver_that_never_answers_is_waited_for_no_longer_than_the_time_limit() {
    let port = listen(|mut stream| drop(std::io::copy(&mut stream, &mut std::io::sink())));
    let patience = Patience { timeout: Duration::from_millis(300), ..patience() };
    let webhook = Webhook::new(&hook(format!("http://127.0.0.1:{port}/{TOKEN}")), &patience).unwrap();
    let began = Instant::now();
    let why = again(send(&webhook).await);
    assert_eq!(why, "http://127.0.0.1 did not answer within 300ms");
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn an_endless_answer_is_not_read() {
    let port = listen(|mut stream| {
        read(&mut stream);
        write!(stream, "HTTP/1.1 200 OK\r\n\r\n").unwrap();
        while stream.write_all(&[b' '; 65_536]).is_ok() {}
    });
    assert_eq!(send(&webhook(&hook(format!("http://127.0.0.1:{port}")))).await, Outcome::Done);
}

#[tokio::test]
async fn where_nobody_listens_or_speaks_tls_it_is_tried_again_and_no_secret_is_told() {
    let free = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let hangs_up = listen(|mut stream| drop(read(&mut stream)));
    let speaks_plainly = listen(|mut stream| {
        write!(stream, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").unwrap();
        // Until the other side hangs up, lest the answer be lost.
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
    });
    for (scheme, host, port, said) in [
        ("http", "127.0.0.1", free, "http://127.0.0.1 could not be connected to: Connection refused"),
        ("http", "127.0.0.1", hangs_up, "http://127.0.0.1 broke the connection off: "),
        ("https", "localhost", speaks_plainly, "https://localhost could not be connected to: received corrupt message"),
        ("http", "nowhere.invalid", 80, "http://nowhere.invalid could not be connected to: "),
    ] {
        let config = config::Webhook {
            headers: vec![("Authorization".to_owned(), SecretString::from("Bearer the-header"))],
            secrets: vec![SecretString::from(OLD)],
            ca_file: Some(fixture("ca.pem")),
            ..hook(format!("{scheme}://the-user:the-password@{host}:{port}/{TOKEN}?key={TOKEN}"))
        };
        let webhook = webhook(&config);
        let why = again(send(&webhook).await);
        assert!(why.starts_with(said), "{why}");
        let events = [event()];
        let preview = webhook.preview(&delivery(&events), b"{}");
        assert!(preview.contains(&("authorization".to_owned(), "…".to_owned())), "{preview:?}");
        for shown in [why, format!("{webhook:?} {config:?}"), webhook.told().to_owned(), format!("{preview:?}")] {
            for secret in [TOKEN, "the-header", "the-user", "the-password", "MfKQ9"] {
                assert!(!shown.contains(secret), "{secret} in {shown}");
            }
        }
    }
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/rules/tls").join(name)
}

#[tokio::test]
async fn a_certificate_of_ones_own_authority_is_trusted_where_it_is_named_and_nowhere_else() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let certificate = CertificateDer::from_pem_file(fixture("server.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(fixture("server.key")).unwrap();
    let tls = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate], key).unwrap();
    let tls = Arc::new(tls);
    let port = listen(move |stream| {
        let mut stream = StreamOwned::new(ServerConnection::new(tls.clone()).unwrap(), stream);
        // Whoever does not trust it hangs up at once.
        if stream.conn.complete_io(&mut stream.sock).is_ok() {
            read(&mut stream);
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
        }
    });
    let config = config::Webhook { ca_file: Some(fixture("ca.pem")), ..hook(format!("https://localhost:{port}")) };
    assert_eq!(send(&webhook(&config)).await, Outcome::Done);

    // Not by the name of another host, and not by its own certificate instead of the authority's.
    let by_address = config::Webhook { url: format!("https://127.0.0.1:{port}").into(), ..config.clone() };
    let why = again(send(&webhook(&by_address)).await);
    assert!(why.contains("certificate"), "{why}");
    // A system without root certificates has nothing to compare it with.
    if let Ok(webhook) = Webhook::new(&config::Webhook { ca_file: None, ..config }, &patience()) {
        let why = again(send(&webhook).await);
        assert!(why.contains("certificate"), "{why}");
    }
}

#[tokio::test]
async fn a_proxy_is_used_where_it_is_named() {
    let met = Arc::new(Mutex::new(String::new()));
    let seen = met.clone();
    let port = listen(move |mut stream| {
        *seen.lock().unwrap() = read(&mut stream);
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
    });
    let proxy = Some(SecretString::from(format!("http://me:secret@127.0.0.1:{port}")));
    let webhook = webhook(&config::Webhook { proxy, ..hook("http://chat.invalid/hooks/1") });
    assert_eq!(send(&webhook).await, Outcome::Done);
    let met = met.lock().unwrap().to_lowercase();
    assert!(met.starts_with("post http://chat.invalid/hooks/1 http/1.1"), "{met}");
    assert!(met.contains("proxy-authorization: basic "), "{met}");
}

#[tokio::test]
async fn one_that_failed_for_a_while_is_done_in_the_end() {
    let server = MockServer::start().await;
    let fails = Mock::given(method("POST")).and(path("/")).respond_with(ResponseTemplate::new(502));
    fails.up_to_n_times(2).mount(&server).await;
    Mock::given(any()).respond_with(ResponseTemplate::new(200)).mount(&server).await;
    let webhook = webhook(&hook(server.uri()));
    for _ in 0..2 {
        again(send(&webhook).await);
    }
    assert_eq!(send(&webhook).await, Outcome::Done);
}

#[test]
fn what_is_wrong_with_a_webhook_is_told_by_its_key_and_without_its_secrets() {
    let with = |change: &dyn Fn(&mut config::Webhook)| {
        let mut config = hook("https://chat.example.com/hidden");
        config.ca_file = Some(fixture("ca.pem"));
        change(&mut config);
        Webhook::new(&config, &patience()).map(|_| ()).unwrap_err().to_string()
    };
    let header = |name: &str, value: &str| (name.to_owned(), SecretString::from(value.to_owned()));
    let missing = fixture("missing.pem");
    for (error, said) in [
        (with(&|config| config.url = "hidden".into()), "url: is no address (relative URL without a base)"),
        (with(&|config| config.url = "ftp://hidden/".into()), "url: is neither http:// nor https://"),
        (with(&|config| config.content_type = Some("json".into())), "content_type: is no content type"),
        (with(&|config| config.content_type = Some("a/b\n".into())), "content_type: is no content type"),
        (with(&|config| config.headers = vec![header("X Y", "hidden")]), "headers.X Y: is no name of a header"),
        (with(&|config| config.headers = vec![header("X", "hidden\r\nHost: y")]), "headers.X: can't be the value"),
        (with(&|config| config.headers = vec![header("Content-Type", "hidden")]), "headers.Content-Type: has a key"),
        (with(&|config| config.headers = vec![header("Webhook-Id", "hidden")]), "headers.Webhook-Id: is set by"),
        (with(&|config| config.headers = vec![header("Content-Length", "9")]), "headers.Content-Length: is set by"),
        (
            with(&|config| config.headers = vec![header("A", "b"), header("a", "hidden")]),
            "headers.a: stands there twice",
        ),
        (with(&|config| config.secrets = vec!["whsec_hidden".into()]), "secret: is no base64"),
        (with(&|config| config.proxy = Some("socks5://hidden".into())), "proxy: is neither http://"),
        (with(&|config| config.ca_file = Some(missing.clone())), "ca_file: /"),
        (with(&|config| config.ca_file = Some(fixture("server.key"))), "ca_file: /"),
    ] {
        assert!(error.starts_with(said), "{error}");
        assert!(!error.contains("hidden"), "{error}");
    }
}
