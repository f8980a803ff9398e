//! How an instance is asked for its lists of jobs. Old servers say `complete` and
//! `inactive`, the newest take `?states=` alone; which it is shows at run time, is
//! remembered, and found out anew when the server has changed.

use std::sync::atomic::{AtomicU8, Ordering};

use crate::core::job::JobList;

/// One way to ask for a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// `/jobs/completed`
    Todays(&'static str),
    /// `/jobs/complete`, where the name was another one.
    Old(&'static str),
    /// `/jobs?states=completed`
    States(&'static str),
}

impl Way {
    /// As it is told.
    pub(super) fn describe(self) -> &'static str {
        match self {
            Self::Todays(_) => "/jobs/completed and /jobs/waiting",
            Self::Old(_) => "/jobs/complete and /jobs/inactive, as years ago",
            Self::States(_) => "/jobs?states=",
        }
    }
}

/// The way that an instance answered to last.
#[derive(Debug, Default)]
pub(super) struct ListNames(AtomicU8);

const TODAYS: u8 = 1;
const OLD: u8 = 2;
const STATES: u8 = 3;

impl ListNames {
    /// The ways to ask, the likeliest first.
    pub(super) fn of(&self, list: JobList) -> Vec<Way> {
        let todays = Way::Todays(list.as_str());
        let old = match list {
            JobList::Completed => Some(Way::Old("complete")),
            JobList::Waiting => Some(Way::Old("inactive")),
            JobList::Delayed | JobList::Active | JobList::Failed => None,
        };
        let states = Way::States(match list {
            // By its path it always held these too.
            JobList::Waiting => "waiting,waiting-children,prioritized",
            _ => list.as_str(),
        });
        match self.0.load(Ordering::Relaxed) {
            OLD => old.into_iter().chain([todays, states]).collect(),
            STATES => [states, todays].into_iter().chain(old).collect(),
            _ => [todays].into_iter().chain(old).chain([states]).collect(),
        }
    }

    /// Whether a refusal of one way may mean that the server does not know it. A server
    /// that answered to today's names once, and was asked for a type of job, says with a
    /// description that it is the type that it does not know; a route that it has lost it
    /// leaves without a word. Of a question for all types nothing but the name of the list
    /// can be strange to it.
    pub(super) fn may_be_unknown(&self, refused: Way, without_a_word: bool, of_a_type: bool) -> bool {
        let is_known = matches!(refused, Way::Todays(_)) && self.0.load(Ordering::Relaxed) == TODAYS;
        without_a_word || !of_a_type || !is_known
    }

    /// The server knew this way. Whether that is news.
    pub(super) fn answered(&self, way: Way, list: JobList) -> bool {
        let now = match way {
            // Their names never changed, so that they tell nothing of the others'.
            Way::Todays(_) if !matches!(list, JobList::Completed | JobList::Waiting) => return false,
            Way::Todays(_) => TODAYS,
            Way::Old(_) => OLD,
            Way::States(_) => STATES,
        };
        let before = self.0.swap(now, Ordering::Relaxed);
        before != now && (before != 0 || now != TODAYS)
    }
}
