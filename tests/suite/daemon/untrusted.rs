//! What strangers wrote, through a whole daemon: log, history, metrics, status, commands
//! and webhooks. It stays text: one line, harmless on a terminal, run by nobody.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

use peertube_sim::Sim;
use peertube_sim::jobs::NewJob;
use peertube_sim::videos::NewVideo;
use serde_json::Value;

use tubewarden::core::event::EventKind;

use super::harness::{Home, ROOT, Scraper, each_second, eventually, instance};
use super::rules::quiet_instance;
use super::rules::receiver::Receiver;
use crate::exposition::Exposition;

/// Names and errors, with a place that none of them may make.
fn evil(place: &str) -> Vec<String> {
    [
        "\u{1b}[2J\u{1b}]0;owned\u{7}red\u{1b}[31m",
        "two\r\nlines {\"level\":\"ERROR\"}",
        "\u{202e}desrever\u{2066} \u{200b}\u{feff}hidden",
        "nul\0nul \u{85}\u{9b}31m \u{2028}\u{2029}",
        "{{ 7*7 }}{% for x in [1] %}x{% endfor %}{# gone #}",
        "${HOME} $(touch PLACE) `touch PLACE` ; touch PLACE",
        "'; touch PLACE; --\"'",
        "Robert'); DROP TABLE events;--",
        "<script>alert(1)</script>&amp;<img src=x onerror=alert(1)>",
        "quote\" back\\slash \\u0041 \\",
        "%s%n%d {} {0} {name}",
        "\u{fffd}\u{d7ff}\u{10ffff}\u{e0001}",
        "--help",
        "",
    ]
    .into_iter()
    .map(|text| text.replace("PLACE", place))
    .chain(["x".repeat(1 << 20), "é\u{1b}".repeat(1 << 15)])
    .collect()
}

/// Characters that do something to a terminal, or hide what is there.
fn wild(text: &str) -> Option<char> {
    let reorders =
        |c: char| matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    text.chars().find(|c| (c.is_control() && *c != '\n') || reorders(*c))
}

