//! Another configuration while the daemon runs: by SIGHUP, whole or not at all, without
//! losing a poll, a delivery or a token.

use std::collections::BTreeSet;
use std::fs;

use jiff::Timestamp;
use tubewarden::core::event::EventKind;
use tubewarden::core::poll::PollKind;
use tubewarden::core::rule::delivery_id;

use super::harness::{Home, Program, ROOT, Scrape, Scraper, each_second, eventually, instance};
use super::rules::receiver::Receiver;
use super::rules::{quiet_instance, webhook, work};

const SUCCESSFUL: &str = "tubewarden_config_last_reload_successful";
const SUCCESS_AT: &str = "tubewarden_config_last_reload_success_timestamp_seconds";

async fn until(what: &str, scraper: &Scraper, is: impl Fn(&Scrape) -> bool) -> Scrape {
    eventually(what, async || {
        let scrape = scraper.scrape().await;
        is(&scrape).then_some(scrape)
    })
    .await
}

/// Sends SIGHUP and waits for what comes of it.
async fn reload(program: &Program) {
    let told = |program: &Program| {
        let words = ["the configuration was read anew", "the new configuration is wrong"];
        let is =
            |line: &&serde_json::Value| words.iter().any(|word| line["message"].as_str().unwrap().starts_with(word));
        program.log().iter().filter(is).count()
    };
    let before = told(program);
    program.signal("HUP");
    eventually("the reload is told", async || (told(program) > before).then_some(())).await;
}

#[tokio::test]
async fn instances_and_rules_come_and_go_and_what_stays_is_not_touched() {
    let (first, second) = (quiet_instance().await, quiet_instance().await);
    let (chat, other) = (Receiver::refusing(|_| false).await, Receiver::refusing(|_| false).await);
    let main = instance("main", &first.url(), ROOT);
    let home = Home::new(&[each_second(), main.clone(), webhook("chat", &chat.url(), "")].concat());
    let mut program = home.program("run", &["run"]);
    let scraper = Scraper::new(program.address().await);
    scraper.ready().await;
    let began = scraper.scrape().await.value(SUCCESS_AT, &[]).unwrap();
    work(&first, 2);
    eventually("two arrive", async || (chat.accepted().len() == 2).then_some(())).await;

    let more = [instance("second", &second.url(), ROOT), webhook("other", &other.url(), "")];
    home.configure(
        "127.0.0.1:0",
        &[each_second(), main.clone(), webhook("chat", &chat.url(), ""), more.concat()].concat(),
    );
    reload(&program).await;
    let scrape = until("the new one is polled", &scraper, |scrape| {
        let jobs = [("peertube_instance", "second"), ("poll", "jobs"), ("result", "ok")];
        scrape.value("tubewarden_polls_total", &jobs).is_some_and(|polls| polls >= 1.0)
    })
    .await;
    assert_eq!(scrape.value(SUCCESSFUL, &[]), Some(1.0));
    assert!(scrape.value(SUCCESS_AT, &[]).unwrap() > began);
    second.with(|world| world.advance_to(Timestamp::now()));
    work(&first, 1);
    work(&second, 1);
    eventually("of both they arrive at both", async || {
        (chat.accepted().len() == 4 && other.accepted().len() == 2).then_some(())
    })
    .await;
    let signed_in = [("peertube_instance", "main"), ("grant", "password"), ("result", "ok")];
    let scrape = scraper.scrape().await;
    assert_eq!(scrape.value("tubewarden_token_refreshes_total", &signed_in), Some(1.0), "its token is kept");

    // The first one goes, with its rule; the second is asked less often.
    let second_only = [
        each_second(),
        instance("second", &second.url(), &(ROOT.to_owned() + "[instance.poll]\nstats = \"5m\"\n")),
        webhook("other", &other.url(), ""),
    ];
    home.configure("127.0.0.1:0", &second_only.concat());
    let polls = scrape.polls("second", PollKind::Jobs);
    reload(&program).await;
    let scrape = until("the first is gone", &scraper, |scrape| {
        scrape.value("peertube_up", &[("peertube_instance", "main")]).is_none()
    })
    .await;
    assert_eq!(scrape.value("tubewarden_deliveries_total", &[("rule", "chat")]), None);
    let stats = [("peertube_instance", "second"), ("poll", "stats")];
    assert_eq!(scrape.value("tubewarden_poll_interval_seconds", &stats), Some(300.0));
    assert!(scrape.polls("second", PollKind::Jobs) >= polls, "it counts on");
    let signed_in = [("peertube_instance", "second"), ("grant", "password"), ("result", "ok")];
    assert_eq!(scrape.value("tubewarden_token_refreshes_total", &signed_in), Some(1.0), "its token is kept");
    work(&second, 1);
    eventually("it goes on", async || (other.accepted().len() == 3).then_some(())).await;
    assert_eq!(chat.accepted().len(), 4);
    program.terminate();
    assert!(program.ends().await.success());
}

