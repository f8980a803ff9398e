//! `tubewarden schedules`: the schedules, and when they run next.

use std::io::Write;
use std::path::Path;

use anyhow::Context;
use jiff::Timestamp;

use super::{Failure, load};
use crate::config::{Schedule, Secrets};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// How many runs of each are shown.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=100))]
    next: u8,
}

pub(super) fn schedules(path: &Path, args: &Args) -> Result<(), Failure> {
    let config = load(path, Secrets::Skip)?;
    let now = Timestamp::now();
    let shown: Vec<String> = config.schedules.iter().map(|schedule| show(schedule, now, args.next)).collect();
    let text = if shown.is_empty() { "there are no schedules\n".to_owned() } else { shown.join("\n") };
    write!(std::io::stdout(), "{text}").context("write to standard output")?;
    Ok(())
}

fn show(schedule: &Schedule, now: Timestamp, next: u8) -> String {
    let cron = &schedule.cron;
    let zone = cron.zone().iana_name().unwrap_or("UTC");
    let of = schedule.instance.as_deref().unwrap_or("all instances");
    let off = if schedule.enabled { "" } else { ", switched off" };
    let mut text =
        format!("{}\n  {} {zone}, {}, {of}{off}\n", schedule.name, cron.line(), schedule.action.kind().as_str());
    let mut at = now;
    for _ in 0..next {
        let Some(run) = cron.next_after(at) else { break };
        text.push_str(&format!("  {}\n", cron.zone().to_datetime(run).strftime("%A %Y-%m-%d %H:%M:%S")));
        at = run;
    }
    text
}
