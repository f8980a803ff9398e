//! What every action is given and gives back. `why` is one safe line: no secret, no
//! body, and of an address the scheme and host only.

use std::time::Duration;

use serde_json::Value;

/// How one try of a delivery ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// Worth another try; not before `after`, if the other side said so.
    Again {
        why: String,
        after: Option<Duration>,
    },
    /// A dead letter at once.
    Dead {
        why: String,
    },
    /// A dead letter, and the rule stops delivering to that address until reload (410).
    Gone {
        why: String,
    },
}

/// What one try delivers. `events` is never empty; more than one only if `is_batch`.
#[derive(Debug, Clone, Copy)]
pub struct Delivery<'a> {
    /// The same at each try: the (first) event's id, a dash, 8 hexadecimal digits of the rule.
    pub id: &'a str,
    pub rule: &'a str,
    /// CloudEvents, as `Event::to_json` gives them.
    pub events: &'a [Value],
    pub is_batch: bool,
}

impl Delivery<'_> {
    /// What is sent when no template makes a body: the event, or the array of a batch.
    pub fn body(&self) -> Vec<u8> {
        let json = match self.events {
            [event] if !self.is_batch => serde_json::to_vec(event),
            events => serde_json::to_vec(events),
        };
        // Values of JSON can always be written.
        json.unwrap_or_default()
    }
}
