//! One request to a receiver, as Standard Webhooks 1.0 has it. Its address, its headers
//! and its secrets go to that receiver and nowhere else: no redirect is followed, and of
//! the address only the scheme and host are ever told.

mod build;

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::{CONTENT_TYPE, DATE, HeaderMap, HeaderValue, LOCATION};
use reqwest::{Client, Method, Request, Response, StatusCode};
use url::Url;

use super::{Delivery, Outcome};
use crate::core::text::clean;
use crate::peertube::{http_date, retry_after};

use crate::core::signing::SigningKey;
pub use build::WebhookError;

const EVENT: HeaderValue = HeaderValue::from_static("application/cloudevents+json");
const BATCH: HeaderValue = HeaderValue::from_static("application/cloudevents-batch+json");

/// The longest that a receiver may have us wait by `Retry-After`.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// A receiver, and all that is said to it.
pub struct Webhook {
    http: Client,
    url: Url,
    /// What of `url` may be shown.
    told: String,
    method: Method,
    content_type: Option<HeaderValue>,
    headers: HeaderMap,
    keys: Vec<SigningKey>,
    timeout: Duration,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook").field("to", &self.told).field("method", &self.method).finish_non_exhaustive()
    }
}

impl Webhook {
    /// The scheme and host of the receiver.
    pub fn told(&self) -> &str {
        &self.told
    }

    /// Tries once. The body is sent as it is.
    pub async fn send(&self, delivery: &Delivery<'_>, body: &[u8]) -> Outcome {
        let Some(request) = self.request(delivery, body, Timestamp::now().as_second()) else {
            return Outcome::Dead { why: "the id of the delivery can't stand in a header".to_owned() };
        };
        match self.http.execute(request).await {
            // What the body says is the receiver's affair: it is not even read.
            Ok(response) => self.outcome(&response),
            Err(error) => Outcome::Again { why: self.failure(error), after: None },
        }
    }

    /// What a try would send, to be shown: values that may be secret are left out.
    pub fn preview(&self, delivery: &Delivery<'_>, body: &[u8]) -> Vec<(String, String)> {
        let request = self.request(delivery, body, Timestamp::now().as_second());
        let headers = request.as_ref().map(Request::headers).into_iter().flatten();
        let shown = headers.map(|(name, value)| match value.to_str() {
            Ok(text) if !value.is_sensitive() => (name.to_string(), text.to_owned()),
            _ => (name.to_string(), "…".to_owned()),
        });
        shown.collect()
    }

    fn request(&self, delivery: &Delivery<'_>, body: &[u8], timestamp: i64) -> Option<Request> {
        let mut headers = self.headers.clone();
        let usual = if delivery.is_batch { BATCH } else { EVENT };
        headers.insert(CONTENT_TYPE, self.content_type.clone().unwrap_or(usual));
        headers.insert("webhook-id", HeaderValue::from_str(delivery.id).ok()?);
        headers.insert("webhook-timestamp", timestamp.into());
        if !self.keys.is_empty() {
            let signatures: Vec<_> = self.keys.iter().map(|key| key.sign(delivery.id, timestamp, body)).collect();
            headers.insert("webhook-signature", HeaderValue::from_str(&signatures.join(" ")).ok()?);
        }
        // A user and a password in the address become a header, as everywhere.
        self.http.request(self.method.clone(), self.url.clone()).headers(headers).body(body.to_vec()).build().ok()
    }

    fn outcome(&self, response: &Response) -> Outcome {
        let status = response.status();
        let why = format!("{} answered {status}", self.told);
        match status {
            status if status.is_success() => Outcome::Done,
            StatusCode::GONE => Outcome::Gone { why },
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => {
                Outcome::Again { why, after: pause(response.headers()) }
            }
            status if status.is_client_error() => Outcome::Dead { why },
            status if status.is_redirection() => {
                let to = self.redirect(response.headers());
                let why = format!("{why}, a redirect to {to}, which is not followed: give the address where it leads");
                Outcome::Again { why, after: pause(response.headers()) }
            }
            _ => Outcome::Again { why, after: pause(response.headers()) },
        }
    }

    fn redirect(&self, headers: &HeaderMap) -> String {
        let location = headers.get(LOCATION).and_then(|value| value.to_str().ok());
        let target = location.and_then(|location| self.url.join(location).ok());
        match target.as_ref().and_then(Url::host_str) {
            Some(host) => clean(host, 200),
            None => "nowhere".to_owned(),
        }
    }

    fn failure(&self, error: reqwest::Error) -> String {
        let error = error.without_url();
        if error.is_timeout() && !error.is_connect() {
            return format!("{} did not answer within {:?}", self.told, self.timeout);
        }
        if error.is_timeout() {
            return format!("{} could not be connected to in time", self.told);
        }
        let doing = if error.is_connect() { "could not be connected to" } else { "broke the connection off" };
        // The deepest cause names what happened; what is above it repeats what was being done.
        let mut cause: &dyn std::error::Error = &error;
        while let Some(deeper) = cause.source() {
            cause = deeper;
        }
        format!("{} {doing}: {}", self.told, clean(&cause.to_string(), 200))
    }
}

fn pause(headers: &HeaderMap) -> Option<Duration> {
    retry_after(headers, http_date(headers, DATE)).map(|pause| pause.min(LONGEST_PAUSE))
}
