//! Abuses and registrations as PeerTube lists them. Their rows hold addresses, names
//! and reasons: nothing but id, state and creation is even decoded.

use jiff::Timestamp;
use serde::Deserialize;

use super::{Listed, scalar};
use crate::core::moderation::{Page, Row};
use crate::peertube::error::Cause;

/// PeerTube's number of the state, for both kinds.
const PENDING: u64 = 1;

pub fn moderation(body: &[u8]) -> Result<Listed<Page>, Cause> {
    let page: super::Page<Case> = super::Page::read(body)?;
    let (total, unread, passed_over) = (page.total()?, page.unread(), page.passed_over());
    Ok(Listed { page: Page { total, rows: page.rows.into_iter().map(Row::from).collect(), unread }, passed_over })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Case {
    id: u64,
    state: State,
    #[serde(deserialize_with = "scalar::time")]
    created_at: Timestamp,
}

#[derive(Deserialize)]
struct State {
    id: u64,
}

impl From<Case> for Row {
    fn from(case: Case) -> Self {
        Self { id: case.id, is_pending: case.state.id == PENDING, created_at: case.created_at }
    }
}
