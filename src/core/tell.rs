//! Events in words: one line for people, for each kind of event. The line is safe
//! to print: what strangers wrote is cleaned and bounded.

use serde_json::{Map, Value};

use super::event::{Event, EventKind};
use super::text::clean;

/// The line, without the instance's name.
pub fn tell(event: &Event) -> String {
    let data = &event.data;
    match event.kind {
        EventKind::JobCompleted => job("job completed", data),
        EventKind::JobFailed => job("job failed", data),
        EventKind::JobCascaded => job("job failed because its child did", data),
        EventKind::JobCancelled => job("job cancelled", data),
        EventKind::JobUnaccounted => format!("{}: its end can't be known", job("job unaccounted", data)),
        EventKind::JobStuck => {
            let line = with(job("job stuck", data), ": ", text(data, "state"));
            with(line, " since ", text(data, "since"))
        }
        EventKind::VideoCreated => video("video created", data),
        EventKind::VideoListed => video("video listed", data),
        EventKind::VideoReady => video("video ready", data),
        EventKind::VideoPublished => video("video published", data),
        EventKind::VideoFailed => with(video("video failed", data), ": ", words(data.get("video"), "state")),
        EventKind::VideoStuck => {
            let line = with(video("video stuck without a job", data), ": ", words(data.get("video"), "state"));
            with(line, " since ", text(data, "since"))
        }
        EventKind::VideoBlocked => video("video blocked", data),
        EventKind::VideoUnblocked => video("video unblocked", data),
        EventKind::VideoDeleted => video("video deleted", data),
        EventKind::LiveStarted => video("live started", data),
        EventKind::LiveEnded => video("live ended", data),
        EventKind::InstanceFirstLook => format!("first look at the instance{}", counts(data)),
        EventKind::InstanceDown => with("instance down".into(), ": ", text(data, "error")),
        EventKind::InstanceUp => {
            with("instance up".into(), " after ", number(data, "down_seconds").map(|s| format!("{s} s")))
        }
        EventKind::InstanceVersionChanged => {
            let from = with("version changed".into(), " from ", text(data, "previous_version"));
            with(from, " to ", text(data, "version"))
        }
        EventKind::InstanceUpdateAvailable => {
            let line = with("update available".into(), ": ", text(data, "latest_version"));
            with(line, " instead of ", text(data, "version"))
        }
        EventKind::PluginUpdateAvailable => {
            let line = with("update of a plugin available".into(), ": ", text(data, "plugin"));
            let line = with(line, " ", text(data, "latest_version"));
            with(line, " instead of ", text(data, "version"))
        }
        EventKind::AuthFailed => with("signing in failed".into(), ": ", text(data, "error")),
        EventKind::RunnerOffline => {
            let line = with("runner offline".into(), ": ", text(data, "runner"));
            with(line, ", silent since ", text(data, "last_contact"))
        }
        EventKind::RunnerOnline => with("runner online".into(), ": ", text(data, "runner")),
        EventKind::AbuseCreated => pending("abuse reported", "abuse_id", data),
        EventKind::RegistrationRequested => pending("registration requested", "registration_id", data),
        EventKind::ScheduleFired => with("schedule fired".into(), ": ", text(data, "schedule")),
        EventKind::RuleLimited => {
            let line = with("rule limited".into(), ": ", text(data, "rule"));
            with(line, " did not act on ", number(data, "swallowed").map(|count| format!("{count} events")))
        }
        EventKind::Custom => with(clean(event.type_name(), 100), " by the rule ", text(data, "rule")),
    }
}

/// `what: type id of "name" after 0.287 s: error`, as far as each is known.
fn job(what: &str, data: &Map<String, Value>) -> String {
    let line = with(what.to_owned(), ": ", joined(text(data, "job_type"), text(data, "job_id")));
    let line = with(line, " of ", name(data));
    let line = with(line, " after ", number(data, "run_seconds").map(|s| format!("{s} s")));
    with(line, ": ", text(data, "error"))
}

