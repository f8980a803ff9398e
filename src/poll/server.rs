//! The server itself: its version, whether it can be reached, and whether it lets us
//! in. Changes are told once, also across restarts of the daemon.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{Instance, Ran};
use crate::core::event::{Event, EventKind};
use crate::core::memory::Documents;
use crate::core::poll::PollKind;
use crate::core::text::clean;
use crate::peertube::{Error, SignIn};

/// An account's role is asked for again after this long.
pub(super) const RIGHTS_LAST: Duration = Duration::from_secs(15 * 60);

const KEY: &str = "server";

/// What is remembered of the server between two polls.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct ServerMemory {
    version: Option<String>,
    /// Set while it is told as down.
    down_since: Option<Timestamp>,
    /// The code of the refusal that was told.
    refused: Option<String>,
    /// Polls in a row that did not reach it: not worth remembering.
    #[serde(skip)]
    missed: u32,
    #[serde(skip)]
    first_missed: Option<Timestamp>,
    #[serde(skip)]
    last_missed: Option<Instant>,
}

impl ServerMemory {
    pub(super) fn from_documents(documents: &Documents) -> Self {
        documents.get(KEY).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    }

    fn to_documents(&self) -> Documents {
        let text = serde_json::to_string(self).unwrap_or_default();
        Documents::from([(KEY.to_owned(), text)])
    }
}

impl Instance {
    pub(super) async fn poll_config(&self) -> anyhow::Result<Ran> {
        let config = self.client.config().await?;
        let version = clean(&config.server_version, 64);
        let mut memory = self.server.lock().await;
        let mut after = memory.clone();
        let mut events = Vec::new();
        if let Some(previous) = memory.version.as_ref().filter(|previous| **previous != version) {
            let data = json!({ "previous_version": previous, "version": version });
            events.push(self.server_event(EventKind::InstanceVersionChanged, Timestamp::now(), data));
        }
        after.version = Some(version.clone());
        self.commit(PollKind::Config, &memory.to_documents(), &after.to_documents(), Vec::new(), events).await?;
        *memory = after;
        self.metrics.version(&version);
        Ok(Ran::Done)
    }

    /// What the end of a poll says of whether the instance can be reached and whether
    /// it lets us in.
    pub(super) async fn note_reach(&self, result: &anyhow::Result<Ran>, began: Instant) -> anyhow::Result<()> {
        let error = result.as_ref().err().and_then(|error| error.downcast_ref::<Error>());
        let reached = match (result, error) {
            (Ok(Ran::Done), _) => Some(true),
            (Ok(Ran::NotAllowed), _) => None,
            (Err(_), Some(error)) => error.reached(),
            (Err(_), None) => None,
        };
        if let Some(reached) = reached {
            self.metrics.up(reached);
        }
        let now = Timestamp::now();
        let mut memory = self.server.lock().await;
        let mut after = memory.clone();
        let mut events = Vec::new();
        match reached {
            Some(true) => {
                after.missed = 0;
                after.first_missed = None;
                if let Some(since) = after.down_since.take() {
                    let data = json!({ "down_seconds": now.duration_since(since).as_millis().max(0) as f64 / 1000.0 });
                    events.push(self.server_event(EventKind::InstanceUp, now, data));
                }
            }
            // Polls that ran into the same trouble at the same time missed once.
            Some(false) if after.last_missed.is_some_and(|last| began < last) => {}
            Some(false) => {
                after.last_missed = Some(Instant::now());
                after.missed = after.missed.saturating_add(1);
                let since = *after.first_missed.get_or_insert(now);
                if after.missed >= self.down_after && after.down_since.is_none() {
                    after.down_since = Some(since);
                    let text = error.map(ToString::to_string).unwrap_or_default();
                    let data = json!({ "error": clean(&text, 500), "since": since });
                    events.push(self.server_event(EventKind::InstanceDown, now, data));
                }
            }
            None => {}
        }
        let refusal = self.host.refusal();
        let code = refusal.as_ref().map(|refusal| refusal.code.clone());
        let is_let_in = matches!(self.client.state(), SignIn::SignedIn { .. });
        if after.refused != code && (code.is_some() || is_let_in) {
            if let Some(refusal) = refusal {
                let data = json!({ "code": clean(&refusal.code, 64), "error": clean(&refusal.message, 500) });
                events.push(self.server_event(EventKind::AuthFailed, now, data));
            }
            after.refused = code;
        }
        self.commit(PollKind::Config, &memory.to_documents(), &after.to_documents(), Vec::new(), events).await?;
        *memory = after;
        Ok(())
    }

    fn server_event(&self, kind: EventKind, at: Timestamp, data: Value) -> Event {
        let data: Map<String, Value> = data.as_object().cloned().unwrap_or_default();
        Event::new(&self.origin, kind, "server", None, at, data)
    }
}
