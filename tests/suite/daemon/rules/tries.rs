//! What is tried when, with a whole daemon: beside what is refused again and again, when
//! it has grown old, after a rule was changed or taken away.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use peertube_sim::jobs::NewJob;
use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};
use tubewarden::core::poll::PollKind;
use tubewarden::core::rule::delivery_id;

use super::receiver::Receiver;
use super::{completed, quiet_instance, watched, webhook, work};
use crate::daemon::harness::{Home, Watch, eventually};

/// Until all of it failed once, or went.
async fn tried(watch: &Watch, owed: usize) {
    eventually("all of it was tried", async || {
        let all = watch.store().deliveries().await.unwrap();
        (all.len() == owed && all.iter().all(|one| one.tries > 0)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_is_refused_again_and_again_holds_back_nothing_else() {
    let sim = quiet_instance().await;
    let receiver = Receiver::refusing(|_| false).await;
    let more = "webhook.max_backoff = \"1s\"";
    let home = Home::new(&watched(&sim, &webhook("chat", &receiver.url(), more)));
    let watch = Watch::ready(&home).await;
    work(&sim, 1);
    watch.poll("main", PollKind::Jobs).await;
    eventually("the first one arrives", async || (receiver.accepted().len() == 1).then_some(())).await;

    receiver.refuse_with("video-transcription");
    sim.with(|world| drop(world.jobs.add(NewJob::new("video-transcription").run(Duration::from_millis(10)))));
    sim.advance(Duration::from_secs(60));
    watch.poll("main", PollKind::Jobs).await;
    // Long enough for a rule to rest, if this made it rest.
    eventually("it is refused several times", async || (receiver.refused() >= 5).then_some(())).await;
    for more in 2..8 {
        work(&sim, 1);
        watch.poll("main", PollKind::Jobs).await;
        let refused = receiver.refused();
        eventually("the others arrive", async || (receiver.accepted().len() == more).then_some(())).await;
        assert!(receiver.refused() <= refused + 1, "it waits for one try of the other at most");
    }
    watch.stop().await;
}

#[tokio::test]
async fn a_batch_that_is_owed_when_its_rule_takes_none_any_more_is_delivered_event_by_event() {
    let sim = quiet_instance().await;
    let receiver = Receiver::refusing(|_| false).await;
    receiver.answer(503);
    let home = Home::new(&watched(&sim, &webhook("chat", &receiver.url(), "batch = \"1s\"")));
    let watch = Watch::ready(&home).await;
    work(&sim, 3);
    watch.poll("main", PollKind::Jobs).await;
    tried(&watch, 1).await;
    watch.stop().await;

    receiver.answer(200);
    home.configure("127.0.0.1:0", &watched(&sim, &webhook("chat", &receiver.url(), "")));
    let watch = Watch::ready(&home).await;
    eventually("all arrive", async || (receiver.accepted().len() == 3).then_some(())).await;
    let expected: BTreeSet<String> = completed(&watch).await.iter().map(|id| delivery_id(id, "chat")).collect();
    assert_eq!(receiver.ids(), expected);
    assert!(receiver.accepted().iter().all(|one| one.body["type"] == "job.completed"));

    // And the other way round.
    receiver.answer(503);
    work(&sim, 2);
    watch.poll("main", PollKind::Jobs).await;
    tried(&watch, 2).await;
    watch.stop().await;
    receiver.answer(200);
    home.configure("127.0.0.1:0", &watched(&sim, &webhook("chat", &receiver.url(), "batch = \"1s\"")));
    let watch = Watch::ready(&home).await;
    eventually("all arrive", async || (receiver.accepted().len() == 5).then_some(())).await;
    let bodies: Vec<Value> = receiver.accepted()[3..].iter().map(|one| one.body.clone()).collect();
    assert!(bodies.iter().all(|body| body.as_array().is_some_and(|events| events.len() == 1)), "{bodies:?}");
    watch.stop().await;
}

#[tokio::test]
async fn what_grows_too_old_is_left_out_and_told_but_not_what_a_person_wants_tried_again() {
    let sim = quiet_instance().await;
    let receiver = Receiver::refusing(|_| false).await;
    receiver.answer(400);
    let home = Home::new(&watched(&sim, &webhook("chat", &receiver.url(), "max_age = \"1h\"")));
    let watch = Watch::ready(&home).await;
    work(&sim, 1);
    watch.poll("main", PollKind::Jobs).await;
    tried(&watch, 1).await;
    // Not refused for good this time.
    receiver.answer(503);
    work(&sim, 2);
    watch.poll("main", PollKind::Jobs).await;
    tried(&watch, 3).await;
    watch.stop().await;

    // Two hours later.
    let mut state = SqliteConnectOptions::new().filename(home.file("state.db")).connect().await.unwrap();
    let events: Vec<(i64, String)> =
        sqlx::query_as("SELECT delivery, event FROM delivery_events").fetch_all(&mut state).await.unwrap();
    for (delivery, event) in events {
        let mut event: Value = serde_json::from_str(&event).unwrap();
        let at: Timestamp = event["time"].as_str().unwrap().parse().unwrap();
        event["time"] = json!((at - SignedDuration::from_hours(2)).to_string());
        let update = sqlx::query("UPDATE delivery_events SET event = $2 WHERE delivery = $1");
        update.bind(delivery).bind(event.to_string()).execute(&mut state).await.unwrap();
    }
    state.close().await.unwrap();
    receiver.answer(200);
    let watch = Watch::ready(&home).await;
    eventually("what is too old goes", async || (watch.store().deliveries().await.unwrap().len() == 1).then_some(()))
        .await;
    let stale = [("rule", "chat"), ("result", "stale")];
    assert_eq!(watch.scrape().await.value("tubewarden_deliveries_total", &stale), Some(2.0));
    assert_eq!(receiver.accepted().len(), 0);
    assert!(home.done_beside(&["deliveries", "retry", "--all"]).await.status.success());
    eventually("the dead letter arrives", async || (receiver.accepted().len() == 1).then_some(())).await;
    watch.stop().await;
}

#[tokio::test]
async fn what_a_rule_owed_that_is_gone_is_kept_as_dead_letters() {
    let sim = quiet_instance().await;
    let receiver = Receiver::refusing(|_| false).await;
    receiver.answer(503);
    let home = Home::new(&watched(&sim, &webhook("chat", &receiver.url(), "")));
    let watch = Watch::ready(&home).await;
    work(&sim, 2);
    watch.poll("main", PollKind::Jobs).await;
    tried(&watch, 2).await;
    watch.stop().await;

    receiver.answer(200);
    home.configure("127.0.0.1:0", &watched(&sim, &webhook("another", &receiver.url(), "")));
    let watch = Watch::ready(&home).await;
    let all = watch.store().deliveries().await.unwrap();
    assert_eq!(all.len(), 2);
    let why = "its rule is not in the configuration any more";
    assert!(all.iter().all(|one| one.is_dead && one.error.as_deref() == Some(why)), "{all:?}");
    watch.stop().await;
    // Nothing is sent by itself when a rule of that name comes back.
    home.configure("127.0.0.1:0", &watched(&sim, &webhook("chat", &receiver.url(), "")));
    let watch = Watch::ready(&home).await;
    assert!(home.done_beside(&["deliveries", "retry", "--all"]).await.status.success());
    eventually("both arrive", async || (receiver.accepted().len() == 2).then_some(())).await;
    watch.stop().await;
}

#[tokio::test]
async fn a_run_that_fails_until_the_next_one_is_counted_as_failed() {
    let sim = quiet_instance().await;
    let home = Home::new("");
    fs::write(home.file("fail.sh"), "exit 7\n").unwrap();
    let command = format!("exec.command = [\"/bin/sh\", \"{}\"]", home.file("fail.sh").display());
    let schedule = format!("[[schedule]]\nname = \"tick\"\ncron = \"* * * * * *\"\n{command}\n");
    home.configure("127.0.0.1:0", &watched(&sim, &schedule));
    let watch = Watch::ready(&home).await;
    let labels = [("schedule", "tick"), ("peertube_instance", "main"), ("result", "error")];
    eventually("failed runs are counted", async || {
        let runs = watch.scrape().await.value("tubewarden_schedule_runs_total", &labels);
        (runs >= Some(3.0)).then_some(())
    })
    .await;
    watch.stop().await;
}
