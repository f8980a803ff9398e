//! A row of a list, and how each version writes it.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::Version;

/// A job as a list shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct JobView {
    pub job_type: &'static str,
    pub id: String,
    pub state: &'static str,
    pub data: Arc<Value>,
    pub progress: u64,
    pub priority: Option<u64>,
    pub parent: Option<String>,
    pub error: Option<Arc<str>>,
    pub created_at: Timestamp,
    pub processed_on: Option<Timestamp>,
    pub finished_on: Option<Timestamp>,
    pub(super) version: Version,
}

impl JobView {
    /// The row as it goes over the wire.
    pub fn to_json(&self) -> Value {
        let date = |at: Option<Timestamp>| at.map_or(Value::Null, |at| json!(format!("{at:.3}")));
        let mut row = Map::new();
        let mut set = |name: &str, value: Value| row.insert(name.to_owned(), value);
        let old = self.version == Version::QuickStart;
        match self.id.parse::<u64>() {
            Ok(number) if old => set("id", json!(number)),
            _ => set("id", json!(self.id)),
        };
        set("state", json!(self.state));
        set("type", json!(self.job_type));
        set("data", Value::clone(&self.data));
        set("error", json!(self.error.as_deref()));
        set("createdAt", date(Some(self.created_at)));
        set("processedOn", date(self.processed_on));
        set("finishedOn", date(self.finished_on));
        if !old {
            set("progress", json!(self.progress));
            if let Some(priority) = self.priority {
                set("priority", json!(priority));
            }
            if let Some(parent) = &self.parent {
                set("parent", json!({ "id": parent }));
            }
        }
        Value::Object(row)
    }
}
