//! `tubewarden poll`: one round of every poll, and what it found on standard output. A
//! peek works on a copy of the state that is gone at the end, however it ends.

use std::fs::Permissions;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, anyhow};
use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};

use super::{Failure, complain, load, start_log};
use crate::config::{Config, Secrets};
use crate::daemon::{OneRound, one_round};
use crate::poll::Ended;
use crate::store::{Access, EventFilter, Store, StoreError};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only this instance.
    #[arg(long, value_name = "NAME")]
    instance: Option<String>,
    /// Stores nothing: what is found now will be found again.
    #[arg(long)]
    peek: bool,
    /// Logs as the daemon does, not only what went wrong.
    #[arg(short, long)]
    verbose: bool,
}

pub(super) async fn poll(path: &Path, args: Args) -> Result<(), Failure> {
    let config = load(path, Secrets::Read)?;
    if let Some(name) = &args.instance
        && !config.instances.iter().any(|instance| instance.origin.name == *name)
    {
        return Err(anyhow!("--instance {name}: the configuration has no such instance").into());
    }
    // The events go to standard output; at info the log would repeat each.
    start_log(&config, if args.verbose { &config.log.filter } else { "warn" })?;
    // Caught from here on: what is begun below has to be ended.
    let interrupted = interruption()?;
    let (store, copy) = open(&config, args.peek).await?;
    let done = look(&config, &store, &args, interrupted).await;
    let closed = store.close().await.context("close the state");
    let removed = copy.map_or(Ok(()), TempDir::close).context("remove the copy of the state");
    Ok(done.and(closed).and(removed)?)
}

async fn open(config: &Config, is_peek: bool) -> anyhow::Result<(Arc<Store>, Option<TempDir>)> {
    let path = &config.state.path;
    let (opened, copy) = if is_peek {
        let private = Permissions::from_mode(0o700);
        let copy = tempfile::Builder::new().prefix("tubewarden-").permissions(private).tempdir();
        let copy = copy.context("make a temporary directory for a copy of the state")?;
        (Store::open_copy(path, &copy.path().join("state.db")).await, Some(copy))
    } else {
        (Store::open(path, Access::Daemon).await, None)
    };
    match opened {
        Ok(store) => Ok((Arc::new(store), copy)),
        Err(StoreError::Held { path, holder }) => Err(anyhow!(
            "{holder} watches already, with the state at {}; `tubewarden events` shows what it finds, or stop it first",
            path.display()
        )),
        Err(error) => Err(error.into()),
    }
}

async fn look(
    config: &Config,
    store: &Arc<Store>,
    args: &Args,
    interrupted: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let before = store.last_seq().await?;
    let round = tokio::select! {
        round = one_round(config, store, args.instance.as_deref()) => round,
        () = interrupted => Err(anyhow!("interrupted; what had been found by then is told")),
    };
    // What is stored won't be found again: it is told, however the round ended.
    let printed = print(store, before).await;
    judge(round?)?;
    match printed {
        // Who reads has seen enough: `| head`.
        Err(error) if error.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == ErrorKind::BrokenPipe) => {
            Ok(())
        }
        printed => printed,
    }
}

/// The events since then, in the order of their commits.
async fn print(store: &Store, before: i64) -> anyhow::Result<()> {
    let mut filter = EventFilter { after_seq: before, ..EventFilter::default() };
    loop {
        let page = store.events(&filter).await?;
        let Some(last) = page.last() else { return Ok(()) };
        filter.after_seq = last.seq;
        let mut out = std::io::stdout().lock();
        for stored in &page {
            writeln!(out, "{}", stored.event.to_json())?;
        }
        out.flush()?;
    }
}

fn judge(round: OneRound) -> anyhow::Result<()> {
    let all = round.len();
    let mut failed = 0;
    for (instance, kind, ended) in round {
        if let Ended::Badly(error) = ended {
            failed += 1;
            complain(&format!("tubewarden: {instance}: poll of {kind}: {error}"));
        }
    }
    match failed {
        0 => Ok(()),
        _ => Err(anyhow!("{failed} of {all} polls failed")),
    }
}

/// Ends with the first signal that asks a command to end.
fn interruption() -> anyhow::Result<impl Future<Output = ()>> {
    let listen = |kind| signal(kind).context("listen for signals");
    let mut signals =
        (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?, listen(SignalKind::hangup())?);
    Ok(async move {
        tokio::select! {
            _ = signals.0.recv() => {}
            _ = signals.1.recv() => {}
            _ = signals.2.recv() => {}
        }
    })
}
