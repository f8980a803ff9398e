//! The poll of the server's configuration: its version, and what updates there are.
//! Changes are told once, also across restarts of the daemon, and no trouble with
//! updates keeps the version from being known.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Instance;
use super::updates::Freshness;
use crate::core::memory::Documents;
use crate::core::poll::PollKind;
use crate::core::server_told::Told;
use crate::core::text::clean;
use crate::core::updates;

const KEY: &str = "version";
const UPDATES: &str = "updates";

/// What is remembered of the server between two polls.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ServerMemory {
    version: Version,
    pub(super) updates: updates::Memory,
    /// Not worth remembering: as long as the process runs.
    pub(super) freshness: Freshness,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Version {
    version: Option<String>,
}

impl ServerMemory {
    pub fn from_documents(documents: &Documents) -> Self {
        let read = |key: &str| documents.get(key).map(String::as_str).unwrap_or_default();
        Self {
            version: serde_json::from_str(read(KEY)).unwrap_or_default(),
            updates: serde_json::from_str(read(UPDATES)).unwrap_or_default(),
            freshness: Freshness::default(),
        }
    }

    pub fn version(&self) -> Option<&str> {
        self.version.version.as_deref()
    }

    fn to_documents(&self) -> Documents {
        let version = (KEY.to_owned(), serde_json::to_string(&self.version).unwrap_or_default());
        let updates = (UPDATES.to_owned(), serde_json::to_string(&self.updates).unwrap_or_default());
        Documents::from([version, updates])
    }
}

impl Instance {
    pub(super) async fn poll_config(&self) -> anyhow::Result<()> {
        let config = self.client.config().await?;
        let version = clean(&config.server_version, 64);
        let found = self.ask_for_updates().await;
        let mut memory = self.server.lock().await;
        let mut after = memory.clone();
        let mut events = Vec::new();
        let now = Timestamp::now();
        if let Some(previous) = memory.version().filter(|previous| *previous != version) {
            let told = Told::VersionChanged { previous: previous.to_owned(), version: version.clone() };
            events.push(told.to_event(&self.origin, now));
        }
        after.version.version = Some(version.clone());
        let (told, view) = after.take_in(&version, found);
        events.extend(told.iter().map(|told| told.to_event(&self.origin, now)));
        self.commit(PollKind::Config, &memory.to_documents(), &after.to_documents(), Vec::new(), events).await?;
        *memory = after;
        self.metrics.version(&version);
        self.metrics.updates(view);
        Ok(())
    }
}
