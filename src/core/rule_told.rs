//! What rules and schedules tell themselves. Ids are derived from what caused an event,
//! so that a second try tells nothing twice.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::event::{CUSTOM, Event, EventKind, Origin};
use super::rule::Swallowed;

/// What stands in the data of each event of a script, whatever it says itself.
const OWN: [&str; 3] = ["instance", "rule", "depth"];

/// What a script tells because of these events; `place` is its place among what that
/// run told. The first event is the cause, and the deepest counts.
pub fn custom(causes: &[Value], rule: &str, place: usize, kind: String, told: Map<String, Value>) -> Option<Event> {
    let cause = causes.first()?;
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let origin = Origin { name: text(&cause["data"]["instance"])?, url: text(&cause["source"])? };
    let time: Timestamp = cause["time"].as_str()?.parse().ok()?;
    let what = format!("{}/{rule}/{place}", cause["id"].as_str()?);
    let depth = causes.iter().filter(|cause| is_custom(cause)).filter_map(|cause| cause["data"]["depth"].as_u64());
    let depth = depth.max().unwrap_or(0) + 1;
    let mut data = Map::from_iter([("rule".to_owned(), rule.into()), ("depth".to_owned(), depth.into())]);
    data.extend(told.into_iter().filter(|(key, _)| !OWN.contains(&key.as_str())));
    let event = Event::new(&origin, EventKind::Custom, &what, None, time, data);
    Some(Event { custom: Some(kind), ..event })
}

/// What the limit of a rule has swallowed.
pub fn limited(rule: &str, swallowed: &Swallowed, now: Timestamp) -> Event {
    let origin = Origin { name: swallowed.instance.clone(), url: swallowed.source.clone() };
    let data = Map::from_iter([
        ("rule".to_owned(), json!(rule)),
        ("swallowed".to_owned(), json!(swallowed.count)),
        ("since".to_owned(), json!(swallowed.since)),
        ("types".to_owned(), json!(swallowed.types)),
    ]);
    Event::new(&origin, EventKind::RuleLimited, rule, Some(rule.to_owned()), now, data)
}

/// What a schedule's action gets.
pub fn fired(origin: &Origin, schedule: &str, due: Timestamp) -> Event {
    let data = Map::from_iter([("schedule".to_owned(), json!(schedule))]);
    Event::new(origin, EventKind::ScheduleFired, schedule, Some(schedule.to_owned()), due, data)
}

fn is_custom(event: &Value) -> bool {
    event["type"].as_str().is_some_and(|kind| kind.starts_with(CUSTOM))
}
