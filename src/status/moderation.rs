//! What waits for the moderators.

use jiff::Timestamp;
use serde::Serialize;

use crate::core::moderation::{Kind, Memory};

/// A kind that was never seen, or that the server does not know, is null.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Moderation {
    pub abuses: Option<Waiting>,
    pub registrations: Option<Waiting>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Waiting {
    pub waiting: u64,
    /// When the one that waits longest was made.
    pub oldest_at: Option<Timestamp>,
}

impl Moderation {
    pub(super) fn of(memory: &Memory) -> Self {
        let waiting = |kind| {
            let known = memory.known(kind)?;
            Some(Waiting { waiting: known.waiting.count, oldest_at: known.waiting.oldest })
        };
        Self { abuses: waiting(Kind::Abuse), registrations: waiting(Kind::Registration) }
    }
}
