//! The accounts of an instance and their tokens. An access token is good for one
//! account until it expires or its pair is refreshed; a refresh token works once.

mod grant;
mod tokens;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::jobs::Version;
pub(crate) use grant::{GrantRequest, Refusal};
pub(crate) use tokens::Issued;
use tokens::Tokens;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    Administrator,
    Moderator,
    User,
}

impl Role {
    pub fn id(self) -> u64 {
        match self {
            Self::Administrator => 0,
            Self::Moderator => 1,
            Self::User => 2,
        }
    }

    pub fn label(self) -> &'static str {
        match self {
            Self::Administrator => "Administrator",
            Self::Moderator => "Moderator",
            Self::User => "User",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Standing {
    Active,
    Blocked,
    WaitingForApproval,
}

/// Someone who may sign in, or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    pub id: u64,
    pub username: String,
    pub password: String,
    pub role: Role,
    pub standing: Standing,
    /// In base 32, as authenticator apps take it.
    pub totp_secret: Option<String>,
    /// In bytes; -1 is without end.
    pub video_quota: i64,
    pub video_quota_used: u64,
}

/// How long tokens live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetimes {
    pub access: Duration,
    pub refresh: Duration,
}

impl Lifetimes {
    fn of(version: Version) -> Self {
        const HOUR: Duration = Duration::from_secs(3_600);
        match version {
            Version::QuickStart => Self { access: 4 * HOUR, refresh: 14 * 24 * HOUR },
            Version::V6_3 => Self { access: 24 * HOUR, refresh: 14 * 24 * HOUR },
            Version::V8_2 => Self { access: 24 * HOUR, refresh: 28 * 24 * HOUR },
        }
    }
}

/// How many asked for a token, by grant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Grants {
    pub granted: u64,
    pub refused: u64,
}

/// The truth about signing in. What the rate limit refused is not in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenTruth {
    pub password: Grants,
    pub refresh_token: Grants,
    /// Of one moment: from when a refresh was asked until its reply was let go.
    pub max_refreshes_in_flight: usize,
}

#[derive(Debug)]
pub struct Accounts {
    pub client_id: String,
    pub client_secret: String,
    pub lifetimes: Lifetimes,
    accounts: BTreeMap<String, Account>,
    tokens: Tokens,
    truth: TokenTruth,
}

impl Accounts {
    /// Nobody but `root`, whose password is `root-password`.
    pub fn new(seed: u64, version: Version) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut word = || std::iter::repeat_with(|| rng.lowercase()).take(32).collect();
        let mut accounts = Self {
            client_id: word(),
            client_secret: word(),
            lifetimes: Lifetimes::of(version),
            accounts: BTreeMap::new(),
            tokens: Tokens::new(rng.fork()),
            truth: TokenTruth::default(),
        };
        accounts.add("root", "root-password", Role::Administrator);
        accounts
    }

    /// Tokens that were given before live as long as they were told to.
    pub(crate) fn upgrade(&mut self, version: Version) {
        self.lifetimes = Lifetimes::of(version);
    }

    /// Adds an active account without two-factor authentication.
    pub fn add(&mut self, username: &str, password: &str, role: Role) -> &mut Account {
        let id = self.accounts.len() as u64 + 1;
        self.accounts.entry(username.to_owned()).or_insert(Account {
            id,
            username: username.to_owned(),
            password: password.to_owned(),
            role,
            standing: Standing::Active,
            totp_secret: None,
            video_quota: -1,
            video_quota_used: 0,
        })
    }

    pub fn get(&self, username: &str) -> Option<&Account> {
        self.accounts.get(username)
    }

    /// For a test to change; tokens stay as they are.
    pub fn get_mut(&mut self, username: &str) -> Option<&mut Account> {
        self.accounts.get_mut(username)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Account> {
        self.accounts.values()
    }

    /// Gives an account another role as an administrator does, which ends its tokens.
    pub fn set_role(&mut self, username: &str, role: Role) {
        if let Some(account) = self.accounts.get_mut(username) {
            account.role = role;
        }
        self.tokens.revoke(username);
    }

    /// Blocks an account, which ends its tokens too.
    pub fn block(&mut self, username: &str) {
        if let Some(account) = self.accounts.get_mut(username) {
            account.standing = Standing::Blocked;
        }
        self.tokens.revoke(username);
    }

    pub fn unblock(&mut self, username: &str) {
        if let Some(account) = self.accounts.get_mut(username) {
            account.standing = Standing::Active;
        }
    }

    /// Ends all tokens of an account, as signing out everywhere does.
    pub fn revoke(&mut self, username: &str) {
        self.tokens.revoke(username);
    }

    pub fn truth(&self) -> &TokenTruth {
        &self.truth
    }

    /// Whom an access token stands for.
    pub(crate) fn authenticate(&self, now: Timestamp, access_token: &str) -> Option<&Account> {
        self.accounts.get(self.tokens.holder(now, access_token)?)
    }

    pub(crate) fn saw_refreshes_in_flight(&mut self, count: usize) {
        self.truth.max_refreshes_in_flight = self.truth.max_refreshes_in_flight.max(count);
    }
}