#[tokio::test]
async fn a_wrong_file_changes_nothing_and_says_why() {
    let sim = quiet_instance().await;
    let chat = Receiver::refusing(|_| false).await;
    let right = [each_second(), instance("main", &sim.url(), ROOT), webhook("chat", &chat.url(), "")].concat();
    let home = Home::new(&right);
    let mut program = home.program("run", &["run"]);
    let scraper = Scraper::new(program.address().await);
    scraper.ready().await;
    let wrong = [
        ("[nonsense]\n".to_owned(), "nonsense: unknown key"),
        (webhook("chat", &chat.url(), ""), "is also the name of the rule"),
        (webhook("more", &chat.url(), "when = \"event.data.jobtype == 1\""), "jobtype"),
        (instance("broken", "ftp://example.com", ""), "instance.url"),
    ];
    for (more, problem) in wrong {
        home.configure("127.0.0.1:0", &(right.clone() + &*more));
        reload(&program).await;
        let scrape = scraper.scrape().await;
        assert_eq!(scrape.value(SUCCESSFUL, &[]), Some(0.0), "{problem}");
        let log = program.words();
        assert!(log.contains(problem), "{problem:?} is not told in {log}");
    }
    let arrived = chat.accepted().len();
    work(&sim, 2);
    eventually("what ran goes on", async || (chat.accepted().len() == arrived + 2).then_some(())).await;
    home.configure("127.0.0.1:0", &right);
    reload(&program).await;
    assert_eq!(scraper.scrape().await.value(SUCCESSFUL, &[]), Some(1.0));
    program.terminate();
    assert!(program.ends().await.success());
}

#[tokio::test]
async fn what_only_a_restart_changes_is_told_at_each_reload_until_it_is_done() {
    let sim = quiet_instance().await;
    let main = instance("main", &sim.url(), ROOT);
    let at_debug = "level = \"debug\"\n".to_owned() + &*main;
    let home = Home::new(&main);
    let mut program = home.program("run", &["run"]);
    program.address().await;
    let warned = |program: &Program| {
        let about = |key| move |line: &&serde_json::Value| line["key"] == key && line["level"] == "WARN";
        ["[server]", "log.level"].map(|key| program.log().iter().filter(about(key)).count())
    };
    home.configure("127.0.0.1:1", &at_debug);
    for reloads in 1..=2 {
        reload(&program).await;
        assert_eq!(warned(&program), [reloads; 2]);
    }
    home.configure("127.0.0.1:0", &at_debug);
    reload(&program).await;
    assert_eq!(warned(&program), [2, 3]);
    home.configure("127.0.0.1:0", &main);
    reload(&program).await;
    assert_eq!(warned(&program), [2, 3], "it is as it was started");
    program.terminate();
    assert!(program.ends().await.success());
}

