//! Passwords and tokens.

use std::fs;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::client::{ask, basic};
use super::{Guarded, LOCAL, guarded, guarded_at};
use crate::daemon::harness::{Home, eventually};

const PASSWORD: &str = "marked-horse-battery";
const TOKEN: &str = "marked-0123456789abcdef";

/// The cheapest cost that is taken, but where time is what it is about.
fn hash(cost: u32) -> String {
    bcrypt::hash(PASSWORD, cost).unwrap()
}

async fn with_both(more: &str) -> Guarded {
    let home = Home::new("");
    fs::write(home.file("hash"), format!("{}\n", hash(10))).unwrap();
    let home = home.with("SCRAPE_TOKEN", TOKEN);
    let server =
        format!("{LOCAL}basic_auth = {{ prometheus_file = \"hash\" }}\nbearer_token = \"${{SCRAPE_TOKEN}}\"\n");
    guarded_at(home, &(server + more)).await
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_but_health_is_shown_to_who_does_not_say_who_he_is() {
    let daemon = with_both("").await;
    let wrong = [
        String::new(),
        basic("prometheus", "marked-horse"),
        basic("prometheus", ""),
        basic("nobody", PASSWORD),
        basic("Prometheus", PASSWORD),
        basic("", ""),
        bearer("marked-0123456789abcdeF"),
        bearer("marked-0123456789abcdef0"),
        bearer(PASSWORD),
        "Authorization: Bearer\r\n".to_owned(),
        "Authorization: Basic\r\n".to_owned(),
        "Authorization: Basic ****\r\n".to_owned(),
        "Authorization: Basic bm9jb2xvbg==\r\n".to_owned(),
        "Authorization: Basic //79/Pv6\r\n".to_owned(),
        format!("Authorization: Digest {TOKEN}\r\n"),
        format!("Authorization: {TOKEN}\r\n"),
        format!("Proxy-{}", bearer(TOKEN)),
        format!("{}{}", bearer(TOKEN), bearer(TOKEN)),
        format!("{}{}", bearer("x"), basic("prometheus", PASSWORD)),
    ];
    for headers in &wrong {
        let reply = ask(daemon.address, "GET", "/metrics", headers).await;
        reply.assert(401, headers);
        assert!(reply.head.contains("www-authenticate: basic realm=\"tubewarden\", charset=\"utf-8\""), "{reply:?}");
        assert!(reply.head.contains("www-authenticate: bearer realm=\"tubewarden\""), "{reply:?}");
        assert!(!reply.body.contains("tubewarden_"), "{reply:?}");
    }
    for (method, path) in [
        ("GET", "/"),
        ("HEAD", "/metrics"),
        ("POST", "/metrics"),
        ("POST", "/-/reload"),
        ("GET", "/nowhere"),
        ("GET", "/-/healthy/"),
        ("GET", "//-/healthy"),
        ("GET", "/-/healthy/../../metrics"),
        ("GET", "/-/Healthy"),
        ("GET", "/-/%68ealthy"),
        ("OPTIONS", "*"),
    ] {
        ask(daemon.address, method, path, "").await.assert(401, path);
    }
    for right in [basic("prometheus", PASSWORD), bearer(TOKEN), format!("authorization: BEARER  {TOKEN} \r\n")] {
        let reply = ask(daemon.address, "GET", "/metrics", &right).await;
        reply.assert(200, &right);
        assert!(reply.body.contains("tubewarden_build_info"), "{reply:?}");
        ask(daemon.address, "GET", "/", &right).await.assert(200, &right);
        ask(daemon.address, "GET", "/nowhere", &right).await.assert(404, &right);
    }
    ask(daemon.address, "GET", "/-/healthy", "").await.assert(200, "health is open");
    ask(daemon.address, "GET", "/-/healthy?from=probe", "").await.assert(200, "health is open");
    let ready = ask(daemon.address, "GET", "/-/ready", "").await;
    assert!([200, 503].map(Some).contains(&ready.status), "{ready:?}");

    // Told once, by the address that it came from, and never what was tried.
    let told = eventually("it is logged", async || daemon.told("wrong credentials").into_iter().next()).await;
    assert!(told.contains("\"client\":\"127.0.0.1:"), "{told}");
    assert_eq!(daemon.told("wrong credentials").len(), 1);
    assert!(!daemon.program.words().contains("marked"), "{}", daemon.program.words());
    assert!(!format!("{:?}", daemon.home.config()).contains("marked"));
    assert!(!format!("{:?}", daemon.home.config()).contains("$2b$"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_is_protected_where_that_is_wanted() {
    let daemon = with_both("protect_health = true\n").await;
    for path in ["/-/healthy", "/-/ready"] {
        ask(daemon.address, "GET", path, "").await.assert(401, path);
        let reply = ask(daemon.address, "GET", path, &bearer(TOKEN)).await;
        assert!([200, 503].map(Some).contains(&reply.status), "{reply:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_way_to_be_let_in_is_no_other() {
    let daemon = guarded(&format!("{LOCAL}bearer_token = \"{TOKEN}\"\n")).await;
    let reply = ask(daemon.address, "GET", "/metrics", &basic("prometheus", TOKEN)).await;
    reply.assert(401, "nobody has a password");
    assert!(!reply.head.contains("basic"), "{reply:?}");
    let daemon = guarded(&format!("{LOCAL}basic_auth = {{ prometheus = \"{}\" }}\n", hash(10))).await;
    let reply = ask(daemon.address, "GET", "/metrics", &bearer(PASSWORD)).await;
    reply.assert(401, "there is no token");
    assert!(!reply.head.contains("bearer"), "{reply:?}");
    let hash = hash(10);
    ask(daemon.address, "GET", "/metrics", &basic("prometheus", &hash)).await.assert(401, "a hash is no password");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_is_paid_for_once_and_a_user_who_is_not_there_like_a_wrong_password() {
    let hash = hash(12);
    let daemon = guarded(&format!("{LOCAL}basic_auth = {{ prometheus = \"{hash}\" }}\n")).await;
    let took = async |user: &str, password: &str, status: u16| {
        let begun = Instant::now();
        ask(daemon.address, "GET", "/metrics", &basic(user, password)).await.assert(status, user);
        begun.elapsed()
    };
    let first = took("prometheus", PASSWORD, 200).await;
    // The least of some, for the machine may be busy.
    let [mut again, mut wrong, mut nobody] = [Duration::MAX; 3];
    for _ in 0..5 {
        again = again.min(took("prometheus", PASSWORD, 200).await);
        wrong = wrong.min(took("prometheus", "wrong", 401).await);
        nobody = nobody.min(took("nobody", PASSWORD, 401).await);
    }
    println!("first {first:?}, again {again:?}, wrong {wrong:?}, nobody {nobody:?}");
    assert!(again * 5 < wrong, "{again:?} {wrong:?}");
    assert!(nobody * 4 > wrong && wrong * 4 > nobody, "{nobody:?} {wrong:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_tries_many_passwords_keeps_nobody_out_who_is_known() {
    let daemon = guarded(&format!("{LOCAL}basic_auth = {{ prometheus = \"{}\" }}\n", hash(12))).await;
    let address = daemon.address;
    let right = basic("prometheus", PASSWORD);
    ask(address, "GET", "/metrics", &right).await.assert(200, "known from now on");

    let mut guesses = JoinSet::new();
    for number in 0..100 {
        guesses.spawn(async move { ask(address, "GET", "/metrics", &basic("prometheus", &number.to_string())).await });
    }
    let mut slowest = Duration::ZERO;
    for _ in 0..20 {
        let begun = Instant::now();
        ask(address, "GET", "/metrics", &right).await.assert(200, "a scrape meanwhile");
        slowest = slowest.max(begun.elapsed());
    }
    println!("slowest scrape beside 100 guesses: {slowest:?}");
    assert!(slowest < Duration::from_secs(10), "{slowest:?}");
    let replies = guesses.join_all().await;
    let put_off = replies.iter().filter(|reply| reply.status == Some(503)).count();
    assert!(put_off > 0, "most are not even looked at");
    for reply in replies {
        assert!([401, 503].map(Some).contains(&reply.status), "{reply:?}");
        assert_eq!(reply.status == Some(503), reply.head.contains("retry-after: 1"), "{reply:?}");
    }
}
