//! `tubewarden events`: the history kept in the state, beside a running daemon.

use std::io::{ErrorKind, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, anyhow};
use jiff::{SignedDuration, SpanRelativeTo, Timestamp};

use super::{Failure, load};
use crate::config::Secrets;
use crate::core::event::EventKind;
use crate::core::glob::Globs;
use crate::core::tell::tell;
use crate::store::{Access, EventFilter, Store, StoredEvent};

/// Rows read at once.
const PAGE: u32 = 500;
/// How often a follower looks for more.
const LOOK_EVERY: Duration = Duration::from_millis(500);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only what happened within this time: 2h, 30m, 7d.
    #[arg(long, value_name = "DURATION", value_parser = parse_since)]
    since: Option<SignedDuration>,
    /// Only these types; globs, and `!` takes away. May be repeated.
    #[arg(long = "type", value_name = "TYPE")]
    kinds: Vec<String>,
    /// Only this instance.
    #[arg(long, value_name = "NAME")]
    instance: Option<String>,
    /// CloudEvents, one a line.
    #[arg(long)]
    json: bool,
    /// Goes on with what happens from now on.
    #[arg(long)]
    follow: bool,
}

pub(super) async fn events(path: &Path, args: Args) -> Result<(), Failure> {
    let config = load(path, Secrets::Skip)?;
    for pattern in &args.kinds {
        let glob = Globs::new([pattern.trim_start_matches('!')]);
        if !EventKind::ALL.iter().any(|kind| kind.can_match(&glob)) {
            return Err(anyhow!("--type {pattern}: no event has such a type").into());
        }
    }
    let store = Store::open(&config.state.path, Access::Beside).await;
    if let Some(name) = &args.instance
        && !config.instances.iter().any(|instance| instance.origin.name == *name)
    {
        // One that is no longer configured has its history still.
        let known = match &store {
            Ok(store) => store.instances().await.map_err(anyhow::Error::from)?,
            Err(_) => Vec::new(),
        };
        if !known.iter().any(|instance| instance.name == *name) {
            return Err(
                anyhow!("--instance {name}: neither the configuration nor the history has such an instance").into()
            );
        }
    }
    let store = store.map_err(anyhow::Error::from)?;
    match print(&store, &args).await {
        // Who reads has seen enough: `| head`.
        Err(error) if error.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == ErrorKind::BrokenPipe) => {
            Ok(())
        }
        done => Ok(done?),
    }
}

async fn print(store: &Store, args: &Args) -> anyhow::Result<()> {
    let mut filter = EventFilter {
        since: args.since.map(|since| Timestamp::now().saturating_sub(since).unwrap_or(Timestamp::MIN)),
        kinds: (!args.kinds.is_empty()).then(|| Globs::new(&args.kinds)),
        instance: args.instance.clone(),
        after_seq: 0,
        limit: PAGE,
    };
    loop {
        let page = store.events(&filter).await?;
        let mut out = std::io::stdout().lock();
        for stored in &page {
            writeln!(out, "{}", line(stored, args.json)).context("write to standard output")?;
            filter.after_seq = stored.seq;
        }
        out.flush()?;
        drop(out);
        if page.is_empty() {
            if !args.follow {
                return Ok(());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

fn line(stored: &StoredEvent, json: bool) -> String {
    let event = &stored.event;
    if json {
        return event.to_json().to_string();
    }
    format!("{}  {}: {}", format_args!("{:.3}", event.time), event.instance(), tell(event))
}

fn parse_since(text: &str) -> Result<SignedDuration, String> {
    let span: jiff::Span = text.parse().map_err(|_| "write it like 30m, 2h or 7d".to_owned())?;
    let since = span.to_duration(SpanRelativeTo::days_are_24_hours()).ok();
    since.filter(|since| !since.is_negative()).ok_or_else(|| "write it like 30m, 2h or 7d".to_owned())
}
