//! Whatever an instance sends: it is read or refused, never a panic; no row of a list is
//! lost in silence; and what is read is bounded.
#![no_main]

use std::borrow::Cow;

use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use serde_json::value::RawValue;
use tubewarden::core::job::JobRow;
use tubewarden::core::video::VideoRow;
use tubewarden::peertube::Cause;
use tubewarden::peertube::wire::{self, Granted, Listed, OauthClient, ServerConfig};

/// An id, a name or an address is cut to it.
const LONGEST_TEXT: usize = 4096;
/// Both ends of an error, and the mark between them.
const LONGEST_ERROR: usize = (64 << 10) + 8;

fuzz_target!(|data: &[u8]| {
    read(data);
    if let Some(body) = recorded(data) {
        read(body.as_bytes());
    }
});

/// The body of a reply that was recorded, in the form of `tests/captures`.
fn recorded(data: &[u8]) -> Option<String> {
    let recording: Value = serde_json::from_slice(data).ok()?;
    match recording.get("response")?.get("body")? {
        Value::String(text) => Some(text.clone()),
        body => Some(body.to_string()),
    }
}

fn read(body: &[u8]) {
    let date = Timestamp::UNIX_EPOCH;
    let rows = rows(body);

    for states in [None, Some("failed"), Some("waiting,waiting-children,prioritized")] {
        if let Some(listed) = of_list(wire::jobs(body, date, states)) {
            let page = &listed.page;
            add_up(rows, page.rows.len() + page.unread.len());
            assert!(page.unread.len() as u64 <= passed_over(&listed));
            page.rows.iter().for_each(job);
            page.unread.iter().flat_map(|row| &row.job_type).for_each(|job_type| is_bounded(&job_type.0));
        }
    }
    for counted in [false, true] {
        if let Some(listed) = of_list(wire::videos(body, date, counted)) {
            let page = &listed.page;
            add_up(rows, page.rows.len() + size(page.unread));
            assert_eq!(page.unread, passed_over(&listed));
            assert!(!counted || page.total.is_some());
            page.rows.iter().for_each(video);
        }
    }
    if let Some(listed) = of_list(wire::runner_jobs(body, date)) {
        let page = &listed.page;
        add_up(rows, page.rows.len() + size(page.unread));
        assert_eq!(page.unread, passed_over(&listed));
        for row in &page.rows {
            [&row.uuid, &row.job_type.0].into_iter().for_each(|text| is_bounded(text));
            [&row.runner, &row.parent, &row.payload.video_uuid].into_iter().flatten().for_each(|text| is_bounded(text));
            assert!(row.error.as_ref().is_none_or(|error| error.len() <= LONGEST_ERROR));
        }
    }
    if let Some(listed) = of_list(wire::runners(body)) {
        let page = &listed.page;
        add_up(rows, page.rows.len() + size(page.unread));
        assert_eq!(page.unread, passed_over(&listed));
        page.rows.iter().for_each(|row| is_bounded(&row.name));
    }
    if let Some(listed) = of_list(wire::moderation(body)) {
        add_up(rows, listed.page.rows.len() + size(listed.page.unread));
        assert_eq!(listed.page.unread, passed_over(&listed));
    }
    // Of these, rows that are of no use are left out.
    if let Some(listed) = of_list(wire::plugins(body)) {
        assert!(listed.page.len() + size(passed_over(&listed)) <= rows.unwrap_or(usize::MAX));
        for plugin in &listed.page {
            is_line(&plugin.package, 220);
            [Some(&plugin.version), plugin.latest.as_ref()].into_iter().flatten().for_each(|text| is_line(text, 64));
        }
    }
    if let Some(listed) = of_list(wire::new_versions(body)) {
        assert!(listed.page.len() + size(passed_over(&listed)) <= rows.unwrap_or(usize::MAX));
        listed.page.iter().for_each(|version| is_bounded(version));
    }

    if let Some(row) = said(wire::video(body)) {
        video(&row);
    }
    if let Some(config) = said(wire::decode::<ServerConfig>(body)) {
        is_bounded(&config.server_version);
    }
    if let Some(me) = said(wire::me(body)) {
        is_bounded(&me.username);
    }
    if let Some(told) = said(wire::problem(body)) {
        let is_word = |code: &str| code.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        assert!(told.code().is_none_or(|code| code.len() <= 64 && is_word(code)));
    }
    said(wire::stats(body));
    said(wire::anything(body));
    // What is in them may not be shown by anything that a log is made of.
    if let Some(granted) = said(wire::decode::<Granted>(body)) {
        assert!(format!("{granted:?}").len() < 400);
    }
    if let Some(client) = said(wire::decode::<OauthClient>(body)) {
        assert!(format!("{client:?}").len() < 400);
    }
}

/// How many rows stand in `data`, counted apart from the product.
fn rows(body: &[u8]) -> Option<usize> {
    #[derive(serde::Deserialize)]
    struct Page<'a> {
        #[serde(borrow)]
        data: Vec<&'a RawValue>,
    }
    let text: Cow<'_, str> = String::from_utf8_lossy(body);
    serde_json::from_str::<Page<'_>>(&text).ok().map(|page| page.data.len())
}

fn add_up(rows: Option<usize>, read: usize) {
    assert_eq!(rows, Some(read), "rows that were read, and those that can't be, are all that stand there");
}

fn size(count: u64) -> usize {
    usize::try_from(count).expect("as many as stand in memory")
}

fn passed_over<T>(listed: &Listed<T>) -> u64 {
    listed.passed_over.as_ref().map_or(0, |passed_over| passed_over.rows)
}

fn of_list<T>(result: Result<Listed<T>, Cause>) -> Option<Listed<T>> {
    let listed = said(result)?;
    if let Some(passed_over) = &listed.passed_over {
        assert!(passed_over.rows > 0);
        is_line(&passed_over.reason, 200);
    }
    Some(listed)
}

/// An error is one short line of our own words.
fn said<T>(result: Result<T, Cause>) -> Option<T> {
    result.inspect_err(|cause| is_line(&cause.to_string(), 500)).ok()
}

fn is_line(text: &str, most: usize) {
    assert!(text.chars().count() <= most, "{} characters", text.chars().count());
    assert!(!text.contains(char::is_control), "{text:?}");
}

fn is_bounded(text: &str) {
    assert!(text.len() <= LONGEST_TEXT, "a text of {} bytes", text.len());
}

fn job(row: &JobRow) {
    [&row.key.job_type.0, &row.key.id].into_iter().for_each(|text| is_bounded(text));
    let payload = [&row.payload.kind, &row.payload.video_uuid, &row.parent];
    payload.into_iter().flatten().for_each(|text| is_bounded(text));
    assert!(row.error.as_ref().is_none_or(|error| error.len() <= LONGEST_ERROR));
}

fn video(row: &VideoRow) {
    // Its own address can be asked for, or the poll would fail each time that it is.
    assert!(wire::is_video_id(&row.uuid), "{:?} is no id of a video", row.uuid);
    is_bounded(&row.name);
    [&row.url, &row.channel, &row.account].into_iter().flatten().for_each(|text| is_bounded(text));
}
