//! What the client needs from outside: somewhere to keep the token pair, and
//! someone to tell what it did. Neither ever sees a password.

use std::fmt;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use secrecy::SecretString;

use super::error::{Endpoint, Refusal};

/// A future behind a pointer, so that [`Host`] can be an object.
pub type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Why a host could not keep or give the tokens.
pub type HostError = Box<dyn std::error::Error + Send + Sync>;

/// The world around a client. The daemon's lies over its store and metrics,
/// [`MemoryHost`] is for one-off commands.
pub trait Host: Send + Sync + fmt::Debug {
    /// The pair kept last. What is there but can't be read any more should be
    /// `None`: that costs one sign-in, while an error is tried again at each need.
    fn load_tokens(&self) -> Boxed<'_, Result<Option<TokenPair>, HostError>>;
    /// Called before the pair is used for the first time.
    fn save_tokens<'a>(&'a self, pair: &'a TokenPair) -> Boxed<'a, Result<(), HostError>>;
    fn forget_tokens(&self) -> Boxed<'_, Result<(), HostError>>;

    /// A request was answered or failed. `code` is the HTTP status, or `timeout`,
    /// `connect`, `tls`, `decode`.
    fn requested(&self, endpoint: Endpoint, code: &str, took: Duration);
    /// Rows of an answer could not be read as they should be, and the rest counts. `reason`
    /// tells nothing of what stands there.
    fn passed_over(&self, endpoint: Endpoint, rows: u64, reason: &str);
    /// A question for a token was answered.
    fn granted(&self, grant: Grant, ok: bool);
    fn token_expiries(&self, access: Timestamp, refresh: Option<Timestamp>);
    fn signed_in(&self, yes: bool);
    /// A refusal that only a person can end; told once until it changes.
    fn refused(&self, refusal: &Refusal);
}

/// Ways to get a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Grant {
    Password,
    RefreshToken,
}

impl Grant {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::RefreshToken => "refresh_token",
        }
    }
}

/// An access token and the refresh token that replaces it, once. They belong to
/// an account of an instance and are never sent to another.
#[derive(Debug, Clone)]
pub struct TokenPair {
    pub access_token: SecretString,
    pub refresh_token: SecretString,
    pub access_expires_at: Timestamp,
    /// Old servers don't tell.
    pub refresh_expires_at: Option<Timestamp>,
    pub username: String,
    pub url: String,
}

/// Keeps the tokens in memory and tells nobody anything.
#[derive(Debug, Default)]
pub struct MemoryHost {
    pair: Mutex<Option<TokenPair>>,
}

impl MemoryHost {
    /// One that was given a pair to begin with.
    pub fn holding(pair: TokenPair) -> Self {
        Self { pair: Mutex::new(Some(pair)) }
    }

    fn replace(&self, pair: Option<TokenPair>) {
        *self.pair.lock().unwrap_or_else(PoisonError::into_inner) = pair;
    }
}

impl Host for MemoryHost {
    fn load_tokens(&self) -> Boxed<'_, Result<Option<TokenPair>, HostError>> {
        let pair = self.pair.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Box::pin(async { Ok(pair) })
    }

    fn save_tokens<'a>(&'a self, pair: &'a TokenPair) -> Boxed<'a, Result<(), HostError>> {
        self.replace(Some(pair.clone()));
        Box::pin(async { Ok(()) })
    }

    fn forget_tokens(&self) -> Boxed<'_, Result<(), HostError>> {
        self.replace(None);
        Box::pin(async { Ok(()) })
    }

    fn requested(&self, _: Endpoint, _: &str, _: Duration) {}
    fn passed_over(&self, _: Endpoint, _: u64, _: &str) {}
    fn granted(&self, _: Grant, _: bool) {}
    fn token_expiries(&self, _: Timestamp, _: Option<Timestamp>) {}
    fn signed_in(&self, _: bool) {}
    fn refused(&self, _: &Refusal) {}
}
