//! `tubewarden check`: everything that can be wrong before the daemon runs.

use std::io::Write;
use std::path::Path;

use anyhow::Context;

use super::{Failure, complain, load, online, warnings};
use crate::config::Secrets;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Also asks each instance, and says which polls the account allows.
    #[arg(long)]
    online: bool,
}

pub(super) async fn check(path: &Path, args: Args) -> Result<(), Failure> {
    let config = load(path, Secrets::Read)?;
    warnings(&config).for_each(|warning| complain(&format!("warning: {warning}")));
    let names: Vec<&str> = config.instances.iter().map(|instance| instance.origin.name.as_str()).collect();
    writeln!(std::io::stdout(), "{}: the configuration is right; it watches {}", path.display(), names.join(", "))
        .context("write to standard output")?;
    for warning in config.server.warnings() {
        complain(&format!("{}: warning: {warning}", path.display()));
    }
    if args.online {
        online::check(&config).await?;
    }
    Ok(())
}
