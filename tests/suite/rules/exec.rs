//! Commands that end well, badly, or not at all, and what is left of them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::watch;
use tubewarden::config::Exec;
use tubewarden::rules::exec::run;
use tubewarden::rules::{Delivery, Outcome};

use super::{again, delivery, event};
use crate::daemon::harness::{Log, eventually};

/// More than any of these commands needs by itself.
const LONG: Duration = Duration::from_secs(60);

fn command(words: &[&str]) -> Exec {
    Exec { command: words.iter().map(|word| (*word).to_owned()).collect() }
}

/// A script, and a directory that is its `$1`.
fn script(text: &str, directory: &Path) -> Exec {
    command(&["sh", "-c", text, "hook", directory.to_str().unwrap()])
}

fn directory() -> TempDir {
    tempfile::tempdir().unwrap()
}

async fn run_for(exec: &Exec, limit: Duration) -> Outcome {
    let (_daemon, stopping) = watch::channel(false);
    let events = [event()];
    run(exec, limit, &delivery(&events), stopping).await
}

/// The process whose id a script wrote to a file.
async fn process(directory: &TempDir, file: &str) -> u32 {
    let path = directory.path().join(file);
    eventually("the script writes a process id", async || fs::read_to_string(&path).ok()?.trim().parse().ok()).await
}

/// Waits until a process is gone, or dead with nobody to bury it, as in a container.
async fn is_gone(id: u32) {
    eventually("the process ends", async || match fs::read_to_string(format!("/proc/{id}/stat")) {
        Ok(stat) => stat.rsplit(')').next()?.trim_start().starts_with('Z').then_some(()),
        Err(_) => Some(()),
    })
    .await;
}

#[tokio::test]
async fn the_status_says_whether_to_try_again() {
    let status = async |text: &str| run_for(&command(&["sh", "-c", text]), LONG).await;
    assert_eq!(status("exit 0").await, Outcome::Done);
    let why = "sh ended with status 100, which asks for no other try".to_owned();
    assert_eq!(status("exit 100").await, Outcome::Dead { why });
    assert_eq!(again(status("exit 1").await), "sh ended with status 1");
    assert_eq!(again(status("exit 101").await), "sh ended with status 101");
    assert_eq!(again(status("kill -9 $$").await), "sh was ended by signal 9");
}

#[tokio::test]
async fn a_command_that_is_not_there_or_not_executable_is_tried_again() {
    let directory = directory();
    let plain = directory.path().join("plain");
    fs::write(&plain, "#!/bin/sh\n").unwrap();
    let orphan = "/nowhere/announce\u{1b}[31m";
    for (words, said) in [
        (vec![orphan, "--token", "hidden"], "/nowhere/announce [31m could not be started: it, or the interpreter"),
        (
            vec!["tubewarden-test-of-a-missing-command"],
            "tubewarden-test-of-a-missing-command could not be started: it,",
        ),
        (vec![plain.to_str().unwrap()], "plain could not be started: the user that tubewarden runs as may not execute"),
        (vec!["sh", "a\0b"], "sh could not be started: "),
    ] {
        let why = again(run_for(&command(&words), LONG).await);
        assert!(why.contains(said) && !why.contains("hidden"), "{why}");
    }
    assert!(matches!(run_for(&command(&[]), LONG).await, Outcome::Dead { .. }));
}

#[tokio::test]
async fn a_command_gets_the_event_or_the_batch_on_its_standard_input_and_no_shell_reads_its_arguments() {
    let directory = directory();
    let save = script("cat > \"$1/input\"; printf '%s' \"$2\" > \"$1/argument\"", directory.path());
    let save = Exec { command: [save.command, vec!["$(id) `id` ; {{x}}".to_owned()]].concat() };
    let (_daemon, stopping) = watch::channel(false);
    for (events, is_batch) in [(vec![event()], false), (vec![event()], true), (vec![event(), event()], true)] {
        let delivery = Delivery { is_batch, ..delivery(&events) };
        assert_eq!(run(&save, LONG, &delivery, stopping.clone()).await, Outcome::Done);
        let input = fs::read_to_string(directory.path().join("input")).unwrap();
        let line = input.strip_suffix('\n').unwrap();
        assert!(!line.contains('\n'), "one line");
        let expected = if is_batch { json!(events) } else { event() };
        assert_eq!(serde_json::from_str::<Value>(line).unwrap(), expected);
    }
    assert_eq!(fs::read_to_string(directory.path().join("argument")).unwrap(), "$(id) `id` ; {{x}}");
}

