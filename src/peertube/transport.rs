//! One request and its whole answer. What comes back is JSON of bounded size that
//! arrived in time, or an error; every request is told to the host.

use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, DATE, ETAG, HOST, HeaderValue, IF_NONE_MATCH};
use reqwest::{RequestBuilder, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use tokio::time::Instant;
use url::Url;

use super::answer::{
    any_answer, content_type, failed, header, http_date, is_json, redirect_host, refusal, retry_after, whole_body,
};
use super::cache::{Cache, Kept};
use super::error::{BuildError, Cause, Endpoint, Error, Told};
use super::host::Host;
use super::options::Options;
use super::pace::Pace;
use super::target::Target;
use crate::core::call::Method;

/// What a script is given at once must fit into its memory several times over.
const LONGEST_FREE: usize = 2 << 20;

/// Clocks that differ by less agree.
const CLOCKS_AGREE: SignedDuration = SignedDuration::from_secs(60);

/// A question.
pub(super) struct Ask<'a> {
    pub(super) endpoint: Endpoint,
    /// Below `/api/v1`.
    pub(super) path: &'a [&'a str],
    pub(super) query: Vec<(&'static str, String)>,
    /// Makes it a POST.
    pub(super) form: Option<&'a [(&'static str, SecretString)]>,
    pub(super) one_time_code: Option<SecretString>,
    /// A script asks in its own words.
    pub(super) free: Option<Free<'a>>,
}

/// What a script asks, and whose every answer of PeerTube's own is one to it.
pub(super) struct Free<'a> {
    pub(super) method: Method,
    pub(super) query: Option<&'a str>,
    pub(super) body: Option<&'a Value>,
}

impl<'a> Ask<'a> {
    pub(super) fn get(endpoint: Endpoint, path: &'a [&'a str]) -> Self {
        Self { endpoint, path, query: Vec::new(), form: None, one_time_code: None, free: None }
    }

    /// Whether it changes nothing, so that it may be sent twice.
    fn is_get(&self) -> bool {
        self.form.is_none() && self.free.as_ref().is_none_or(|free| free.method == Method::Get)
    }

    /// Whether its answer is kept for the next time.
    fn is_cached(&self) -> bool {
        self.form.is_none() && self.free.is_none() && self.endpoint != Endpoint::OauthClientsLocal
    }
}

/// An answer of 2xx in JSON, or to a script any of PeerTube's own.
pub(super) struct Reply {
    pub(super) body: Arc<[u8]>,
    status: StatusCode,
    date: Option<Timestamp>,
    /// By which the server knows it again, if it did not yet.
    tag: Option<String>,
}

impl Reply {
    /// The server's clock when it answered. Ours is no substitute, for the two are
    /// compared with times that the server wrote; HTTP demands the header.
    pub(super) fn date(&self) -> Result<Timestamp, Cause> {
        self.date.ok_or(Cause::NoDate)
    }

    pub(super) fn status(&self) -> u16 {
        self.status.as_u16()
    }
}

/// The way to one instance.
pub(super) struct Transport {
    instance: String,
    target: Target,
    timeout: Duration,
    max_body: usize,
    pace: Pace,
    cache: Mutex<Cache>,
    /// By how much the server's clock is ahead of ours, in seconds, as it last answered.
    ahead: AtomicI64,
    host: Arc<dyn Host>,
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport").field("instance", &self.instance).field("pace", &self.pace).finish_non_exhaustive()
    }
}

impl Transport {
    pub(super) fn new(options: &Options, host: Arc<dyn Host>) -> Result<Self, BuildError> {
        Ok(Self {
            instance: options.origin.name.clone(),
            target: Target::new(options)?,
            timeout: options.timeout,
            max_body: options.max_body,
            pace: Pace::new(options.backoff),
            cache: Mutex::default(),
            ahead: AtomicI64::new(0),
            host,
        })
    }

    /// Asks, and reads the answer by `read`.
    pub(super) async fn ask<T>(
        &self,
        ask: &Ask<'_>,
        token: Option<&SecretString>,
        read: impl FnOnce(&Reply) -> Result<T, Cause>,
    ) -> Result<T, Error> {
        self.gate(ask.endpoint)?;
        let began = Instant::now();
        let reply = tokio::time::timeout(self.timeout, self.exchange(ask, token)).await;
        let reply = reply.unwrap_or(Err(Cause::Timeout { limit: self.timeout }));
        let took = began.elapsed();
        let status = reply.as_ref().map_or(StatusCode::OK, |reply| reply.status);
        let result = reply.and_then(|reply| read(&reply).inspect(|_| self.keep(ask, &reply)));
        let code = result.as_ref().map_or_else(Cause::label, |_| status.as_str().to_owned().into());
        tracing::debug!(peertube_instance = %self.instance, endpoint = %ask.endpoint, %code, ?took, "asked");
        self.host.requested(ask.endpoint, &code, took);
        match &result {
            // Without this a token endpoint that answers nonsense would be asked at each need.
            Err(cause) if cause.is_down() || (ask.form.is_some() && !is_verdict(cause)) => {
                self.pace.failed(began, Instant::now())
            }
            _ => self.pace.succeeded(),
        }
        result.map_err(|cause| self.error(ask.endpoint, cause))
    }

    /// Whether anything may be sent now.
    pub(super) fn gate(&self, endpoint: Endpoint) -> Result<(), Error> {
        self.pace.gate(Instant::now()).map_err(|cause| self.error(endpoint, cause))
    }

    pub(super) fn error(&self, endpoint: Endpoint, cause: Cause) -> Error {
        Error { instance: self.instance.clone(), endpoint, cause }
    }

