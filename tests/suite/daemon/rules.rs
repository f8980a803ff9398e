//! What rules do about events, with a whole daemon and real receivers: at least once,
//! each event under one id, and nobody waits for another's endpoint.

pub(crate) mod receiver;
mod terms;
mod tries;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

use jiff::Timestamp;
use peertube_sim::jobs::{NewJob, Version};
use peertube_sim::limits::Limits;
use peertube_sim::{Sim, World};
use serde_json::Value;

use tubewarden::core::event::EventKind;
use tubewarden::core::poll::PollKind;
use tubewarden::core::rule::delivery_id;

use super::harness::{Home, ROOT, Scraper, Watch, by_hand, each_second, eventually, instance};
use receiver::Receiver;

/// An instance that works on by hand. What it does happens after now.
pub(super) async fn quiet_instance() -> Sim {
    instance_since(Timestamp::now()).await
}

async fn instance_since(start: Timestamp) -> Sim {
    let mut world = World::new(5, start, Version::V8_2);
    world.limits = Limits::none();
    Sim::serve(world).await.unwrap()
}

/// So many jobs that end at once, and are told by the next poll.
pub(super) fn work(sim: &Sim, jobs: usize) {
    sim.advance(Duration::from_secs(2));
    sim.with(|world| {
        (0..jobs).for_each(|_| drop(world.jobs.add(NewJob::new("video-import").run(Duration::from_millis(10)))))
    });
    sim.advance(Duration::from_secs(60));
}

pub(super) fn webhook(name: &str, url: &str, more: &str) -> String {
    format!(
        "[[rule]]\nname = \"{name}\"\non = [\"job.completed\"]\nwebhook.url = \"{url}\"\nwebhook.backoff = \"1s\"\n{more}\n"
    )
}

pub(super) fn watched(sim: &Sim, rules: &str) -> String {
    format!("{}{}{rules}", by_hand(), instance("main", &sim.url(), ROOT))
}

async fn completed(watch: &Watch) -> BTreeSet<String> {
    watch
        .events()
        .await
        .into_iter()
        .filter(|event| event.kind == EventKind::JobCompleted)
        .map(|event| event.id)
        .collect()
}

#[tokio::test]
async fn each_event_arrives_under_one_id_though_one_try_in_five_is_refused() {
    let sim = quiet_instance().await;
    let receiver = Receiver::refusing(|number| number % 5 == 0).await;
    let home = Home::new(&watched(&sim, &webhook("chat", &receiver.url(), "")));
    let watch = Watch::ready(&home).await;
    work(&sim, 40);
    watch.poll("main", PollKind::Jobs).await;
    eventually("all arrive", async || (receiver.accepted().len() >= 40).then_some(())).await;

    let told = completed(&watch).await;
    let expected: BTreeSet<String> = told.iter().map(|id| delivery_id(id, "chat")).collect();
    let accepted = receiver.accepted();
    assert_eq!(accepted.len(), 40, "none arrives twice");
    assert_eq!(accepted.iter().map(|one| one.id.clone()).collect::<BTreeSet<_>>(), expected);
    for one in &accepted {
        assert_eq!(one.body["type"], "job.completed");
        assert_eq!(delivery_id(one.body["id"].as_str().unwrap(), "chat"), one.id);
    }
    eventually("nothing is owed", async || watch.store().owes().await.unwrap().is_empty().then_some(())).await;
    let scrape = watch.scrape().await;
    let result = |result| scrape.value("tubewarden_deliveries_total", &[("rule", "chat"), ("result", result)]).unwrap();
    assert_eq!((result("ok"), result("dead")), (40.0, 0.0));
    assert_eq!(result("retry") as usize, receiver.refused());
    watch.stop().await;
}