#[tokio::test]
async fn a_schedule_misses_no_time_while_a_reload_waits_for_an_instance_that_hangs() {
    let sim = quiet_instance().await;
    // Takes what is said to it, and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let main = instance("main", &sim.url(), ROOT);
    let url = format!("http://{}", silent.local_addr().unwrap());
    let hanging = instance("hanging", &url, "timeout = \"60s\"\n");
    let schedule =
        "[[schedule]]\nname = \"tick\"\ncron = \"* * * * * *\"\ninstance = \"main\"\nscript.file = \"tick.rhai\"\n";
    let home = Home::new(&(each_second() + &*main + &*hanging + schedule));
    fs::write(home.file("tick.rhai"), "log.info(\"tick\");\n").unwrap();
    let mut program = home.program("run", &["run"]);
    program.address().await;
    let fired = async || home.events().await.iter().filter(|event| event.kind == EventKind::ScheduleFired).count();
    eventually("it fires", async || (fired().await >= 2).then_some(())).await;
    home.configure("127.0.0.1:0", &(each_second() + &*main + schedule));
    let before = fired().await;
    program.signal("HUP");
    eventually("it goes on firing", async || (fired().await >= before + 5).then_some(())).await;
    let is_over = |line: &serde_json::Value| line["message"] == "the configuration was read anew";
    assert!(!program.log().iter().any(is_over), "it still waits");
    eventually("the reload ends", async || program.log().iter().any(is_over).then_some(())).await;
    program.terminate();
    assert!(program.ends().await.success());
}

#[tokio::test]
async fn a_file_that_never_answers_keeps_nobody_from_ending() {
    let sim = quiet_instance().await;
    let home = Home::new(&instance("main", &sim.url(), ROOT));
    let mut program = home.program("run", &["run"]);
    Scraper::new(program.address().await).ready().await;
    let pipe = home.file("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    home.configure("127.0.0.1:0", &instance("main", &sim.url(), "username = \"root\"\npassword_file = \"pipe\"\n"));
    program.signal("HUP");
    // Whoever reads it has opened it.
    let opened = tokio::task::spawn_blocking(move || fs::File::options().write(true).open(pipe).unwrap());
    let _pipe = opened.await.unwrap();
    program.terminate();
    assert!(program.ends().await.success());
}

#[tokio::test]
async fn reloads_amid_work_lose_and_repeat_nothing() {
    const ROUNDS: usize = 15;
    let sim = quiet_instance().await;
    let chat = Receiver::refusing(|number| number % 7 == 0).await;
    let configure = |home: &Home, round: usize| {
        // The instance is another one each time, and its rule each second time.
        let main = instance("main", &sim.url(), &format!("{ROOT}timeout = \"{}s\"\n", 10 + round));
        let more = format!("webhook.timeout = \"{}s\"", 10 + round / 2);
        home.configure("127.0.0.1:0", &[each_second(), main, webhook("chat", &chat.url(), &more)].concat());
    };
    let home = Home::new("");
    configure(&home, 0);
    let mut program = home.program("run", &["run"]);
    let scraper = Scraper::new(program.address().await);
    scraper.ready().await;
    for round in 1..=ROUNDS {
        work(&sim, 10);
        configure(&home, round);
        reload(&program).await;
    }
    let told = async || {
        let events = home.events().await.into_iter().filter(|event| event.kind == EventKind::JobCompleted);
        events.map(|event| event.id).collect::<Vec<_>>()
    };
    eventually("all is told", async || (told().await.len() >= 10 * ROUNDS).then_some(())).await;
    let told: BTreeSet<String> = told().await.iter().map(|id| delivery_id(id, "chat")).collect();
    assert_eq!(told.len(), 10 * ROUNDS);
    eventually("all arrives", async || (chat.ids().len() == told.len()).then_some(())).await;
    assert_eq!(chat.ids(), told);
    assert_eq!(chat.accepted().len(), told.len(), "none arrives twice");
    let scrape = scraper.scrape().await;
    let signed_in = [("peertube_instance", "main"), ("grant", "password"), ("result", "ok")];
    assert_eq!(scrape.value("tubewarden_token_refreshes_total", &signed_in), Some(1.0), "one token serves all");
    let completed = [("peertube_instance", "main"), ("job_type", "video-import")];
    assert_eq!(scrape.value("peertube_jobs_completed_total", &completed), Some(10.0 * ROUNDS as f64));
    program.terminate();
    assert!(program.ends().await.success());
}

