//! Single values: text in, what it means out, or what is wrong with it and what was
//! expected. A value is quoted in an error only where it can't hold a secret.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, SpanRelativeTo};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use url::Url;

use crate::core::event::EventKind;
use crate::core::glob::Globs;
use crate::core::job::JobType;
use crate::core::text::clean;

use super::is_reserved_header;
use super::section::{Item, Problem};
use super::source::read_text;

/// Between which lengths a duration must lie, both included, as they are written.
pub(super) struct Limits {
    least: (Duration, &'static str),
    most: (Duration, &'static str),
    whole_seconds: bool,
}

const fn limits(least: (u64, &'static str), most: (u64, &'static str)) -> Limits {
    Limits {
        least: (Duration::from_secs(least.0), least.1),
        most: (Duration::from_secs(most.0), most.1),
        whole_seconds: false,
    }
}

pub(super) const POLL_EVERY: Limits = Limits { whole_seconds: true, ..limits((1, "1s"), (30 * 86_400, "30d")) };
pub(super) const TIMEOUT: Limits = limits((1, "1s"), (600, "10m"));
const STUCK_AFTER: Limits = limits((1, "1s"), (30 * 86_400, "30d"));
pub(super) const KEEP_EVENTS: Limits = limits((3600, "1h"), (3650 * 86_400, "3650d"));

/// Of a limit, of repetitions, of age.
pub(super) const SPAN: Limits = limits((1, "1s"), (365 * 86_400, "365d"));
pub(super) const BATCH: Limits = limits((1, "1s"), (86_400, "1d"));
pub(super) const JITTER: Limits = limits((0, "0s"), (86_400, "1d"));
pub(super) const ACTION_TIMEOUT: Limits = limits((1, "1s"), (3600, "1h"));
pub(super) const BACKOFF: Limits = limits((1, "1s"), (86_400, "1d"));
pub(super) const GIVE_UP: Limits = limits((0, "0s"), (30 * 86_400, "30d"));

/// A duration such as `30s`, `1h30m` or `30d`; a day is 24 hours.
pub(super) fn duration(item: &Item<'_>, limits: &Limits) -> Result<Duration, Problem> {
    let how = r#"write it like "30s", "5m" or "2h""#;
    let Some(text) = item.value.as_str() else {
        let problem = match item.value.as_integer() {
            Some(number) => format!("{} has no unit; {how}", quoted(&number.to_string())),
            None => format!("this is no duration; {how}"),
        };
        return Err(problem.into());
    };
    duration_text(text, limits)
}

/// The same as a part of a text.
pub(super) fn duration_text(text: &str, limits: &Limits) -> Result<Duration, Problem> {
    let how = r#"write it like "30s", "5m" or "2h""#;
    let parsed: Option<SignedDuration> =
        text.parse::<Span>().and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours())).ok();
    let text = quoted(text);
    let parsed = parsed.ok_or_else(|| format!("{text} is no duration; {how}"))?;
    let (least, most) = (limits.least, limits.most);
    let duration = Duration::try_from(parsed).unwrap_or_default();
    if duration < least.0 {
        return Err(format!("{text} is too short; write at least {:?}", least.1).into());
    }
    if duration > most.0 {
        return Err(format!("{text} is too long; write at most {:?}", most.1).into());
    }
    if limits.whole_seconds && duration.subsec_nanos() > 0 {
        return Err(format!("{text} has a fraction of a second; write whole seconds").into());
    }
    Ok(duration)
}

/// How long a job may wait or run before it is stuck.
pub(super) fn stuck_after(item: &Item<'_>) -> Result<SignedDuration, Problem> {
    duration(item, &STUCK_AFTER).map(|limit| SignedDuration::try_from(limit).unwrap_or(SignedDuration::MAX))
}

