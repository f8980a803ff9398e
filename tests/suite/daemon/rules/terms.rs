//! What holds a rule back, with a whole daemon: quiet hours, limits, depth, and clocks
//! that jump.

use std::fs;

use jiff::{SignedDuration, Timestamp, ToSpan};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};
use tubewarden::core::poll::PollKind;
use tubewarden::store::Listed;

use super::receiver::Receiver;
use super::{quiet_instance, watched, webhook, work};
use crate::daemon::harness::{Home, ROOT, Scraper, Watch, each_second, eventually, instance};

async fn listed(watch: &Watch) -> Vec<Listed> {
    watch.store().deliveries().await.unwrap()
}

#[tokio::test]
async fn quiet_hours_hold_back_what_happens_in_them_and_nothing_else() {
    let sim = quiet_instance().await;
    let (asleep, awake) = (Receiver::refusing(|_| false).await, Receiver::refusing(|_| false).await);
    let hour = |hours: i64| {
        let at = Timestamp::now().in_tz("Asia/Kolkata").unwrap() + hours.hours();
        at.strftime("%H:00").to_string()
    };
    let quiet = |from, to| format!("quiet = \"{}-{}\"\ntimezone = \"Asia/Kolkata\"", hour(from), hour(to));
    let rules = [webhook("asleep", &asleep.url(), &quiet(-2, 3)), webhook("awake", &awake.url(), &quiet(3, 6))];
    let home = Home::new(&watched(&sim, &rules.concat()));
    let watch = Watch::ready(&home).await;
    work(&sim, 3);
    watch.poll("main", PollKind::Jobs).await;
    eventually("all arrive by day", async || (awake.accepted().len() == 3).then_some(())).await;
    let mut held = listed(&watch).await;
    // The last of the others may have arrived and not be settled yet.
    held.retain(|one| one.rule == "asleep");
    assert_eq!(held.len(), 3);
    for one in &held {
        let due = one.due_at.in_tz("Asia/Kolkata").unwrap().strftime("%H:%M:%S").to_string();
        assert_eq!((one.tries, due), (0, hour(3) + ":00"));
    }
    assert_eq!(asleep.tries(), 0);

    // A person may decide otherwise.
    let seqs: Vec<String> = held.iter().map(|one| one.seq.to_string()).collect();
    let retry: Vec<&str> = ["deliveries", "retry"].into_iter().chain(seqs.iter().map(String::as_str)).collect();
    assert!(home.done_beside(&retry).await.status.success());
    eventually("what was held arrives", async || (asleep.accepted().len() == 3).then_some(())).await;
    watch.stop().await;
}

#[tokio::test]
async fn what_a_limit_swallows_is_counted_and_summed_up_once() {
    let sim = quiet_instance().await;
    let (chat, sums) = (Receiver::refusing(|_| false).await, Receiver::refusing(|_| false).await);
    let sum_up = format!("[[rule]]\nname = \"sums\"\non = [\"rule.limited\"]\nwebhook.url = \"{}\"\n", sums.url());
    let rules = webhook("chat", &chat.url(), "limit = \"2/10s\"") + &*sum_up;
    let home = Home::new(&watched(&sim, &rules));
    let watch = Watch::ready(&home).await;
    work(&sim, 7);
    watch.poll("main", PollKind::Jobs).await;
    let told = eventually("it is summed up", async || sums.accepted().into_iter().next()).await;
    assert_eq!((&told.body["type"], &told.body["data"]["rule"]), (&"rule.limited".into(), &"chat".into()));
    assert_eq!(told.body["data"]["swallowed"], 5);
    assert_eq!(told.body["data"]["types"], serde_json::json!({"job.completed": 5}));
    eventually("nothing is owed", async || listed(&watch).await.is_empty().then_some(())).await;
    assert_eq!(chat.accepted().len(), 2);
    let scrape = watch.scrape().await;
    let limited = scrape.value("tubewarden_deliveries_total", &[("rule", "chat"), ("result", "limited")]);
    assert_eq!(limited, Some(5.0));

    // The time is over, so it acts again.
    work(&sim, 1);
    watch.poll("main", PollKind::Jobs).await;
    eventually("the next one arrives", async || (chat.accepted().len() == 3).then_some(())).await;
    watch.stop().await;
    assert_eq!(sums.accepted().len(), 1);
}

