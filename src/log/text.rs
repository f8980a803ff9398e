//! A line as text for people: when, how bad, what, and the fields as `name=value`.
//! A told event shows its instance and its words; its fields are in those.

use std::fmt::Write;

use serde_json::Value;
use tracing::Level;

use super::line::Line;

const DIM: &str = "2";
const BOLD: &str = "1";

pub(super) fn format(line: &Line, ansi: bool) -> String {
    let paint = |code: &str, text: &str| if ansi { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() };
    let level = format!("{:>5}", line.level.as_str());
    let mut out = format!("{} {} ", paint(DIM, &format!("{:.3}", line.time)), paint(colour(line.level), &level));
    if line.tells_an_event {
        let instance = line.get("peertube_instance").map(show).unwrap_or_default();
        out += &format!("{}: {}", paint(BOLD, &instance), line.message);
        return out;
    }
    out += &format!("{} {}", paint(DIM, &format!("{}:", line.target)), line.message);
    for (name, value) in &line.fields {
        // Writing to a string never fails.
        let _ = write!(out, " {}{}", paint(DIM, &format!("{name}=")), show(value));
    }
    out
}

/// A value, in quotes where one couldn't see its end.
fn show(value: &Value) -> String {
    match value {
        Value::String(text) if text.is_empty() || text.contains([' ', '"', '=', '\\']) => {
            format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
        }
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn colour(level: Level) -> &'static str {
    match level {
        Level::ERROR => "31",
        Level::WARN => "33",
        Level::INFO => "32",
        Level::DEBUG => "34",
        Level::TRACE => "35",
    }
}
