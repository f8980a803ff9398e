//! Nothing secret leaves the process, whatever is logged, and what strangers wrote is
//! one harmless line wherever it is shown.

mod paths;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use peertube_sim::jobs::{NewJob, Version, work};
use peertube_sim::limits::Limits;
use peertube_sim::videos::NewVideo;
use peertube_sim::{Sim, World};
use serde_json::Value;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, QueryBuilder, Sqlite};

use tubewarden::core::event::EventKind;

use super::harness::{Home, ROOT, Scraper, each_second, eventually, instance};

/// The key in a link that sets a new password.
const LINK_SECRET: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f0";
const EVIL: &str = "\u{1b}[2Jevil\r\n{\"level\":\"ERROR\"} \u{202e}name";

/// Every value of the state but the rows of tokens; and those.
pub(super) async fn state(path: &Path) -> (String, Vec<String>) {
    let mut connection = SqliteConnectOptions::new().filename(path).read_only(true).connect().await.unwrap();
    let columns: Vec<(String, String)> = sqlx::query_as(
        "SELECT m.name, c.name FROM sqlite_master m JOIN pragma_table_info(m.name) c WHERE m.type = 'table'",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    let (mut all, mut tokens) = (String::new(), Vec::new());
    for (table, column) in columns {
        let values = values(&mut connection, &table, &column).await;
        match (table.as_str(), column.as_str()) {
            ("tokens", "access_token" | "refresh_token") => tokens.extend(values),
            _ => all += &values.join("\n"),
        }
    }
    (all, tokens)
}

async fn values(connection: &mut SqliteConnection, table: &str, column: &str) -> Vec<String> {
    let mut query = QueryBuilder::<Sqlite>::new(format!("SELECT CAST({column} AS TEXT) FROM {table}"));
    let values: Vec<Option<String>> = query.build_query_scalar().fetch_all(connection).await.unwrap();
    values.into_iter().flatten().collect()
}

/// Words as the simulated instance makes its tokens, of which there were many.
pub(super) fn tokens_in(text: &str) -> Vec<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric());
    words.filter(|word| word.len() == 40 && word.bytes().all(|byte| byte.is_ascii_hexdigit())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_secret_is_shown_and_every_line_of_the_log_is_an_object() {
    let mut world = World::new(1, Timestamp::now(), Version::V8_2);
    world.limits = Limits::none();
    world.accounts.lifetimes.access = Duration::from_secs(1);
    let client = [world.accounts.client_id.clone(), world.accounts.client_secret.clone()];
    let sim = Sim::serve(world).await.unwrap();
    let home = Home::new("");
    let log = "[log]\nformat = \"json\"\nlevel = \"trace\"\n";
    let state_and_listen = "[server]\nlisten = \"127.0.0.1:0\"\n[state]\nurl = \"sqlite://state.db\"\n";
    let config = [state_and_listen, log, &each_second(), &instance("main", &sim.url(), ROOT)].concat();
    fs::write(home.file("config.toml"), config).unwrap();
    let mut program = home.program("run", &["run"]);
    let scraper = Scraper::new(program.address().await);
    scraper.ready().await;

    let mail = || work::reset_mail(Version::V8_2, 1, LINK_SECRET);
    sim.with(|world| {
        world.upload(NewVideo::named(EVIL).run(Duration::from_secs(1)));
        world.jobs.add(mail());
        let at_once = NewJob { attempts: 1, ..mail().failing() };
        world.jobs.add(at_once.error(&format!("Error: no route to {EVIL}\n    at x")));
        world.advance(Duration::from_secs(60));
    });
    eventually("all of it is told", async || {
        let told: BTreeSet<_> = home.events().await.iter().map(|event| event.kind).collect();
        let awaited = [EventKind::JobFailed, EventKind::JobCompleted, EventKind::VideoPublished];
        let refreshed = sim.with(|world| world.accounts.truth().refresh_token.granted) >= 2;
        (refreshed && awaited.iter().all(|kind| told.contains(kind))).then_some(())
    })
    .await;
    let metrics = scraper.text().await;
    program.terminate();
    assert!(program.ends().await.success());

    let shown = [
        ("the log", program.words()),
        ("the metrics", metrics),
        ("the history", String::from_utf8(home.done(&["events", "--json"]).stdout).unwrap()),
        ("the history in words", String::from_utf8(home.done(&["events"]).stdout).unwrap()),
    ];
    let (stored, tokens) = state(&home.file("state.db")).await;
    assert!(tokens.len() == 2 && tokens_in(&tokens.join(" ")).len() == 2, "an access and a refresh token");
    for (place, text) in shown.iter().map(|(place, text)| (*place, text)).chain([("the state", &stored)]) {
        assert!(text.len() > 500, "{place} is not empty");
        let secrets = ["root-password", work::RESET_LINK, LINK_SECRET, "user1@example.com", &client[0], &client[1]];
        for secret in secrets {
            assert!(!text.contains(secret), "{secret} is in {place}");
        }
        assert_eq!(tokens_in(text), [""; 0], "a token is in {place}");
    }
    for (place, text) in &shown {
        let wild = text.chars().find(|c| (c.is_control() && *c != '\n') || *c == '\u{202e}');
        assert_eq!(wild, None, "in {place}");
    }
    let raw = fs::read(home.file("state.db")).unwrap();
    for secret in ["root-password", work::RESET_LINK, LINK_SECRET] {
        assert!(!raw.windows(secret.len()).any(|bytes| bytes == secret.as_bytes()), "{secret} is in the state file");
    }

    let lines = program.log();
    assert_eq!(lines.len(), program.words().lines().count());
    let events = home.events().await;
    let ids: Vec<_> = lines.iter().filter_map(|line| line.get("event_id")).filter_map(Value::as_str).collect();
    assert_eq!(ids, events.iter().map(|event| event.id.as_str()).collect::<Vec<_>>());
    lines.iter().for_each(expect_form);
    assert!(lines.iter().any(|line| line["level"] == "TRACE"), "the most that can be logged was logged");
    // What most people have: no completed jobs, no line that is not for them.
    let quiet = lines.iter().filter(|line| line["level"] == "INFO");
    assert!(quiet.clone().all(|line| line["event_type"] != "job.completed"));
    assert!(quiet.clone().any(|line| line["event_type"] == "video.published"));
}

/// The form that machines rely on.
fn expect_form(line: &Value) {
    let text = |key: &str| line[key].as_str().unwrap_or_else(|| panic!("no {key}: {line}"));
    text("timestamp").parse::<Timestamp>().unwrap();
    assert!(["ERROR", "WARN", "INFO", "DEBUG", "TRACE"].contains(&text("level")), "{line}");
    assert!(!text("message").is_empty() || text("level") == "TRACE", "{line}");
    assert!(line.as_object().unwrap().values().all(|value| !value.is_object()), "all at the top level: {line}");
    let fields: &[&str] = match line.get("event_type").map(|kind| kind.as_str().unwrap().split('.').next().unwrap()) {
        None => {
            assert_ne!(text("target"), "tubewarden::event", "{line}");
            return;
        }
        Some("job") => &["job_type", "job_id", "wait_seconds", "run_seconds", "error"],
        Some("video" | "live") => &["video_uuid", "video_name"],
        Some(_) => &[],
    };
    assert_eq!(text("peertube_instance"), "main");
    assert_eq!(text("event_id").len(), 32);
    assert!(fields.iter().all(|field| line.get(*field).is_some()), "{line}");
}
