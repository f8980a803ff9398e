//! A line as one flat JSON object.

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;

use super::line::Line;

/// What every told event of these has, null where it isn't known.
const JOB_FIELDS: [&str; 5] = ["job_type", "job_id", "wait_seconds", "run_seconds", "error"];
const VIDEO_FIELDS: [&str; 2] = ["video_uuid", "video_name"];

pub(super) fn format(line: &Line) -> String {
    // Nothing in it can fail to be JSON.
    serde_json::to_string(line).unwrap_or_default()
}

impl Serialize for Line {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("timestamp", &format!("{:.3}", self.time))?;
        map.serialize_entry("level", self.level.as_str())?;
        map.serialize_entry("target", self.target)?;
        map.serialize_entry("message", &self.message)?;
        for (name, value) in &self.fields {
            map.serialize_entry(name, value)?;
        }
        for name in expected(self).iter().filter(|name| self.get(name).is_none()) {
            map.serialize_entry(name, &Value::Null)?;
        }
        map.end()
    }
}

fn expected(line: &Line) -> &'static [&'static str] {
    let kind = line.get("event_type").and_then(Value::as_str).unwrap_or_default();
    match kind.split_once('.') {
        _ if !line.tells_an_event => &[],
        Some(("job", _)) => &JOB_FIELDS,
        Some(("video" | "live", _)) => &VIDEO_FIELDS,
        _ => &[],
    }
}
