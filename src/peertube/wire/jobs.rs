//! Jobs as PeerTube lists them. Of a job's `data` only the allow-listed fields are
//! ever held in memory.

use std::fmt;

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::scalar::{self, Scalar};
use super::{Listed, Page};
use crate::core::job::{JobKey, JobRow, JobType, JobsPage, Payload, UnreadJob};
use crate::peertube::error::Cause;

/// A longer error loses its middle: what tells most stands at its ends.
const LONGEST_ERROR: usize = 64 << 10;

/// `states` are those that were asked for by `?states=`: a server that does not know
/// that gives jobs of every state.
pub fn jobs(body: &[u8], date: Timestamp, states: Option<&str>) -> Result<Listed<JobsPage>, Cause> {
    let page: Page<Job> = Page::read(body)?;
    let (total, passed_over) = (page.total()?, page.passed_over());
    let is_asked = |job: &Job| states.is_none_or(|states| states.split(',').any(|state| state == job.state));
    if !page.rows.iter().all(is_asked) {
        return Err(Cause::OtherStates);
    }
    let mut rows: Vec<JobRow> = page.rows.into_iter().map(JobRow::from).collect();
    let mut unread = Vec::new();
    for row in page.unread {
        match serde_json::from_str::<Remains<'_>>(&row.text).unwrap_or_default().into_row() {
            Ok(row) => rows.push(row),
            Err(job_type) => unread.push(UnreadJob { job_type }),
        }
    }
    Ok(Listed { page: JobsPage { total, rows, unread, date }, passed_over })
}

/// What can be read of a row that is not as it should be: who it is, at best.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Remains<'a> {
    id: Scalar,
    #[serde(rename = "type")]
    job_type: Scalar,
    created_at: Scalar,
    processed_on: Scalar,
    finished_on: Scalar,
    error: ErrorText,
    #[serde(borrow)]
    parent: Option<&'a RawValue>,
    data: Data,
}

