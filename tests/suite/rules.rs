//! What rules do about events: one try of a webhook, one run of a command or a script.
#![expect(clippy::unwrap_used, reason = "helpers of tests: a surprise must end them")]

use serde_json::{Value, json};
use tubewarden::rules::{Delivery, Outcome};

mod exec;
mod receiver;
mod script;
mod webhook;

/// A job that failed, as it is told everywhere.
fn event() -> Value {
    json!({
        "specversion": "1.0", "id": "3f0c9a", "source": "https://peertube.example.com", "type": "job.failed",
        "subject": "video-transcoding/17", "time": "2026-11-24T02:51:53.854Z", "datacontenttype": "application/json",
        "data": {
            "instance": "main", "job_type": "video-transcoding", "job_id": "17",
            "error": "Error: ffmpeg exited with code 1", "video": {"uuid": "a09a616c", "name": "Déjà vu"},
        },
    })
}

/// What the only rule owes.
fn delivery(events: &[Value]) -> Delivery<'_> {
    Delivery { id: "3f0c9a-0a1b2c3d", rule: "tell the team", events, is_batch: false }
}

/// Why it is worth another try.
fn again(outcome: Outcome) -> String {
    match outcome {
        Outcome::Again { why, .. } => why,
        other => panic!("{other:?} is not worth another try"),
    }
}
