//! `tubewarden run`: the daemon in the foreground, as systemd wants it.

use std::io::IsTerminal;
use std::path::Path;

use anyhow::Context;

use super::{Failure, load};
use crate::config::{LogFormat, Secrets};
use crate::daemon::{Daemon, stop_signal};
use crate::log::{self, Format, LogOptions};

pub(super) async fn run(path: &Path) -> Result<(), Failure> {
    let config = load(path, Secrets::Read)?;
    let format = match config.log.format {
        LogFormat::Text => Format::Text,
        LogFormat::Json => Format::Json,
    };
    let ansi = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    log::init(&LogOptions { format, filter: config.log.filter.clone(), ansi }).context("start the log")?;
    // Signals are caught from the very first, so that none is lost while starting.
    let signalled = tokio::spawn(stop_signal());
    let daemon = Daemon::start(&config).await?;
    daemon.run_until(async { drop(signalled.await) }).await?;
    Ok(())
}