pub(super) fn time_zone(item: &Item<'_>) -> Result<TimeZone, Problem> {
    let name = item.string()?;
    TimeZone::get(name).map_err(|_| {
        let name = quoted(name);
        format!(r#"{name} is no known time zone; write a name of the IANA database such as "Europe/Paris" or "UTC""#)
            .into()
    })
}

pub(super) fn listen(item: &Item<'_>) -> Result<SocketAddr, Problem> {
    let text = item.string()?;
    text.parse().map_err(|_| {
        let text = quoted(text);
        format!(r#"{text} is no IP address with a port; write it like "127.0.0.1:9797" or "[::1]:9797""#).into()
    })
}

/// The path in an address of the state store, as it is written. An address is never
/// quoted: one of another database may hold a password.
pub(super) fn sqlite_path<'i>(item: &'i Item<'_>) -> Result<&'i str, Problem> {
    let how = r#"write it like "sqlite:///var/lib/tubewarden/state.db""#;
    let Some(path) = item.string()?.strip_prefix("sqlite://") else {
        return Err(format!("does not begin with sqlite://; {how}").into());
    };
    if path.is_empty() || path.ends_with('/') || path == ":memory:" {
        return Err(format!("names no file; {how}").into());
    }
    // They would mean options or escapes in an address; better refused than taken for a name.
    if path.contains(['?', '#', '%']) {
        return Err(format!("has one of ?, # and %; {how}, without options").into());
    }
    Ok(path)
}

/// The address of a server, with a slash at its end. It is never quoted, as it may
/// hold a password where there should be none.
pub(super) fn server_url(item: &Item<'_>) -> Result<Url, Problem> {
    let how = r#"write it like "https://peertube.example.com""#;
    let text = item.string()?;
    if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(format!("has a space or a control character; {how}").into());
    }
    let mut url = Url::parse(text).map_err(|error| format!("is no URL ({error}); {how}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("is not of http or https; {how}").into());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("holds a user name or a password; write them as username and password_file".to_owned().into());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(format!("has a query or a fragment; {how}").into());
    }
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    Ok(url)
}

/// Where to connect instead of to `url`. Over https the certificate is checked by the
/// name in `url`, so there must be one.
pub(super) fn connect(item: &Item<'_>, url: Option<&Url>) -> Result<Url, Problem> {
    let connect = server_url(item)?;
    if connect.scheme() == "https" && url.is_some_and(|url| url.domain().is_none()) {
        let problem = "is of https, but url names no host that its certificate could be checked by; \
                       write url with a host name, or connect with http";
        return Err(problem.to_owned().into());
    }
    Ok(connect)
}

/// The certificates in a file, as it has them.
pub(super) fn certificates(path: &Path) -> Result<String, Problem> {
    // A bundle of all the authorities of a system has some 250 KB.
    let problem = |problem: &str| format!("{} {problem}", path.display());
    let pem = read_text(path, 4 << 20).map_err(|error| problem(&error))?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(pem),
        _ => Err(problem("holds no certificate in PEM; it should have -----BEGIN CERTIFICATE-----").into()),
    }
}

pub(super) fn instance_name<'i>(item: &'i Item<'_>) -> Result<&'i str, Problem> {
    let name = item.string()?;
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    if (1..=64).contains(&name.len()) && name.bytes().all(allowed) {
        return Ok(name);
    }
    Err(format!("{} is no name; write 1 to 64 letters, digits, _, . or -", quoted(name)).into())
}

/// The name of a rule or a schedule.
pub(super) fn owner_name<'i>(item: &'i Item<'_>) -> Result<&'i str, Problem> {
    let name = item.string()?;
    if (1..=100).contains(&name.chars().count()) && clean(name, 100) == name && name.trim() == name {
        return Ok(name);
    }
    Err(format!("{} is no name; write 1 to 100 characters on one line", quoted(name)).into())
}

/// The name of a header that is not one of those that are set for each request.
pub(super) fn header_name(name: &str) -> Result<String, Problem> {
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err(format!("{} is no name of a header", quoted(name)).into());
    }
    let own = name.to_ascii_lowercase();
    if is_reserved_header(&own) || own == "content-type" {
        return Err(format!("{} is set for each request and can't be chosen here", quoted(name)).into());
    }
    Ok(name.to_owned())
}