impl Remains<'_> {
    /// Its type, if who it is can't be read.
    fn into_row(self) -> Result<JobRow, Option<JobType>> {
        let job_type = match self.job_type {
            Scalar::Text(name) => Some(JobType(name)),
            _ => None,
        };
        let (Some(id), Some(created_at), Some(known)) =
            (self.id.into_text(), self.created_at.as_time(), job_type.clone())
        else {
            return Err(job_type);
        };
        Ok(JobRow {
            key: JobKey { job_type: known, id, created_at },
            processed_at: self.processed_on.as_time(),
            finished_at: self.finished_on.as_time(),
            error: self.error.0,
            parent: self.parent.and_then(|text| serde_json::from_str::<Parent>(text.get()).ok()?.id.into_text()),
            payload: self.data.0,
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Job {
    #[serde(deserialize_with = "scalar::id")]
    id: String,
    #[serde(rename = "type", deserialize_with = "scalar::job_type")]
    job_type: JobType,
    #[serde(default)]
    state: String,
    #[serde(deserialize_with = "scalar::time")]
    created_at: Timestamp,
    #[serde(default, deserialize_with = "scalar::maybe_time")]
    processed_on: Option<Timestamp>,
    #[serde(default, deserialize_with = "scalar::maybe_time")]
    finished_on: Option<Timestamp>,
    #[serde(default)]
    error: ErrorText,
    parent: Option<Parent>,
    #[serde(default)]
    data: Data,
}

#[derive(Deserialize)]
struct Parent {
    #[serde(default)]
    id: Scalar,
}

impl From<Job> for JobRow {
    fn from(job: Job) -> Self {
        Self {
            key: JobKey { job_type: job.job_type, id: job.id, created_at: job.created_at },
            processed_at: job.processed_on,
            finished_at: job.finished_on,
            error: job.error.0,
            parent: job.parent.and_then(|parent| parent.id.into_text()),
            payload: job.data.0,
        }
    }
}

/// The text of an error, bounded; `None` if it is null or no text.
#[derive(Default)]
pub(super) struct ErrorText(pub(super) Option<String>);

impl<'de> Deserialize<'de> for ErrorText {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(ErrorVisitor).map(Self)
    }
}

struct ErrorVisitor;

impl<'de> Visitor<'de> for ErrorVisitor {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the text of an error or null")
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Some(without_middle(text, LONGEST_ERROR)))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

fn without_middle(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let head = scalar::start(text, most / 2);
    let tail = &text[text.ceil_char_boundary(text.len() - most / 2)..];
    format!("{head}\n…\n{tail}")
}

/// A job's `data`, less all that may not be shown.
#[derive(Default)]
struct Data(Payload);

impl<'de> Deserialize<'de> for Data {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(DataVisitor).map(Self)
    }
}

/// The allow-list.
#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "camelCase")]
enum Field {
    Type,
    Resolution,
    Fps,
    IsNewVideo,
    VideoImportId,
    #[serde(rename = "videoUUID")]
    VideoUuid,
    #[serde(other)]
    Other,
}

struct DataVisitor;

impl<'de> Visitor<'de> for DataVisitor {
    type Value = Payload;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the data of a job")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Payload, A::Error> {
        let mut payload = Payload::default();
        while let Some(field) = map.next_key::<Field>()? {
            if matches!(field, Field::Other) {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let value: Scalar = map.next_value()?;
            match field {
                Field::Type => payload.kind = value.into_text(),
                Field::Resolution => payload.resolution = value.as_whole(),
                Field::Fps => payload.fps = value.as_real(),
                Field::IsNewVideo => payload.is_new_video = value.as_flag(),
                Field::VideoImportId => payload.video_import_id = value.as_whole(),
                Field::VideoUuid => payload.video_uuid = value.into_text(),
                Field::Other => {}
            }
        }
        Ok(payload)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Payload, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Payload::default())
    }

    fn visit_unit<E>(self) -> Result<Payload, E> {
        Ok(Payload::default())
    }

    fn visit_str<E>(self, _: &str) -> Result<Payload, E> {
        Ok(Payload::default())
    }

    fn visit_bool<E>(self, _: bool) -> Result<Payload, E> {
        Ok(Payload::default())
    }

    fn visit_u64<E>(self, _: u64) -> Result<Payload, E> {
        Ok(Payload::default())
    }

    fn visit_i64<E>(self, _: i64) -> Result<Payload, E> {
        Ok(Payload::default())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Payload, E> {
        Ok(Payload::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_with_an_odd_part_counts_by_the_rest_of_it_and_is_told() {
        let row = |odd: &str| {
            let times = r#""createdAt": 1000, "processedOn": 2000, "finishedOn": 3000"#;
            let row = format!(r#"{{"id": "7", "type": "email", {times}, "parent": {{"id": "6"}}}}"#);
            let mut row: serde_json::Value = serde_json::from_str(&row).unwrap();
            row[odd] = serde_json::json!({ "odd": true });
            let body = serde_json::json!({ "total": 1, "data": [row] }).to_string();
            let mut listed = jobs(body.as_bytes(), Timestamp::UNIX_EPOCH, None).unwrap();
            assert_eq!(listed.passed_over.map(|passed_over| passed_over.rows), Some(1), "{odd}");
            listed.page.rows.pop()
        };
        let at = |second| Timestamp::from_second(second).ok();
        let ended = row("finishedOn").unwrap();
        assert_eq!((ended.processed_at, ended.finished_at, ended.parent.as_deref()), (at(2), None, Some("6")));
        let begun = row("processedOn").unwrap();
        assert_eq!((begun.processed_at, begun.finished_at, begun.parent.as_deref()), (None, at(3), Some("6")));
        assert_eq!(row("state").unwrap().finished_at, at(3));
        for who in ["id", "type", "createdAt"] {
            assert_eq!(row(who), None, "{who}");
        }
    }

    #[test]
    fn a_long_error_keeps_its_ends() {
        let long = format!("Error: é{}é cause", "x".repeat(1000));
        let cut = without_middle(&long, 101);
        assert!(cut.starts_with("Error: éx") && cut.ends_with("xé cause"), "{cut}");
        assert!(cut.len() <= 101 + "\n…\n".len());
        assert_eq!(without_middle("short", 5), "short");
    }
}
