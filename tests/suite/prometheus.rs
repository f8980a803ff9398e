//! A real Prometheus, to see that what we serve is what it stores.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use axum::extract::Request;
use axum::http::{HeaderValue, header};
use axum::middleware::map_request;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;

use tubewarden::core::event::EventKind;
use tubewarden::core::poll::PollKind;
use tubewarden::http::{self, Door, Readiness, State};
use tubewarden::metrics::Metrics;

use crate::{metrics, tools};

/// Whatever must come true does so within this, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// What Prometheus scrapes, under which name.
pub(crate) struct Target {
    pub(crate) job: &'static str,
    pub(crate) address: SocketAddr,
}

/// One series of an answer, with its present value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sample {
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) value: f64,
}

/// A Prometheus of our own, with an empty storage; it ends with this value.
pub(crate) struct Server {
    process: Child,
    url: String,
    client: reqwest::Client,
    _home: TempDir,
}

impl Server {
    /// Scrapes the targets twice a second. `None` when Prometheus is not installed
    /// and the test is to be skipped.
    pub(crate) async fn start(targets: &[Target]) -> Option<Self> {
        let prometheus = tools::require("prometheus")?;
        let home = TempDir::new().unwrap();
        let configuration = home.path().join("prometheus.yml");
        // What is JSON is YAML.
        fs::write(&configuration, configured(targets).to_string()).unwrap();
        let log = home.path().join("log");
        let process = Command::new(prometheus)
            .arg(format!("--config.file={}", configuration.display()))
            .arg(format!("--storage.tsdb.path={}", home.path().join("data").display()))
            .arg("--web.listen-address=127.0.0.1:0")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        // An error says that another test has installed it already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
        let mut server = Self { process, url: String::new(), client, _home: home };
        server.url = until("Prometheus listens", async || listens_at(&log)).await;
        until("Prometheus is ready", async || server.is_ready().await.then_some(())).await;
        Some(server)
    }

    /// What an expression gives now.
    pub(crate) async fn query(&self, expression: &str) -> Vec<Sample> {
        let answer = self.get("/api/v1/query", &[("query", expression)]).await;
        assert_eq!(answer["status"], "success", "{expression}: {answer}");
        answer["data"]["result"].as_array().unwrap().iter().map(read).collect()
    }

    /// Waits until an expression gives one value, and this one.
    pub(crate) async fn wait_for_value(&self, expression: &str, value: f64) {
        self.wait_for(expression, |samples| matches!(samples, [one] if one.value == value)).await;
    }

