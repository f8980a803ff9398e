//! `tubewarden events`: the history, read beside the daemon that writes it.

use std::time::Duration;

use jiff::Timestamp;
use peertube_sim::jobs::{NewJob, Version};
use peertube_sim::{Sim, World};
use serde_json::Value;

use tubewarden::core::poll::PollKind;

use super::harness::{Home, ROOT, Watch, by_hand, eventually, instance};

const HOUR: Duration = Duration::from_secs(3_600);

/// The lines of `events` with these arguments.
fn lines(home: &Home, args: &[&str]) -> Vec<String> {
    let done = home.done(&[&["events"], args].concat());
    assert_eq!(String::from_utf8_lossy(&done.stderr), "");
    assert!(done.status.success());
    String::from_utf8(done.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// Type and subject of each.
fn told(lines: &[String]) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let events = lines.iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
    events.map(|event| (text(&event["type"]), text(&event["subject"]))).collect()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(kind, subject)| ((*kind).to_owned(), (*subject).to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_history_is_sifted_and_followed() {
    let sim = Sim::serve(World::new(1, Timestamp::now() - 3 * HOUR, Version::V8_2)).await.unwrap();
    let home = Home::new(&(by_hand() + &*instance("main", &sim.url(), ROOT)));
    let watch = Watch::ready(&home).await;
    let work = async |job: NewJob| {
        sim.with(|world| {
            world.advance(Duration::from_secs(60));
            world.jobs.add(job);
            world.advance(Duration::from_secs(60));
        });
        watch.poll("main", PollKind::Jobs).await;
    };
    work(NewJob::new("video-import").failing()).await;
    work(NewJob::new("video-import")).await;
    sim.advance(2 * HOUR + HOUR / 2);
    work(NewJob::new("video-transcoding").failing()).await;

    let all = pairs(&[
        ("instance.first_look", ""),
        ("job.failed", "video-import/1"),
        ("job.completed", "video-import/2"),
        ("job.failed", "video-transcoding/1"),
    ]);
    assert_eq!(told(&lines(&home, &["--json"])), all);
    assert_eq!(told(&lines(&home, &["--json", "--instance", "main"])), all);
    let failed = lines(&home, &["--json", "--type", "job.failed"]);
    assert_eq!(told(&failed), pairs(&[("job.failed", "video-import/1"), ("job.failed", "video-transcoding/1")]));
    let late = lines(&home, &["--json", "--type", "job.*", "--since", "1h"]);
    assert_eq!(told(&late), pairs(&[("job.failed", "video-transcoding/1")]));
    let but = lines(&home, &["--json", "--type", "*", "--type", "!job.*"]);
    assert_eq!(told(&but), pairs(&[("instance.first_look", "")]));

    let event: Value = serde_json::from_str(&failed[1]).unwrap();
    assert_eq!(event["specversion"], "1.0");
    assert_eq!(event["source"], sim.url());
    assert_eq!(event["data"]["instance"], "main");
    let error = event["data"]["error"].as_str().unwrap();
    assert!(
        error.starts_with("Error: ffprobe exited with code 1 … ") && error.ends_with("processing input"),
        "{error}"
    );
    for key in ["video", "wait_seconds", "run_seconds", "payload", "finished_at"] {
        assert!(event["data"].get(key).is_some(), "{key} is null rather than absent");
    }
    let words = lines(&home, &["--type", "job.failed", "--since", "1h"]);
    assert_eq!(words.len(), 1);
    assert!(words[0].contains("  main: job failed: video-transcoding 1"), "{}", words[0]);

    // Who follows sees what was and what comes.
    let follower = home.program("follow", &["events", "--json", "--follow", "--type", "job.completed"]);
    let seen = async |count: usize| {
        eventually("the follower sees it", async || (follower.results().len() == count).then_some(())).await;
    };
    seen(1).await;
    work(NewJob::new("video-import")).await;
    seen(2).await;
    let known = pairs(&[("job.completed", "video-import/2"), ("job.completed", "video-import/3")]);
    assert_eq!(told(&follower.results()), known);
    assert_eq!(follower.words(), "");
    watch.stop().await;
}

#[test]
fn what_can_not_be_in_the_history_is_told() {
    let home = Home::new(&instance("main", "http://127.0.0.1:9", ""));
    for (args, words) in [
        (["events"].as_slice(), "there is none yet; start the daemon first"),
        (&["events", "--type", "job.exploded"], "--type job.exploded: no event has such a type"),
        (
            &["events", "--instance", "mian"],
            "--instance mian: neither the configuration nor the history has such an instance",
        ),
    ] {
        let done = home.done(args);
        assert_eq!(done.status.code(), Some(1), "{args:?}");
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(said.starts_with("tubewarden: ") && said.trim_end().ends_with(words), "{args:?}: {said}");
    }
    assert!(!home.file("state.db").exists());
}
