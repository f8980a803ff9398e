//! `tubewarden status`: what the state says, beside a daemon and without one.

use std::process::Output;
use std::time::Duration;

use jiff::Timestamp;
use peertube_sim::accounts::Role;
use peertube_sim::jobs::{NewJob, Version};
use peertube_sim::limits::Limits;
use peertube_sim::moderation::{NewAbuse, NewRegistration};
use peertube_sim::runners::NewRunnerJob;
use peertube_sim::videos::{NewVideo, Trouble};
use peertube_sim::{Sim, World};
use serde_json::Value;

use tubewarden::core::poll::PollKind;

use super::harness::{Home, ROOT, Watch, by_hand, instance};

/// What differs from run to run is named by what it is.
fn steady(value: &mut Value, url: &str) {
    match value {
        Value::String(text) if text.parse::<Timestamp>().is_ok() => *text = "[time]".to_owned(),
        // Which poll was first to meet nobody, the others leave to chance.
        Value::String(text) if text.starts_with("ask gone for ") => *text = "[error]".to_owned(),
        Value::String(text) => *text = text.replace(url, "[url]"),
        Value::Array(values) => values.iter_mut().for_each(|value| steady(value, url)),
        Value::Object(values) => values.values_mut().for_each(|value| steady(value, url)),
        _ => {}
    }
}

fn out(done: &Output) -> String {
    assert_eq!((done.status.code(), String::from_utf8_lossy(&done.stderr).into_owned()), (Some(0), String::new()));
    String::from_utf8(done.stdout.clone()).unwrap()
}

fn json(home: &Home) -> Value {
    serde_json::from_str(&out(&home.done(&["status", "--json"]))).unwrap()
}

