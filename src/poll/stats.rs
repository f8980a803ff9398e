//! The poll of what the instance counts itself: shown as it is, and not remembered.

use std::sync::Arc;

use super::Instance;

impl Instance {
    pub(super) async fn poll_stats(&self) -> anyhow::Result<()> {
        let stats = self.client.stats().await?;
        self.metrics.stats(Arc::new(stats));
        Ok(())
    }
}
