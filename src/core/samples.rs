//! A sample event of each kind, for what has to be tried before anything happens. Each
//! is made by the function that makes the real ones, and every field that a real event
//! of its kind can have is there and filled. What it can never have stays null.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::Map;

use super::event::{Event, EventKind, Origin};
use super::job::{JobType, Payload, Pending, error_summary};
use super::job_told::{self, AtRunner, Missing, Stuck};
use super::moderation;
use super::rule::Swallowed;
use super::rule_told;
use super::runner_sync::RunnerTold;
use super::server_told::{self, FirstLook};
use super::updates;
use super::video::{Privacy, VideoState};
use super::video_facts::Facts;
use super::video_sync;

const UUID: &str = "a09a616c-5d3c-4b53-8f3b-6d0c7f4f2a11";
const ERROR: &str = "Error: ffmpeg exited with code 1\n    at ChildProcess.<anonymous> (/app/server.js:1:1)\n\
                     Invalid data found when processing input";

/// The sample of a kind. The same at each call.
pub fn sample(kind: EventKind, origin: &Origin) -> Event {
    let at = moment(0);
    match kind {
        EventKind::JobCompleted
        | EventKind::JobFailed
        | EventKind::JobCascaded
        | EventKind::JobCancelled
        | EventKind::JobUnaccounted
        | EventKind::JobStuck => job(kind).to_event(origin, facts(origin, VideoState::ToTranscode, false).to_value()),
        EventKind::VideoCreated
        | EventKind::VideoListed
        | EventKind::VideoReady
        | EventKind::VideoPublished
        | EventKind::VideoFailed
        | EventKind::VideoStuck
        | EventKind::VideoBlocked
        | EventKind::VideoUnblocked
        | EventKind::VideoDeleted
        | EventKind::LiveStarted
        | EventKind::LiveEnded => video(kind, origin).to_event(origin),
        EventKind::InstanceFirstLook => first_look().to_event(origin, at),
        EventKind::InstanceDown => {
            let error = "connect to the instance: connection refused".to_owned();
            server_told::Told::Down { error, since: moment(-90) }.to_event(origin, at)
        }
        EventKind::InstanceUp => server_told::Told::Up { down_since: moment(-90) }.to_event(origin, at),
        EventKind::InstanceVersionChanged => {
            let (previous, version) = ("8.2.0".to_owned(), "8.2.1".to_owned());
            server_told::Told::VersionChanged { previous, version }.to_event(origin, at)
        }
        EventKind::InstanceUpdateAvailable => update(None, "8.2.1", "8.3.0").to_event(origin, at),
        EventKind::PluginUpdateAvailable => {
            update(Some("peertube-plugin-transcription"), "1.4.0", "1.5.0").to_event(origin, at)
        }
        EventKind::AuthFailed => {
            let (code, error) = ("invalid_grant".to_owned(), "the user name or the password is wrong".to_owned());
            server_told::Told::AuthFailed { code, error }.to_event(origin, at)
        }
        EventKind::RunnerOffline | EventKind::RunnerOnline => runner(kind).to_event(origin),
        EventKind::AbuseCreated => waiting(moderation::Kind::Abuse).to_event(origin),
        EventKind::RegistrationRequested => waiting(moderation::Kind::Registration).to_event(origin),
        EventKind::ScheduleFired => rule_told::fired(origin, "registrations that wait, each morning", at),
        EventKind::RuleLimited => rule_told::limited("failed jobs to the team chat", &swallowed(origin), at),
        EventKind::Custom => custom(origin),
    }
}

fn swallowed(origin: &Origin) -> Swallowed {
    Swallowed {
        since: moment(-3600),
        count: 12,
        types: BTreeMap::from([("job.failed".to_owned(), 12)]),
        instance: origin.name.clone(),
        source: origin.url.clone(),
    }
}

/// Of what a script says, nobody knows more than its type.
fn custom(origin: &Origin) -> Event {
    let cause = sample(EventKind::VideoPublished, origin).to_json();
    let told = rule_told::custom(&[cause], "a rule", 0, "custom.sample".to_owned(), Map::new());
    told.unwrap_or_else(|| rule_told::fired(origin, "a schedule", moment(0)))
}

fn job(kind: EventKind) -> job_told::Told {
    let has_ended = !matches!(kind, EventKind::JobUnaccounted | EventKind::JobStuck);
    let has_error = has_ended && kind != EventKind::JobCompleted;
    let error = match kind {
        EventKind::JobCascaded => "child bull-peertube.example.com:video-transcoding:feec3118 failed",
        EventKind::JobCancelled => "UnrecoverableError: Job has been canceled",
        _ => ERROR,
    };
    job_told::Told {
        job_id: Some("feec3118-04e5-4b38-b98c-5b5c95b6ec35".to_owned()),
        created_at: Some(moment(-318)),
        processed_at: Some(moment(-300)),
        finished_at: has_ended.then(|| moment(0)),
        wait_seconds: has_ended.then_some(18.0),
        run_seconds: has_ended.then_some(300.0),
        error: has_error.then(|| error_summary(error)),
        payload: Payload {
            kind: Some("new-resolution-to-hls".to_owned()),
            resolution: Some(720),
            fps: Some(30.0),
            is_new_video: Some(true),
            video_import_id: Some(7),
            video_uuid: Some(UUID.to_owned()),
        },
        missing: (kind == EventKind::JobUnaccounted).then_some(Missing { count: 1, how: "vanished" }),
        stuck: (kind == EventKind::JobStuck).then(|| Stuck {
            state: Pending::Waiting,
            since: moment(-7200),
            count: Some(12),
        }),
        at_runner: Some(AtRunner { runner: Some("runner-one".to_owned()), failures: 1 }),
        ..job_told::Told::new(kind, &JobType::from("video-transcoding"), moment(0))
    }
}