async fn busy() -> Sim {
    let mut world = World::new(1, Timestamp::now() - Duration::from_secs(3_600), Version::V8_2);
    world.limits = Limits::none();
    world.accounts.add("mod", "mod-password", Role::Moderator);
    world.upload(NewVideo::named("holidays"));
    Sim::serve(world).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_object_is_stable_and_whole() {
    let sim = busy().await;
    let moderator = "username = \"mod\"\npassword_file = \"password\"\n";
    let config = [
        by_hand(),
        instance("main", &sim.url(), ROOT),
        instance("moderated", &sim.url(), moderator),
        instance("gone", "http://127.0.0.1:9", "down_after = 1\n"),
        instance("wrong", &sim.url(), "username = \"root\"\npassword = \"not-it\"\n"),
    ];
    let home = Home::new(&config.concat());
    std::fs::write(home.file("password"), "mod-password\n").unwrap();
    let watch = Watch::ready(&home).await;
    // By the light of the jobs.
    watch.poll("main", PollKind::Videos).await;
    sim.with(|world| {
        world.jobs.add(NewJob::new("email").failing().attempts(1));
        world.jobs.add(NewJob::new("video-import").run(Duration::from_secs(7_200)));
        world.advance(Duration::from_secs(20));
    });
    watch.poll("main", PollKind::Jobs).await;

    // No secret is read, so they may be out of reach; and one that is new is shown.
    std::fs::remove_file(home.file("password")).unwrap();
    home.configure("127.0.0.1:0", &(config.concat() + &*instance("new", "https://new.example.com", ROOT)));
    let mut status = json(&home);
    assert_eq!(status["daemon"]["pid"], std::process::id());
    status["daemon"]["pid"] = "[pid]".into();
    steady(&mut status, &sim.url());
    insta::assert_snapshot!("status", serde_json::to_string_pretty(&status).unwrap());
    watch.stop().await;
    assert_eq!(json(&home)["daemon"], serde_json::json!({"running": false, "pid": null}));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_screen_is_shown_without_asking_the_instance() {
    let sim = busy().await;
    let home = Home::new(&(by_hand() + &*instance("main", &sim.url(), ROOT)));
    let watch = Watch::ready(&home).await;
    let asked = sim.requests().total;
    let shown = out(&home.done(&["status"]));
    assert_eq!(sim.requests().total, asked);
    assert!(shown.starts_with(&format!("daemon: process {} watches\n\nmain  {}\n", std::process::id(), sim.url())));
    for line in
        ["\n  server      8.2.1, up for ", "\n  account     signed in as root\n", "\n  polls       jobs         "]
    {
        assert!(shown.contains(line), "{line:?} is not in {shown}");
    }
    assert!(shown.contains("to transcode ("), "{shown}");
    assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
    assert!(!shown.contains('\u{1b}'), "no colours where no terminal is");
    watch.stop().await;
    assert!(out(&home.done(&["status"])).starts_with("daemon: none watches"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_stuck_and_what_waits_for_others_is_shown() {
    const HOUR: Duration = Duration::from_secs(3_600);
    let mut world = World::new(1, Timestamp::now() - 6 * HOUR, Version::V8_2);
    world.limits = Limits::none();
    let video = world.upload(NewVideo::named("holidays").trouble(Trouble::Storyboard));
    world.jobs.add(NewJob::new("create-user-export").run(24 * HOUR));
    world.runners.add_runner("runner-1");
    let held = world.runners.add(NewRunnerJob::new("video-transcription").run(24 * HOUR));
    world.runners.silence("runner-1");
    let first = world.runners.add(NewRunnerJob::new("vod-hls-transcoding"));
    world.runners.add(NewRunnerJob::new("vod-hls-transcoding"));
    world.runners.add(NewRunnerJob::new("vod-hls-transcoding").after(&first));
    world.advance(4 * HOUR);
    world.jobs.pause();
    (0..3).for_each(|_| drop(world.jobs.add(NewJob::new("video-import"))));
    for _ in 0..2 {
        let [reporter, video, reason] = ["zebediah", "quagmire", "he sings badly"].map(str::to_owned);
        world.report_abuse(NewAbuse { reporter, video, reason });
    }
    let [username, email, reason] = ["wilhelmina", "w@faraway.example", "pottery"].map(str::to_owned);
    world.request_registration(NewRegistration { username, email, reason });
    world.advance(HOUR);
    let sim = Sim::serve(world).await.unwrap();
    let home = Home::new(&(by_hand() + &*instance("main", &sim.url(), ROOT)));
    let watch = Watch::ready(&home).await;
    watch.poll("main", PollKind::Videos).await;

    let shown = out(&home.done(&["status"]));
    let words: Vec<&str> = shown.split_whitespace().collect();
    let words = words.join(" ");
    let mut rest = words.as_str();
    for what in [
        "account signed in as root stuck jobs that wait, and none of their type begins: ",
        " 3 video-import jobs that run for too long: ",
        " create-user-export jobs that no runner takes: ",
        " 2 vod-hls-transcoding jobs that a runner works on for too long: ",
        &format!(" {held} video-tra"),
        " videos that should change, and no job is for them: ",
        &format!(" {video} holidays polls "),
        " runners runner-1 OFFLINE (",
        " runner jobs pending processing completing for parent video-transcription 0 1 0 0 vod-hls-transcoding 2 0 0 1 ",
        " moderation waiting: 2 abuses (",
        " 1 registration (",
    ] {
        rest = rest.split_once(what).unwrap_or_else(|| panic!("{what:?} is not in its place in {shown}")).1;
    }
    assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");

    let status = json(&home);
    let main = &status["instances"][0];
    assert_eq!(main["stuck"]["jobs"]["types"][0]["waiting"], 3);
    assert_eq!(main["stuck"]["jobs"]["active"][0]["job_type"], "create-user-export");
    assert_eq!(main["stuck"]["runner_jobs"]["active"][0]["id"], held);
    assert_eq!(main["stuck"]["videos"][0]["uuid"], video);
    assert_eq!(main["runners"]["runners"][0]["offline"], true);
    assert_eq!(main["moderation"]["abuses"]["waiting"], 2);

    // Nothing is stuck any more.
    sim.with(|world| {
        world.jobs.resume();
        world.runners.wake("runner-1");
        world.advance(48 * HOUR);
        world.delete(&video);
    });
    watch.poll_each(&["main"], &[PollKind::Jobs, PollKind::Runners]).await;
    watch.poll("main", PollKind::VideosFull).await;
    let shown = out(&home.done(&["status"]));
    assert!(!shown.contains("stuck ") && !shown.contains("OFFLINE"), "{shown}");
    watch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_an_instance_says_acts_on_the_terminal() {
    const EVIL: &str = "\u{1b}[2Jevil\u{202e}\nname";
    let sim = busy().await;
    sim.with(|world| {
        world.server_version = EVIL.to_owned();
        world.runners.add_runner(EVIL);
    });
    let home = Home::new(&(by_hand() + &*instance("main", &sim.url(), ROOT)));
    assert!(home.done(&["poll"]).status.success());
    let shown = out(&home.done(&["status"])) + &*out(&home.done(&["status", "--json"]));
    for evil in ["server      [2Jevil name,", "runners     [2Jevil name ("] {
        assert!(shown.contains(evil), "{shown}");
    }
    assert!(!shown.contains(['\u{1b}', '\u{202e}']) && !shown.contains("\\u"), "{shown}");
}

#[test]
fn a_state_that_is_not_there_is_told() {
    let home = Home::new(&instance("main", "http://127.0.0.1:9", ""));
    let done = home.done(&["status"]);
    assert_eq!((done.status.code(), done.stdout.len()), (Some(1), 0));
    let place = home.file("state.db").display().to_string();
    let words = format!("tubewarden: read the state at {place}: there is none yet; start the daemon first\n");
    assert_eq!(String::from_utf8_lossy(&done.stderr), words);
    assert!(!home.file("state.db").exists() && !home.file("state.db.lock").exists());
}
