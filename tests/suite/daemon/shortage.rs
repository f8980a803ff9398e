//! No file can be opened any more: whoever it is that took them all, nothing ends, no
//! instance is called down for it, and all goes on when files can be opened again.

use std::process::Command;
use std::time::Duration;

use peertube_sim::{KeepAlive, Proxy};

use tubewarden::core::event::EventKind;
use tubewarden::core::poll::PollKind;

use super::harness::{Home, ROOT, Scraper, each_second, eventually, instance};
use super::rules::{quiet_instance, work};
use crate::tools;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn open_files_that_run_out_end_nothing_and_no_instance_is_called_down_for_them() {
    let Some(_) = tools::require("prlimit") else { return };
    let sim = quiet_instance().await;
    let proxy = Proxy::start(sim.address()).await.unwrap();
    // No connection outlives a poll, so each has to connect anew.
    proxy.keep_alive(KeepAlive::ClosedAfter(Duration::from_millis(50)));
    // A request that is cut off below may be missed once.
    let more = format!("connect = \"{}\"\ndown_after = 2\n{ROOT}", proxy.url());
    let home = Home::new(&(each_second() + &*instance("main", &sim.url(), &more)));
    let mut program = home.program("run", &["run"]);
    let scraper = Scraper::new(program.address().await);
    scraper.ready().await;
    let limit = |files: &str| {
        let limit = format!("--nofile={files}:");
        assert!(Command::new("prlimit").args(["--pid", &program.id().to_string(), &limit]).status().unwrap().success());
    };

    // Those that every program begins with: none that falls free can be taken again.
    limit("3");
    eventually("polls fail for it", async || program.says("Too many open files").then_some(())).await;
    let jobs_fail =
        |line: &serde_json::Value| line["poll"] == "jobs" && line["message"].as_str().unwrap().contains("failed");
    eventually("polls of jobs too", async || program.log().iter().any(jobs_fail).then_some(())).await;
    work(&sim, 10);

    limit("1024");
    scraper.ready().await;
    eventually("all is told", async || {
        let events = home.events().await;
        (events.iter().filter(|event| event.kind == EventKind::JobCompleted).count() == 10).then_some(())
    })
    .await;
    let ok = scraper.scrape().await.polls_with("main", PollKind::Jobs, "ok");
    eventually("polls go on", async || {
        (scraper.scrape().await.polls_with("main", PollKind::Jobs, "ok") > ok).then_some(())
    })
    .await;
    let events = home.events().await;
    assert!(!events.iter().any(|event| event.kind == EventKind::InstanceDown), "the instance was there all the time");
    program.terminate();
    assert_eq!(program.ends().await.code(), Some(0));
}
