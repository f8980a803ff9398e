//! What is told of an instance as a whole. A count that can't be known is null, and
//! every text is one safe, bounded line.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::event::{Event, EventKind, Origin};
use super::text::clean;

/// One thing to tell of an instance.
#[derive(Debug, Clone, PartialEq)]
pub enum Told {
    FirstLook(FirstLook),
    Down { error: String, since: Timestamp },
    Up { down_since: Timestamp },
    VersionChanged { previous: String, version: String },
    AuthFailed { code: String, error: String },
}

/// What was already so at the first look.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FirstLook {
    pub videos: u64,
    pub videos_failed: u64,
    pub videos_not_ready: u64,
    pub videos_stuck: Option<u64>,
    pub jobs_stuck: Option<u64>,
    pub abuses_pending: Option<u64>,
    pub registrations_pending: Option<u64>,
}

impl Told {
    pub fn to_event(&self, origin: &Origin, at: Timestamp) -> Event {
        let (kind, what, data) = match self {
            Self::FirstLook(look) => (EventKind::InstanceFirstLook, "first look", look.to_value()),
            Self::Down { error, since } => {
                (EventKind::InstanceDown, "server", json!({ "error": clean(error, 500), "since": since }))
            }
            Self::Up { down_since } => {
                let seconds = at.duration_since(*down_since).as_millis().max(0) as f64 / 1000.0;
                (EventKind::InstanceUp, "server", json!({ "down_seconds": seconds }))
            }
            Self::VersionChanged { previous, version } => {
                let data = json!({ "previous_version": previous, "version": version });
                (EventKind::InstanceVersionChanged, "server", data)
            }
            Self::AuthFailed { code, error } => {
                (EventKind::AuthFailed, "server", json!({ "code": clean(code, 64), "error": clean(error, 500) }))
            }
        };
        let data: Map<String, Value> = data.as_object().cloned().unwrap_or_default();
        Event::new(origin, kind, what, None, at, data)
    }
}

impl FirstLook {
    fn to_value(&self) -> Value {
        json!({
            "videos": self.videos,
            "videos_failed": self.videos_failed,
            "videos_not_ready": self.videos_not_ready,
            "videos_stuck": self.videos_stuck,
            "jobs_stuck": self.jobs_stuck,
            "abuses_pending": self.abuses_pending,
            "registrations_pending": self.registrations_pending,
        })
    }
}
