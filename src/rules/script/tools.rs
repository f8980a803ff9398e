//! `time`, `url`, `version`, `log`, and what is printed. Lines of a script are one safe
//! line each, and bounded in number.

use std::cmp::Ordering;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{self, AtomicUsize};

use jiff::Timestamp;
use rhai::Engine;

use super::host::Host;
use super::{Thrown, throw};
use crate::core::text::clean;
use crate::core::version;

const MOST_LINES: usize = 100;
const LONGEST_LINE: usize = 1000;

#[derive(Clone)]
pub(super) struct Time;

#[derive(Clone)]
pub(super) struct Url;

#[derive(Clone)]
pub(super) struct Version;

#[derive(Clone)]
pub(super) struct Log(Arc<Inner>);

struct Inner {
    host: Arc<dyn Host>,
    lines: AtomicUsize,
}

pub(super) fn register(engine: &mut Engine, log: &Log) {
    let (printed, debugged) = (log.clone(), log.clone());
    engine
        .register_type_with_name::<Time>("time")
        .register_type_with_name::<Url>("url")
        .register_type_with_name::<Version>("version")
        .register_type_with_name::<Log>("log")
        .register_fn("now", |_: Time| Timestamp::now().as_second())
        .register_fn("parse", |_: Time, text: &str| parse(text).map(Timestamp::as_second))
        .register_fn("since", |_: Time, text: &str| {
            parse(text).map(|then| Timestamp::now().duration_since(then).as_secs())
        })
        .register_fn("encode", |_: Url, text: &str| encode(text))
        .register_fn("compare", |_: Version, a: &str, b: &str| compare(a, b))
        .register_fn("info", |log: Log, text: &str| log.write(false, text))
        .register_fn("warn", |log: Log, text: &str| log.write(true, text))
        .on_print(move |text| printed.write(false, text))
        .on_debug(move |text, _, _| debugged.write(false, text));
}

impl Log {
    pub(super) fn of(host: Arc<dyn Host>) -> Self {
        Self(Arc::new(Inner { host, lines: AtomicUsize::new(0) }))
    }

    fn write(&self, is_warning: bool, text: &str) {
        match self.0.lines.fetch_add(1, atomic::Ordering::Relaxed) {
            ..MOST_LINES => self.0.host.log(is_warning, &clean(text, LONGEST_LINE)),
            MOST_LINES => self.0.host.log(true, "more lines of this run are left out"),
            _ => {}
        }
    }
}

fn parse(text: &str) -> Thrown<Timestamp> {
    text.parse().or_else(|_| throw("a time is written like 2026-11-24T02:51:53.854Z"))
}

fn compare(a: &str, b: &str) -> Thrown<i64> {
    match version::compare(a, b) {
        Some(Ordering::Less) => Ok(-1),
        Some(Ordering::Equal) => Ok(0),
        Some(Ordering::Greater) => Ok(1),
        None => throw("a version is written like 8.2.1"),
    }
}

/// For a segment of a path or a value of a query alike.
fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string can't fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}
