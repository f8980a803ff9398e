//! What comes back, read: a body of bounded size, PeerTube's own refusals, why there was
//! no answer, and what headers say.

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, LOCATION, RETRY_AFTER};
use reqwest::{Response, StatusCode};
use url::Url;

use super::error::{Cause, Told};
use super::wire;
use crate::core::text::clean;

/// An error's body is a few hundred bytes.
const LONGEST_PROBLEM: usize = 64 << 10;

/// A year, in seconds.
const LONGEST_PAUSE: u64 = 365 * 86_400;

pub(super) fn failed(error: reqwest::Error) -> Cause {
    let source = error.without_url();
    let reason = clean(&deepest(&source).to_string(), 200);
    if is_tls(&source) {
        Cause::Tls { reason, source }
    } else if source.is_connect() {
        Cause::Connect { reason, source }
    } else {
        Cause::Broken { reason, source }
    }
}

fn chain(error: &reqwest::Error) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error as &(dyn std::error::Error + 'static)), |error| error.source())
}

fn deepest(error: &reqwest::Error) -> &(dyn std::error::Error + 'static) {
    chain(error).last().unwrap_or(error)
}

fn is_tls(error: &reqwest::Error) -> bool {
    // An I/O error names the error that it wraps only by asking it so.
    fn is_or_wraps_tls(error: &(dyn std::error::Error + 'static)) -> bool {
        let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        error.is::<rustls::Error>() || wrapped.is_some_and(|wrapped| is_or_wraps_tls(wrapped))
    }
    chain(error).any(is_or_wraps_tls)
}

/// Reads a body up to `most` bytes and refuses a longer one as soon as it shows.
pub(super) async fn whole_body(mut response: Response, most: usize) -> Result<Vec<u8>, Cause> {
    let too_large = || Cause::TooLarge { limit: most };
    let told = response.content_length().map_or(Ok(0), usize::try_from).map_err(|_| too_large())?;
    if told > most {
        return Err(too_large());
    }
    let mut body = Vec::with_capacity(told);
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        if body.len() + chunk.len() > most {
            return Err(too_large());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// What an answer of 4xx or 5xx says. A body that is cut short or no JSON says
/// nothing: it must not look like PeerTube's own refusal.
pub(super) async fn refusal(response: Response) -> Cause {
    let status = response.status().as_u16();
    if !is_json(response.headers()) {
        return Cause::Status { status, told: Told::Foreign };
    }
    match whole_body(response, LONGEST_PROBLEM).await {
        Ok(body) => Cause::Status { status, told: wire::problem(&body).unwrap_or(Told::Foreign) },
        Err(cause) => cause,
    }
}

/// The body of any answer that is PeerTube's own, be it nothing. A token that is not
/// accepted is none, for it is to be renewed.
pub(super) async fn any_answer(response: Response, most: usize) -> Result<Vec<u8>, Cause> {
    let status = response.status();
    let is_blank = status == StatusCode::NO_CONTENT || response.content_length() == Some(0);
    match is_json(response.headers()) {
        true => {}
        false if status.is_success() && is_blank => return Ok(Vec::new()),
        false if status.is_success() => {
            let content_type = content_type(response.headers());
            return Err(Cause::NotJson { status: status.as_u16(), content_type });
        }
        false => return Err(Cause::Status { status: status.as_u16(), told: Told::Foreign }),
    }
    let body = whole_body(response, most).await?;
    if status == StatusCode::UNAUTHORIZED {
        let refused = Cause::Status { status: status.as_u16(), told: wire::problem(&body).unwrap_or(Told::Foreign) };
        if refused.is_invalid_token() {
            return Err(refused);
        }
    }
    Ok(body)
}

pub(super) fn header(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

pub(super) fn is_json(headers: &HeaderMap) -> bool {
    let kind = header(headers, CONTENT_TYPE).and_then(|text| text.split(';').next()).unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/json") || kind.eq_ignore_ascii_case("application/problem+json")
}

pub(super) fn content_type(headers: &HeaderMap) -> String {
    header(headers, CONTENT_TYPE).map_or_else(|| "no content type".to_owned(), |text| clean(text, 60))
}

pub(super) fn redirect_host(address: &Url, headers: &HeaderMap) -> String {
    let target = header(headers, LOCATION).and_then(|location| address.join(location).ok());
    match target.as_ref().and_then(Url::host_str) {
        Some(host) => clean(host, 200),
        None => "nowhere".to_owned(),
    }
}

pub(crate) fn http_date(headers: &HeaderMap, name: HeaderName) -> Option<Timestamp> {
    header(headers, name).and_then(parse_date)
}

fn parse_date(text: &str) -> Option<Timestamp> {
    rfc2822::DateTimeParser::new().parse_timestamp(text).ok()
}

/// Seconds, or a date that is compared with the server's own clock.
pub(crate) fn retry_after(headers: &HeaderMap, date: Option<Timestamp>) -> Option<Duration> {
    let text = header(headers, RETRY_AFTER)?.trim();
    if !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit()) {
        // More than a number holds is for ever, too.
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX).min(LONGEST_PAUSE)));
    }
    let until = parse_date(text)?.duration_since(date.unwrap_or_else(Timestamp::now));
    Some(Duration::try_from(until).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use reqwest::header::{DATE, HeaderValue};

    use super::*;

    fn headers(pairs: &[(HeaderName, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn retry_after_reads_as_seconds_or_as_a_date_of_the_servers_clock() {
        let pause = |text| {
            let headers = headers(&[(RETRY_AFTER, text), (DATE, "Tue, 24 Nov 2026 02:00:00 GMT")]);
            retry_after(&headers, http_date(&headers, DATE))
        };
        assert_eq!(pause("297"), Some(Duration::from_secs(297)));
        assert_eq!(pause("Tue, 24 Nov 2026 02:01:30 GMT"), Some(Duration::from_secs(90)));
        assert_eq!(pause("Tue, 24 Nov 2026 01:00:00 GMT"), Some(Duration::ZERO), "in the past");
        assert_eq!(pause("soon"), None);
        assert_eq!(pause("-5"), None);
        assert_eq!(pause(""), None);
        assert_eq!(pause("99999999999999999999999"), Some(Duration::from_secs(365 * 86_400)));
    }

    #[test]
    fn only_json_is_json() {
        for yes in ["application/json; charset=utf-8", "application/problem+json", "Application/JSON"] {
            assert!(is_json(&headers(&[(CONTENT_TYPE, yes)])), "{yes}");
        }
        for no in ["text/html; charset=utf-8", "text/json", "application/jsonx", ""] {
            assert!(!is_json(&headers(&[(CONTENT_TYPE, no)])), "{no}");
        }
        assert!(!is_json(&headers(&[])));
    }
}