    /// Waits until what an expression gives is as wanted.
    pub(crate) async fn wait_for(&self, expression: &str, wanted: impl Fn(&[Sample]) -> bool) {
        let start = Instant::now();
        loop {
            let samples = self.query(expression).await;
            if wanted(&samples) {
                return;
            }
            assert!(start.elapsed() < PATIENCE, "{expression} still gives {samples:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// What the target's exposition says of a metric: type, help, unit.
    pub(crate) async fn metadata(&self, job: &str, metric: &str) -> Value {
        let target = format!("{{job=\"{job}\"}}");
        let answer = self.get("/api/v1/targets/metadata", &[("match_target", &target), ("metric", metric)]).await;
        answer["data"][0].clone()
    }

    async fn is_ready(&self) -> bool {
        let answer = self.client.get(format!("{}/-/ready", self.url)).send().await;
        answer.is_ok_and(|answer| answer.status().is_success())
    }

    async fn get(&self, path: &str, query: &[(&str, &str)]) -> Value {
        let answer = self.client.get(format!("{}{path}", self.url)).query(query).send().await.unwrap();
        serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; there is nothing to save.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn configured(targets: &[Target]) -> Value {
    let jobs: Vec<Value> = targets
        .iter()
        .map(|target| {
            json!({
                "job_name": target.job,
                "scrape_interval": "500ms",
                "scrape_timeout": "500ms",
                "static_configs": [{ "targets": [target.address.to_string()] }],
            })
        })
        .collect();
    json!({ "scrape_configs": jobs })
}

/// It chooses a free port by itself, and tells it in its log.
fn listens_at(log: &Path) -> Option<String> {
    let log = fs::read_to_string(log).unwrap();
    let line = log.lines().find(|line| line.contains("\"Listening on\""))?;
    let address = line.split("address=").nth(1)?.split_whitespace().next()?;
    Some(format!("http://{address}"))
}

fn read(result: &Value) -> Sample {
    let labels = serde_json::from_value(result["metric"].clone()).unwrap();
    Sample { labels, value: result["value"][1].as_str().unwrap().parse().unwrap() }
}

async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(start.elapsed() < PATIENCE, "{what}: not in time");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Our listener as it is.
async fn listener(metrics: &Metrics) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(http::serve(listener, state(metrics), Door::open_to_all(), std::future::pending()));
    address
}

/// Our routes for a scraper that knows text alone: its `Accept` header says so.
async fn text_listener(metrics: &Metrics) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let accept_text = map_request(async |mut request: Request| {
        request.headers_mut().insert(header::ACCEPT, HeaderValue::from_static("text/plain;version=0.0.4"));
        request
    });
    let router = http::router(state(metrics)).layer(accept_text);
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

fn state(metrics: &Metrics) -> State {
    State { metrics: metrics.clone(), readiness: Readiness::new(async || true), reload: None }
}

#[tokio::test]
async fn prometheus_stores_what_was_seen_in_either_format() {
    let (metrics, main) = metrics::picture();
    let targets = [
        Target { job: "open_metrics", address: listener(&metrics).await },
        Target { job: "text", address: text_listener(&metrics).await },
    ];
    let Some(prometheus) = Server::start(&targets).await else { return };

    for job in ["open_metrics", "text"] {
        prometheus.wait_for_value(&format!("up{{job=\"{job}\"}}"), 1.0).await;
        for (series, value) in [
            ("peertube_up{%}", 1.0),
            ("peertube_info{%,version=\"8.2.1\"}", 1.0),
            ("peertube_jobs_completed_total{%,job_type=\"video-transcoding\"}", 17.0),
            ("peertube_jobs_failed_total{%,job_type=\"video-transcoding\",cascade=\"true\"}", 2.0),
            ("peertube_jobs_failed_total{%,job_type=\"email\",cascade=\"false\"}", 0.0),
            ("peertube_jobs_pending{%,job_type=\"video-transcoding\",state=\"waiting\"}", 4.0),
            ("peertube_job_oldest_waiting_timestamp_seconds{%}", 1_793_999_000.125),
            ("peertube_job_run_seconds_count{%,job_type=\"video-transcoding\"}", 3.0),
            ("sum(peertube_job_run_seconds_bucket{%,le=~\"1|1[.]0\"})", 2.0),
            ("peertube_videos{%,privacy=\"public\",state=\"published\"}", 9.0),
            ("peertube_videos_published_total{%}", 9.0),
            ("tubewarden_api_requests_total{%,endpoint=\"jobs\",code=\"timeout\"}", 1.0),
            ("count(tubewarden_events_total{%} == 0)", (EventKind::ALL.len() - 1) as f64),
        ] {
            let expression = series.replace('%', &format!("job=\"{job}\",peertube_instance=\"main\""));
            prometheus.wait_for_value(&expression, value).await;
        }
    }

    // Only OpenMetrics knows units, so this tells which format was read.
    assert_eq!(prometheus.metadata("open_metrics", "peertube_job_run_seconds").await["unit"], "seconds");
    assert_eq!(prometheus.metadata("text", "peertube_job_run_seconds").await["unit"], "");

    // Gauges that are taken away are gone there too, at the next scrape.
    main.stale(PollKind::Jobs);
    prometheus.wait_for("peertube_jobs_pending", <[Sample]>::is_empty).await;
    assert_eq!(prometheus.query("count(peertube_jobs_completed_total) by (job)").await.len(), 2);
}
