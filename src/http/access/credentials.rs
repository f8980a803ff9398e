//! What a client shows, and whether a bearer token is ours. The time that a comparison
//! takes tells nothing of what is compared.

use std::fmt;

use axum::http::{HeaderMap, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// What stands in `Authorization`.
#[derive(Debug)]
pub(super) enum Login {
    Absent,
    Basic {
        user: String,
        password: SecretString,
    },
    Bearer(SecretString),
    /// Something else, or more than one.
    Unknown,
}

impl Login {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let mut all = headers.get_all(header::AUTHORIZATION).iter();
        let value = match (all.next(), all.next()) {
            (None, _) => return Self::Absent,
            (Some(value), None) => value.to_str().unwrap_or_default(),
            (Some(_), Some(_)) => return Self::Unknown,
        };
        let (scheme, rest) = value.split_once(' ').unwrap_or((value, ""));
        let rest = rest.trim_matches(' ');
        match scheme.to_ascii_lowercase().as_str() {
            "basic" => Self::basic(rest).unwrap_or(Self::Unknown),
            "bearer" => Self::Bearer(rest.into()),
            _ => Self::Unknown,
        }
    }

    fn basic(encoded: &str) -> Option<Self> {
        let text = SecretString::from(String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?);
        let (user, password) = text.expose_secret().split_once(':')?;
        Some(Self::Basic { user: user.to_owned(), password: password.into() })
    }
}

/// A token that is let in, known by its digest, which has one length.
pub(super) struct Token([u8; 32]);

impl Token {
    pub(super) fn new(token: &SecretString) -> Self {
        Self(digest(token))
    }

    pub(super) fn is(&self, shown: &SecretString) -> bool {
        self.0.ct_eq(&digest(shown)).into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

fn digest(token: &SecretString) -> [u8; 32] {
    Sha256::digest(token.expose_secret()).into()
}