#[tokio::test]
async fn who_never_answers_delays_nobody_else() {
    let sim = quiet_instance().await;
    let (silent, receiver) = (Receiver::silent().await, Receiver::refusing(|_| false).await);
    let rules =
        [webhook("silent", &silent.url(), "webhook.timeout = \"1h\""), webhook("chat", &receiver.url(), "")].concat();
    let home = Home::new(&watched(&sim, &rules));
    let watch = Watch::ready(&home).await;
    work(&sim, 20);
    watch.poll("main", PollKind::Jobs).await;
    eventually("all arrive at the other one", async || (receiver.accepted().len() == 20).then_some(())).await;
    // The last one may have arrived and not be settled yet.
    eventually("the silent one alone still owes", async || {
        let owes = watch.store().owes().await.unwrap();
        (owes.iter().map(|owes| (owes.rule.as_str(), owes.pending)).eq([("silent", 20)])).then_some(())
    })
    .await;
    eventually("the metrics show it", async || {
        let scrape = watch.scrape().await;
        let pending = |rule| scrape.value("tubewarden_deliveries_pending", &[("rule", rule)]);
        (pending("silent") == Some(20.0) && pending("chat") == Some(0.0)).then_some(())
    })
    .await;
    watch.stop().await;
}

#[tokio::test]
async fn what_is_refused_for_good_is_a_dead_letter_and_can_be_replayed() {
    let sim = quiet_instance().await;
    let receiver = Receiver::refusing(|_| false).await;
    receiver.answer(400);
    let home = Home::new(&watched(&sim, &webhook("chat", &receiver.url(), "")));
    let watch = Watch::ready(&home).await;
    work(&sim, 3);
    watch.poll("main", PollKind::Jobs).await;
    eventually("all are given up", async || {
        let owes = watch.store().owes().await.unwrap();
        (owes.iter().map(|owes| (owes.pending, owes.dead)).collect::<Vec<_>>() == [(0, 3)]).then_some(())
    })
    .await;
    assert_eq!(receiver.refused(), 3, "each was tried once");

    let listed = home.done_beside(&["deliveries", "list", "--json"]).await;
    let listed: Vec<Value> =
        String::from_utf8(listed.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(listed.len(), 3);
    assert!(
        listed.iter().all(|one| one["state"] == "dead" && one["error"].as_str().unwrap().contains("400")),
        "{listed:?}"
    );
    let status = String::from_utf8(home.done_beside(&["status", "--json"]).await.stdout).unwrap();
    let status: Value = serde_json::from_str(&status).unwrap();
    assert_eq!(
        status["owed"],
        serde_json::json!([{"rule": "chat", "pending": 0, "dead": 3, "oldest_pending_at": null}])
    );
    assert!(!home.done_beside(&["deliveries", "retry"]).await.status.success(), "without a number it needs --all");
    assert!(!home.done_beside(&["deliveries", "retry", "4711"]).await.status.success());

    receiver.answer(200);
    let first = listed[0]["id"].to_string();
    assert!(home.done_beside(&["deliveries", "drop", &first]).await.status.success());
    assert!(home.done_beside(&["deliveries", "retry", "--all"]).await.status.success());
    eventually("what was left arrives", async || (receiver.accepted().len() == 2).then_some(())).await;
    eventually("nothing is owed", async || watch.store().owes().await.unwrap().is_empty().then_some(())).await;
    watch.stop().await;
}

#[tokio::test]
async fn an_address_that_is_gone_stops_its_rule_and_nothing_else() {
    let sim = quiet_instance().await;
    let (gone, receiver) = (Receiver::refusing(|_| false).await, Receiver::refusing(|_| false).await);
    gone.answer(410);
    let rules = [webhook("gone", &gone.url(), ""), webhook("chat", &receiver.url(), "")].concat();
    let home = Home::new(&[each_second(), instance("main", &sim.url(), ROOT), rules].concat());
    let mut program = home.program("run", &["run"]);
    let scraper = Scraper::new(program.address().await);
    scraper.ready().await;
    work(&sim, 3);
    eventually("the first is refused", async || (gone.tries() == 1).then_some(())).await;
    work(&sim, 2);
    eventually("all arrive at the other one", async || (receiver.accepted().len() == 5).then_some(())).await;
    let polls = scraper.scrape().await.polls("main", PollKind::Jobs);
    eventually("polls go on", async || {
        (scraper.scrape().await.polls("main", PollKind::Jobs) >= polls + 3.0).then_some(())
    })
    .await;
    assert_eq!(gone.tries(), 1, "nothing more is asked of it");
    gone.answer(200);
    program.signal("HUP");
    eventually("what was kept arrives", async || (gone.accepted().len() == 4).then_some(())).await;
    program.terminate();
    assert!(program.ends().await.success());
}

#[tokio::test]
async fn what_happens_within_a_batch_is_one_delivery() {
    let sim = quiet_instance().await;
    let receiver = Receiver::refusing(|_| false).await;
    let body = r#"webhook.body = '{"text": {{ (events | length) | tojson }}, "first": {{ events[0].data.job_type | tojson }}}'"#;
    let home = Home::new(&watched(&sim, &webhook("chat", &receiver.url(), &format!("batch = \"3s\"\n{body}"))));
    let watch = Watch::ready(&home).await;
    for jobs in [4, 5] {
        work(&sim, jobs);
        watch.poll("main", PollKind::Jobs).await;
    }
    eventually("it arrives", async || (!receiver.accepted().is_empty()).then_some(())).await;
    let accepted = receiver.accepted();
    let texts: Vec<&Value> = accepted.iter().map(|one| &one.body["text"]).collect();
    let total: i64 = texts.iter().map(|text| text.as_i64().unwrap()).sum();
    assert!(total == 9 || texts.len() == 1, "{texts:?}");
    assert_eq!(accepted[0].body["first"], "video-import");
    watch.stop().await;
}

#[tokio::test]
async fn a_rule_acts_on_what_happens_after_it_was_added() {
    let sim = instance_since(Timestamp::now() - Duration::from_secs(600)).await;
    let home = Home::new(&watched(&sim, ""));
    let watch = Watch::ready(&home).await;
    work(&sim, 3);
    watch.poll("main", PollKind::Jobs).await;
    assert_eq!(completed(&watch).await.len(), 3);
    watch.stop().await;

    let receiver = Receiver::refusing(|_| false).await;
    home.configure("127.0.0.1:0", &watched(&sim, &webhook("chat", &receiver.url(), "")));
    // It ended before the rule was there, and is told after it.
    work(&sim, 2);
    sim.with(|world| world.advance_to(Timestamp::now() + Duration::from_secs(1)));
    let watch = Watch::ready(&home).await;
    assert_eq!(completed(&watch).await.len(), 5);
    work(&sim, 4);
    watch.poll("main", PollKind::Jobs).await;
    eventually("the new ones arrive", async || (receiver.accepted().len() >= 4).then_some(())).await;
    assert_eq!(receiver.accepted().len(), 4);
    watch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_moment_every_event_arrives_under_one_id() {
    const EVENTS: usize = 500;
    let sim = quiet_instance().await;
    let receiver = Receiver::refusing(|number| number % 5 == 0).await;
    let home = Home::new("");
    let configure = |poll: String| {
        let rules = webhook("chat", &receiver.url(), "when = 'event.data.job_type == \"video-import\"'");
        home.configure("127.0.0.1:0", &[poll, instance("main", &sim.url(), ROOT), rules].concat());
    };
    configure(by_hand());
    Watch::ready(&home).await.stop().await;
    configure(each_second());
    let mut rng = fastrand::Rng::with_seed(3);
    let mut done = 0;
    for round in 0.. {
        if done < EVENTS {
            work(&sim, 50);
            done += 50;
        } else if receiver.ids().len() >= EVENTS {
            break;
        }
        let (seen, more) = (receiver.tries(), rng.usize(1..60));
        let program = home.program(&format!("killed-{round}"), &["run"]);
        eventually("it delivers", async || {
            (receiver.tries() >= seen + more || receiver.ids().len() >= EVENTS).then_some(())
        })
        .await;
        program.kill();
    }
    configure(by_hand());
    let watch = Watch::ready(&home).await;
    eventually("nothing is owed", async || watch.store().owes().await.unwrap().is_empty().then_some(())).await;
    let told: BTreeSet<String> = completed(&watch).await.iter().map(|id| delivery_id(id, "chat")).collect();
    assert_eq!(told.len(), EVENTS);
    assert_eq!(receiver.ids(), told);
    let mut bodies: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for one in receiver.accepted() {
        bodies.entry(one.id).or_default().insert(one.body.to_string());
    }
    assert!(bodies.values().all(|bodies| bodies.len() == 1), "the same id is the same event");
    watch.stop().await;
}

#[tokio::test]
async fn commands_get_the_event_and_scripts_tell_events_that_other_rules_act_on() {
    let sim = quiet_instance().await;
    let home = Home::new("");
    let out = home.file("commands.out");
    fs::write(
        home.file("count.rhai"),
        "let n = store.get(\"n\");\nif n == () { n = 0; }\nn += 1;\nstore.set(\"n\", n);\n\
         metric.set(\"jobs\", n, 60);\nemit(\"custom.counted\", #{ number: n });\n",
    )
    .unwrap();
    let rules = format!(
        "[[rule]]\nname = \"count\"\non = [\"job.completed\"]\nscript.file = \"count.rhai\"\n\
         [[rule]]\nname = \"write\"\non = [\"custom.*\"]\nexec.command = [\"/bin/sh\", \"-c\", \"cat >> '{}'\"]\n",
        out.display()
    );
    home.configure("127.0.0.1:0", &watched(&sim, &rules));
    let watch = Watch::ready(&home).await;
    work(&sim, 5);
    watch.poll("main", PollKind::Jobs).await;
    let lines = eventually("the command wrote all", async || {
        let text = fs::read_to_string(&out).unwrap_or_default();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        (lines.len() >= 5).then_some(lines)
    })
    .await;
    let numbers: Vec<i64> = lines.iter().map(|line| line["data"]["number"].as_i64().unwrap()).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5], "in order");
    assert!(lines.iter().all(|line| line["type"] == "custom.counted" && line["data"]["depth"] == 1));
    let events = watch.events().await;
    assert_eq!(events.iter().filter(|event| event.type_name() == "custom.counted").count(), 5);
    let value = watch.scrape().await.value("tubewarden_script_value", &[("rule", "count"), ("name", "jobs")]);
    assert_eq!(value, Some(5.0));
    watch.stop().await;
}

