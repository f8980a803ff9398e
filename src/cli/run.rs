//! `tubewarden run`: the daemon in the foreground, as systemd wants it.

use std::path::Path;

use super::{Failure, load, start_log};
use crate::config::Secrets;
use crate::daemon::{Daemon, stop_signal};

pub(super) async fn run(path: &Path) -> Result<(), Failure> {
    let config = load(path, Secrets::Read)?;
    start_log(&config, &config.log.filter)?;
    // Signals are caught from the very first, so that none is lost while starting.
    let signalled = tokio::spawn(stop_signal());
    let daemon = Daemon::start(&config).await?;
    daemon.run_until(async { drop(signalled.await) }).await?;
    Ok(())
}
