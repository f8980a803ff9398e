//! The chat that a rule sends new videos to.

use axum::http::StatusCode;
use jiff::Timestamp;
use tubewarden::core::event::EventKind;
use tubewarden::core::rule::delivery_id;
use tubewarden::store::{EventFilter, Store};

use crate::receiver::Receiver;

/// The name of the rule that sends here.
pub(crate) const RULE: &str = "new videos to the chat";

/// What arrived, held against what was to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) arrived: usize,
    pub(crate) owed: usize,
}

pub(crate) async fn open() -> anyhow::Result<Receiver> {
    Receiver::open(|| StatusCode::OK).await
}

/// How many of the videos that were published since then arrived.
pub(crate) async fn sent(chat: &Receiver, store: &Store, since: Timestamp) -> anyhow::Result<Sent> {
    let (mut owed, mut arrived) = (0, 0);
    let mut filter = EventFilter { since: Some(since), ..EventFilter::default() };
    loop {
        let page = store.events(&filter).await?;
        let Some(last) = page.last() else { return Ok(Sent { arrived, owed }) };
        filter.after_seq = last.seq;
        for stored in page.iter().filter(|stored| stored.event.kind == EventKind::VideoPublished) {
            owed += 1;
            arrived += usize::from(chat.has(&delivery_id(&stored.event.id, RULE)));
        }
    }
}