/// `what: "name" uuid`.
fn video(what: &str, data: &Map<String, Value>) -> String {
    let uuid = data.get("video").and_then(Value::as_object).and_then(|video| text(video, "uuid"));
    with(what.to_owned(), ": ", joined(name(data), uuid))
}

/// `what: 12, 3 wait`.
fn pending(what: &str, id: &str, data: &Map<String, Value>) -> String {
    let line = with(what.to_owned(), ": ", number(data, id));
    with(line, ", ", number(data, "pending").map(|count| format!("{count} wait")))
}

fn joined(first: Option<String>, second: Option<String>) -> Option<String> {
    match (first, second) {
        (Some(first), Some(second)) => Some(format!("{first} {second}")),
        (first, second) => first.or(second),
    }
}

fn name(data: &Map<String, Value>) -> Option<String> {
    let video = data.get("video").and_then(Value::as_object)?;
    text(video, "name").map(|name| format!("\"{name}\""))
}

/// `: 3 failed videos, 12 videos`, of all the numbers that the data has.
fn counts(data: &Map<String, Value>) -> String {
    let counts: Vec<_> = data
        .iter()
        .filter(|(_, value)| value.is_number())
        .map(|(key, value)| format!("{value} {}", clean(&key.replace('_', " "), 50)))
        .collect();
    if counts.is_empty() { String::new() } else { format!(": {}", counts.join(", ")) }
}

/// A snake-case name as words.
fn words(object: Option<&Value>, key: &str) -> Option<String> {
    text(object?.as_object()?, key).map(|name| name.replace('_', " "))
}

fn text(data: &Map<String, Value>, key: &str) -> Option<String> {
    data.get(key).and_then(Value::as_str).map(|text| clean(text, 500)).filter(|text| !text.is_empty())
}

fn number(data: &Map<String, Value>, key: &str) -> Option<String> {
    data.get(key).filter(|value| value.is_number()).map(Value::to_string)
}

