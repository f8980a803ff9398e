//! An hour of real time with everything going wrong at once: fifty simulated instances
//! behind connections that break, the daemon as a process of its own with a reload each
//! minute, a receiver that refuses one delivery in ten, and a scrape each half second.
//! Prints what each minute costs, and in the end holds what was told against what
//! happened: `cargo run --release --example soak`.

#![expect(clippy::print_stdout, reason = "a program that shows something to people")]

mod daemon;
mod fleet;
#[path = "../common/ledger.rs"]
mod ledger;
#[path = "../common/process.rs"]
mod process;
#[path = "../common/receiver.rs"]
mod receiver;
#[path = "../common/scrape.rs"]
mod scrape;
mod scrapes;
mod trouble;

use std::collections::HashSet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use axum::http::StatusCode;
use clap::Parser;
use tempfile::TempDir;
use tubewarden::core::event::{Event, EventKind};
use tubewarden::core::rule::delivery_id;

use daemon::{Change, Daemon, RULE};
use fleet::Fleet;
use ledger::Ledger;
use process::Usage;
use receiver::Receiver;
use scrapes::Scrapes;

const MINUTE: Duration = Duration::from_secs(60);
/// How often the instances' clocks move and something may go wrong.
const TICK: Duration = Duration::from_millis(250);
/// Before the trouble and after it: what is open and resident then is compared.
const CALM: Duration = Duration::from_secs(100);
/// How long the daemon may take to catch up when nothing is wrong any more.
const CATCHING_UP: Duration = Duration::from_secs(900);

/// What the rule sends.
const KINDS: [EventKind; 5] = [
    EventKind::JobCompleted,
    EventKind::JobFailed,
    EventKind::JobCascaded,
    EventKind::JobCancelled,
    EventKind::VideoPublished,
];

