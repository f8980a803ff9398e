//! What the client of an instance leans on: tokens in the store, figures in the
//! metrics. A token pair is stored before it is used.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::config;
use crate::core::event::Origin;
use crate::metrics::InstanceMetrics;
use crate::peertube::{Boxed, Endpoint, Grant, Host, HostError, Refusal, TokenPair};
use crate::store::{self, Store};

/// Rows that can't be read are told so seldom.
const TOLD_AGAIN: Duration = Duration::from_secs(60 * 60);

/// Keeps what one client has to keep.
#[derive(Debug)]
pub(super) struct StoreHost {
    origin: Origin,
    /// As the client writes the address, by which it knows its own tokens.
    url: String,
    username: String,
    store: Arc<Store>,
    metrics: InstanceMetrics,
    refusal: Mutex<Option<Refusal>>,
    /// When rows were last told that can't be read, of each endpoint.
    passed_over: Mutex<BTreeMap<&'static str, Instant>>,
    /// By password, that succeeded.
    sign_ins: AtomicU64,
}

impl StoreHost {
    pub(super) fn new(config: &config::Instance, store: Arc<Store>, metrics: InstanceMetrics) -> Self {
        let account = config.account.as_ref();
        let username = account.map(|account| account.username.clone()).unwrap_or_default();
        metrics.signed_in(account.map(|_| false));
        let (origin, url) = (config.origin.clone(), config.url.to_string());
        let (refusal, passed_over, sign_ins) = (Mutex::default(), Mutex::default(), AtomicU64::new(0));
        Self { origin, url, username, store, metrics, refusal, passed_over, sign_ins }
    }

    /// The refusal that stands, if any.
    pub(super) fn refusal(&self) -> Option<Refusal> {
        self.refusal.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How often it was signed in by password.
    pub(super) fn sign_ins(&self) -> u64 {
        self.sign_ins.load(Ordering::Relaxed)
    }

    fn set_refusal(&self, refusal: Option<Refusal>) {
        *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = refusal;
    }
}

impl Host for StoreHost {
    fn load_tokens(&self) -> Boxed<'_, Result<Option<TokenPair>, HostError>> {
        Box::pin(async {
            let pair = self.store.tokens(&self.origin.name, &self.username).await?;
            Ok(pair.map(|pair| TokenPair {
                access_token: pair.access_token,
                refresh_token: pair.refresh_token,
                access_expires_at: pair.access_expires_at,
                refresh_expires_at: pair.refresh_expires_at,
                username: pair.username,
                url: self.url.clone(),
            }))
        })
    }

    fn save_tokens<'a>(&'a self, pair: &'a TokenPair) -> Boxed<'a, Result<(), HostError>> {
        let pair = store::TokenPair {
            username: pair.username.clone(),
            access_token: pair.access_token.clone(),
            refresh_token: pair.refresh_token.clone(),
            access_expires_at: pair.access_expires_at,
            refresh_expires_at: pair.refresh_expires_at,
        };
        Box::pin(async move { Ok(self.store.save_tokens(&self.origin.name, &pair).await?) })
    }

    fn forget_tokens(&self) -> Boxed<'_, Result<(), HostError>> {
        Box::pin(async { Ok(self.store.forget_tokens(&self.origin.name).await?) })
    }

    fn requested(&self, endpoint: Endpoint, code: &str, took: Duration) {
        super::vitals::goes_on();
        self.metrics.requested(endpoint.as_str(), code, took);
    }

    fn passed_over(&self, endpoint: Endpoint, rows: u64, reason: &str) {
        self.metrics.passed_over(endpoint.as_str(), rows);
        let mut told = self.passed_over.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever asks again meets the same row again.
        if told.get(endpoint.as_str()).is_some_and(|at| at.elapsed() < TOLD_AGAIN) {
            return;
        }
        told.insert(endpoint.as_str(), Instant::now());
        tracing::warn!(
            peertube_instance = %self.origin.name, %endpoint, rows, reason,
            "rows of a list can't be read, or only in part, and all others count; look for a newer release of tubewarden"
        );
    }

    fn granted(&self, grant: Grant, ok: bool) {
        self.metrics.granted(grant.as_str(), ok);
        if ok && grant == Grant::Password {
            self.sign_ins.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn token_expiries(&self, access: Timestamp, refresh: Option<Timestamp>) {
        self.metrics.token_expiry(Some(access), refresh);
    }

    fn signed_in(&self, yes: bool) {
        self.metrics.signed_in(Some(yes));
        if yes {
            self.set_refusal(None);
        }
    }

    fn refused(&self, refusal: &Refusal) {
        tracing::error!(peertube_instance = %self.origin.name, code = %refusal.code, "{}", refusal.message);
        self.set_refusal(Some(refusal.clone()));
    }
}
