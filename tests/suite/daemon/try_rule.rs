//! What a user reads of `tubewarden try`.

use std::fs;
use std::process::Output;
use std::time::Duration;

use super::harness::{Home, ROOT, instance};
use jiff::Timestamp;
use peertube_sim::jobs::Version;
use peertube_sim::videos::{NewVideo, Trouble};
use peertube_sim::{Sim, World};

/// Rules of an instance that nobody asks.
const RULES: &str = r#"
[[instance]]
name = "main"
url = "https://peertube.example.com"
[[instance]]
name = "other"
url = "https://other.example.com"
[[rule]]
name = "chat"
on = ["job.failed"]
instances = ["main"]
when = 'event.data.job_type == "video-transcoding"'
webhook.url = "${CHAT_URL}"
webhook.headers.Authorization = "${CHAT_TOKEN}"
webhook.body = '{"text": {{ event.data.error | tojson }}}'
[[rule]]
name = "event itself"
on = ["video.*"]
when = 'event.data.video.duration > 60'
enabled = false
webhook.url = "${CHAT_URL}"
[[rule]]
name = "announce"
on = ["video.published"]
batch = "30s"
exec.command = ["/usr/local/bin/announce", "to all"]
[[schedule]]
name = "still alive"
cron = "0 */5 * * * *"
instance = "other"
webhook.url = "${CHAT_URL}"
webhook.content_type = "text/plain"
webhook.body = "tubewarden watches {{ event.data.instance }}"
"#;

fn home() -> Home {
    Home::new(RULES).with("CHAT_URL", "https://chat.example.com/hooks/1234").with("CHAT_TOKEN", "Bearer hidden")
}

/// Both streams and the status, without what differs each time.
fn shown(done: &Output, varies: &[(&str, &str)]) -> String {
    let [out, err] = [&done.stdout, &done.stderr].map(|bytes| String::from_utf8(bytes.clone()).unwrap());
    let mut all = format!("{out}--- status {}\n{err}", done.status.code().unwrap());
    varies.iter().for_each(|(from, to)| all = all.replace(from, to));
    let line = |line: &str| {
        // How the system is, which a command is told.
        let passed = ["PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "TMPDIR", "CREDENTIALS_DIRECTORY"];
        match line.trim().split_once(['=', ':']) {
            Some((name, _)) if passed.contains(&name) => None,
            Some(("webhook-timestamp", _)) => Some("  webhook-timestamp: NOW".to_owned()),
            _ => Some(line.to_owned()),
        }
    };
    all.lines().filter_map(line).collect::<Vec<_>>().join("\n")
}

fn event(kind: &str, instance: &str, data: &str) -> String {
    format!(
        r#"{{"specversion": "1.0", "id": "4711", "source": "https://{instance}.example.com", "type": "{kind}",
            "time": "2026-11-24T02:51:53.854Z", "data": {{"instance": "{instance}"{data}}}}}"#
    )
}

#[test]
fn a_webhook_that_matches() {
    insta::assert_snapshot!(shown(&home().done(&["try", "chat"]), &[]));
}

#[test]
fn a_webhook_with_its_whole_address() {
    insta::assert_snapshot!(shown(&home().done(&["try", "chat", "--reveal"]), &[]));
}

#[test]
fn a_webhook_that_does_not_match() {
    let data = r#", "job_type": "video-import", "error": "it broke""#;
    let given = event("job.completed", "other", data);
    insta::assert_snapshot!(shown(&home().done_with(&["try", "chat", "--event", "-"], &given), &[]));
}

#[test]
fn a_condition_that_fails_in_a_rule_that_is_switched_off() {
    let home = home();
    let file = home.file("event.json");
    fs::write(&file, event("video.deleted", "main", r#", "video": null"#)).unwrap();
    insta::assert_snapshot!(shown(&home.done(&["try", "event itself", "--event", file.to_str().unwrap()]), &[]));
}

#[test]
fn a_command_and_what_it_would_be_given() {
    insta::assert_snapshot!(shown(&home().done(&["try", "announce"]), &[]));
}

#[test]
fn a_schedule() {
    insta::assert_snapshot!(shown(&home().done(&["try", "still alive"]), &[]));
}

#[test]
fn what_cannot_be_tried() {
    let home = home();
    let none = home.file("none.json");
    let varies = [(none.to_str().unwrap(), "NONE.json")];
    let tries: [(&[&str], &str); 4] = [
        (&["try", "chatt"], ""),
        (&["try", "chat", "--event", "-"], "no JSON"),
        (&["try", "chat", "--event", "-"], r#"{"id": "4711"}"#),
        (&["try", "chat", "--event", none.to_str().unwrap()], ""),
    ];
    let all = tries.map(|(args, input)| shown(&home.done_with(args, input), &varies));
    insta::assert_snapshot!(all.join("\n\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_script_asks_really_and_what_it_writes_is_held_back() {
    let mut world = World::new(3, Timestamp::now(), Version::V8_2);
    let uuid = world.upload(NewVideo::named("hopeless").trouble(Trouble::FirstTranscode));
    world.advance(Duration::from_secs(120));
    let sim = Sim::serve(world).await.unwrap();
    let rules = "[[rule]]\nname = \"again\"\non = [\"video.failed\"]\nscript.file = \"again.rhai\"\n\
                 script.allow = [\"POST /api/v1/videos/*/transcoding\"]\n\
                 [[rule]]\nname = \"throws\"\non = [\"video.failed\"]\nscript.file = \"throws.rhai\"\n";
    let home = Home::new("");
    let script = concat!(
        include_str!("../../../examples/rules/retranscode.rhai"),
        "metric.set(\"tried\", 1, 60);\nmetric.inc(\"tries\");\nemit(\"custom.tried\", #{ uuid: uuid });\n"
    );
    fs::write(home.file("again.rhai"), script).unwrap();
    fs::write(home.file("throws.rhai"), "log.warn(\"oh\");\nthrow `no ${event.type}`;\n").unwrap();
    let watched = instance("main", &sim.url(), &format!("{ROOT}read_only = false\n"));
    home.configure("127.0.0.1:0", &format!("{watched}{rules}"));
    let data = format!(r#", "video": {{"uuid": "{uuid}", "name": "hopeless"}}"#);
    let given = event("video.failed", "main", &data);
    let varies = [(&*sim.url(), "http://SIM"), (&*uuid, "UUID")];
    let all = ["again", "throws"].map(|rule| shown(&home.done_with(&["try", rule, "--event", "-"], &given), &varies));
    assert_eq!(sim.requests().of("video_transcoding"), 0);
    insta::assert_snapshot!(all.join("\n\n"));
}