#[tokio::test]
async fn the_environment_holds_the_event_and_nothing_of_the_daemons_own() {
    let (log, _guard) = Log::of_this_thread();
    let mut strange = event();
    strange["subject"] = json!("a\0b\nTUBEWARDEN_FORGED=1");
    strange["data"]["job_id"] = json!("7".repeat(5000));
    strange["data"]["video"] = Value::Null;
    let events = [strange, event()];
    let delivery = Delivery { is_batch: true, ..delivery(&events) };
    let (_daemon, stopping) = watch::channel(false);
    assert_eq!(run(&command(&["env"]), LONG, &delivery, stopping).await, Outcome::Done);

    let shown: Vec<_> = log
        .lines_with("stream=\"stdout\"")
        .iter()
        .map(|line| {
            let text = line.split_once("tubewarden::exec: ").unwrap().1;
            text.split_once(" rule=").unwrap().0.to_owned()
        })
        .collect();
    let names: BTreeSet<_> = shown.iter().map(|line| line.split_once('=').unwrap().0).collect();
    let system = ["PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "TMPDIR", "CREDENTIALS_DIRECTORY"];
    let ours: Vec<_> = names
        .iter()
        .filter(|name| !system.contains(name))
        .map(|name| name.strip_prefix("TUBEWARDEN_").unwrap())
        .collect();
    let expected = [
        "DELIVERY_ID",
        "EVENTS",
        "EVENT_ID",
        "EVENT_TIME",
        "EVENT_TYPE",
        "INSTANCE",
        "INSTANCE_URL",
        "JOB_ID",
        "JOB_TYPE",
        "RULE",
        "SUBJECT",
    ];
    assert_eq!(ours, expected);
    assert!(names.contains("PATH"));
    let longest = format!("TUBEWARDEN_JOB_ID={}", "7".repeat(1000));
    for line in [
        "TUBEWARDEN_EVENT_TYPE=job.failed",
        "TUBEWARDEN_EVENT_TIME=2026-11-24T02:51:53.854Z",
        "TUBEWARDEN_INSTANCE=main",
        "TUBEWARDEN_INSTANCE_URL=https://peertube.example.com",
        "TUBEWARDEN_SUBJECT=a b TUBEWARDEN_FORGED=1",
        "TUBEWARDEN_RULE=tell the team",
        "TUBEWARDEN_DELIVERY_ID=3f0c9a-0a1b2c3d",
        "TUBEWARDEN_EVENTS=2",
        &longest,
    ] {
        assert!(shown.iter().any(|shown| shown == line), "{line} is not in {shown:?}");
    }
}

#[tokio::test]
async fn a_hook_that_hangs_and_forks_is_ended_wholly() {
    let directory = directory();
    let hook = script(
        "sleep 1000 & echo $! > \"$1/child\"; (sleep 1000 & echo $! > \"$1/grandchild\"; wait) & wait",
        directory.path(),
    );
    let limit = Duration::from_secs(2);
    let began = Instant::now();
    assert_eq!(again(run_for(&hook, limit).await), "sh did not end within 2s, so it was ended");
    assert!(began.elapsed() >= limit && began.elapsed() < LONG, "{:?}", began.elapsed());
    for file in ["child", "grandchild"] {
        is_gone(process(&directory, file).await).await;
    }
}

#[tokio::test]
async fn a_hook_may_tidy_up_before_it_is_ended() {
    let (log, _guard) = Log::of_this_thread();
    let hook = script("trap 'echo tidied up; exit 0' TERM; while :; do sleep 0.1; done", Path::new("/"));
    assert!(again(run_for(&hook, Duration::from_secs(1)).await).contains("did not end within"));
    assert_eq!(log.lines_with("tidied up").len(), 1);
}

#[tokio::test]
async fn a_hook_that_ignores_being_asked_is_killed() {
    let directory = directory();
    let hook = script("trap '' TERM; echo $$ > \"$1/itself\"; while :; do sleep 0.1; done", directory.path());
    let began = Instant::now();
    assert!(again(run_for(&hook, Duration::from_secs(1)).await).contains("did not end within"));
    assert!(began.elapsed() >= Duration::from_secs(6) && began.elapsed() < LONG, "{:?}", began.elapsed());
    is_gone(process(&directory, "itself").await).await;
}

#[tokio::test]
async fn what_a_command_leaves_behind_ends_with_it_and_holds_nothing_up() {
    let directory = directory();
    let began = Instant::now();
    let hook = script("sleep 1000 & echo $! > \"$1/child\"", directory.path());
    assert_eq!(run_for(&hook, LONG).await, Outcome::Done);
    is_gone(process(&directory, "child").await).await;

    // This one has left the group, and still holds the pipes.
    let hook = script("setsid sleep 30 & exit 1", directory.path());
    assert_eq!(again(run_for(&hook, LONG).await), "sh ended with status 1");
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_stop_of_the_daemon_ends_a_hook_and_starts_none() {
    let directory = directory();
    let (daemon, stopping) = watch::channel(false);
    let events = [event()];
    let hook = script("echo $$ > \"$1/itself\"; sleep 1000", directory.path());
    let running = async { again(run(&hook, LONG, &delivery(&events), stopping.clone()).await) };
    let stop = async {
        let id = process(&directory, "itself").await;
        daemon.send_replace(true);
        id
    };
    let (why, id) = tokio::join!(running, stop);
    assert_eq!(why, "sh was ended, for tubewarden stops");
    is_gone(id).await;

    fs::remove_file(directory.path().join("itself")).unwrap();
    let why = again(run(&hook, LONG, &delivery(&events), stopping).await);
    assert_eq!(why, "sh was not started, for tubewarden stops");
    assert!(!directory.path().join("itself").exists());
}

#[tokio::test]
async fn a_hook_that_nobody_waits_for_any_more_is_killed() {
    let directory = directory();
    let hook =
        script("trap '' TERM; sleep 1000 & echo $! > \"$1/child\"; echo $$ > \"$1/itself\"; wait", directory.path());
    let running = tokio::spawn(async move { run_for(&hook, LONG).await });
    let ids = [process(&directory, "child").await, process(&directory, "itself").await];
    running.abort();
    assert!(running.await.unwrap_err().is_cancelled());
    for id in ids {
        is_gone(id).await;
    }
}

#[tokio::test]
async fn a_hundred_mebibytes_are_drained_and_told_once() {
    let (log, _guard) = Log::of_this_thread();
    let hook = command(&["sh", "-c", "yes | head -c 104857600; yes 0123456789 | head -c 104857600 >&2; echo end"]);
    assert_eq!(run_for(&hook, LONG).await, Outcome::Done);
    assert_eq!(log.lines_with("stream=").len(), 200);
    let told = log.lines_with("printed more than is logged");
    assert_eq!(told.len(), 1);
    // All of it but the 200 lines "y".
    assert!(told[0].contains(&format!("left_out_bytes={}", 2 * 104_857_600 - 200 * 2 + 4)), "{told:?}");
}

#[tokio::test]
async fn one_that_prints_for_ever_is_ended_in_time() {
    let (log, _guard) = Log::of_this_thread();
    for text in ["yes", "yes '' >&2", "cat /dev/zero"] {
        let began = Instant::now();
        let why = again(run_for(&command(&["sh", "-c", text]), Duration::from_secs(1)).await);
        assert!(why.contains("did not end within 1s"), "{text}: {why}");
        assert!(began.elapsed() < Duration::from_secs(10), "{text}: {:?}", began.elapsed());
    }
    assert_eq!(log.lines_with("stream=").len(), 200, "neither empty lines nor zeros are told");
}

#[tokio::test]
async fn one_that_never_reads_what_it_gets_is_waited_for_and_no_longer() {
    let mut large = event();
    large["data"]["error"] = json!("x".repeat(4 << 20));
    let events = [large];
    let (_daemon, stopping) = watch::channel(false);
    let run =
        async |text: &str, limit| run(&command(&["sh", "-c", text]), limit, &delivery(&events), stopping.clone()).await;
    assert_eq!(run("exit 0", LONG).await, Outcome::Done);
    assert_eq!(run("exec <&-; sleep 0.2", LONG).await, Outcome::Done);
    let why = again(run("sleep 1000", Duration::from_secs(1)).await);
    assert!(why.contains("did not end within 1s"), "{why}");
    // It fills its output while its input is full.
    assert_eq!(run("cat; cat >&2", LONG).await, Outcome::Done);
}

#[tokio::test]
async fn what_a_command_prints_is_logged_as_text_of_a_stranger() {
    let (log, _guard) = Log::of_this_thread();
    let text = "printf 'one\\033[31m red\\r\\nt\\000wo\\377\\n\\n  \\nlast'; printf 'oh no' >&2; head -c 9000 /dev/zero | tr '\\0' z >&2";
    assert_eq!(run_for(&command(&["sh", "-c", text]), LONG).await, Outcome::Done);
    let from = |stream: &str| log.lines_with(&format!("stream=\"{stream}\""));
    let told = from("stdout");
    assert_eq!(told.len(), 3);
    for (line, said) in told.iter().zip(["one [31m red", "t wo\u{fffd}", "last"]) {
        let rest = format!(
            "INFO tubewarden::exec: {said} rule=\"tell the team\" delivery=\"3f0c9a-0a1b2c3d\" stream=\"stdout\""
        );
        assert!(line.ends_with(&rest), "{line}");
    }
    let told = from("stderr");
    assert_eq!(told.len(), 1);
    assert!(told[0].contains(&format!("oh no{} rule=", "z".repeat(1995))), "cut at 2,000 characters");
    assert!(log.lines_with("printed more than is logged")[0].contains("left_out_bytes=7005"));
}
