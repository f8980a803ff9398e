//! The main job at once, with nothing to configure: a simulated PeerTube whose clock
//! runs sixty times as fast as ours, watched by the real daemon, and in the end what
//! was told held against what happened: `cargo run --release --example demo`.

#![expect(clippy::print_stdout, reason = "a program that shows something to people")]

mod business;
mod chat;
mod instance;
mod plain;
#[path = "../common/receiver.rs"]
mod receiver;
#[path = "../common/scrape.rs"]
mod scrape;
mod verdict;

use std::future::ready;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::Parser;
use jiff::{SignedDuration, SpanRelativeTo, Timestamp};
use tempfile::TempDir;
use tubewarden::config::{Config, Secrets};
use tubewarden::core::job_sync::Policy;
use tubewarden::core::poll::PollKind;
use tubewarden::daemon::{Daemon, stop_signal};
use tubewarden::log::{self, Format, LogOptions};
use tubewarden::store::Store;

use chat::{RULE, Sent};
use instance::{Instance, MONITOR, SPEED};
use plain::Plain;
use receiver::Receiver;
use scrape::Scrape;
use verdict::{Told, Truth, Verdict};

/// The label `peertube_instance`.
const NAME: &str = "demo";
/// How often the daemon polls, and the plain poller beside it.
const EVERY: Duration = Duration::from_secs(1);
/// The longest that the first look may take, and that each step of the end may.
const PATIENCE: Duration = Duration::from_secs(30);
/// What the schedule runs.
const WAITING: &str = r#"
let waiting = api.get("/api/v1/jobs/waiting?count=1").body.total;
metric.set("jobs_waiting", waiting, 60);
if waiting > 100 {
    emit("custom.backlog", #{ waiting: waiting });
}
"#;
/// Polls after the last job has ended. What would be told twice is told by then.
const POLLS_AT_REST: f64 = 3.0;

/// Shows tubewarden at work: on a simulated PeerTube, with nothing to configure.
#[derive(Debug, Parser)]
struct Args {
    /// How long new work comes in: 30s, 2m. Without it, until Ctrl-C.
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_duration)]
    time: Option<Duration>,
    /// The same seed gives the same history, another one another.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    let began = Instant::now();
    let mut instance = Instance::start(args.seed).await.context("start the simulated instance")?;
    let home = TempDir::new().context("create a directory for the state")?;
    let chat = chat::open().await?;
    let path = write_config(home.path(), &instance.url(), chat.url())?;
    let config = Config::load(&path, Secrets::Read, &|_| None)?;
    let ansi = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    log::init(&LogOptions { format: Format::Text, filter: config.log.filter.clone(), ansi })?;
    let policy = config.jobs.clone();

    let daemon = Daemon::start(&config).await?;
    // Rules act on what happens from now on.
    let started = Timestamp::now();
    welcome(&daemon, &instance, &path, args.time);
    let watched = watch(&daemon, &mut instance, &policy, args.time).await;
    let sent = all_sent(&chat, daemon.store(), started).await;
    let runs = Scrape::of(&reqwest::Client::new(), daemon.address()).await;
    daemon.run_until(ready(())).await?;

    let verdict = watched?;
    println!("\n{} of the simulated instance's time passed in {} s.", instance.passed(), began.elapsed().as_secs());
    println!("{verdict}");
    let (sent, runs) = (sent?, runs?.sum("tubewarden_schedule_runs_total", &[("result", "ok")]));
    println!(
        "sent {} of {} new videos to the chat by a rule; a schedule's script ran {runs} times",
        sent.arrived, sent.owed
    );
    Ok(if verdict.is_right() && sent.arrived == sent.owed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The story: a first look, a busy time, a rest, and the judgement.
async fn watch(
    daemon: &Daemon,
    instance: &mut Instance,
    policy: &Policy,
    time: Option<Duration>,
) -> anyhow::Result<Verdict> {
    // Nothing here speaks TLS, but the client wants a provider all the same; it may have one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().timeout(PATIENCE).build().context("build an HTTP client")?;
    let scrape = async || Scrape::of(&client, daemon.address()).await;

    // The instance's clock stands still until the daemon has looked, so that what
    // ended before, and is not told, can be told apart from what ended after.
    until("the daemon's first look", async || Scrape::is_ready(&client, daemon.address()).await).await?;
    let looked = scrape().await?;
    ensure!(polls(&looked, PollKind::Jobs) > 0.0, "the first poll of jobs failed; the log above tells why");
    ensure!(polls(&looked, PollKind::Videos) > 0.0, "the first poll of videos failed; the log above tells why");

    let plain = Plain::start(instance.url(), client.clone(), EVERY);
    instance.be_busy(time, stop_signal()).await?;

    println!("\nno new work from here on: the instance comes to rest, and the daemon catches up");
    let rest = async {
        tokio::time::timeout(PATIENCE, instance.rest()).await.context("the instance did not come to rest")?;
        let truth = instance.since_start(|world, start| Truth::since(world, start, policy));
        let before = scrape().await?;
        // Whether that is so is for the verdict to tell.
        let _ = until("the daemon to catch up", async || {
            for kind in [PollKind::Jobs, PollKind::Videos] {
                daemon.wake(NAME, kind);
            }
            let now = scrape().await?;
            let polled = |kind| polls(&now, kind) >= polls(&before, kind) + POLLS_AT_REST;
            Ok(polled(PollKind::Jobs)
                && polled(PollKind::Videos)
                && Told::read(daemon.store()).await?.is_all(&truth, &now))
        })
        .await;
        let (told, counters) = (Told::read(daemon.store()).await?, scrape().await?);
        Ok(Verdict::of(&truth, &told, &counters, &plain.stop().await?))
    };
    tokio::select! {
        verdict = rest => verdict,
        _ = stop_signal() => anyhow::bail!("interrupted before the daemon had caught up"),
    }
}

/// What the rule owed, once it has arrived.
async fn all_sent(chat: &Receiver, store: &Store, since: Timestamp) -> anyhow::Result<Sent> {
    // Whether all of it did is for the end of the story to tell.
    let _ = until("the chat", async || {
        let sent = chat::sent(chat, store, since).await?;
        Ok(sent.arrived == sent.owed)
    })
    .await;
    chat::sent(chat, store, since).await
}

fn welcome(daemon: &Daemon, instance: &Instance, config: &Path, time: Option<Duration>) {
    let (url, address, config) = (instance.url(), daemon.address(), config.display());
    println!("a simulated PeerTube, {SPEED} s of its time in each of ours:");
    println!("  {url}/api/v1/videos");
    println!("  {url}/api/v1/jobs (administrators: {} / {})", MONITOR.0, MONITOR.1);
    println!("tubewarden watches it each second, with the configuration {config}:");
    println!("  http://{address}/metrics");
    println!("  http://{address}/-/ready");
    println!("a rule sends new videos to a chat, and a schedule runs a script each five seconds:");
    println!("  tubewarden schedules -c {config}");
    println!("  tubewarden events --follow -c {config}");
    match time {
        Some(time) => println!("new work comes in for {} s; Ctrl-C ends it before\n", time.as_secs_f64()),
        None => println!("Ctrl-C ends it and shows what it proved\n"),
    }
}

/// The least that has to be configured, but for polls as fast as the clock.
fn write_config(home: &Path, url: &str, chat: &str) -> anyhow::Result<PathBuf> {
    let path = home.join("config.toml");
    let (username, password) = MONITOR;
    let every = EVERY.as_secs();
    let text = format!(
        r#"[server]
listen = "127.0.0.1:0"

[state]
url = "sqlite://state.db"

[poll]
jobs = "{every}s"
videos = "{every}s"
videos_full = "10s"
config = "30s"

[[instance]]
name = "{NAME}"
url = "{url}"
username = "{username}"
password = "{password}"

[[rule]]
name = "{RULE}"
on = ["video.published"]
webhook.url = "{chat}"
webhook.body = '{{"text": {{{{ event.data.video.name | tojson }}}}}}'

[[schedule]]
name = "what waits, each five seconds"
cron = "*/5 * * * * *"
script.file = "waiting.rhai"
"#
    );
    std::fs::write(home.join("waiting.rhai"), WAITING).context("write the schedule's script")?;
    std::fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
    Ok(path)
}

/// How many polls of a kind have succeeded.
fn polls(scrape: &Scrape, kind: PollKind) -> f64 {
    scrape.sum("tubewarden_polls_total", &[("poll", kind.as_str()), ("result", "ok")])
}

/// Waits until something is so.
async fn until(what: &str, so: impl AsyncFn() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let waiting = async {
        while !so().await? {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    };
    tokio::time::timeout(PATIENCE, waiting).await.with_context(|| format!("waited {PATIENCE:?} in vain for {what}"))?
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || "write it like 30s or 2m".to_owned();
    let span: jiff::Span = text.parse().map_err(|_| wrong())?;
    let duration: SignedDuration = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| wrong())?;
    Duration::try_from(duration).map_err(|_| wrong())
}
