//! What is remembered of moderation: which ids are known, and what waits. An id that
//! is known is never told again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Kind, Row};
use crate::core::memory::Documents;
use crate::core::view::ModerationView;

/// The newest ids are kept one by one: two that are made together may come to be
/// seen the other way round.
const KEPT: usize = 128;
/// A known id on a row that is this much younger than all before was given anew.
const MUCH_YOUNGER: Duration = Duration::from_secs(3600);

/// What is remembered, by kind: nothing before the first look at it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Memory {
    kinds: BTreeMap<Kind, Known>,
}

/// What is known of one kind.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Known {
    /// Every id up to this is known.
    floor: u64,
    /// And these above it.
    seen: BTreeSet<u64>,
    /// The latest creation that was seen.
    newest: Option<Timestamp>,
    /// What was created up to this is known, whatever its id.
    not_before: Option<Timestamp>,
    pub waiting: Waiting,
}

/// What waits for a moderator.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    pub count: u64,
    pub oldest: Option<Timestamp>,
}

impl Memory {
    pub fn from_documents(documents: &Documents) -> Result<Self, serde_json::Error> {
        let of = |kind: Kind| documents.get(kind.as_str()).map(|text| Ok((kind, serde_json::from_str(text)?)));
        Ok(Self { kinds: Kind::ALL.into_iter().filter_map(of).collect::<Result<_, serde_json::Error>>()? })
    }

    pub fn to_documents(&self) -> Documents {
        let document = |(kind, known): (&Kind, &Known)| {
            (kind.as_str().to_owned(), serde_json::to_string(known).unwrap_or_default())
        };
        self.kinds.iter().map(document).collect()
    }

    pub fn known(&self, kind: Kind) -> Option<&Known> {
        self.kinds.get(&kind)
    }

    pub fn set(&mut self, kind: Kind, known: Known) {
        self.kinds.insert(kind, known);
    }

    /// How many wait, if that was ever seen.
    pub fn pending(&self, kind: Kind) -> Option<u64> {
        self.known(kind).map(|known| known.waiting.count)
    }

    /// What to show of those kinds that the server knows.
    pub fn view(&self, shown: impl Fn(Kind) -> bool) -> ModerationView {
        let kinds = self.kinds.iter().filter(|(kind, _)| shown(**kind));
        ModerationView { waiting: kinds.map(|(kind, known)| (kind.as_str(), known.waiting)).collect() }
    }
}

impl Known {
    /// All that is there at the first look is known from then on.
    pub(super) fn at_first(rows: &[Row]) -> Self {
        Self {
            floor: rows.iter().map(|row| row.id).max().unwrap_or(0),
            newest: rows.iter().map(|row| row.created_at).max(),
            ..Self::default()
        }
    }

    pub(super) fn is_new(&self, row: &Row) -> bool {
        let is_known = row.id <= self.floor || self.seen.contains(&row.id);
        !is_known && self.not_before.is_none_or(|at| row.created_at > at)
    }

    /// Whether nothing behind this row is new. Rows of the same millisecond may stand in
    /// any order, so it must be older than another that is known.
    pub(super) fn ends_at(&self, row: &Row) -> bool {
        !self.is_new(row) && self.newest.is_some_and(|newest| row.created_at < newest)
    }

    /// A database that was restored or made anew gives ids a second time. From then on
    /// the time of creation says what is known.
    pub(super) fn begin_again_if_ids_do(&mut self, rows: &[Row]) {
        let Some(newest) = self.newest else { return };
        if rows.iter().any(|row| !self.is_new(row) && row.created_at > newest + MUCH_YOUNGER) {
            *self = Self { newest: Some(newest), not_before: Some(newest), ..Self::default() };
        }
    }

    pub(super) fn learn<'a>(&mut self, rows: impl Iterator<Item = &'a Row>) {
        for row in rows {
            self.newest = self.newest.max(Some(row.created_at));
            if row.id > self.floor {
                self.seen.insert(row.id);
            }
        }
        while self.seen.len() > KEPT
            && let Some(lowest) = self.seen.pop_first()
        {
            self.floor = lowest;
        }
    }
}
