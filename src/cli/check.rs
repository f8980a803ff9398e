//! `tubewarden check`: everything that can be wrong before the daemon runs.

use std::io::Write;
use std::path::Path;

use anyhow::Context;

use super::{Failure, load};
use crate::config::Secrets;

pub(super) fn check(path: &Path) -> Result<(), Failure> {
    let config = load(path, Secrets::Read)?;
    let names: Vec<&str> = config.instances.iter().map(|instance| instance.origin.name.as_str()).collect();
    writeln!(std::io::stdout(), "{}: the configuration is right; it watches {}", path.display(), names.join(", "))
        .context("write to standard output")?;
    Ok(())
}
