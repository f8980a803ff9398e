//! The poll of the server's configuration: its version. Changes are told once, also
//! across restarts of the daemon.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Instance;
use crate::core::event::EventKind;
use crate::core::memory::Documents;
use crate::core::poll::PollKind;
use crate::core::text::clean;

const KEY: &str = "version";

/// What is remembered of the server between two polls.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServerMemory {
    version: Option<String>,
}

impl ServerMemory {
    pub fn from_documents(documents: &Documents) -> Self {
        documents.get(KEY).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    }

    pub fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    fn to_documents(&self) -> Documents {
        let text = serde_json::to_string(self).unwrap_or_default();
        Documents::from([(KEY.to_owned(), text)])
    }
}

impl Instance {
    pub(super) async fn poll_config(&self) -> anyhow::Result<()> {
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
        Ok(())
    }
}
