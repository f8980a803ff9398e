//! `tubewarden poll`: one round, told on standard output, stored or only peeked at.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Output;
use std::time::Duration;

use jiff::Timestamp;
use peertube_sim::accounts::Role;
use peertube_sim::jobs::{NewJob, Version};
use peertube_sim::limits::Limits;
use peertube_sim::videos::NewVideo;
use peertube_sim::{Mode, Proxy, Sim, World};
use secrecy::ExposeSecret;
use serde_json::Value;

use tubewarden::core::poll::PollKind;
use tubewarden::core::rights::Needs;
use tubewarden::store::{Access, Store};

use super::harness::{Home, ROOT, Watch, by_hand, eventually, instance};

async fn sim() -> Sim {
    // Its clock is less than a minute off in each test, so that nothing is said of that.
    let mut world = World::new(1, Timestamp::now() - Duration::from_secs(645), Version::V8_2);
    world.limits = Limits::none();
    world.accounts.add("bob", "bob-password", Role::User);
    world.upload(NewVideo::named("holidays").without_transcoding());
    world.advance(Duration::from_secs(600));
    Sim::serve(world).await.unwrap()
}

fn fail_a_job(sim: &Sim) {
    sim.with(|world| {
        world.advance(Duration::from_secs(15));
        world.jobs.add(NewJob::new("video-import").failing());
        world.advance(Duration::from_secs(15));
    });
}

fn said(done: &Output) -> String {
    String::from_utf8_lossy(&done.stderr).into_owned()
}

/// Type and subject of each event on standard output.
fn told(done: &Output) -> Vec<String> {
    let text = String::from_utf8(done.stdout.clone()).unwrap();
    let events = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    events.map(|event| format!("{} {}", event["type"].as_str().unwrap(), event["subject"])).collect()
}

/// The directories that peeks have left, or are at work in.
fn copies(home: &Home) -> Vec<PathBuf> {
    let files = fs::read_dir(home.file("")).unwrap().map(|file| file.unwrap().path());
    files.filter(|file| file.file_name().unwrap().to_str().unwrap().starts_with("tubewarden-")).collect()
}