#[tokio::test]
async fn a_schedule_fires_at_each_of_its_times_once() {
    let sim = quiet_instance().await;
    let receiver = Receiver::refusing(|_| false).await;
    let schedule =
        format!("[[schedule]]\nname = \"tick\"\ncron = \"* * * * * *\"\nwebhook.url = \"{}\"\n", receiver.url());
    let home = Home::new(&watched(&sim, &schedule));
    let watch = Watch::ready(&home).await;
    eventually("some runs", async || (receiver.accepted().len() >= 4).then_some(())).await;
    let accepted = receiver.accepted();
    let times: Vec<Timestamp> =
        accepted.iter().map(|one| one.body["time"].as_str().unwrap().parse().unwrap()).collect();
    assert!(times.windows(2).all(|two| two[0] < two[1]), "{times:?}");
    assert!(times.iter().all(|at| at.subsec_nanosecond() == 0));
    assert!(accepted.iter().all(|one| one.body["type"] == "schedule.fired" && one.body["data"]["schedule"] == "tick"));
    let labels = [("schedule", "tick"), ("peertube_instance", "main"), ("result", "ok")];
    eventually("they are counted", async || {
        let runs = watch.scrape().await.value("tubewarden_schedule_runs_total", &labels);
        (runs >= Some(4.0)).then_some(())
    })
    .await;
    watch.stop().await;
}