fn video(kind: EventKind, origin: &Origin) -> video_sync::Told {
    let state = match kind {
        EventKind::VideoCreated | EventKind::VideoListed | EventKind::VideoStuck => VideoState::ToTranscode,
        EventKind::VideoFailed => VideoState::TranscodingFailed,
        EventKind::LiveEnded => VideoState::LiveEnded,
        _ => VideoState::Published,
    };
    let is_live = matches!(kind, EventKind::LiveStarted | EventKind::LiveEnded);
    let since = (kind == EventKind::VideoStuck).then(|| moment(-7200));
    video_sync::Told { kind, at: moment(0), facts: facts(origin, state, is_live), since }
}

fn facts(origin: &Origin, state: VideoState, is_live: bool) -> Facts {
    Facts {
        uuid: UUID.to_owned(),
        name: "Holidays by the sea".to_owned(),
        url: Some(format!("{}/w/m2gP5xSoTcyZfNzCn7fYkq", origin.url)),
        channel: Some("Travels".to_owned()),
        account: Some("Ada".to_owned()),
        privacy: Some(Privacy::Public),
        state: Some(state),
        duration: Some(if is_live { 0 } else { 312 }),
        is_live: Some(is_live),
        nsfw: Some(false),
    }
}

fn first_look() -> server_told::Told {
    server_told::Told::FirstLook(FirstLook {
        videos: 1204,
        videos_failed: 3,
        videos_not_ready: 2,
        videos_stuck: Some(1),
        jobs_stuck: Some(1),
        abuses_pending: Some(4),
        registrations_pending: Some(2),
    })
}

fn update(plugin: Option<&str>, version: &str, latest: &str) -> updates::Told {
    updates::Told { plugin: plugin.map(str::to_owned), version: version.to_owned(), latest: latest.to_owned() }
}

fn runner(kind: EventKind) -> RunnerTold {
    RunnerTold {
        kind,
        runner: "runner-one".to_owned(),
        last_contact: moment(-330),
        jobs_held: 1,
        jobs_waiting: 5,
        at: moment(0),
    }
}

fn waiting(kind: moderation::Kind) -> moderation::Told {
    moderation::Told { kind, id: 42, created_at: moment(0), pending: 3 }
}

/// So many seconds from when the samples happened.
fn moment(seconds: i64) -> Timestamp {
    let happened = Timestamp::from_millisecond(1_795_488_713_854).unwrap_or(Timestamp::UNIX_EPOCH);
    happened.saturating_add(SignedDuration::from_secs(seconds)).unwrap_or(happened)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::core::tell::tell;

    fn origin() -> Origin {
        Origin { name: "main".into(), url: "https://peertube.example.com".into() }
    }

    fn nulls(value: &Value, path: &str, found: &mut Vec<String>) {
        match value {
            Value::Null => found.push(path.to_owned()),
            Value::Object(fields) => {
                fields.iter().for_each(|(key, value)| nulls(value, &format!("{path}.{key}"), found))
            }
            _ => {}
        }
    }

    #[test]
    fn each_kind_has_a_sample_with_all_that_a_real_one_can_have() {
        for kind in EventKind::ALL {
            let event = sample(kind, &origin());
            assert_eq!((event.kind, event.instance()), (kind, "main"));
            assert_eq!(event, sample(kind, &origin()), "the same at each call");
            let mut found = Vec::new();
            nulls(&event.to_json(), "", &mut found);
            let never: &[&str] = match kind {
                EventKind::JobCompleted => &[".data.error"],
                EventKind::JobUnaccounted | EventKind::JobStuck => {
                    &[".data.error", ".data.finished_at", ".data.run_seconds", ".data.wait_seconds"]
                }
                _ => &[],
            };
            assert_eq!(found, never, "{kind}");
        }
    }

    #[test]
    fn samples_read_like_what_happens() {
        let line = |kind| tell(&sample(kind, &origin()));
        assert_eq!(
            line(EventKind::JobFailed),
            "job failed: video-transcoding feec3118-04e5-4b38-b98c-5b5c95b6ec35 of \"Holidays by the sea\" after 300.0 s: \
             Error: ffmpeg exited with code 1 … Invalid data found when processing input"
        );
        assert_eq!(
            line(EventKind::VideoFailed),
            format!("video failed: \"Holidays by the sea\" {UUID}: transcoding failed")
        );
        assert_eq!(line(EventKind::InstanceUp), "instance up after 90.0 s");
        assert_eq!(
            line(EventKind::InstanceFirstLook),
            "first look at the instance: 4 abuses pending, 1 jobs stuck, 2 registrations pending, 1204 videos, \
             3 videos failed, 2 videos not ready, 1 videos stuck"
        );
        assert_eq!(line(EventKind::AbuseCreated), "abuse reported: 42, 3 wait");
    }
}
