//! The poll of what moderators have to look at. Of a kind that the server does not
//! know nothing is shown, and it is seldom asked for again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Instance;
use crate::core::memory::Documents;
use crate::core::moderation::{Ask, Kind, Memory, Page, Query, look};
use crate::core::poll::PollKind;
use crate::peertube::{Cause, Client, Error, Told};

/// A server may have been updated by then.
const ASK_AGAIN: Duration = Duration::from_secs(3600);

/// What is remembered, and of which kinds the server does not know since when.
#[derive(Debug, Default)]
pub(super) struct ModerationState {
    pub(super) memory: Memory,
    unknown: BTreeMap<Kind, Instant>,
}

impl ModerationState {
    pub(super) fn from_documents(documents: &Documents) -> Result<Self, serde_json::Error> {
        Ok(Self { memory: Memory::from_documents(documents)?, ..Self::default() })
    }
}

/// The lists of a real instance.
struct Lists<'a>(&'a Client);

impl Ask for Lists<'_> {
    type Error = Error;

    async fn page(&mut self, query: &Query) -> Result<Option<Page>, Error> {
        match self.0.moderation(query).await {
            Ok(page) => Ok(Some(page)),
            Err(error) if error.is_unknown_route() || is_taken_for_a_user(query, &error) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Before 5.1 the address of the registrations is that of a user, with a wrong id.
fn is_taken_for_a_user(query: &Query, error: &Error) -> bool {
    let is_refused = matches!(error.cause, Cause::Status { status: 400, told: Told::Problem { .. } });
    query.kind == Kind::Registration && is_refused
}

impl Instance {
    pub(super) async fn poll_moderation(&self) -> anyhow::Result<()> {
        let mut state = self.moderation.lock().await;
        let mut after = state.memory.clone();
        let mut events = Vec::new();
        for kind in Kind::ALL {
            if state.unknown.get(&kind).is_some_and(|since| since.elapsed() < ASK_AGAIN) {
                continue;
            }
            let Some(outcome) = look(&mut Lists(&self.client), kind, after.known(kind)).await? else {
                if state.unknown.insert(kind, Instant::now()).is_none() {
                    tracing::info!(peertube_instance = %self.origin.name, kind = kind.as_str(), "the instance's version has no such list: this part of moderation is off");
                }
                continue;
            };
            state.unknown.remove(&kind);
            if outcome.cut {
                tracing::warn!(peertube_instance = %self.origin.name, kind = kind.as_str(), "more came in than one poll reads: the oldest of it is not told");
            }
            events.extend(outcome.told.iter().map(|told| told.to_event(&self.origin)));
            after.set(kind, outcome.known);
        }
        let (before, documents) = (state.memory.to_documents(), after.to_documents());
        self.commit(PollKind::Moderation, &before, &documents, Vec::new(), events).await?;
        state.memory = after;
        let view = state.memory.view(|kind| !state.unknown.contains_key(&kind));
        self.metrics.moderation(Arc::new(view));
        Ok(())
    }
}
