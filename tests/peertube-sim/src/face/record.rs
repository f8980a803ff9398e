//! What was asked of a face: counts always, each request by itself on demand.

use std::collections::BTreeMap;

use jiff::Timestamp;

/// How often what was asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Requests {
    pub total: u64,
    /// `jobs/completed`, `users_token`, `video`, …; `unknown` is any other route.
    pub by_endpoint: BTreeMap<String, u64>,
    pub by_status: BTreeMap<u16, u64>,
    /// `POST /users/token`, also those that were limited or spoilt.
    pub tokens_by_grant: BTreeMap<String, u64>,
    /// Bytes of all replies, heads and bodies.
    pub bytes_sent: u64,
    /// Job rows that the server had to read, by state.
    pub rows_read: BTreeMap<String, u64>,
}

impl Requests {
    pub fn of(&self, endpoint: &str) -> u64 {
        self.by_endpoint.get(endpoint).copied().unwrap_or(0)
    }

    /// All questions about jobs, whatever their state.
    pub fn of_jobs(&self) -> u64 {
        self.by_endpoint.iter().filter(|(name, _)| name.starts_with("jobs")).map(|(_, count)| count).sum()
    }

    pub fn with_status(&self, status: u16) -> u64 {
        self.by_status.get(&status).copied().unwrap_or(0)
    }

    pub fn tokens(&self, grant: &str) -> u64 {
        self.tokens_by_grant.get(grant).copied().unwrap_or(0)
    }

    pub fn all_rows_read(&self) -> u64 {
        self.rows_read.values().sum()
    }

    pub(super) fn asked(&mut self, endpoint: &str, grant: Option<&str>) {
        self.total += 1;
        *self.by_endpoint.entry(endpoint.to_owned()).or_default() += 1;
        if endpoint == "users_token" {
            *self.tokens_by_grant.entry(grant.unwrap_or("none").to_owned()).or_default() += 1;
        }
    }

    pub(super) fn answered(&mut self, status: u16, bytes: usize) {
        *self.by_status.entry(status).or_default() += 1;
        self.bytes_sent += bytes as u64;
    }

    pub(super) fn read_rows(&mut self, state: Option<&str>, rows: u64) {
        *self.rows_read.entry(state.unwrap_or("any").to_owned()).or_default() += rows;
    }
}

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logged {
    /// By the world's clock.
    pub at: Timestamp,
    pub method: String,
    /// Path and query.
    pub target: String,
    pub status: u16,
    pub user_agent: Option<String>,
    /// Whether a token came with it.
    pub authorized: bool,
}
