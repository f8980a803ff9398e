//! What is in the state and can't be understood, as a newer or a damaged program leaves
//! it: what lives by it stops and says so, and nothing else does.

use std::path::Path;

use peertube_sim::Sim;
use serde_json::Value;
use sqlx::SqlitePool;
use sqlx::sqlite::SqliteConnectOptions;

use tubewarden::core::event::EventKind;
use tubewarden::core::poll::PollKind;

use super::harness::{Home, ROOT, Scraper, Watch, each_second, eventually, instance};
use super::rules::receiver::Receiver;
use super::rules::{quiet_instance, watched, webhook, work};

/// Changes the state as a person or another program does.
async fn change(state: &Path, statement: &'static str) {
    let pool = SqlitePool::connect_with(SqliteConnectOptions::new().filename(state)).await.unwrap();
    let done = sqlx::query(statement).execute(&pool).await.unwrap();
    assert!(done.rows_affected() > 0, "{statement}");
    pool.close().await;
}

const SPOIL: &str = "UPDATE memory SET body = '{\"from\": the future' WHERE poll = 'jobs' AND instance_id =
     (SELECT id FROM instances WHERE name = 'main' AND is_current = 1)";
/// As the README has it.
const FORGET: &str = "DELETE FROM memory WHERE poll = 'jobs' AND instance_id =
     (SELECT id FROM instances WHERE name = 'main' AND is_current = 1)";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_memory_that_can_t_be_read_stops_its_own_poll_until_it_is_forgotten() {
    let (main, other): (Sim, Sim) = (quiet_instance().await, quiet_instance().await);
    let both = instance("main", &main.url(), ROOT) + &*instance("other", &other.url(), ROOT);
    let home = Home::new(&(each_second() + &*both));
    Watch::ready(&home).await.stop().await;
    change(&home.file("state.db"), SPOIL).await;

    let mut program = home.program("run", &["run"]);
    let scraper = Scraper::new(program.address().await);
    scraper.ready().await;
    work(&main, 5);
    work(&other, 7);
    let told = async |name: &str| {
        let events = home.events().await;
        events.iter().filter(|event| event.kind == EventKind::JobCompleted && event.instance() == name).count()
    };
    eventually("the other instance is watched", async || (told("other").await == 7).then_some(())).await;
    let of_it = |line: &&Value| line["level"] == "ERROR" && line["peertube_instance"] == "main";
    let log = program.log();
    let lines: Vec<_> = log.iter().filter(of_it).collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!(lines[0]["message"], "what is remembered can't be read, so this poll is not made; all others go on");
    let error = lines[0]["error"].as_str().unwrap();
    assert!(error.contains("update tubewarden, restore the state, or have it forgotten"), "{error}");
    let scrape = scraper.scrape().await;
    assert_eq!(scrape.polls_with("main", PollKind::Jobs, "ok"), 0.0);
    assert!(scrape.polls_with("main", PollKind::Jobs, "error") > 0.0);
    assert!(scrape.polls_with("main", PollKind::Videos, "ok") > 0.0, "its other polls go on");
    let counted = [("peertube_instance", "main")];
    assert_eq!(scrape.value("peertube_jobs_completed_total", &counted), None, "unknown is not none");
    let status = home.done(&["status", "--json"]);
    assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stderr));
    let status: Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(status["instances"][0]["jobs"], Value::Null);
    let error = status["instances"][0]["polls"][0]["error"].as_str().unwrap();
    assert!(error.contains("what is remembered of the jobs can't be read"), "{error}");

    // By hand, while it runs: it begins anew with a look at what there is.
    change(&home.file("state.db"), FORGET).await;
    eventually("its poll is made again", async || {
        (scraper.scrape().await.polls_with("main", PollKind::Jobs, "ok") > 0.0).then_some(())
    })
    .await;
    work(&main, 3);
    eventually("it is watched again", async || (told("main").await == 3).then_some(())).await;
    program.terminate();
    assert_eq!(program.ends().await.code(), Some(0));
}

#[tokio::test]
async fn a_delivery_that_can_t_be_read_is_given_up_and_holds_up_no_other() {
    let sim = quiet_instance().await;
    let receiver = Receiver::refusing(|_| false).await;
    receiver.answer(500);
    let home = Home::new(&watched(&sim, &webhook("chat", &receiver.url(), "")));
    let watch = Watch::ready(&home).await;
    work(&sim, 3);
    watch.poll("main", PollKind::Jobs).await;
    eventually("they are owed", async || {
        (watch.store().owes().await.unwrap().iter().map(|owes| owes.pending).sum::<u64>() == 3).then_some(())
    })
    .await;
    watch.stop().await;
    let spoil = "UPDATE delivery_events SET event = '{' WHERE delivery = (SELECT min(seq) FROM deliveries)";
    change(&home.file("state.db"), spoil).await;

    receiver.answer(200);
    let watch = Watch::ready(&home).await;
    eventually("the others arrive", async || (receiver.accepted().len() == 2).then_some(())).await;
    eventually("it is a dead letter", async || {
        let owes = watch.store().owes().await.unwrap();
        (owes.iter().map(|owes| (owes.pending, owes.dead)).collect::<Vec<_>>() == [(0, 1)]).then_some(())
    })
    .await;
    let listed = watch.store().deliveries().await.unwrap();
    assert!(listed[0].error.as_ref().unwrap().contains("can't be read"), "{listed:?}");
    watch.stop().await;
}
