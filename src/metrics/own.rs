//! What the daemon tells about its own work on an instance: the vectors behind
//! `tubewarden_*`. What is counted exists at 0 from the start.
//!
//! The instance is a constant label of each vector rather than one of its
//! variables: the crate tells series apart by their values joined without a
//! separator, and names from a configuration could make two of them one.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts};

use crate::core::event::EventKind;
use crate::core::poll::PollKind;

use super::family::{INSTANCE, seconds};
use super::labels::{Labels, label};

const POLL_BOUNDS: &[f64] = &[0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
const REQUEST_BOUNDS: &[f64] = &[0.01, 0.05, 0.25, 1.0, 2.5, 5.0, 15.0];
const GRANTS: [&str; 2] = ["password", "refresh_token"];
const RESULTS: [&str; 2] = [result(true), result(false)];
/// Endpoints that give rows.
const LISTS: [&str; 9] = [
    "abuses",
    "jobs",
    "plugins",
    "runners",
    "runners_jobs",
    "users_me_notifications",
    "users_registrations",
    "video",
    "videos",
];
const NO_LABELS: [&str; 0] = [];

/// The vectors of one instance.
#[derive(Debug)]
pub(super) struct Own {
    signed_in: IntGaugeVec,
    token_expiry: GaugeVec,
    token_refreshes: IntCounterVec,
    poll_enabled: IntGaugeVec,
    poll_interval: GaugeVec,
    poll_last_success: GaugeVec,
    polls: IntCounterVec,
    poll_duration: HistogramVec,
    requests: IntCounterVec,
    request_duration: HistogramVec,
    unreadable_rows: IntCounterVec,
    events: IntCounterVec,
    endpoints: Mutex<Labels>,
    codes: Mutex<Labels>,
}

impl Own {
    pub(super) fn new(instance: &str, polls: &[(PollKind, Duration, bool)]) -> prometheus::Result<Self> {
        let opts = |name: &str, help: &str| Opts::new(name, help).const_label(INSTANCE, instance);
        let buckets = |name: &str, help: &str, bounds: &[f64]| {
            HistogramOpts::new(name, help).const_label(INSTANCE, instance).buckets(bounds.to_vec())
        };
        let own = Self {
            signed_in: IntGaugeVec::new(
                opts("tubewarden_signed_in", "Whether the account is signed in; absent without an account."),
                &[],
            )?,
            token_expiry: GaugeVec::new(
                opts("tubewarden_token_expiry_timestamp_seconds", "When a token expires."),
                &["token"],
            )?,
            token_refreshes: IntCounterVec::new(
                opts("tubewarden_token_refreshes_total", "Attempts to get new tokens."),
                &["grant", "result"],
            )?,
            poll_enabled: IntGaugeVec::new(
                opts("tubewarden_poll_enabled", "Whether a poll is switched on; off when the account may not ask."),
                &["poll"],
            )?,
            poll_interval: GaugeVec::new(
                opts("tubewarden_poll_interval_seconds", "How often a poll is made."),
                &["poll"],
            )?,
            poll_last_success: GaugeVec::new(
                opts("tubewarden_poll_last_success_timestamp_seconds", "When a poll last succeeded."),
                &["poll"],
            )?,
            polls: IntCounterVec::new(opts("tubewarden_polls_total", "Polls that ended."), &["poll", "result"])?,
            poll_duration: HistogramVec::new(
                buckets("tubewarden_poll_duration_seconds", "How long polls took.", POLL_BOUNDS),
                &["poll"],
            )?,
            requests: IntCounterVec::new(
                opts(
                    "tubewarden_api_requests_total",
                    "Requests to the instance; code is the HTTP status, or why there is none.",
                ),
                &["endpoint", "code"],
            )?,
            request_duration: HistogramVec::new(
                buckets("tubewarden_api_request_duration_seconds", "How long requests took.", REQUEST_BOUNDS),
                &["endpoint"],
            )?,
            unreadable_rows: IntCounterVec::new(
                opts(
                    "tubewarden_unreadable_rows_total",
                    "Rows of lists that could not be read, at each time that they were met.",
                ),
                &["endpoint"],
            )?,
            events: IntCounterVec::new(opts("tubewarden_events_total", "Events told."), &["type"])?,
            endpoints: Mutex::default(),
            codes: Mutex::default(),
        };
        own.begin(polls);
        Ok(own)
    }

    pub(super) fn signed_in(&self, signed_in: Option<bool>) {
        match signed_in {
            Some(signed_in) => self.signed_in.with_label_values(&NO_LABELS).set(signed_in.into()),
            None => self.signed_in.reset(),
        }
    }

    pub(super) fn token_expiry(&self, token: &str, at: Option<Timestamp>) {
        match at {
            Some(at) => self.token_expiry.with_label_values(&[token]).set(seconds(at)),
            // An error here says that there was none, which is as wanted.
            None => drop(self.token_expiry.remove_label_values(&[token])),
        }
    }

    pub(super) fn granted(&self, grant: &str, ok: bool) {
        self.token_refreshes.with_label_values(&[label(grant).as_str(), result(ok)]).inc();
    }

    pub(super) fn poll_enabled(&self, poll: PollKind, enabled: bool) {
        self.poll_enabled.with_label_values(&[poll.as_str()]).set(enabled.into());
    }

    pub(super) fn polled(&self, poll: PollKind, ok: bool, took: Duration, at: Timestamp) {
        self.polls.with_label_values(&[poll.as_str(), result(ok)]).inc();
        self.poll_duration.with_label_values(&[poll.as_str()]).observe(took.as_secs_f64());
        if ok {
            self.poll_last_success.with_label_values(&[poll.as_str()]).set(seconds(at));
        }
    }

    pub(super) fn requested(&self, endpoint: &str, code: &str, took: Duration) {
        // The code is the remote server's word: a thousand of them are possible.
        let endpoint = admit(&self.endpoints, endpoint);
        let code = admit(&self.codes, code);
        self.requests.with_label_values(&[&endpoint, &code]).inc();
        self.request_duration.with_label_values(&[&endpoint]).observe(took.as_secs_f64());
    }

    pub(super) fn passed_over(&self, endpoint: &str, rows: u64) {
        self.unreadable_rows.with_label_values(&[&admit(&self.endpoints, endpoint)]).inc_by(rows);
    }

    pub(super) fn told(&self, kind: EventKind) {
        self.events.with_label_values(&[kind.as_str()]).inc();
    }

    pub(super) fn descs(&self) -> Vec<&Desc> {
        self.collectors().into_iter().flat_map(Collector::desc).collect()
    }

    pub(super) fn families(&self) -> Vec<MetricFamily> {
        self.collectors().into_iter().flat_map(Collector::collect).collect()
    }

    /// What is counted is there from here on; what was counted stays.
    pub(super) fn begin(&self, polls: &[(PollKind, Duration, bool)]) {
        for (poll, interval, enabled) in polls {
            let poll = poll.as_str();
            self.poll_enabled.with_label_values(&[poll]).set((*enabled).into());
            self.poll_interval.with_label_values(&[poll]).set(interval.as_secs_f64());
            self.poll_duration.with_label_values(&[poll]);
            for result in RESULTS {
                self.polls.with_label_values(&[poll, result]);
            }
        }
        for grant in GRANTS {
            for result in RESULTS {
                self.token_refreshes.with_label_values(&[grant, result]);
            }
        }
        for list in LISTS {
            self.unreadable_rows.with_label_values(&[list]);
        }
        for kind in EventKind::ALL {
            self.events.with_label_values(&[kind.as_str()]);
        }
    }

    fn collectors(&self) -> [&dyn Collector; 12] {
        [
            &self.signed_in,
            &self.token_expiry,
            &self.token_refreshes,
            &self.poll_enabled,
            &self.poll_interval,
            &self.poll_last_success,
            &self.polls,
            &self.poll_duration,
            &self.requests,
            &self.request_duration,
            &self.unreadable_rows,
            &self.events,
        ]
    }
}

const fn result(ok: bool) -> &'static str {
    if ok { "ok" } else { "error" }
}

fn admit(labels: &Mutex<Labels>, name: &str) -> String {
    labels.lock().unwrap_or_else(PoisonError::into_inner).admit(name)
}
