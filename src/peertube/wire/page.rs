//! A page of a list, row by row: one that can't be read is passed over and told, and the
//! rest counts. A page of which nothing can be read is an error.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::{missing, shape};
use crate::core::job::HIGHEST_NUMBER;
use crate::peertube::error::Cause;

/// So many rows of which none can be read are no rows of PeerTube's.
const NOTHING_READ: usize = 3;

/// The rows of a page that could be read, and those that could not.
#[derive(Debug)]
pub(super) struct Page<T> {
    total: Option<u64>,
    pub(super) rows: Vec<T>,
    pub(super) unread: Vec<Unread>,
}

/// A row that can't be read as it should be: its text, for those who can make something
/// of it, and why.
#[derive(Debug)]
pub(super) struct Unread {
    pub(super) text: String,
    reason: String,
}

/// What a question for a list brings, and what was passed over in it.
#[derive(Debug)]
pub struct Listed<T> {
    pub page: T,
    pub passed_over: Option<PassedOver>,
}

/// Rows that could not be read as they should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassedOver {
    pub rows: u64,
    /// Why, of the first of them; never what stands there.
    pub reason: String,
}

impl<T: DeserializeOwned> Page<T> {
    pub(super) fn read(body: &[u8]) -> Result<Self, Cause> {
        #[derive(Deserialize)]
        struct Raw<'a> {
            total: Option<u64>,
            #[serde(borrow)]
            data: Vec<&'a RawValue>,
        }

        // Bytes that are no text spoil the field that they stand in and no more.
        let body = String::from_utf8_lossy(body);
        let raw: Raw<'_> = serde_json::from_str(&body).map_err(|error| shape(&error))?;
        if raw.total.is_some_and(|total| total > HIGHEST_NUMBER) {
            return Err(Cause::Shape { reason: "a total that no list can have".to_owned(), cut: false });
        }
        let mut page = Self { total: raw.total, rows: Vec::with_capacity(raw.data.len()), unread: Vec::new() };
        for row in raw.data {
            match read_row(row.get()) {
                Ok(row) => page.rows.push(row),
                Err(cause) => {
                    let text = whole_characters(row.get()).into_owned();
                    page.unread.push(Unread { text, reason: reason(&cause) });
                }
            }
        }
        match page.unread.first() {
            Some(first) if page.rows.is_empty() && page.unread.len() >= NOTHING_READ => {
                Err(Cause::Shape { reason: format!("no row of the list can be read: {}", first.reason), cut: false })
            }
            _ => Ok(page),
        }
    }
}

impl<T> Page<T> {
    pub(super) fn total(&self) -> Result<u64, Cause> {
        self.total.ok_or_else(|| missing("total"))
    }

    pub(super) fn maybe_total(&self) -> Option<u64> {
        self.total
    }

    pub(super) fn unread(&self) -> u64 {
        self.unread.len() as u64
    }

    pub(super) fn passed_over(&self) -> Option<PassedOver> {
        let first = self.unread.first()?;
        Some(PassedOver { rows: self.unread(), reason: first.reason.clone() })
    }
}

fn read_row<T: DeserializeOwned>(text: &str) -> Result<T, Cause> {
    let error = match serde_json::from_str(text) {
        Ok(row) => return Ok(row),
        Err(error) => error,
    };
    match whole_characters(text) {
        Cow::Owned(mended) => serde_json::from_str(&mended).map_err(|_| shape(&error)),
        Cow::Borrowed(_) => Err(shape(&error)),
    }
}

fn reason(cause: &Cause) -> String {
    match cause {
        Cause::Shape { reason, .. } => reason.clone(),
        other => other.to_string(),
    }
}

/// JavaScript can cut a text in the middle of a character, and writes the half that is
/// left as an escape of its own, which is no character: it becomes the mark of a lost one.
pub(super) fn whole_characters(json: &str) -> Cow<'_, str> {
    let mut mended = String::new();
    let mut rest = json;
    while let Some(at) = rest.find("\\") {
        let (before, escape) = rest.split_at(at);
        mended.push_str(before);
        let length = match code(escape) {
            Some(0xD800..=0xDBFF) if matches!(escape.get(6..).and_then(code), Some(0xDC00..=0xDFFF)) => 12,
            Some(0xD800..=0xDFFF) => {
                mended.push_str("\\ufffd");
                rest = escape.get(6..).unwrap_or_default();
                continue;
            }
            Some(_) => 6,
            None => 2,
        };
        let (escape, after) = escape.split_at_checked(length).unwrap_or((escape, ""));
        mended.push_str(escape);
        rest = after;
    }
    mended.push_str(rest);
    if mended == json { Cow::Borrowed(json) } else { Cow::Owned(mended) }
}

/// The code unit of an escape like `\u0041` that a text begins with.
fn code(text: &str) -> Option<u32> {
    u32::from_str_radix(text.strip_prefix("\\u")?.get(..4)?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_row_that_cannot_be_read_is_passed_over() {
        let page: Page<u8> = Page::read(br#"{"total": 4, "data": [1, {"odd": true}, 300, 4]}"#).unwrap();
        assert_eq!((page.total().unwrap(), page.rows, page.unread.len()), (4, vec![1, 4], 2));
        let only: Page<u8> = Page::read(br#"{"total": 1, "data": [[]]}"#).unwrap();
        assert_eq!((only.rows.len(), only.unread()), (0, 1));
        let none = Page::<u8>::read(br#"{"total": 3, "data": [[], [], []]}"#);
        assert!(matches!(none, Err(Cause::Shape { cut: false, .. })), "{none:?}");
        let cut = Page::<u8>::read(br#"{"total": 3, "data": [1, 2"#);
        assert!(matches!(cut, Err(Cause::Shape { cut: true, .. })), "{cut:?}");
        let deep = format!(r#"{{"total": 2, "data": [1, {}{}]}}"#, "[".repeat(10_000), "]".repeat(10_000));
        assert_eq!(Page::<u8>::read(deep.as_bytes()).unwrap().unread(), 1);
    }

    #[test]
    fn a_total_that_nobody_can_count_to_is_no_total() {
        let read = |total: u64| Page::<u8>::read(format!(r#"{{"total": {total}, "data": [1]}}"#).as_bytes());
        assert_eq!(read(HIGHEST_NUMBER).unwrap().total().unwrap(), HIGHEST_NUMBER);
        let more = read(HIGHEST_NUMBER + 1);
        assert!(matches!(more, Err(Cause::Shape { cut: false, .. })), "{more:?}");
    }

    #[test]
    fn half_characters_become_marks_of_lost_ones() {
        let read = |json: &str| read_row::<String>(json).ok();
        assert_eq!(read(r#""cut \ud83d""#).as_deref(), Some("cut \u{fffd}"));
        assert_eq!(
            read(r#""\udca9 \ud83d\ud83d\udca9 \\ud83d \u0041""#).as_deref(),
            Some("\u{fffd} \u{fffd}\u{1f4a9} \\ud83d A")
        );
        assert_eq!(read(r#""\u12""#), None);
        assert!(matches!(whole_characters(r#"{"a": "\n\ud83d\udca9"}"#), Cow::Borrowed(_)));
        let bytes = Page::<String>::read(b"{\"total\": 1, \"data\": [\"a\xff\xc3b\"]}").unwrap();
        assert_eq!(bytes.rows, ["a\u{fffd}\u{fffd}b"]);
    }
}
