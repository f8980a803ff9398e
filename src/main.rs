//! Command line in, exit status out.

use std::process::ExitCode;

use clap::Parser;
use tubewarden::cli::Cli;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    Cli::parse().execute().await
}