#[tokio::test]
async fn scripts_that_answer_each_other_end_four_deep() {
    let sim = quiet_instance().await;
    let home = Home::new("");
    fs::write(home.file("ping.rhai"), "emit(\"custom.ping\", #{});").unwrap();
    fs::write(home.file("pong.rhai"), "emit(\"custom.pong\", #{});").unwrap();
    let rule = |name: &str, on: &str, file: &str| {
        format!("[[rule]]\nname = \"{name}\"\non = [\"{on}\"]\nscript.file = \"{file}.rhai\"\n")
    };
    let rules = [
        rule("first", "job.completed", "ping"),
        rule("pong", "custom.ping", "pong"),
        rule("ping", "custom.pong", "ping"),
        // Never of itself, though its pattern says so.
        rule("self", "custom.*", "ping"),
    ];
    home.configure("127.0.0.1:0", &watched(&sim, &rules[..3].concat()));
    let watch = Watch::ready(&home).await;
    work(&sim, 1);
    watch.poll("main", PollKind::Jobs).await;
    let chain = async |watch: &Watch| {
        let events = watch.events().await;
        let custom = events.into_iter().filter(|event| event.type_name().starts_with("custom."));
        custom.map(|event| (event.type_name().to_owned(), event.data["depth"].as_u64().unwrap())).collect::<Vec<_>>()
    };
    let whole = [("custom.ping", 1), ("custom.pong", 2), ("custom.ping", 3), ("custom.pong", 4)];
    let whole: Vec<(String, u64)> = whole.iter().map(|(name, depth)| ((*name).to_owned(), *depth)).collect();
    eventually("it comes to its end", async || {
        (chain(&watch).await.len() >= whole.len() && listed(&watch).await.is_empty()).then_some(())
    })
    .await;
    assert_eq!(chain(&watch).await, whole);
    watch.stop().await;

    home.configure("127.0.0.1:0", &watched(&sim, &[rules[0].as_str(), &rules[3]].concat()));
    let watch = Watch::ready(&home).await;
    sim.with(|world| world.advance_to(Timestamp::now() + SignedDuration::from_secs(1)));
    work(&sim, 1);
    watch.poll("main", PollKind::Jobs).await;
    eventually("it comes to its end", async || {
        (chain(&watch).await.len() >= whole.len() + 2 && listed(&watch).await.is_empty()).then_some(())
    })
    .await;
    let more: Vec<u64> = chain(&watch).await[whole.len()..].iter().map(|(_, depth)| *depth).collect();
    assert_eq!(more, [1, 2]);
    watch.stop().await;
}

#[tokio::test]
async fn a_clock_that_was_set_back_gives_nothing_up() {
    let sim = quiet_instance().await;
    let receiver = Receiver::refusing(|_| false).await;
    receiver.answer(503);
    let home = Home::new(&watched(&sim, &webhook("chat", &receiver.url(), "webhook.give_up = \"1h\"")));
    let watch = Watch::ready(&home).await;
    work(&sim, 1);
    watch.poll("main", PollKind::Jobs).await;
    eventually("it is refused", async || (receiver.tries() >= 1).then_some(())).await;
    watch.stop().await;

    // What was first due two days ahead of the clock that holds now.
    let ahead = Timestamp::now() + SignedDuration::from_hours(48);
    let mut state = SqliteConnectOptions::new().filename(home.file("state.db")).connect().await.unwrap();
    let changed = sqlx::query("UPDATE deliveries SET first_due_at = $1").bind(ahead.as_millisecond());
    assert_eq!(changed.execute(&mut state).await.unwrap().rows_affected(), 1);
    state.close().await.unwrap();

    let tried = receiver.tries();
    let watch = Watch::ready(&home).await;
    eventually("it is refused again", async || (receiver.tries() > tried + 1).then_some(())).await;
    assert_eq!(watch.store().owes().await.unwrap().iter().map(|owes| owes.dead).sum::<u64>(), 0);
    receiver.answer(200);
    eventually("it arrives", async || (receiver.accepted().len() == 1).then_some(())).await;
    watch.stop().await;
}

#[tokio::test]
async fn no_proxy_of_the_environment_sees_a_webhook() {
    let sim = quiet_instance().await;
    let receiver = Receiver::refusing(|_| false).await;
    let url = receiver.url().replace("127.0.0.1", "localhost");
    assert!(url.contains("localhost"), "{url}");
    let home = Home::new(&[each_second(), instance("main", &sim.url(), ROOT), webhook("chat", &url, "")].concat())
        .with("http_proxy", "http://127.0.0.1:9")
        .with("HTTP_PROXY", "http://127.0.0.1:9")
        .with("ALL_PROXY", "http://127.0.0.1:9")
        // The instance is reached all the same.
        .with("NO_PROXY", "127.0.0.1");
    let mut program = home.program("run", &["run"]);
    Scraper::new(program.address().await).ready().await;
    work(&sim, 1);
    eventually("it arrives", async || (receiver.accepted().len() == 1).then_some(())).await;
    program.terminate();
    assert!(program.ends().await.success());
}