    pub(super) fn host(&self) -> &dyn Host {
        &*self.host
    }

    /// By how much the server's clock is ahead of ours; what a slow answer makes of it is
    /// nothing.
    pub(super) fn ahead(&self) -> SignedDuration {
        let ahead = SignedDuration::from_secs(self.ahead.load(Ordering::Relaxed));
        if ahead.abs() < CLOCKS_AGREE { SignedDuration::ZERO } else { ahead }
    }

    pub(super) fn instance(&self) -> &str {
        &self.instance
    }

    async fn exchange(&self, ask: &Ask<'_>, token: Option<&SecretString>) -> Result<Reply, Cause> {
        let address = self.address(ask);
        let kept = if ask.is_cached() { self.cache().get(address.as_str()) } else { None };
        let mut sent = self.request(ask, &address, token, kept.as_ref()).send().await;
        if let Err(error) = &sent
            && ask.is_get()
            && died_unanswered(error)
        {
            // A pooled connection that the server had closed already: a GET may be repeated.
            sent = self.request(ask, &address, token, kept.as_ref()).send().await;
        }
        let response = sent.map_err(failed)?;
        let status = response.status();
        let date = http_date(response.headers(), DATE);
        if let Some(date) = date {
            self.ahead.store(date.as_second() - Timestamp::now().as_second(), Ordering::Relaxed);
        }
        if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE)
            && let Some(pause) = retry_after(response.headers(), date)
        {
            self.pace.hold(pause, Instant::now());
        }
        match status {
            StatusCode::NOT_MODIFIED if let Some(kept) = kept => Ok(Reply { body: kept.body, status, date, tag: None }),
            status if status.is_redirection() && status != StatusCode::NOT_MODIFIED => {
                Err(Cause::Redirect { status: status.as_u16(), to: redirect_host(&address, response.headers()) })
            }
            _ if ask.free.is_some() => {
                let body = any_answer(response, self.max_body.min(LONGEST_FREE)).await?.into();
                Ok(Reply { body, status, date, tag: None })
            }
            status if !status.is_success() => Err(refusal(response).await),
            status if !is_json(response.headers()) => {
                Err(Cause::NotJson { status: status.as_u16(), content_type: content_type(response.headers()) })
            }
            _ => {
                let tag = header(response.headers(), ETAG).map(str::to_owned);
                let body: Arc<[u8]> = whole_body(response, self.max_body).await?.into();
                Ok(Reply { body, status, date, tag })
            }
        }
    }

    /// An answer that could be read need not be sent again. One that was spoilt on its
    /// way must be, or it would stay with us as long as the right one does not change.
    fn keep(&self, ask: &Ask<'_>, reply: &Reply) {
        if let Some(tag) = &reply.tag
            && ask.is_cached()
        {
            self.cache().put(self.address(ask).as_str(), tag, &reply.body);
        }
    }

    fn address(&self, ask: &Ask<'_>) -> Url {
        let mut address = self.target.base.clone();
        if let Ok(mut path) = address.path_segments_mut() {
            path.pop_if_empty().extend(["api", "v1"]).extend(ask.path);
        }
        if !ask.query.is_empty() {
            address.query_pairs_mut().extend_pairs(&ask.query);
        }
        if let Some(query) = ask.free.as_ref().and_then(|free| free.query) {
            address.set_query(Some(query));
        }
        address
    }

    fn request(
        &self,
        ask: &Ask<'_>,
        address: &Url,
        token: Option<&SecretString>,
        kept: Option<&Kept>,
    ) -> RequestBuilder {
        let http = &self.target.http;
        let mut request = match (ask.form, &ask.free) {
            (Some(form), _) => {
                let fields: Vec<_> = form.iter().map(|(name, value)| (name, value.expose_secret())).collect();
                http.post(address.clone()).form(&fields)
            }
            (None, Some(free)) => free_request(http, address, free),
            (None, None) => http.get(address.clone()),
        };
        request = request.header(HOST, self.target.host.clone());
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, secret_header("Bearer ", token));
        }
        if let Some(code) = &ask.one_time_code {
            request = request.header("x-peertube-otp", secret_header("", code));
        }
        if let Some(kept) = kept {
            request = request.header(IF_NONE_MATCH, kept.tag.as_str());
        }
        request
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn free_request(http: &reqwest::Client, address: &Url, free: &Free<'_>) -> RequestBuilder {
    let method = match free.method {
        Method::Get => reqwest::Method::GET,
        Method::Post => reqwest::Method::POST,
        Method::Put => reqwest::Method::PUT,
        Method::Delete => reqwest::Method::DELETE,
    };
    let request = http.request(method, address.clone());
    match free.body {
        Some(body) => request.header(CONTENT_TYPE, "application/json").body(body.to_string()),
        None => request,
    }
}

/// Whether PeerTube itself said no, which is an answer.
fn is_verdict(cause: &Cause) -> bool {
    matches!(cause, Cause::Status { told: Told::Problem { .. }, .. })
}

/// A token that can't stand in a header is none of PeerTube's: send an empty one,
/// which is refused as any wrong one.
fn secret_header(before: &str, secret: &SecretString) -> HeaderValue {
    let mut value = HeaderValue::from_str(&format!("{before}{}", secret.expose_secret()))
        .unwrap_or_else(|_| HeaderValue::from_static(""));
    value.set_sensitive(true);
    value
}

/// Whether a connection that stood was lost before any answer.
fn died_unanswered(error: &reqwest::Error) -> bool {
    error.is_request() && !error.is_connect() && !error.is_timeout()
}
