use std::io;
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use serde_json::json;
use tracing::{debug, error, info, warn};

use super::*;
use crate::core::event::{EventKind, Origin};

/// Keeps what is written.
#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn written(format: Format, filter: &str, ansi: bool, act: impl FnOnce()) -> Vec<String> {
    let paper = Paper::default();
    let options = LogOptions { format, filter: filter.into(), ansi };
    let pen = paper.clone();
    tracing::subscriber::with_default(subscriber(&options, move || pen.clone()).unwrap(), act);
    let bytes = paper.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap().split_terminator('\n').map(str::to_owned).collect()
}

fn json_lines(act: impl FnOnce()) -> Vec<Value> {
    written(Format::Json, "debug", false, act).iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Text lines without their time, whose form is checked.
fn text_lines(act: impl FnOnce()) -> Vec<String> {
    let timeless = |line: &String| {
        let (time, rest) = line.split_once(' ').unwrap();
        assert_eq!(time.len(), "2026-11-24T02:51:53.854Z".len(), "{line}");
        time.parse::<Timestamp>().unwrap();
        rest.to_owned()
    };
    written(Format::Text, "debug", false, act).iter().map(timeless).collect()
}

fn told(kind: EventKind, data: Value) -> Event {
    let Value::Object(data) = data else { panic!("no object: {data}") };
    let origin = Origin { name: "main".into(), url: "https://peertube.example.com".into() };
    Event::new(&origin, kind, "what", None, Timestamp::UNIX_EPOCH, data)
}

fn failed_job() -> Event {
    told(
        EventKind::JobFailed,
        json!({"job_type": "video-transcoding", "job_id": "feec3118", "wait_seconds": 17.786, "run_seconds": 0.287,
               "error": "Error: ffmpeg exited with code 1", "video": {"uuid": "a09a616c", "name": "Holidays"}}),
    )
}

fn keys(line: &Value) -> Vec<&str> {
    line.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn a_json_line_is_flat_with_numbers_as_numbers() {
    let lines = json_lines(|| {
        warn!(target: "tubewarden::poll", jobs = 3, share = 0.5, late = true, why = "slow", "poll took long");
    });
    let line = &lines[0];
    assert_eq!(keys(line), ["jobs", "late", "level", "message", "share", "target", "timestamp", "why"]);
    assert_eq!(line["level"], "WARN");
    assert_eq!(line["target"], "tubewarden::poll");
    assert_eq!(line["message"], "poll took long");
    assert_eq!((&line["jobs"], &line["share"], &line["late"]), (&json!(3), &json!(0.5), &json!(true)));
    let time = line["timestamp"].as_str().unwrap();
    assert_eq!(time.len(), "2026-11-24T02:51:53.854Z".len());
    assert!(time.ends_with('Z') && time.parse::<Timestamp>().is_ok(), "{time}");
}

#[test]
fn a_told_job_has_its_fields_in_json() {
    let failed = failed_job();
    let completed = told(
        EventKind::JobCompleted,
        json!({"job_type": "email", "job_id": "1", "wait_seconds": null,
        "run_seconds": 2, "error": null, "video": null}),
    );
    let lines = json_lines(|| {
        event(&failed, true);
        event(&completed, true);
    });
    let line = &lines[0];
    assert_eq!(line["event_type"], "job.failed");
    assert_eq!(line["event_id"], failed.id);
    assert_eq!(line["peertube_instance"], "main");
    assert_eq!(line["job_type"], "video-transcoding");
    assert_eq!(line["job_id"], "feec3118");
    assert_eq!((&line["wait_seconds"], &line["run_seconds"]), (&json!(17.786), &json!(0.287)));
    assert_eq!(line["error"], "Error: ffmpeg exited with code 1");
    assert_eq!((&line["video_uuid"], &line["video_name"]), (&json!("a09a616c"), &json!("Holidays")));
    assert_eq!(line["level"], "INFO");
    assert_eq!(line["target"], EVENT_TARGET);

    let line = lines[1].as_object().unwrap();
    assert_eq!(line["run_seconds"], json!(2.0));
    assert_eq!((line.get("wait_seconds"), line.get("error")), (Some(&Value::Null), Some(&Value::Null)));
}

#[test]
fn a_told_video_or_instance_has_its_own_fields_alone_in_json() {
    let lines = json_lines(|| {
        event(&told(EventKind::VideoDeleted, json!({"video": {"uuid": "a09a616c", "name": null}})), true);
        event(&told(EventKind::InstanceDown, json!({"error": "timed out"})), true);
    });
    assert_eq!(lines[0]["video_uuid"], "a09a616c");
    assert_eq!(lines[0].get("video_name"), Some(&Value::Null));
    assert!(lines[0].get("job_type").is_none());
    assert_eq!(lines[1]["error"], "timed out");
    assert_eq!(lines[1]["message"], "instance down: timed out");
    assert!(lines[1].get("job_type").is_none() && lines[1].get("video_uuid").is_none());
}

#[test]
fn no_other_line_passes_for_a_told_event_or_hides_its_own_head() {
    let lines = json_lines(|| {
        info!(event_type = "job.failed", level = "none", timestamp = 0, target = "t", r#type = "x", "not an event");
    });
    assert_eq!(
        keys(&lines[0]),
        ["event_type_", "level", "level_", "message", "target", "target_", "timestamp", "timestamp_", "type"]
    );
    assert_eq!(lines[0]["level"], "INFO");
}

#[test]
fn text_is_for_people() {
    let lines = text_lines(|| {
        event(&failed_job(), true);
        warn!(target: "tubewarden::poll", jobs = 3, why = "too slow", how = "", "poll took long");
    });
    assert_eq!(
        lines,
        [
            " INFO main: job failed: video-transcoding feec3118 of \"Holidays\" after 0.287 s: Error: ffmpeg exited with code 1",
            " WARN tubewarden::poll: poll took long jobs=3 why=\"too slow\" how=\"\"",
        ]
    );
}

#[test]
fn an_event_that_is_not_wanted_is_told_at_debug() {
    let tell_both = || {
        event(&failed_job(), true);
        event(&told(EventKind::JobCompleted, json!({})), false);
    };
    assert_eq!(written(Format::Text, "info", false, tell_both).len(), 1);
    let lines = text_lines(tell_both);
    assert!(lines[1].starts_with("DEBUG main: job completed"), "{lines:?}");
}

#[test]
fn the_filter_selects_by_target_and_a_wrong_one_is_told() {
    let lines = written(Format::Text, "warn,tubewarden::store=debug", false, || {
        debug!(target: "tubewarden::store", "one");
        info!(target: "tubewarden::poll", "two");
        error!(target: "elsewhere", "three");
    });
    assert_eq!(lines.len(), 2, "{lines:?}");
    let options = LogOptions { format: Format::Text, filter: "store=loud".into(), ansi: false };
    let error = subscriber(&options, io::sink).err().unwrap().to_string();
    assert!(error.contains("\"store=loud\"") && error.contains("write a level"), "{error}");
}

#[test]
fn nothing_that_a_stranger_wrote_leaves_its_line_or_acts_on_a_terminal() {
    const HOSTILE: &str = "a\u{1b}[31mb\r\n2026-11-24T00:00:00.000Z ERROR forged\u{0}\u{7}\u{9b}2J\u{85}c\u{2028}d\u{202e}e\u{2066}f\u{200b}g\u{feff}";
    #[derive(Debug, Error)]
    #[error("outer {HOSTILE}")]
    struct Outer(#[source] io::Error);

    let act = || {
        let error = Outer(io::Error::other(HOSTILE));
        info!(text = HOSTILE, shown = %HOSTILE, debugged = ?HOSTILE, "{HOSTILE}");
        warn!(error = &error as &dyn std::error::Error, "chained");
        let video = json!({"uuid": HOSTILE, "name": HOSTILE, "state": HOSTILE});
        for kind in EventKind::ALL {
            let data = json!({"video": video, "job_type": HOSTILE, "job_id": HOSTILE, "error": HOSTILE,
                              "version": HOSTILE, "previous_version": HOSTILE, HOSTILE: 1});
            event(&told(kind, data), true);
        }
    };
    let calls = 2 + EventKind::ALL.len();
    for format in [Format::Text, Format::Json] {
        let lines = written(format, "info", false, act);
        assert_eq!(lines.len(), calls, "one line a call");
        for line in &lines {
            let decoded = match format {
                Format::Text => line.clone(),
                Format::Json => serde_json::from_str::<Value>(line)
                    .unwrap()
                    .as_object()
                    .unwrap()
                    .values()
                    .map(|value| value.as_str().unwrap_or_default())
                    .collect::<Vec<_>>()
                    .join(" "),
            };
            for text in [line, &decoded] {
                let bad = text.chars().find(|c| {
                    c.is_control() || ['\u{2028}', '\u{202e}', '\u{2066}', '\u{200b}', '\u{feff}'].contains(c)
                });
                assert_eq!(bad, None, "{text:?}");
            }
        }
        assert!(lines[1].contains("outer a [31mb") && lines[1].matches("forged").count() == 2, "{}", lines[1]);
    }
}

#[test]
fn values_are_bounded_and_cut_between_characters() {
    let long = "é".repeat(1_000_000);
    let lines = json_lines(|| info!(long, debugged = ?vec![7; 1_000_000], spaces = " ".repeat(100_000), "{long}"));
    for field in ["long", "message", "debugged"] {
        assert_eq!(lines[0][field].as_str().unwrap().chars().count(), 2000, "{field}");
    }
    assert_eq!(lines[0]["spaces"], "");
}

#[test]
fn numbers_that_json_has_no_word_for_are_null() {
    let lines = json_lines(|| info!(nan = f64::NAN, large = u64::MAX, small = i64::MIN, "numbers"));
    assert_eq!(lines[0].get("nan"), Some(&Value::Null));
    assert_eq!((&lines[0]["large"], &lines[0]["small"]), (&json!(u64::MAX), &json!(i64::MIN)));
}

#[test]
fn colours_are_ours_alone_and_only_when_asked() {
    let act = || info!(text = "\u{1b}[31m", "hello");
    let plain = &written(Format::Text, "info", false, act)[0];
    assert!(!plain.contains('\u{1b}'));
    let painted = &written(Format::Text, "info", true, act)[0];
    assert!(painted.contains("\u{1b}[32m INFO\u{1b}[0m"), "{painted:?}");
    let mut unpainted = painted.clone();
    for code in ["\u{1b}[0m", "\u{1b}[1m", "\u{1b}[2m", "\u{1b}[32m"] {
        unpainted = unpainted.replace(code, "");
    }
    assert_eq!(unpainted.split_once(' ').unwrap().1, plain.split_once(' ').unwrap().1);
}

#[test]
fn a_log_that_can_not_be_written_ends_nothing() {
    struct Closed;
    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
    }
    let options = LogOptions { format: Format::Json, filter: "info".into(), ansi: false };
    tracing::subscriber::with_default(subscriber(&options, || Closed).unwrap(), || event(&failed_job(), true));
}
