//! Events: what happened, told once. One schema everywhere, CloudEvents 1.0.
//!
//! An event's id is derived from what happened and when, so the same happening
//! has the same id after a crash.

use std::fmt;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::glob::Globs;

/// What the types of events that scripts tell begin with.
pub const CUSTOM: &str = "custom.";

/// What an event can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventKind {
    JobCompleted,
    JobFailed,
    JobCascaded,
    JobCancelled,
    JobUnaccounted,
    JobStuck,
    VideoCreated,
    VideoListed,
    VideoReady,
    VideoPublished,
    VideoFailed,
    VideoStuck,
    VideoBlocked,
    VideoUnblocked,
    VideoDeleted,
    LiveStarted,
    LiveEnded,
    InstanceFirstLook,
    InstanceDown,
    InstanceUp,
    InstanceVersionChanged,
    InstanceUpdateAvailable,
    PluginUpdateAvailable,
    AuthFailed,
    RunnerOffline,
    RunnerOnline,
    AbuseCreated,
    RegistrationRequested,
    ScheduleFired,
    RuleLimited,
    /// One that a script tells; its whole type is [`Event::custom`].
    Custom,
}

impl EventKind {
    pub const ALL: [Self; 31] = [
        Self::JobCompleted,
        Self::JobFailed,
        Self::JobCascaded,
        Self::JobCancelled,
        Self::JobUnaccounted,
        Self::JobStuck,
        Self::VideoCreated,
        Self::VideoListed,
        Self::VideoReady,
        Self::VideoPublished,
        Self::VideoFailed,
        Self::VideoStuck,
        Self::VideoBlocked,
        Self::VideoUnblocked,
        Self::VideoDeleted,
        Self::LiveStarted,
        Self::LiveEnded,
        Self::InstanceFirstLook,
        Self::InstanceDown,
        Self::InstanceUp,
        Self::InstanceVersionChanged,
        Self::InstanceUpdateAvailable,
        Self::PluginUpdateAvailable,
        Self::AuthFailed,
        Self::RunnerOffline,
        Self::RunnerOnline,
        Self::AbuseCreated,
        Self::RegistrationRequested,
        Self::ScheduleFired,
        Self::RuleLimited,
        Self::Custom,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::JobCompleted => "job.completed",
            Self::JobFailed => "job.failed",
            Self::JobCascaded => "job.cascaded",
            Self::JobCancelled => "job.cancelled",
            Self::JobUnaccounted => "job.unaccounted",
            Self::JobStuck => "job.stuck",
            Self::VideoCreated => "video.created",
            Self::VideoListed => "video.listed",
            Self::VideoReady => "video.ready",
            Self::VideoPublished => "video.published",
            Self::VideoFailed => "video.failed",
            Self::VideoStuck => "video.stuck",
            Self::VideoBlocked => "video.blocked",
            Self::VideoUnblocked => "video.unblocked",
            Self::VideoDeleted => "video.deleted",
            Self::LiveStarted => "live.started",
            Self::LiveEnded => "live.ended",
            Self::InstanceFirstLook => "instance.first_look",
            Self::InstanceDown => "instance.down",
            Self::InstanceUp => "instance.up",
            Self::InstanceVersionChanged => "instance.version_changed",
            Self::InstanceUpdateAvailable => "instance.update_available",
            Self::PluginUpdateAvailable => "plugin.update_available",
            Self::AuthFailed => "auth.failed",
            Self::RunnerOffline => "runner.offline",
            Self::RunnerOnline => "runner.online",
            Self::AbuseCreated => "abuse.created",
            Self::RegistrationRequested => "registration.requested",
            Self::ScheduleFired => "schedule.fired",
            Self::RuleLimited => "rule.limited",
            Self::Custom => "custom",
        }
    }

    /// The kind of a type of events: `job.failed`, or `custom.` and more.
    pub fn parse(text: &str) -> Option<Self> {
        if text.starts_with(CUSTOM) {
            return Some(Self::Custom);
        }
        Self::ALL.into_iter().find(|kind| kind.as_str() == text && *kind != Self::Custom)
    }
}

