//! Pairs of tokens. Of a pair, either both are in force or neither is: a refresh ends
//! the access token at once.

use std::collections::HashMap;

use jiff::Timestamp;

use super::Lifetimes;

#[derive(Debug)]
pub(super) struct Tokens {
    rng: fastrand::Rng,
    /// By access token.
    pairs: HashMap<String, Pair>,
    /// Refresh token to access token.
    refresh: HashMap<String, String>,
}

#[derive(Debug)]
struct Pair {
    username: String,
    refresh_token: String,
    access_expires: Timestamp,
    refresh_expires: Timestamp,
}

/// A pair as it is handed out.
#[derive(Debug, Clone)]
pub(crate) struct Issued {
    pub(crate) access_token: String,
    pub(crate) refresh_token: String,
    pub(crate) lifetimes: Lifetimes,
}

/// Why a refresh token gives nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spent {
    Unknown,
    Expired,
}

impl Tokens {
    pub(super) fn new(rng: fastrand::Rng) -> Self {
        Self { rng, pairs: HashMap::new(), refresh: HashMap::new() }
    }

    pub(super) fn issue(&mut self, now: Timestamp, username: &str, lifetimes: Lifetimes) -> Issued {
        let (access_token, refresh_token) = (self.word(), self.word());
        let pair = Pair {
            username: username.to_owned(),
            refresh_token: refresh_token.clone(),
            access_expires: now + lifetimes.access,
            refresh_expires: now + lifetimes.refresh,
        };
        self.pairs.insert(access_token.clone(), pair);
        self.refresh.insert(refresh_token.clone(), access_token.clone());
        Issued { access_token, refresh_token, lifetimes }
    }

    /// Spends a refresh token. Gives who it was issued to.
    pub(super) fn spend(&mut self, now: Timestamp, refresh_token: &str) -> Result<String, Spent> {
        let access_token = self.refresh.get(refresh_token).ok_or(Spent::Unknown)?;
        let pair = self.pairs.get(access_token).ok_or(Spent::Unknown)?;
        if pair.refresh_expires <= now {
            return Err(Spent::Expired);
        }
        let username = pair.username.clone();
        self.pairs.remove(access_token);
        self.refresh.remove(refresh_token);
        Ok(username)
    }

    pub(super) fn holder(&self, now: Timestamp, access_token: &str) -> Option<&str> {
        let pair = self.pairs.get(access_token)?;
        (pair.access_expires > now).then_some(&pair.username)
    }

    pub(super) fn revoke(&mut self, username: &str) {
        let refresh = &mut self.refresh;
        self.pairs.retain(|_, pair| {
            let kept = pair.username != username;
            if !kept {
                refresh.remove(&pair.refresh_token);
            }
            kept
        });
    }

    fn word(&mut self) -> String {
        let hex = format!("{:032x}{:08x}", self.rng.u128(..), self.rng.u32(..));
        debug_assert_eq!(hex.len(), 40);
        hex
    }
}
