//! What an instance calls its lists of jobs. Old servers say `complete` and
//! `inactive`; which one it is shows at run time and is remembered.

use std::sync::atomic::{AtomicU8, Ordering};

use crate::core::job::JobList;

/// The names that an instance answered to.
#[derive(Debug, Default)]
pub(super) struct ListNames(AtomicU8);

const TODAYS: u8 = 1;
const OLD: u8 = 2;

impl ListNames {
    /// The name to ask by, and the one to try if the server does not know it. A
    /// server that answered to today's names is not tried with the old ones: its
    /// refusal means something else, an unknown job type say.
    pub(super) fn of(&self, list: JobList) -> (&'static str, Option<&'static str>) {
        let todays = list.as_str();
        let old = match list {
            JobList::Completed => "complete",
            JobList::Waiting => "inactive",
            JobList::Delayed | JobList::Active | JobList::Failed => return (todays, None),
        };
        match self.0.load(Ordering::Relaxed) {
            TODAYS => (todays, None),
            OLD => (old, Some(todays)),
            _ => (todays, Some(old)),
        }
    }

    /// The server knew this name.
    pub(super) fn answered(&self, name: &str) {
        let names = match name {
            "completed" | "waiting" => TODAYS,
            "complete" | "inactive" => OLD,
            _ => return,
        };
        self.0.store(names, Ordering::Relaxed);
    }
}