impl EventKind {
    /// Whether there can be an event of this kind whose type matches.
    pub fn can_match(self, globs: &Globs) -> bool {
        match self {
            Self::Custom => globs.can_match_prefix(CUSTOM),
            kind => globs.matches(kind.as_str()),
        }
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which instance something happened on: its configured name and its address.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Origin {
    pub name: String,
    pub url: String,
}

/// Something that happened, in the one schema that everybody sees.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    pub id: String,
    pub source: String,
    pub kind: EventKind,
    /// The whole type of a [`EventKind::Custom`] one, and of no other.
    pub custom: Option<String>,
    pub subject: Option<String>,
    pub time: Timestamp,
    pub data: Map<String, Value>,
}

impl Event {
    /// `what` names the happening among all of its kind on that instance (a job's
    /// key, a video's uuid); with `time` it makes the id.
    pub fn new(
        origin: &Origin,
        kind: EventKind,
        what: &str,
        subject: Option<String>,
        time: Timestamp,
        data: Map<String, Value>,
    ) -> Self {
        let mut all = Map::new();
        all.insert("instance".into(), Value::String(origin.name.clone()));
        all.extend(data);
        let id = id(&origin.name, kind, what, time);
        Self { id, source: origin.url.clone(), kind, custom: None, subject, time, data: all }
    }

    /// The type as it is told: `job.failed`, `custom.report`.
    pub fn type_name(&self) -> &str {
        self.custom.as_deref().unwrap_or(self.kind.as_str())
    }

    pub fn instance(&self) -> &str {
        self.data.get("instance").and_then(Value::as_str).unwrap_or_default()
    }

    /// The event as its CloudEvents JSON object.
    pub fn to_json(&self) -> Value {
        serde_json::to_value(CloudEvent {
            specversion: "1.0",
            id: &self.id,
            source: &self.source,
            kind: self.type_name(),
            subject: self.subject.as_deref(),
            time: self.time,
            datacontenttype: "application/json",
            data: &self.data,
        })
        .unwrap_or(Value::Null)
    }
}

#[derive(Serialize)]
struct CloudEvent<'a> {
    specversion: &'static str,
    id: &'a str,
    source: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    time: Timestamp,
    datacontenttype: &'static str,
    data: &'a Map<String, Value>,
}

/// 32 hexadecimal digits of a hash: no dot, stable across restarts.
fn id(instance: &str, kind: EventKind, what: &str, time: Timestamp) -> String {
    let mut hash = Sha256::new();
    for part in [instance, kind.as_str(), what] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.update(time.as_millisecond().to_be_bytes());
    hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin() -> Origin {
        Origin { name: "main".into(), url: "https://peertube.example.com".into() }
    }

    #[test]
    fn the_same_happening_has_the_same_id_and_no_other_has_it() {
        let at = Timestamp::UNIX_EPOCH;
        let event = |kind, what: &str| Event::new(&origin(), kind, what, None, at, Map::new()).id;
        assert_eq!(event(EventKind::JobFailed, "email/1"), event(EventKind::JobFailed, "email/1"));
        assert_ne!(event(EventKind::JobFailed, "email/1"), event(EventKind::JobFailed, "email/2"));
        assert_ne!(event(EventKind::JobFailed, "email/1"), event(EventKind::JobCompleted, "email/1"));
        assert_eq!(event(EventKind::JobFailed, "email/1").len(), 32);
    }

    #[test]
    fn every_kind_parses_back_from_its_name() {
        for kind in EventKind::ALL.into_iter().filter(|kind| *kind != EventKind::Custom) {
            assert_eq!(EventKind::parse(kind.as_str()), Some(kind));
        }
        assert_eq!(EventKind::parse("custom.report"), Some(EventKind::Custom));
        assert_eq!(EventKind::parse("custom"), None);
        assert_eq!(EventKind::parse("job.exploded"), None);
    }

    #[test]
    fn an_event_reads_as_a_cloud_event() {
        let data = Map::from_iter([("job_type".to_owned(), Value::from("email"))]);
        let event = Event::new(
            &origin(),
            EventKind::JobFailed,
            "email/1",
            Some("email/1".into()),
            "2026-11-24T02:51:53.854Z".parse().unwrap(),
            data,
        );
        let json = event.to_json();
        assert_eq!(json["specversion"], "1.0");
        assert_eq!(json["type"], "job.failed");
        assert_eq!(json["time"], "2026-11-24T02:51:53.854Z");
        assert_eq!(json["data"]["instance"], "main");
        assert_eq!(json["data"]["job_type"], "email");
    }
}
