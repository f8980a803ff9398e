//! How long an event takes from the poll's commit to the receiver, beside what can't be
//! avoided on that way, measured in the same run: a bare request to the same receiver.
//!
//! `cargo bench --bench delivery`

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::Context;
use axum::Router;
use axum::body::Bytes;
use axum::routing::post;
use jiff::Timestamp;
use peertube_sim::jobs::{NewJob, Version};
use peertube_sim::limits::Limits;
use peertube_sim::{Sim, World};
use serde_json::Value;
use tokio::net::TcpListener;
use tubewarden::config::{Config, Secrets};
use tubewarden::core::poll::PollKind;
use tubewarden::daemon::Daemon;
use tubewarden::store::EventFilter;

const ROUNDS: usize = 200;

/// When each event arrived, by its id.
type Arrivals = Arc<Mutex<Vec<(String, Timestamp)>>>;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    let arrivals = Arrivals::default();
    let receiver = serve(arrivals.clone()).await?;
    let mut world = World::new(1, Timestamp::now(), Version::V8_2);
    world.limits = Limits::none();
    let sim = Sim::serve(world).await?;
    let home = tempfile::tempdir()?;
    let config = home.path().join("config.toml");
    let polls: String = PollKind::ALL.iter().map(|kind| format!("{kind} = \"10h\"\n")).collect();
    std::fs::write(
        &config,
        format!(
            "[server]\nlisten = \"127.0.0.1:0\"\n[state]\nurl = \"sqlite://state.db\"\n[poll]\n{polls}\
             [[instance]]\nname = \"main\"\nurl = \"{}\"\nusername = \"root\"\npassword = \"root-password\"\n\
             [[rule]]\nname = \"bench\"\non = [\"job.completed\"]\nwebhook.url = \"{receiver}\"\n",
            sim.url()
        ),
    )?;
    let daemon = Daemon::start(&Config::load(&config, Secrets::Read, &|_| None)?).await?;
    wait("the first poll", || async { daemon.store().last_seq().await.is_ok_and(|seq| seq > 0) }).await?;

    for round in 1..=ROUNDS {
        sim.advance(Duration::from_secs(2));
        sim.with(|world| drop(world.jobs.add(NewJob::new("video-import").run(Duration::from_millis(10)))));
        sim.advance(Duration::from_secs(30));
        daemon.wake("main", PollKind::Jobs);
        wait("a delivery", || async { lock(&arrivals).len() >= round }).await?;
    }
    let mut recorded = Vec::new();
    let mut filter = EventFilter::default();
    loop {
        let page = daemon.store().events(&filter).await?;
        let Some(last) = page.last() else { break };
        filter.after_seq = last.seq;
        recorded.extend(page);
    }
    let mut ways = Vec::new();
    let arrived = std::mem::take(&mut *lock(&arrivals));
    for (id, arrived) in arrived {
        let stored = recorded.iter().find(|stored| stored.event.id == id).context("an event that is not stored")?;
        let committed = daemon.store().recorded_at(stored.seq).await?.context("no time of its record")?;
        ways.push(arrived.duration_since(committed).as_secs_f64() * 1000.0);
    }
    let bare = bare_requests(&receiver).await?;
    print("from the commit to the receiver", &mut ways);
    print("a bare request to it", &mut bare.clone());
    daemon.run_until(async {}).await
}

/// Takes deliveries, and bare requests as well.
async fn serve(arrivals: Arrivals) -> anyhow::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/hook", listener.local_addr()?);
    let take = move |body: Bytes| async move {
        let now = Timestamp::now();
        if let Some(id) =
            serde_json::from_slice::<Value>(&body).ok().and_then(|event| Some(event["id"].as_str()?.to_owned()))
        {
            lock(&arrivals).push((id, now));
        }
    };
    let app = Router::new().route("/hook", post(take));
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(url)
}

async fn bare_requests(url: &str) -> anyhow::Result<Vec<f64>> {
    let client = reqwest::Client::builder().no_proxy().build()?;
    let body = "x".repeat(1200);
    let mut took = Vec::new();
    for _ in 0..ROUNDS {
        let began = Instant::now();
        client.post(url).body(body.clone()).send().await?.error_for_status()?;
        took.push(began.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(took)
}

#[expect(clippy::print_stdout, reason = "this is what a bench is for")]
fn print(what: &str, milliseconds: &mut [f64]) {
    milliseconds.sort_by(f64::total_cmp);
    let at = |share: f64| milliseconds[((milliseconds.len() - 1) as f64 * share) as usize];
    println!("{what}: median {:.1} ms, 99th percentile {:.1} ms", at(0.5), at(0.99));
}

async fn wait<F: Future<Output = bool>>(what: &str, mut is_so: impl FnMut() -> F) -> anyhow::Result<()> {
    let began = Instant::now();
    while !is_so().await {
        anyhow::ensure!(began.elapsed() < Duration::from_secs(60), "{what}: not in time");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}

fn lock(arrivals: &Arrivals) -> std::sync::MutexGuard<'_, Vec<(String, Timestamp)>> {
    arrivals.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
