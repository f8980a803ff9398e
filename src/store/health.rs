//! How the state fares: what stands between it and a write, and how often what went
//! wrong. Errors say it themselves; a commit that succeeds says that nothing does.

use std::fs::File;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use crate::core::fault::Fault;

#[derive(Debug, Default)]
pub(super) struct Health {
    counts: [AtomicU64; Fault::ALL.len()],
    trouble: Mutex<Option<Fault>>,
    /// The trouble began or ended.
    changed: Notify,
}

impl Health {
    pub(super) fn failed(&self, fault: Fault) {
        self.counts[fault as usize].fetch_add(1, Ordering::Relaxed);
        // Of other errors it is not known that the state is to blame.
        if fault != Fault::Other {
            self.set(Some(fault));
        }
    }

    /// A commit succeeded, which proves nothing of a disk: it may take a little and no more.
    pub(super) fn committed(&self) {
        if !matches!(self.trouble(), Some(Fault::Full | Fault::Disk)) {
            self.set(None);
        }
    }

    pub(super) fn is_well(&self) {
        self.set(None);
    }

    fn set(&self, now: Option<Fault>) {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        if *trouble != now {
            *trouble = now;
            self.changed.notify_one();
        }
    }

    pub(super) fn trouble(&self) -> Option<Fault> {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn count(&self, fault: Fault) -> u64 {
        self.counts[fault as usize].load(Ordering::Relaxed)
    }

    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }
}

/// Whether this process, or the whole system, can open no file any more. SQLite says of
/// such a file only that it can't be opened.
pub(super) fn is_short_of_files() -> bool {
    use rustix::io::Errno;
    let code = File::open("/dev/null").err().and_then(|error| error.raw_os_error());
    code.is_some_and(|code| [Errno::MFILE, Errno::NFILE].map(Errno::raw_os_error).contains(&code))
}
