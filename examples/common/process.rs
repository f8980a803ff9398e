//! What a process costs, as the kernel tells it.

use std::fs;
use std::path::PathBuf;

use anyhow::Context;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    /// Resident, in KiB: now, and at most so far.
    pub(crate) memory: u64,
    pub(crate) highest_memory: u64,
    pub(crate) files: u64,
}

impl Usage {
    pub(crate) fn of(process: u32) -> anyhow::Result<Self> {
        let process = PathBuf::from(format!("/proc/{process}"));
        let status = fs::read_to_string(process.join("status")).context("read the daemon's memory")?;
        let kib = |field: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(field))?;
            line.trim_start_matches(':').trim().strip_suffix(" kB")?.parse().ok()
        };
        Ok(Self {
            memory: kib("VmRSS").context("no memory is told")?,
            highest_memory: kib("VmHWM").context("no memory is told")?,
            files: fs::read_dir(process.join("fd")).context("count the daemon's files")?.count() as u64,
        })
    }
}
