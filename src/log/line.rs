//! One event of `tracing`, made safe: the only way from a field to either format.

use std::error::Error;
use std::fmt::{self, Write};

use jiff::Timestamp;
use serde_json::Value;
use tracing::Level;
use tracing::field::{Field, Visit};

use crate::core::text::clean;

/// The most characters of a value.
const MOST: usize = 2000;

/// The names that every line has, and the one that only told events have. A field
/// of another line that is called so gets an underscore.
const RESERVED: [&str; 4] = ["timestamp", "level", "target", "event_type"];

pub(super) struct Line {
    pub(super) time: Timestamp,
    pub(super) level: Level,
    pub(super) target: &'static str,
    pub(super) tells_an_event: bool,
    pub(super) message: String,
    /// Each name once.
    pub(super) fields: Vec<(String, Value)>,
}

impl Line {
    pub(super) fn of(event: &tracing::Event<'_>) -> Self {
        let metadata = event.metadata();
        let mut line = Self {
            time: Timestamp::now(),
            level: *metadata.level(),
            target: metadata.target(),
            tells_an_event: super::tells_an_event(metadata),
            message: String::new(),
            fields: Vec::new(),
        };
        event.record(&mut line);
        line
    }

    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.fields.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    fn add(&mut self, field: &Field, value: Value) {
        let name = field.name();
        if name == "message" {
            self.message = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            return;
        }
        let mut name = clean(name.strip_prefix("r#").unwrap_or(name), 100);
        if RESERVED.contains(&name.as_str()) && !(self.tells_an_event && name == "event_type") {
            name.push('_');
        }
        while self.get(&name).is_some() {
            name.push('_');
        }
        self.fields.push((name, value));
    }

    fn add_text(&mut self, field: &Field, text: fmt::Arguments<'_>) {
        let mut bounded = Bounded { text: String::new() };
        // It fails when the bound is reached, and keeps what came before.
        let _ = bounded.write_fmt(text);
        self.add(field, Value::String(clean(&bounded.text, MOST)));
    }
}

impl Visit for Line {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, Value::from(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, Value::from(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, Value::from(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, Value::from(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add_text(field, format_args!("{value}"));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.add_text(field, format_args!("{}", Chain(value)));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add_text(field, format_args!("{value:?}"));
    }
}

/// An error and its causes.
struct Chain<'a>(&'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

/// Stops whoever formats at a size that cleaning can't need more of.
struct Bounded {
    text: String,
}

impl Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = 8 * MOST - self.text.len();
        if text.len() <= room {
            self.text.push_str(text);
            return Ok(());
        }
        self.text.push_str(&text[..text.floor_char_boundary(room)]);
        Err(fmt::Error)
    }
}
