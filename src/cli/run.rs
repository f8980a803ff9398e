//! `tubewarden run`: the daemon in the foreground, as systemd wants it.

use std::path::Path;

use anyhow::Context;
use tracing::Level;

use super::{Failure, load, start_log};
use crate::config::{Config, Secrets};
use crate::daemon::{Daemon, Options, stop_signal};
use crate::service::Manager;

pub(super) async fn run(path: &Path) -> Result<(), Failure> {
    let config = load(path, Secrets::Read)?;
    start_log(&config, &config.log.filter)?;
    watch(&config).await.map_err(|error| {
        // A filter may hide all of the program's own lines, but this must be told.
        if !tracing::enabled!(Level::ERROR) {
            return Failure::Running(error);
        }
        tracing::error!(error = format!("{error:#}"), "tubewarden ends");
        Failure::Logged
    })
}

async fn watch(config: &Config) -> anyhow::Result<()> {
    // Signals are caught from the very first, so that none is lost while starting.
    let signalled = tokio::spawn(stop_signal());
    let manager = Manager::of(std::process::id(), &|name| std::env::var(name).ok());
    let manager = manager.context("find the socket that NOTIFY_SOCKET names")?;
    let daemon = Daemon::start_with(config, Options { manager, ..Options::default() }).await?;
    daemon.run_until(async { drop(signalled.await) }).await
}