fn config(sim: &Sim, home: &Home, receiver: &Receiver, format: &str) -> String {
    let place = home.file("").display().to_string();
    fs::write(home.file("hook.sh"), "set -e\ncat >> \"$1/input\"\nenv | grep TUBEWARDEN >> \"$1/variables\"\n")
        .unwrap();
    [
        "[server]\nlisten = \"127.0.0.1:0\"\n[state]\nurl = \"sqlite://state.db\"\n".to_owned(),
        format!("[log]\nformat = \"{format}\"\nlevel = \"debug\"\nevents = [\"*\"]\n"),
        each_second(),
        instance("main", &sim.url(), ROOT),
        format!(
            "[[rule]]\nname = \"hook\"\non = [\"job.failed\", \"video.published\"]\nexec.command = [\"/bin/sh\", \"{place}/hook.sh\", \"{place}\"]\n"
        ),
        format!(
            "[[rule]]\nname = \"chat\"\non = [\"video.published\"]\nwebhook.url = \"{}\"\nwebhook.body = '{{\"text\": {{{{ (\"New: \" ~ event.data.video.name) | tojson }}}} }}'\n",
            receiver.url()
        ),
    ]
    .concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_strangers_wrote_stays_text() {
    let sim = quiet_instance().await;
    let receiver = Receiver::refusing(|_| false).await;
    let homes = [("json", Home::new("")), ("text", Home::new(""))];
    let mut programs = Vec::new();
    for (format, home) in &homes {
        fs::write(home.file("config.toml"), config(&sim, home, &receiver, format)).unwrap();
        let program = home.program("run", &["run"]);
        let scraper = Scraper::new(program.address().await);
        scraper.ready().await;
        programs.push((program, scraper));
    }
    let place = homes[0].1.file("pwned").display().to_string();
    let evil = evil(&place);
    let count = evil.len();
    sim.advance(Duration::from_secs(2));
    sim.with(|world| {
        // Of each type no more than ten failures are kept.
        let types = ["video-import", "video-file-import"];
        for (number, text) in evil.iter().enumerate() {
            world.upload(NewVideo::named(text).run(Duration::from_secs(1)));
            let failing = NewJob { attempts: 1, ..NewJob::new(types[number % 2]).failing() };
            world.jobs.add(failing.error(&format!("Error: {text}\n    at x\ncause {text}")));
            // Many types, of which each is as bad.
            for more in 0..6 {
                let short: String = text.chars().take(40).collect();
                let job_type: &'static str = Box::leak(format!("{number}-{more} {short}").into_boxed_str());
                // They run on, so that all of them are seen.
                world.jobs.add(NewJob::new(job_type).run(Duration::from_secs(86_400)));
            }
        }
        world.advance(Duration::from_secs(1_200));
    });
    for (format, home) in &homes {
        eventually(&format!("all of it is told: {format}"), async || {
            let events = home.events().await;
            let of = |kind| events.iter().filter(|event| event.kind == kind).count();
            (of(EventKind::JobFailed) >= count && of(EventKind::VideoPublished) >= count).then_some(())
        })
        .await;
    }
    eventually("all of it is delivered", async || {
        let inputs = homes.iter().map(|(_, home)| fs::read_to_string(home.file("input")).unwrap_or_default());
        let run: usize = inputs.map(|input| input.lines().count()).sum();
        (receiver.accepted().len() >= 2 * count && run >= 4 * count).then_some(())
    })
    .await;

    let exposition = eventually("some types are others", async || {
        let exposition = Exposition::parse(&programs[0].1.text().await).unwrap();
        let is_other = |labels: &BTreeMap<String, String>| labels.get("job_type").is_some_and(|name| name == "other");
        exposition.samples.keys().any(|(_, labels)| is_other(labels)).then_some(exposition)
    })
    .await;
    let types: BTreeSet<&String> = exposition.samples.keys().filter_map(|(_, labels)| labels.get("job_type")).collect();
    assert!(types.len() <= 65, "{} types", types.len());
    assert!(exposition.samples.keys().flat_map(|(_, labels)| labels.values()).all(|value| wild(value).is_none()));
    for (program, _) in &mut programs {
        program.terminate();
        assert!(program.ends().await.success());
    }

    let json = programs[0].0.log();
    assert_eq!(json.len(), programs[0].0.words().lines().count(), "one object a line");
    let text = programs[1].0.words();
    assert!(text.lines().all(|line| line.starts_with("20") && line.len() < 16 << 10), "each line begins with a time");
    let mut shown = vec![programs[0].0.words(), text];
    for (_, home) in &homes {
        for args in
            [&["events"][..], &["events", "--json"], &["status"], &["status", "--json"], &["deliveries", "list"]]
        {
            let output = home.done(args);
            assert!(output.status.success(), "{args:?}");
            let text = String::from_utf8(output.stdout).unwrap();
            match args {
                ["events", "--json"] => assert!(text.lines().all(|line| serde_json::from_str::<Value>(line).is_ok())),
                ["status", "--json"] => drop(serde_json::from_str::<Value>(&text).unwrap()),
                _ => {}
            }
            shown.push(text);
        }
        for line in fs::read_to_string(home.file("input")).unwrap().lines() {
            let event: Value = serde_json::from_str(line).unwrap();
            assert!(event["id"].is_string());
        }
        shown.push(fs::read_to_string(home.file("variables")).unwrap());
        assert!(!home.file("pwned").exists(), "somebody's title was run");
    }
    for text in &shown {
        assert_eq!(wild(text), None, "{}", text.lines().find(|line| wild(line).is_some()).unwrap_or_default());
    }
    let said: Vec<String> =
        receiver.accepted().iter().map(|taken| taken.body["text"].as_str().unwrap().to_owned()).collect();
    assert!(said.iter().any(|text| text.contains("{{ 7*7 }}{% for x in [1] %}x")), "a template is no template there");
    assert!(said.iter().all(|text| text.starts_with("New:") && wild(text).is_none()));
    println!("{count} texts as titles, errors and types, in {} places: harmless", shown.len());
}
