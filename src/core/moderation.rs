//! Moderation: each report of an abuse and each requested registration is told once,
//! by its id, and what waits is counted. Only ids, states and times are known here:
//! never who, whom or why.

mod memory;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::event::{Event, EventKind, Origin};
pub use memory::{Known, Memory, Waiting};

/// Rows of the question that each poll asks.
const FIRST: u64 = 10;
/// Rows of the pages behind it.
const PAGE: u64 = 100;
/// So many rows of a page are asked again with the next, since rows may go meanwhile.
const OVERLAP: u64 = 5;
/// Pages that one poll walks: what is new beyond them is not told.
const MOST_PAGES: u64 = 60;
/// Pending rows that are asked at once before they are counted by halving.
const PENDING: u64 = 25;

/// What moderators have to look at. A closed set: a metric's label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Abuse,
    Registration,
}

impl Kind {
    pub const ALL: [Self; 2] = [Self::Abuse, Self::Registration];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Abuse => "abuse",
            Self::Registration => "registration",
        }
    }
}

/// A question for rows of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    pub kind: Kind,
    pub list: List,
    pub start: u64,
    pub count: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum List {
    /// All of them, by creation.
    NewestFirst,
    /// Those that wait, the oldest first. Servers that can't leave the others out
    /// show them after these.
    Pending,
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    pub total: u64,
    pub rows: Vec<Row>,
    /// Rows besides that can't be read.
    pub unread: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    pub id: u64,
    pub is_pending: bool,
    pub created_at: Timestamp,
}

/// Whoever answers questions about moderation. An error ends the poll.
pub trait Ask: Send {
    type Error: Send;

    /// `None` if the server does not know the question.
    fn page(&mut self, query: &Query) -> impl Future<Output = Result<Option<Page>, Self::Error>> + Send;
}

/// What a poll found out about one kind.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    pub known: Known,
    /// By id.
    pub told: Vec<Told>,
    /// There was more that is new than a poll walks.
    pub cut: bool,
}

/// Something that came in.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    pub kind: Kind,
    pub id: u64,
    pub created_at: Timestamp,
    /// How many wait now.
    pub pending: u64,
}

impl Told {
    pub fn to_event(&self, origin: &Origin) -> Event {
        let (kind, id) = match self.kind {
            Kind::Abuse => (EventKind::AbuseCreated, "abuse_id"),
            Kind::Registration => (EventKind::RegistrationRequested, "registration_id"),
        };
        let data = json!({ id: self.id, "created_at": self.created_at, "pending": self.pending });
        let data = match data {
            Value::Object(data) => data,
            _ => Map::new(),
        };
        let subject = format!("{}/{}", self.kind.as_str(), self.id);
        Event::new(origin, kind, &subject.clone(), Some(subject), self.created_at, data)
    }
}

/// One poll of one kind; `None` if the server does not know it. Nothing is told from
/// the first one.
pub async fn look<A: Ask>(ask: &mut A, kind: Kind, before: Option<&Known>) -> Result<Option<Outcome>, A::Error> {
    let query = Query { kind, list: List::NewestFirst, start: 0, count: FIRST };
    let Some(first) = ask.page(&query).await? else { return Ok(None) };
    let (mut total, unread) = (first.total, first.unread);
    let mut rows = by_id(&first);
    let mut cut = false;
    let mut known = match before {
        None => Known::at_first(&first.rows),
        Some(before) => {
            let mut known = before.clone();
            known.begin_again_if_ids_do(&first.rows);
            let Some(walked) = walk(ask, query, first, &known).await? else { return Ok(None) };
            (rows, total, cut) = (walked.rows, walked.total, walked.cut);
            known
        }
    };
    let waiting = if rows.len() as u64 + unread >= total {
        // All that there is was seen: no need to ask who of them waits.
        waiting(rows.values())
    } else {
        let Some(waiting) = count_pending(ask, kind).await? else { return Ok(None) };
        waiting
    };
    let new = rows.values().filter(|row| known.is_new(row));
    let told = new.map(|row| Told { kind, id: row.id, created_at: row.created_at, pending: waiting.count }).collect();
    known.learn(rows.values());
    known.waiting = waiting;
    Ok(Some(Outcome { known, told, cut }))
}

struct Walked {
    rows: BTreeMap<u64, Row>,
    total: u64,
    cut: bool,
}

/// From the newest on to where all is known. Pages must overlap: one that does not
/// proves that rows went away meanwhile, and others with them to where they are not
/// asked for.
async fn walk<A: Ask>(ask: &mut A, mut query: Query, first: Page, known: &Known) -> Result<Option<Walked>, A::Error> {
    let mut rows = BTreeMap::new();
    let mut page = first;
    let mut pages = 1;
    query.count = PAGE;
    loop {
        let count = page.rows.len() as u64 + page.unread;
        let joins = query.start == 0 || page.rows.iter().any(|row| rows.contains_key(&row.id));
        let is_end = query.start + count >= page.total || page.rows.iter().any(|row| known.ends_at(row));
        rows.extend(by_id(&page));
        let is_done = joins && is_end;
        if is_done || pages == MOST_PAGES {
            return Ok(Some(Walked { rows, total: page.total, cut: !is_done }));
        }
        query.start = if joins { query.start + count.saturating_sub(OVERLAP) } else { 0 };
        let Some(next) = ask.page(&query).await? else { return Ok(None) };
        page = next;
        pages += 1;
    }
}

/// How many wait, without reading them all. Whether the server leaves out those that
/// don't, or shows them behind, is all one: the end of those that do is sought.
async fn count_pending<A: Ask>(ask: &mut A, kind: Kind) -> Result<Option<Waiting>, A::Error> {
    let mut query = Query { kind, list: List::Pending, start: 0, count: PENDING };
    let Some(page) = ask.page(&query).await? else { return Ok(None) };
    let pending: Vec<_> = page.rows.iter().take_while(|row| row.is_pending).collect();
    let mut waiting = waiting(pending.iter().copied());
    if pending.len() < page.rows.len() {
        return Ok(Some(waiting));
    }
    // Rows before `low` wait, none from `high` on does. The last row is asked first:
    // where the others are left out it says at once that all of them wait.
    let (mut low, mut high) = (waiting.count, page.total);
    let mut probe = high.saturating_sub(1);
    query.count = 1;
    while low < high {
        query.start = probe;
        let Some(page) = ask.page(&query).await? else { return Ok(None) };
        if page.rows.first().is_some_and(|row| row.is_pending) {
            low = probe + 1;
        } else {
            high = probe;
        }
        probe = low + (high.saturating_sub(low)) / 2;
    }
    waiting.count = low;
    Ok(Some(waiting))
}

fn by_id(page: &Page) -> BTreeMap<u64, Row> {
    page.rows.iter().map(|row| (row.id, *row)).collect()
}

fn waiting<'a>(rows: impl Iterator<Item = &'a Row>) -> Waiting {
    rows.filter(|row| row.is_pending).fold(Waiting::default(), |all, row| Waiting {
        count: all.count + 1,
        oldest: Some(all.oldest.map_or(row.created_at, |oldest| oldest.min(row.created_at))),
    })
}