fn with(line: String, between: &str, more: Option<String>) -> String {
    match more {
        Some(more) => line + between + more.as_str(),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::{Value, json};

    use super::tell;
    use crate::core::event::{Event, EventKind, Origin};

    fn line(kind: EventKind, data: Value) -> String {
        let Value::Object(data) = data else { panic!("no object: {data}") };
        let origin = Origin { name: "main".into(), url: "https://peertube.example.com".into() };
        tell(&Event::new(&origin, kind, "what", None, Timestamp::UNIX_EPOCH, data))
    }

    fn job() -> Value {
        json!({"job_type": "video-transcoding", "job_id": "feec3118", "wait_seconds": 17.786, "run_seconds": 0.287,
               "error": "Error: ffmpeg exited with code 1", "video": {"uuid": "a09a616c", "name": "Holidays"}})
    }

    #[test]
    fn jobs_are_told_with_what_they_were_and_how_they_ended() {
        assert_eq!(
            line(EventKind::JobFailed, job()),
            "job failed: video-transcoding feec3118 of \"Holidays\" after 0.287 s: Error: ffmpeg exited with code 1"
        );
        let plain = json!({"job_type": "email", "job_id": "1", "run_seconds": 2, "error": null, "video": null});
        assert_eq!(line(EventKind::JobCompleted, plain), "job completed: email 1 after 2 s");
        let gone = json!({"job_type": "email", "job_id": "1", "run_seconds": null, "error": null});
        assert_eq!(line(EventKind::JobUnaccounted, gone), "job unaccounted: email 1: its end can't be known");
    }

    #[test]
    fn videos_are_told_by_name_and_uuid() {
        let video = json!({"video": {"uuid": "a09a616c", "name": "Holidays", "state": "transcoding_failed"}});
        assert_eq!(line(EventKind::VideoPublished, video.clone()), "video published: \"Holidays\" a09a616c");
        assert_eq!(line(EventKind::VideoFailed, video), "video failed: \"Holidays\" a09a616c: transcoding failed");
        let unknown = json!({"video": {"uuid": "a09a616c", "name": null, "state": null}});
        assert_eq!(line(EventKind::VideoDeleted, unknown), "video deleted: a09a616c");
    }

    #[test]
    fn instances_are_told_with_the_reason() {
        assert_eq!(line(EventKind::InstanceDown, json!({"error": "timed out"})), "instance down: timed out");
        assert_eq!(line(EventKind::InstanceUp, json!({"down_seconds": 90})), "instance up after 90 s");
        let changed = json!({"previous_version": "6.3.0", "version": "8.2.1"});
        assert_eq!(line(EventKind::InstanceVersionChanged, changed), "version changed from 6.3.0 to 8.2.1");
        let counts = json!({"videos": 12, "failed_videos": 3});
        assert_eq!(
            line(EventKind::InstanceFirstLook, counts),
            "first look at the instance: 3 failed videos, 12 videos"
        );
        assert_eq!(line(EventKind::AuthFailed, json!({})), "signing in failed");
        let update = json!({"version": "8.2.1", "latest_version": "8.3.0"});
        assert_eq!(line(EventKind::InstanceUpdateAvailable, update), "update available: 8.3.0 instead of 8.2.1");
        let update = json!({"plugin": "peertube-plugin-a", "version": "1.0.0", "latest_version": "1.1.0"});
        assert_eq!(
            line(EventKind::PluginUpdateAvailable, update),
            "update of a plugin available: peertube-plugin-a 1.1.0 instead of 1.0.0"
        );
    }

    #[test]
    fn what_is_stuck_or_waits_is_told_with_since_when_or_how_much() {
        let mut stuck = job();
        stuck["run_seconds"] = Value::Null;
        stuck["error"] = Value::Null;
        stuck["state"] = "active".into();
        stuck["since"] = "2026-11-24T02:51:53.854Z".into();
        assert_eq!(
            line(EventKind::JobStuck, stuck),
            "job stuck: video-transcoding feec3118 of \"Holidays\": active since 2026-11-24T02:51:53.854Z"
        );
        let video = json!({"video": {"uuid": "u", "name": "Holidays", "state": "to_transcode"}, "since": "2026-11-24T02:51:53Z"});
        assert_eq!(
            line(EventKind::VideoStuck, video),
            "video stuck without a job: \"Holidays\" u: to transcode since 2026-11-24T02:51:53Z"
        );
        let offline = json!({"runner": "runner-one", "last_contact": "2026-11-24T02:51:53Z"});
        assert_eq!(
            line(EventKind::RunnerOffline, offline),
            "runner offline: runner-one, silent since 2026-11-24T02:51:53Z"
        );
        assert_eq!(line(EventKind::AbuseCreated, json!({"abuse_id": 12, "pending": 3})), "abuse reported: 12, 3 wait");
    }

    #[test]
    fn every_kind_has_a_line_of_its_own_even_without_data() {
        let mut lines: Vec<_> = EventKind::ALL.into_iter().map(|kind| line(kind, json!({}))).collect();
        lines.sort();
        lines.dedup();
        assert_eq!(lines.len(), EventKind::ALL.len());
        assert!(lines.iter().all(|line| line.len() > 5 && !line.contains("null")));
    }

    #[test]
    fn nobody_writes_a_line_of_his_own_or_moves_the_cursor() {
        let video = json!({"video": {"uuid": "u\n2026 ERROR", "name": "\u{1b}[2J\u{202e}evil\r\n"}});
        assert_eq!(line(EventKind::VideoCreated, video), "video created: \"[2J evil\" u 2026 ERROR");
        let mut long = job();
        long["error"] = Value::from("x".repeat(100_000));
        assert!(line(EventKind::JobFailed, long).len() < 700);
    }
}
