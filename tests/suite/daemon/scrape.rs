//! What a real Prometheus makes of a daemon that watches a busy instance.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use peertube_sim::Sim;
use peertube_sim::traffic::Traffic;
use peertube_sim::videos::{NewVideo, Trouble};
use tokio::net::TcpListener;

use tubewarden::core::poll::PollKind;

use super::harness::{Home, ROOT, Scraper, Watch, by_hand, instance};
use super::truth;
use crate::prometheus::{Sample, Server, Target};
use crate::tools;

/// A daemon that has watched an instance at its work for some minutes, and how many
/// jobs ended meanwhile.
async fn after_some_work(seed: u64) -> (Sim, Home, Watch, BTreeMap<(String, &'static str), usize>) {
    let sim = Sim::serve(truth::busy(seed)).await.unwrap();
    let home = Home::new(&(by_hand() + &*instance("main", &sim.url(), ROOT)));
    let watch = Watch::ready(&home).await;
    let first_poll = sim.with(|world| {
        let now = world.now();
        Traffic::Mixed.fill(&mut world.jobs, now, Duration::from_secs(300), seed + 1);
        world.upload(NewVideo::named("holidays").run(Duration::from_secs(2)));
        // The one failure fails its parents with it.
        world.upload(NewVideo::named("no picture of it").trouble(Trouble::Storyboard));
        now
    });
    for _ in 0..15 {
        sim.advance(Duration::from_secs(20));
        watch.poll("main", PollKind::Jobs).await;
        watch.poll("main", PollKind::Videos).await;
    }
    // What is counted by numbers is exact to the next poll.
    watch.poll("main", PollKind::Jobs).await;
    let counts = sim.with(|world| truth::jobs_to_count(world, first_poll));
    (sim, home, watch, counts)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prometheus_answers_with_the_jobs_that_really_ended() {
    let (_sim, _home, watch, counts) = after_some_work(3).await;
    let text = as_text(watch.address()).await;
    let targets = [Target { job: "open_metrics", address: watch.address() }, Target { job: "text", address: text }];
    let Some(prometheus) = Server::start(&targets).await else { return };
    for job in ["open_metrics", "text"] {
        prometheus.wait_for_value(&format!("up{{job=\"{job}\"}}"), 1.0).await;
        for (metric, how) in [
            ("peertube_jobs_completed_total", "completed"),
            ("peertube_jobs_failed_total{cascade=\"false\"}", "failed"),
            ("peertube_jobs_failed_total{cascade=\"true\"}", "cascaded"),
        ] {
            let truth: BTreeMap<String, f64> = counts
                .iter()
                .filter(|((_, of), _)| *of == how)
                .map(|((job_type, _), count)| (job_type.clone(), *count as f64))
                .collect();
            assert!(!truth.is_empty(), "some {how}");
            let counted = format!("sum by (job_type) ({metric} and on (job) up{{job=\"{job}\"}}) > 0");
            prometheus.wait_for(&counted, |samples| by_type(samples) == truth).await;
        }
        let run = format!("peertube_job_run_seconds_count{{job=\"{job}\",job_type=\"email\"}}");
        prometheus.wait_for_value(&run, counts[&("email".to_owned(), "completed")] as f64).await;
        prometheus.wait_for_value(&format!("peertube_videos_published_total{{job=\"{job}\"}}"), 1.0).await;
    }
    // Only OpenMetrics knows units, so this tells which format was read.
    assert_eq!(prometheus.metadata("open_metrics", "peertube_job_run_seconds").await["unit"], "seconds");
    assert_eq!(prometheus.metadata("text", "peertube_job_run_seconds").await["unit"], "");
    watch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn promtool_finds_nothing_to_say_about_a_daemon_at_work() {
    let Some(promtool) = tools::require("promtool") else { return };
    let (_sim, _home, watch, _) = after_some_work(4).await;
    let text = Scraper::new(watch.address()).text().await;
    let mut check = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    check.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let said = check.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&said.stderr), "");
    assert!(said.status.success());
    watch.stop().await;
}

fn by_type(samples: &[Sample]) -> BTreeMap<String, f64> {
    samples.iter().map(|sample| (sample.labels["job_type"].clone(), sample.value)).collect()
}

/// The same daemon, for a scraper that would ask for OpenMetrics: asked for text.
async fn as_text(daemon: SocketAddr) -> SocketAddr {
    let scraper = Arc::new(Scraper::new(daemon));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().route("/metrics", get(async move || scraper.text().await));
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}
