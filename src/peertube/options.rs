//! What a client is made of, and what it can be asked. Secrets are never shown.

use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use super::pace::Backoff;
use crate::core::event::Origin;

/// How to reach and read one instance.
#[derive(Debug, Clone)]
pub struct Options {
    /// The configured name and address, as errors and events tell them.
    pub origin: Origin,
    /// The instance's public address; its host is what PeerTube checks sign-ins by.
    pub url: Url,
    /// Connect here, yet speak as the host of `url`.
    pub connect: Option<Url>,
    /// Certificates in PEM of who is trusted to vouch for it, instead of the system's.
    pub authorities: Option<String>,
    /// Without one the client asks only as anyone may.
    pub account: Option<Account>,
    /// For a request as a whole, from connecting to the last byte.
    pub timeout: Duration,
    /// A longer body is refused while it arrives, in bytes.
    pub max_body: usize,
    /// How long to leave an instance alone that is down.
    pub backoff: Backoff,
    /// The tokens that the host gives are another's, so they are used as they are and
    /// never renewed; and where they don't serve, one sign-in by password has to do.
    pub is_visit: bool,
    /// Nothing but questions and sign-ins is sent.
    pub read_only: bool,
}

impl Options {
    /// Options with their defaults: anonymous, 15 s, 8 MiB, back-off from 2 s to a minute,
    /// nothing written.
    pub fn new(origin: Origin, url: Url) -> Self {
        Self {
            origin,
            url,
            connect: None,
            authorities: None,
            account: None,
            timeout: Duration::from_secs(15),
            max_body: 8 << 20,
            backoff: Backoff::default(),
            is_visit: false,
            read_only: true,
        }
    }
}

/// Who signs in.
#[derive(Debug, Clone)]
pub struct Account {
    pub username: String,
    pub password: SecretString,
    /// The base32 text that an authenticator app is set up with.
    pub totp_secret: Option<SecretString>,
}
