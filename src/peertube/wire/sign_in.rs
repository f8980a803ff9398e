//! What the endpoints of signing in answer, and PeerTube's description of an
//! error. Tokens are wrapped as soon as they are read, and nothing here can be shown.

use secrecy::SecretString;
use serde::Deserialize;

use super::decode;
use super::scalar::Scalar;
use crate::peertube::error::{Cause, Told};

/// What identifies the web client, which we sign in as.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "RawClient")]
pub struct OauthClient {
    pub id: SecretString,
    pub secret: SecretString,
}

#[derive(Deserialize)]
struct RawClient {
    client_id: String,
    client_secret: String,
}

impl From<RawClient> for OauthClient {
    fn from(raw: RawClient) -> Self {
        Self { id: raw.client_id.into(), secret: raw.client_secret.into() }
    }
}

/// A new pair of tokens; lives in seconds.
#[derive(Debug, Deserialize)]
#[serde(from = "RawGranted")]
pub struct Granted {
    pub access_token: SecretString,
    pub refresh_token: SecretString,
    pub access_lives: i64,
    pub refresh_lives: Option<i64>,
}

#[derive(Deserialize)]
struct RawGranted {
    access_token: String,
    refresh_token: String,
    expires_in: i64,
    refresh_token_expires_in: Option<i64>,
}

impl From<RawGranted> for Granted {
    fn from(raw: RawGranted) -> Self {
        Self {
            access_token: raw.access_token.into(),
            refresh_token: raw.refresh_token.into(),
            access_lives: raw.expires_in,
            refresh_lives: raw.refresh_token_expires_in,
        }
    }
}

/// What an error's body of JSON tells: its code, and nothing else, for it is
/// shown. Codes are words, so what has a digit (as any token has) is none.
pub fn problem(body: &[u8]) -> Result<Told, Cause> {
    #[derive(Deserialize)]
    struct Problem {
        #[serde(default)]
        code: Scalar,
    }
    if body.is_empty() {
        return Ok(Told::Blank);
    }
    let code = decode::<Problem>(body)?.code.into_text();
    let is_word = |code: &String| {
        !code.is_empty() && code.len() <= 64 && code.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
    };
    Ok(Told::Problem { code: code.filter(is_word) })
}
