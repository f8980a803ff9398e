//! The parameters that all lists have. A wrong one is refused, never mended.

use super::ask::Ask;
use super::problem::{Invalid, Problem};
use super::reply::Reply;
use crate::jobs::Version;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) start: u64,
    pub(super) count: u64,
}

impl Page {
    pub(super) fn of(ask: &Ask<'_>, version: Version, docs: &'static str) -> Result<Self, Reply> {
        let number = |name, default, most: u64, message| match ask.query(name) {
            None => Ok(default),
            Some(text) => text.parse::<u64>().ok().filter(|number| *number <= most).ok_or_else(|| {
                let invalid = Invalid { name, value: text.to_owned(), message, location: "query" };
                Problem::invalid(ask, invalid).docs(docs).reply(version)
            }),
        };
        Ok(Self {
            start: number("start", 0, u64::MAX, "Should have a number start")?,
            count: number("count", 15, 100, "Should have a number count (max: 100)")?,
        })
    }
}

/// A parameter whose value is not one of those allowed.
pub(super) fn invalid_value(
    ask: &Ask<'_>,
    name: &'static str,
    value: &str,
    location: &'static str,
    docs: &'static str,
) -> Problem {
    let invalid = Invalid { name, value: value.to_owned(), message: "Invalid value", location };
    Problem::invalid(ask, invalid).docs(docs)
}
