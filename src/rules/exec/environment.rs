//! All that a command finds in its environment: how to find its way about the system,
//! and what the event is. Nothing else of the daemon's own environment reaches it,
//! neither secrets nor what the service manager is spoken to with.

use std::env;
use std::ffi::OsString;

use serde_json::Value;

use crate::core::text::clean;
use crate::rules::Delivery;

/// What is passed on, if it is set. Where systemd's credentials are is no secret, and they
/// can be read by whoever is the service's user.
const PASSED: [&str; 9] =
    ["PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "TMPDIR", "CREDENTIALS_DIRECTORY"];
const USUAL_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// The most characters of a value: many times what any of them has.
const MOST: usize = 1000;

/// The whole environment of a command. Of a batch it is the first event that is named;
/// what an event does not have is not set.
pub fn environment(delivery: &Delivery<'_>) -> Vec<(String, OsString)> {
    let mut all: Vec<_> = PASSED.iter().filter_map(|name| Some(((*name).to_owned(), env::var_os(name)?))).collect();
    if all.iter().all(|(name, _)| name != "PATH") {
        all.push(("PATH".to_owned(), USUAL_PATH.into()));
    }
    let event = delivery.events.first().unwrap_or(&Value::Null);
    let count = delivery.events.len().to_string();
    let at = |path| event.pointer(path).and_then(Value::as_str);
    let of_the_event = [
        ("EVENT_TYPE", at("/type")),
        ("EVENT_ID", at("/id")),
        ("EVENT_TIME", at("/time")),
        ("INSTANCE", at("/data/instance")),
        ("INSTANCE_URL", at("/source")),
        ("SUBJECT", at("/subject")),
        ("JOB_TYPE", at("/data/job_type")),
        ("JOB_ID", at("/data/job_id")),
        ("VIDEO_UUID", at("/data/video/uuid")),
        ("RULE", Some(delivery.rule)),
        ("DELIVERY_ID", Some(delivery.id)),
        ("EVENTS", Some(&count)),
    ];
    // A NUL would keep the command from being started, and a line end may mislead a script.
    let set = of_the_event
        .into_iter()
        .filter_map(|(name, value)| Some((format!("TUBEWARDEN_{name}"), clean(value?, MOST).into())));
    all.extend(set);
    all
}
