//! How the program ends: in good order when it is told to, and with a status and a
//! message that say what to do when it can't begin.

use std::fs;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use peertube_sim::jobs::Version;
use peertube_sim::{Mode, Proxy, Sim, World};
use serde_json::Value;

use super::harness::{Home, ROOT, Scraper, Watch, by_hand, each_second, eventually, instance};

/// Nobody is there.
const NOWHERE: &str = "http://127.0.0.1:9";

async fn quiet() -> Sim {
    Sim::serve(World::new(1, Timestamp::now(), Version::V8_2)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_ends_it_at_once_when_nothing_is_under_way() {
    let sim = quiet().await;
    let home = Home::new(&(by_hand() + &*instance("main", &sim.url(), ROOT)));
    let mut program = home.program("run", &["run"]);
    Scraper::new(program.address().await).ready().await;

    let told = Instant::now();
    program.terminate();
    assert_eq!(program.ends().await.code(), Some(0));
    assert!(told.elapsed() < Duration::from_secs(3), "{:?}", told.elapsed());
    assert_eq!(program.log().last().unwrap()["message"], "stopped");
    assert!(!home.file("state.db-wal").exists(), "one file is left behind");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_ends_it_soon_when_the_instance_does_not_answer() {
    let sim = quiet().await;
    let proxy = Proxy::start(sim.address()).await.unwrap();
    proxy.set(Mode::BlackHole).await;
    let more = format!("connect = \"{}\"\ntimeout = \"2s\"\n{ROOT}", proxy.url());
    let home = Home::new(&(each_second() + &*instance("main", &sim.url(), &more)));
    let mut program = home.program("run", &["run"]);
    eventually("a poll is under way", async || (proxy.accepted() > 0).then_some(())).await;

    let told = Instant::now();
    program.terminate();
    assert_eq!(program.ends().await.code(), Some(0));
    assert!(told.elapsed() < Duration::from_secs(6), "{:?}", told.elapsed());
    assert_eq!(program.log().last().unwrap()["message"], "stopped");
    assert_eq!(sim.requests().total, 0);
}

#[test]
fn a_wrong_configuration_is_told_where_it_is_wrong_and_never_runs() {
    let home = Home::new("");
    fs::write(home.file("config.toml"), "[[instance]]\nname = \"main\"\nurl = \"peertube.example.com\"\n").unwrap();
    let place = home.file("config.toml").display().to_string();
    let message = format!(
        "{place}: line 3, column 7: instance.url: is no URL (relative URL without a base); \
         write it like \"https://peertube.example.com\"\n"
    );
    for args in [["run"].as_slice(), &["check"], &["events", "--json"]] {
        let done = home.done(args);
        assert_eq!(done.status.code(), Some(78), "{args:?}");
        assert_eq!(String::from_utf8_lossy(&done.stderr), message, "{args:?}");
        assert_eq!(String::from_utf8_lossy(&done.stdout), "", "{args:?}");
    }
    assert!(!home.file("state.db").exists());
}

#[test]
fn a_right_configuration_is_told_to_be_right_and_nothing_is_begun() {
    let home = Home::new(&(instance("main", NOWHERE, ROOT) + &*instance("other", NOWHERE, "")));
    let done = home.done(&["check"]);
    assert_eq!(done.status.code(), Some(0));
    let place = home.file("config.toml").display().to_string();
    let said = format!("{place}: the configuration is right; it watches main, other\n");
    assert_eq!(String::from_utf8_lossy(&done.stdout), said);
    assert_eq!(String::from_utf8_lossy(&done.stderr), "");
    assert!(!home.file("state.db").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_daemon_on_the_same_state_is_refused() {
    let home = Home::new(&(by_hand() + &*instance("main", NOWHERE, "")));
    let watch = Watch::start(&home).await;
    let done = home.done(&["run"]);
    assert_eq!(done.status.code(), Some(1));
    let reason = format!(
        "open the state at {}: process {} holds it; stop that daemon first, or give this one another state url",
        home.file("state.db").display(),
        std::process::id()
    );
    let line = only_line(&done.stderr);
    assert_eq!([&line["level"], &line["message"], &line["error"]], ["ERROR", "tubewarden ends", reason.as_str()]);
    watch.stop().await;
}

#[test]
fn an_address_that_is_taken_is_told() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let home = Home::new("");
    home.configure(&address.to_string(), &instance("main", NOWHERE, ""));
    let done = home.done(&["run"]);
    assert_eq!(done.status.code(), Some(1));
    let reason = format!("listen on {address}: is another daemon there?: ");
    let line = only_line(&done.stderr);
    assert!(line["error"].as_str().unwrap().starts_with(&reason), "{line}");

    // For people, and where the log is to show nothing of the program's own.
    let text = |level: &str| {
        let config = fs::read_to_string(home.file("config.toml")).unwrap();
        let log = format!("[log]\nlevel = \"{level}\"\n");
        fs::write(home.file("config.toml"), config.replace("[log]\nformat = \"json\"\n", &log)).unwrap();
        let said = String::from_utf8(home.done(&["run"]).stderr).unwrap();
        fs::write(home.file("config.toml"), config).unwrap();
        said
    };
    let said = text("warn");
    assert!(said.contains(&format!("ERROR tubewarden::cli::run: tubewarden ends error=\"{reason}")), "{said}");
    let said = text("sqlx=info");
    assert!(said.starts_with(&format!("tubewarden: {reason}")), "{said}");
}

/// A log of one line, as JSON.
fn only_line(log: &[u8]) -> Value {
    let text = String::from_utf8(log.to_vec()).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

#[test]
fn wrong_usage_is_told_with_what_would_be_right() {
    let home = Home::new(&instance("main", NOWHERE, ""));
    for (args, words) in [
        (["frobnicate"].as_slice(), "unrecognized subcommand 'frobnicate'"),
        (&["run", "--fast"], "unexpected argument '--fast'"),
        (&["events", "--since", "yesterday"], "write it like 30m, 2h or 7d"),
        (&[], "Usage: tubewarden"),
    ] {
        let done = home.done(args);
        assert_eq!(done.status.code(), Some(2), "{args:?}");
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(said.contains(words), "{args:?}: {said}");
    }
}