#[tokio::test]
async fn a_command_under_way_is_finished_before_its_rule_is_another_one() {
    let sim = quiet_instance().await;
    let home = Home::new("");
    let slow = home.file("slow.sh");
    fs::write(&slow, "cd \"$1\"; echo begin >> \"$2\"; while [ ! -e go ]; do sleep 0.05; done; echo end >> \"$2\"\n")
        .unwrap();
    let directory = home.file("").display().to_string();
    let rule = |timeout: u32| {
        format!(
            "[[rule]]\nname = \"slow\"\non = [\"job.completed\"]\nexec.timeout = \"{timeout}s\"\n\
             exec.command = [\"/bin/sh\", \"{}\", \"{directory}\", \"ran\"]\n",
            slow.display()
        )
    };
    let main = instance("main", &sim.url(), ROOT);
    home.configure("127.0.0.1:0", &[each_second(), main.clone(), rule(60)].concat());
    let mut program = home.program("run", &["run"]);
    let scraper = Scraper::new(program.address().await);
    scraper.ready().await;
    let ran = || fs::read_to_string(home.file("ran")).unwrap_or_default();
    work(&sim, 2);
    eventually("it begins", async || (!ran().is_empty()).then_some(())).await;
    home.configure("127.0.0.1:0", &[each_second(), main, rule(61)].concat());
    program.signal("HUP");
    // The polls of the unchanged instance go on meanwhile.
    let polls = scraper.scrape().await.polls("main", PollKind::Jobs);
    until("polls go on", &scraper, |scrape| scrape.polls("main", PollKind::Jobs) > polls + 1.0).await;
    assert_eq!(ran(), "begin\n");
    fs::write(home.file("go"), "").unwrap();
    eventually("both end", async || (ran() == "begin\nend\nbegin\nend\n").then_some(())).await;
    eventually("the reload is told", async || program.words().contains("read anew").then_some(())).await;
    program.terminate();
    assert!(program.ends().await.success());
}

#[tokio::test]
async fn who_shows_who_he_is_may_ask_for_it_over_http() {
    const TOKEN: &str = "marked-0123456789abcdef";
    let sim = quiet_instance().await;
    let main = instance("main", &sim.url(), ROOT);
    let home = Home::new("");
    let configure = |reload: &str, more: &str| {
        let server = format!("127.0.0.1:0\"\nbearer_token = \"{TOKEN}\"\n{reload}#\"");
        home.configure(server.trim_end_matches('"'), &[&each_second(), &main, more].concat());
    };
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let ask = async |program: &Program, token: &str| {
        let url = format!("http://{}/-/reload", program.address().await);
        let reply = client.post(url).bearer_auth(token).send().await.unwrap();
        (reply.status().as_u16(), reply.text().await.unwrap())
    };
    configure("", "");
    let mut program = home.program("off", &["run"]);
    assert_eq!(ask(&program, TOKEN).await.0, 404, "it is off");
    program.terminate();
    assert!(program.ends().await.success());

    configure("reload = true\n", "");
    let mut program = home.program("on", &["run"]);
    assert_eq!(ask(&program, "marked-0123456789abcdeX").await.0, 401);
    assert_eq!(ask(&program, TOKEN).await, (200, "the configuration was read anew\n".to_owned()));
    configure("reload = true\n", "[nonsense]\n");
    let (status, why) = ask(&program, TOKEN).await;
    assert!(status == 500 && why.contains("nonsense: unknown key"), "{status} {why}");
    program.terminate();
    assert!(program.ends().await.success());
}