/// Watches many instances with all kinds of trouble for a long while.
#[derive(Debug, Parser)]
struct Args {
    /// Minutes of trouble.
    #[arg(long, default_value_t = 60)]
    minutes: u32,
    #[arg(long, default_value_t = 50)]
    instances: usize,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Keeps state, configuration and log here, instead of in a temporary directory.
    #[arg(long)]
    keep: Option<PathBuf>,
    /// For ourselves: to be the daemon.
    #[arg(long, hide = true)]
    daemon: Option<PathBuf>,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    if let Some(config) = &args.daemon {
        return Ok(daemon::be_the_daemon(config).await);
    }
    let temporary = TempDir::new().context("create a directory for the state")?;
    let home = args.keep.as_deref().unwrap_or(temporary.path());
    let busy = CALM + MINUTE * args.minutes;
    let mut fleet = Fleet::start(args.instances, args.seed, busy).await.context("start the simulated instances")?;
    let refusing = || if fastrand::u8(..10) == 0 { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    let receiver = Receiver::open(refusing).await?;
    let mut daemon = Daemon::start(home, fleet.addresses(), receiver.url()).await?;
    fleet.was_looked_at();
    let scrapes = Scrapes::start(daemon.client().clone(), daemon.address());
    let mut sent = Sent::default();
    let mut ledger = Ledger::default();

    println!("{} instances; calm for {} s", args.instances, CALM.as_secs());
    fleet.live(CALM, TICK).await;
    let before = daemon.usage()?;
    // The rule acts on what happened after it was added; from here on that is certain.
    ledger.read(&daemon.state()).await?;
    println!("before the trouble: {}\n", show(before));
    println!("minute  faults  reloads    jobs told   memory    highest  files     state  scrapes: median, 99th, worst");
    let mut later: Vec<Usage> = Vec::new();
    fleet.begin_trouble();
    for minute in 1..=args.minutes {
        fleet.live(MINUTE / 2, TICK).await;
        daemon.change(Change::of(minute)).await.with_context(|| format!("reload in minute {minute}"))?;
        fleet.live(MINUTE / 2, TICK).await;
        sent.note(&ledger.read(&daemon.state()).await?);
        let usage = daemon.usage()?;
        let faults = fleet.faults().values().sum::<u64>();
        let state = daemon.state_size() as f64 / 1e6;
        println!(
            "{minute:>6}  {faults:>6}  {:>7}  {:>11}  {}  {state:>5.1} MB  {}",
            daemon.reloads(),
            ledger.told(),
            show(usage),
            scrapes.of_late()
        );
        later.push(usage);
    }
    fleet.heal().await;
    daemon.change(Change::All).await?;
    // Or else something would always have ended a moment ago.
    println!("\nno trouble from here on, and the instances' clocks stand still: the daemon catches up");
    let caught_up = Instant::now();
    let verdict = loop {
        tokio::time::sleep(Duration::from_secs(5)).await;
        sent.note(&ledger.read(&daemon.state()).await?);
        let verdict = fleet.truth(daemon.policy()).judge(&ledger);
        let is_done = verdict.is_right() && sent.is_all(&receiver);
        if is_done || caught_up.elapsed() > CATCHING_UP {
            break verdict;
        }
    };
    println!("which took it {} s; calm for {} s", caught_up.elapsed().as_secs(), CALM.as_secs());
    tokio::time::sleep(CALM).await;
    sent.note(&ledger.read(&daemon.state()).await?);
    let after = daemon.usage()?;
    let last = daemon.scrape().await?;
    let scrapes = scrapes.stop().await;
    daemon.stop().await?;

    for (fault, count) in fleet.faults() {
        println!("  {count:>5} times: {fault}");
    }
    println!("{verdict}");
    println!("{sent}, {} of them arrived", sent.arrived(&receiver));
    println!("before the trouble: {}\nafter it:           {}", show(before), show(after));
    println!("{scrapes}");
    let problems = |metric: &str| last.sum(metric, &[]);
    println!(
        "{} panics, {} errors of the state, {} reloads of which {} were refused as they should be",
        problems("tubewarden_panics_total"),
        problems("tubewarden_state_errors_total"),
        daemon.reloads(),
        daemon.refused(),
    );
    ensure!(verdict.is_right(), "what was told is not what happened");
    ensure!(sent.is_all(&receiver), "a delivery is missing");
    ensure!(problems("tubewarden_panics_total") == 0.0, "something panicked");
    let failed = [("result", "dead")];
    ensure!(last.sum("tubewarden_deliveries_total", &failed) == 0.0, "a delivery was given up");
    flat(&later, before, after)?;
    Ok(ExitCode::SUCCESS)
}

/// Whether nothing grew that should not have.
fn flat(minutes: &[Usage], before: Usage, after: Usage) -> anyhow::Result<()> {
    ensure!(after.files <= before.files + 8, "open files grew from {} to {}", before.files, after.files);
    let quarter = minutes.len() / 4;
    let most = |of: &[Usage]| of.iter().map(|usage| usage.memory).max().unwrap_or(0);
    let (second, fourth) = (most(&minutes[quarter..2 * quarter]), most(&minutes[3 * quarter..]));
    ensure!(quarter == 0 || fourth <= second + second / 10, "memory grew from {second} to {fourth} KiB");
    Ok(())
}

fn show(usage: Usage) -> String {
    let mib = |kib: u64| kib as f64 / 1024.0;
    format!("{:>5.1} MiB  {:>5.1} MiB  {:>5}", mib(usage.memory), mib(usage.highest_memory), usage.files)
}

/// What the rule has to send.
#[derive(Debug, Default)]
struct Sent {
    events: usize,
    owed: HashSet<String>,
}

impl Sent {
    fn note(&mut self, events: &[Event]) {
        self.events += events.len();
        let told = events.iter().filter(|event| KINDS.contains(&event.kind));
        self.owed.extend(told.map(|event| delivery_id(&event.id, RULE)));
    }

    fn arrived(&self, receiver: &Receiver) -> usize {
        self.owed.iter().filter(|id| receiver.has(id)).count()
    }

    fn is_all(&self, receiver: &Receiver) -> bool {
        self.arrived(receiver) == self.owed.len()
    }
}

impl std::fmt::Display for Sent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} events were told; {} were to be sent by a rule", self.events, self.owed.len())
    }
}
