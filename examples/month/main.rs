//! A month in minutes: the daemon as a process of its own, and a simulated instance
//! whose clock jumps from poll to poll, with upgrades, restarts, an emptied Redis,
//! outages and a role that changes. Prints what each days' end costs (memory, open
//! files, state, questions) and holds what was told against what happened:
//! `cargo run --release --example month`.

#![expect(clippy::print_stdout, reason = "a program that shows something to people")]

mod instance;
#[path = "../common/ledger.rs"]
mod ledger;
#[path = "../common/process.rs"]
mod process;
mod watched;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::Parser;
use jiff::Timestamp;
use tempfile::TempDir;
use tubewarden::config::{Polls, When};
use tubewarden::core::poll::PollKind;

use instance::Instance;
use ledger::Ledger;
use watched::{Cost, Watched};

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(24 * 3_600);
/// Events and settled jobs are pruned when they are older than this, so that the state
/// can be seen to stop growing.
const KEEP_EVENTS_DAYS: usize = 7;
const KEEP_SETTLED: Duration = Duration::from_secs(8 * 24 * 3_600);
/// The first days fill what is kept; from here on all must stay flat.
const FULL_AFTER_DAYS: u64 = 10;
/// Resident memory, in KiB.
const MOST_MEMORY: u64 = 24 * 1024;

/// Runs a month of a simulated instance in minutes.
#[derive(Debug, Parser)]
struct Args {
    /// Days of the instance's time.
    #[arg(long, default_value_t = 30)]
    days: u64,
    /// Seconds of it between two polls of jobs, at least; other polls are as seldom as by
    /// default.
    #[arg(long, default_value_t = 300)]
    every: u64,
    /// Nothing but the recurring jobs of an instance that nobody uses.
    #[arg(long)]
    idle: bool,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// For ourselves: to be the daemon.
    #[arg(long, hide = true)]
    daemon: Option<std::path::PathBuf>,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    if let Some(config) = &args.daemon {
        watched::be_the_daemon(config).await?;
        return Ok(ExitCode::SUCCESS);
    }
    let began = Instant::now();
    let home = TempDir::new().context("create a directory for the state")?;
    let mut instance =
        Instance::start(args.seed, args.days, args.idle).await.context("start the simulated instance")?;
    let mut daemon = Watched::start(home.path(), &instance.url()).await?;
    let looked = instance.now();
    let mut ledger = Ledger::default();
    let mut costs: Vec<Cost> = Vec::new();
    // When, by our clock, each of the instance's days began.
    let mut days_began = vec![Timestamp::now()];

    println!("day    jobs told    memory    highest  files     state  questions    bytes  a poll of jobs");
    for day in 0..args.days {
        let rounds = DAY.as_secs() / args.every;
        daemon.forget_cost(&instance);
        for round in 0..rounds {
            if let Some(what) = instance.misfortune(day, round, rounds) {
                println!("     {what}");
                if what.restarts_daemon() {
                    daemon.restart().await?;
                }
            }
            instance.pass(Duration::from_secs(args.every));
            daemon.poll(&kinds(round, args.every)).await?;
        }
        let cost = daemon.cost(&instance).await?;
        ledger.read(daemon.state()).await?;
        println!("{:>3}  {:>11}  {cost}", day + 1, ledger.told());
        costs.push(cost);
        days_began.push(Timestamp::now());
        if let Some(before) = days_began.len().checked_sub(1 + KEEP_EVENTS_DAYS).map(|day| days_began[day]) {
            daemon.prune(before, instance.now() - KEEP_SETTLED).await?;
        }
    }
    // Nothing new any more: what is under way ends, and is polled until it is known.
    instance.rest();
    for _ in 0..40 {
        daemon.poll(&[PollKind::Jobs, PollKind::Videos]).await?;
        instance.pass(Duration::from_secs(60));
    }
    ledger.read(daemon.state()).await?;
    let truth = instance.truth(looked, daemon.policy());
    daemon.stop().await?;

    let verdict = truth.judge(&ledger);
    println!("\n{} days of the instance in {} s of ours.", args.days, began.elapsed().as_secs());
    println!("{verdict}");
    flat(&costs)?;
    ensure!(verdict.is_right(), "what was told is not what happened");
    Ok(ExitCode::SUCCESS)
}

/// As often as by default, where the rounds allow it.
fn kinds(round: u64, every: u64) -> Vec<PollKind> {
    let polls = Polls::default();
    let is_due = |kind: &PollKind| match polls.when(*kind) {
        When::Every(interval) => round.is_multiple_of((interval.as_secs() / every).max(1)),
        When::Cron(_) => false,
    };
    PollKind::ALL.into_iter().filter(is_due).collect()
}

/// Whether nothing grew that should not have.
fn flat(costs: &[Cost]) -> anyhow::Result<()> {
    let most = costs.iter().map(|cost| cost.usage.highest_memory).max().unwrap_or(0);
    ensure!(most < MOST_MEMORY, "{most} KiB of memory were resident at most, the limit is {MOST_MEMORY}");
    let Some((full, later)) = costs.get(FULL_AFTER_DAYS as usize..).and_then(<[Cost]>::split_first) else {
        return Ok(());
    };
    for cost in later {
        ensure!(
            cost.usage.files <= full.usage.files + 4,
            "open files grew from {} to {}",
            full.usage.files,
            cost.usage.files
        );
        ensure!(cost.state <= full.state * 5 / 4, "the state grew from {} to {} bytes", full.state, cost.state);
        ensure!(
            cost.questions_a_poll <= full.questions_a_poll * 1.5 + 2.0,
            "questions a poll grew from {:.1} to {:.1}",
            full.questions_a_poll,
            cost.questions_a_poll
        );
    }
    Ok(())
}