/// The value of a header that is no secret.
pub(super) fn content_type<'i>(item: &'i Item<'_>) -> Result<&'i str, Problem> {
    let text = item.string()?;
    if text.contains('/') && text.bytes().all(|b| (b' '..0x7f).contains(&b)) {
        return Ok(text);
    }
    Err(format!(r#"{} is no content type; write one like "application/json""#, quoted(text)).into())
}

pub(super) fn user_name(item: &Item<'_>) -> Result<String, Problem> {
    match item.string()? {
        "" => Err("is empty; write the name of an account, or leave it out".to_owned().into()),
        name => Ok(name.to_owned()),
    }
}

/// A user of HTTP's basic authentication, which ends the name at a colon.
pub(super) fn login(name: &str) -> Result<String, Problem> {
    if (1..=100).contains(&name.chars().count()) && clean(name, 100) == name && !name.contains(':') {
        return Ok(name.to_owned());
    }
    Err(format!("{} is no name of a user; write 1 to 100 characters without a colon", quoted(name)).into())
}

/// One of a few words.
pub(super) fn one_of<T: Copy>(item: &Item<'_>, words: &[(&str, T)]) -> Result<T, Problem> {
    let text = item.string()?;
    match words.iter().find(|(word, _)| *word == text) {
        Some((_, value)) => Ok(*value),
        None => {
            let words: Vec<String> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
            let (last, others) = words.split_last().map_or(("", &[][..]), |(last, others)| (last, others));
            Err(format!("{} is unknown; write {} or {last}", quoted(text), others.join(", ")).into())
        }
    }
}

/// A filter of the tracing crate. That takes any lone word for a module that is to
/// be logged whole, so a misspelt level would be taken too: it is not, here.
pub(super) fn log_filter(item: &Item<'_>) -> Result<String, Problem> {
    let how = r#"write error, warn, info, debug or trace, or a filter such as "info,tubewarden::peertube=debug""#;
    let text = item.string()?;
    let lone_words_are_levels = text
        .split(',')
        .filter(|directive| !directive.contains(['=', '[', ']', '{', '}']))
        .all(|word| word.parse::<LevelFilter>().is_ok());
    if text.trim().is_empty() || !lone_words_are_levels || EnvFilter::builder().parse(text).is_err() {
        return Err(format!("{} is no level; {how}", quoted(text)).into());
    }
    Ok(text.to_owned())
}

/// Patterns of event types, each of which matches one at least.
pub(super) fn event_globs(item: &Item<'_>) -> Result<Globs, Problem> {
    globs(item, |pattern| {
        let glob = Globs::new([pattern]);
        let matches = EventKind::ALL.iter().any(|kind| kind.can_match(&glob));
        matches.then_some(()).ok_or(r#"matches no type of event; write patterns such as "job.*" or "!video.created""#)
    })
}

/// Patterns of job types; which types there are is known by the server alone.
pub(super) fn job_globs(item: &Item<'_>) -> Result<Globs, Problem> {
    globs(item, |pattern| {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'*' | b'?');
        let possible = !pattern.is_empty() && pattern.bytes().all(allowed);
        possible.then_some(()).ok_or(r#"can match no job type; write patterns such as "video-*" or "!email""#)
    })
}

/// The exact name of a job type.
pub(super) fn job_type(name: &str) -> Result<JobType, Problem> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    if !name.is_empty() && name.bytes().all(allowed) {
        return Ok(name.into());
    }
    Err(format!("{} is no job type; write an exact one such as video-import, or default", quoted(name)).into())
}

/// Patterns, each checked without its `!`.
fn globs(item: &Item<'_>, check: impl Fn(&str) -> Result<(), &'static str>) -> Result<Globs, Problem> {
    let patterns = item.strings()?;
    for (pattern, place) in &patterns {
        check(pattern.strip_prefix('!').unwrap_or(pattern)).map_err(|problem| Problem {
            place: Some(place.clone()),
            text: format!("{} {problem}", quoted(pattern)),
        })?;
    }
    Ok(Globs::new(patterns.iter().map(|(pattern, _)| pattern)))
}

/// Text of the file made safe for a line of an error: short, and escaped.
pub(super) fn quoted(text: &str) -> String {
    format!("{:?}", clean(text, 80))
}
