//! Command line in, exit status out.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use tokio::runtime::Builder;
use tubewarden::cli::Cli;

/// What still reads a file after that never will: a pipe, or a file system that is gone.
const LAST_READS: Duration = Duration::from_secs(1);

fn main() -> anyhow::Result<ExitCode> {
    let cli = Cli::parse();
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().context("start the runtime")?;
    let status = runtime.block_on(cli.execute());
    runtime.shutdown_timeout(LAST_READS);
    Ok(status)
}