fn password_sign_ins(sim: &Sim) -> u64 {
    sim.with(|world| world.accounts.truth().password.granted)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_round_tells_what_is_new_since_the_one_before() {
    let sim = sim().await;
    let home = Home::new(&(by_hand() + &*instance("main", &sim.url(), ROOT)));
    let first = home.done(&["poll"]);
    assert_eq!((first.status.code(), said(&first)), (Some(0), String::new()));
    assert_eq!(told(&first), ["instance.first_look null"]);

    fail_a_job(&sim);
    let second = home.done(&["poll"]);
    assert_eq!((second.status.code(), said(&second)), (Some(0), String::new()));
    assert_eq!(told(&second), ["job.failed \"video-import/1\""]);
    let third = home.done(&["poll"]);
    assert_eq!((third.status.code(), told(&third)), (Some(0), Vec::new()));
    assert_eq!(password_sign_ins(&sim), 1, "the tokens are kept between rounds");

    // What was told is the history, and a daemon goes on from there.
    let lines = [first.stdout, second.stdout].concat();
    assert_eq!(home.done(&["events", "--json"]).stdout, lines);
    let watch = Watch::ready(&home).await;
    assert_eq!(watch.events().await.len(), 2);
    watch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_round_has_the_effect_of_a_daemons() {
    let sim = sim().await;
    for _ in 0..3 {
        fail_a_job(&sim);
    }
    let config = by_hand() + &*instance("main", &sim.url(), ROOT);
    let (once, daemon) = (Home::new(&config), Home::new(&config));
    assert!(once.done(&["poll"]).status.success());
    let watch = Watch::ready(&daemon).await;
    watch.stop().await;

    fail_a_job(&sim);
    assert!(once.done(&["poll"]).status.success());
    let watch = Watch::ready(&daemon).await;
    watch.stop().await;
    let ids = async |home: &Home| {
        let events = home.events().await.into_iter().map(|event| (event.kind, event.subject, event.data));
        events.collect::<Vec<_>>()
    };
    assert_eq!(ids(&once).await, ids(&daemon).await);
    assert_eq!(ids(&once).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poll_that_is_off_is_no_failure_and_one_that_fails_is_told_with_its_instance() {
    let sim = sim().await;
    let bob = "username = \"bob\"\npassword = \"bob-password\"\n";
    let gone = instance("gone", "http://127.0.0.1:9", "");
    let home = Home::new(&(by_hand() + &*instance("main", &sim.url(), bob) + &*gone));
    let allowed = home.done(&["poll", "--instance", "main"]);
    assert_eq!((allowed.status.code(), said(&allowed)), (Some(0), String::new()));
    assert_eq!(told(&allowed), ["instance.first_look null"]);

    let done = home.done(&["poll"]);
    assert_eq!(done.status.code(), Some(1));
    let said = said(&done);
    let lines: Vec<&str> = said.lines().collect();
    let (all, made) = (PollKind::ALL.len(), PollKind::ALL.iter().filter(|kind| kind.needs() == Needs::Nothing).count());
    assert_eq!(lines.len(), made + 1, "those that need rights are off: {said}");
    assert!(lines[..made].iter().all(|line| line.starts_with("tubewarden: gone: poll of ")), "{said}");
    assert!(said.contains("no connection") && said.contains("look whether the instance runs"), "{said}");
    assert_eq!(lines[made], format!("tubewarden: {made} of {} polls failed", 2 * all));

    let done = home.done(&["poll", "--instance", "mian"]);
    assert_eq!(done.status.code(), Some(1));
    let words = "tubewarden: --instance mian: the configuration has no such instance\n";
    assert_eq!(String::from_utf8_lossy(&done.stderr), words);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_round_is_made_beside_a_daemon() {
    let sim = sim().await;
    let home = Home::new(&(by_hand() + &*instance("main", &sim.url(), ROOT)));
    let watch = Watch::ready(&home).await;
    let before = sim.requests().total;
    for args in [["poll"].as_slice(), &["poll", "--peek"]] {
        let done = home.done(args);
        assert_eq!((done.status.code(), told(&done)), (Some(1), Vec::new()), "{args:?}");
        let words = format!(
            "tubewarden: process {} watches already, with the state at {}; \
             `tubewarden events` shows what it finds, or stop it first\n",
            std::process::id(),
            home.file("state.db").display()
        );
        assert_eq!(said(&done), words, "{args:?}");
    }
    assert_eq!(sim.requests().total, before);
    assert!(copies(&home).is_empty());
    watch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peek_finds_the_same_again_and_changes_nothing() {
    let sim = sim().await;
    let home = Home::new(&(by_hand() + &*instance("main", &sim.url(), ROOT)));
    let nothing_yet = home.done(&["poll", "--peek"]);
    assert_eq!((nothing_yet.status.code(), said(&nothing_yet)), (Some(0), String::new()));
    assert_eq!(told(&nothing_yet), ["instance.first_look null"]);
    assert_eq!(fs::read_dir(home.file("")).unwrap().count(), 1, "there is the configuration and nothing else");

    assert!(home.done(&["poll"]).status.success());
    fail_a_job(&sim);
    let state = fs::read(home.file("state.db")).unwrap();
    let peeks = [(); 2].map(|()| home.done(&["poll", "--peek"]));
    for peek in &peeks {
        assert_eq!((peek.status.code(), said(peek)), (Some(0), String::new()));
        assert_eq!(told(peek), ["job.failed \"video-import/1\""]);
    }
    assert_eq!(peeks[0].stdout, peeks[1].stdout);
    assert!(fs::read(home.file("state.db")).unwrap() == state, "not a byte of the state is another");
    assert!(copies(&home).is_empty());
    assert_eq!(password_sign_ins(&sim), 4, "each peek signs in by itself, once");

    let found = home.done(&["poll"]);
    assert_eq!(found.stdout, peeks[0].stdout);
    assert_eq!(password_sign_ins(&sim), 4, "and spent no token of the state's");
    assert_eq!(sim.with(|world| world.accounts.truth().refresh_token.granted), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_copy_of_a_peek_is_private_has_no_tokens_and_goes_with_a_signal() {
    let sim = sim().await;
    let proxy = Proxy::start(sim.address()).await.unwrap();
    let more = format!("connect = \"{}\"\ntimeout = \"60s\"\n{ROOT}", proxy.url());
    let home = Home::new(&(by_hand() + &*instance("main", &sim.url(), &more)));
    assert!(home.done(&["poll"]).status.success());
    let store = Store::open(&home.file("state.db"), Access::Beside).await.unwrap();
    let tokens = store.tokens("main", "root").await.unwrap().unwrap();
    store.close().await.unwrap();

    proxy.set(Mode::BlackHole).await;
    let before = proxy.accepted();
    let mut peek = home.program("peek", &["poll", "--peek"]);
    eventually("the peek asks", async || (proxy.accepted() > before).then_some(())).await;
    let copies_now = copies(&home);
    assert_eq!(copies_now.len(), 1);
    assert_eq!(fs::metadata(&copies_now[0]).unwrap().permissions().mode() & 0o777, 0o700);
    let mut bytes = Vec::new();
    for file in fs::read_dir(&copies_now[0]).unwrap() {
        let file = file.unwrap().path();
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600, "{}", file.display());
        bytes.extend(fs::read(file).unwrap());
    }
    let is_there = |secret: &str| bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
    assert!(is_there("holidays"), "what is remembered is copied");
    assert!(!is_there(tokens.access_token.expose_secret()) && !is_there(tokens.refresh_token.expose_secret()));

    peek.terminate();
    assert_eq!(peek.ends().await.code(), Some(1));
    assert_eq!(peek.words(), "tubewarden: interrupted; what had been found by then is told\n");
    assert!(copies(&home).is_empty());
}
