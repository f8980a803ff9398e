//! `tubewarden run`: the daemon in the foreground, as systemd wants it.

use std::path::Path;

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;
use tracing::Level;

use super::{Failure, load, start_log, warnings};
use crate::config::{Config, Secrets};
use crate::daemon::{Daemon, Loader, Options, Reloader, stop_signal};
use crate::service::Manager;

pub(super) async fn run(path: &Path) -> Result<(), Failure> {
    // Signals are caught from the very first, so that none is lost while starting, and
    // none that asks for a reload ends the process.
    let signals = Signals { stop: tokio::spawn(stop_signal()), hangups: signal(SignalKind::hangup()) };
    let config = load(path, Secrets::Read)?;
    start_log(&config, &config.log.filter)?;
    warnings(&config).for_each(|warning| tracing::warn!("{warning}"));
    watch(&config, path, signals).await.map_err(|error| {
        // A filter may hide all of the program's own lines, but this must be told.
        if !tracing::enabled!(Level::ERROR) {
            return Failure::Running(error);
        }
        tracing::error!(error = format!("{error:#}"), "tubewarden ends");
        Failure::Logged
    })
}

struct Signals {
    stop: JoinHandle<anyhow::Result<()>>,
    hangups: std::io::Result<Signal>,
}

async fn watch(config: &Config, path: &Path, signals: Signals) -> anyhow::Result<()> {
    let Signals { stop: mut signalled, hangups } = signals;
    let hangups = hangups.context("listen for SIGHUP")?;
    let manager = Manager::of(std::process::id(), &|name| std::env::var(name).ok());
    let manager = manager.context("find the socket that NOTIFY_SOCKET names")?;
    let path = path.to_owned();
    let loader = Loader::new(move || load(&path, Secrets::Read));
    let options = Options { manager, loader: Some(loader), ..Options::default() };
    let daemon = Daemon::start_with(config, options).await?;
    let reloading = tokio::spawn(keep_reloading(hangups, daemon.reloader()));
    let mut heard = Ok(());
    let stop = async {
        // That none can be heard is no order to stop in good order.
        heard = (&mut signalled).await.map_err(anyhow::Error::from).and_then(|heard| heard);
    };
    let ended = daemon.run_until(stop).await;
    reloading.abort();
    ended?;
    heard
}

/// What comes of each is told by the daemon.
async fn keep_reloading(mut hangups: Signal, reloader: Reloader) {
    while hangups.recv().await.is_some() {
        let _told = reloader.reload().await;
    }
}
