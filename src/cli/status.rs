//! `tubewarden status`: one screen from the state alone, beside a running daemon or
//! without one. Reads no secret and asks no instance.

mod text;

use std::io::{ErrorKind, Write};
use std::path::Path;

use anyhow::Context;
use jiff::Timestamp;

use super::{Failure, load};
use crate::config::Secrets;
use crate::status::Status;
use crate::store::{Access, Store, holder};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) async fn status(path: &Path, args: Args) -> Result<(), Failure> {
    let config = load(path, Secrets::Skip)?;
    let status = read(&config).await?;
    let shown = if args.json {
        serde_json::to_string_pretty(&status).context("write the status as JSON")? + "\n"
    } else {
        text::show(&status)
    };
    match std::io::stdout().write_all(shown.as_bytes()) {
        // Who reads has seen enough: `| head`.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written.context("write to standard output")?),
    }
}

async fn read(config: &crate::config::Config) -> anyhow::Result<Status> {
    let store = Store::open(&config.state.path, Access::Beside).await?;
    let status = Status::read(config, &store, holder(&config.state.path)?, Timestamp::now()).await;
    store.close().await?;
    status
}
