//! What the store remembers of an instance, read for its polls. A part that can't be read
//! stops the polls that live by it and nothing else: neither the instance's other polls
//! nor other instances. It is read again at each of these polls, so it heals by itself.

use std::sync::{Arc, PoisonError};

use anyhow::anyhow;

use super::Instance;
use super::moderation::ModerationState;
use crate::core::memory::Documents;
use crate::core::poll::PollKind;
use crate::core::{job_sync, runner_sync, video_sync};
use crate::store::StoreError;

/// The polls whose memory can't be made anew without loss; others share theirs.
const PARTS: [PollKind; 4] = [PollKind::Jobs, PollKind::Videos, PollKind::Moderation, PollKind::Runners];

/// What a person can do.
const REMEDY: &str = "a newer or damaged program wrote it: update tubewarden, restore the state, or have it forgotten \
     (see Troubleshooting in the README)";

impl Instance {
    /// An error of the store is the daemon's; what can't be understood is that part's.
    pub(super) async fn remember_all(&self) -> Result<(), StoreError> {
        for part in PARTS {
            if let Err(error) = self.remember(part, &self.store.memory(&self.origin.name, part).await?).await {
                tracing::error!(
                    peertube_instance = %self.origin.name,
                    poll = %part,
                    error = format!("{error:#}"),
                    "what is remembered can't be read, so this poll is not made; all others go on"
                );
                self.unread.lock().unwrap_or_else(PoisonError::into_inner).insert(part);
            }
        }
        Ok(())
    }

    /// Makes sure that what a poll lives by was read, now if not before.
    pub(super) async fn expect_memory_of(&self, kind: PollKind) -> anyhow::Result<()> {
        let part = if kind == PollKind::VideosFull { PollKind::Videos } else { kind };
        let is_unread = || self.unread.lock().unwrap_or_else(PoisonError::into_inner).contains(&part);
        if !is_unread() {
            return Ok(());
        }
        // Both polls of videos may come here.
        let _turn = self.videos_turn.lock().await;
        if is_unread() {
            self.remember(part, &self.store.memory(&self.origin.name, part).await?).await?;
            self.unread.lock().unwrap_or_else(PoisonError::into_inner).remove(&part);
            tracing::info!(peertube_instance = %self.origin.name, poll = %part, "what is remembered can be read again");
        }
        Ok(())
    }

    async fn remember(&self, part: PollKind, documents: &Documents) -> anyhow::Result<()> {
        match part {
            PollKind::Jobs => {
                let memory = job_sync::Memory::from_documents(documents).map_err(|e| unreadable("jobs", e))?;
                self.metrics.jobs(Arc::new(memory.view().followed_by(&self.policy)));
                self.jobs.lock().await.memory = memory;
            }
            PollKind::Videos => {
                let memory = video_sync::Memory::from_documents(documents).map_err(|e| unreadable("videos", e))?;
                self.metrics.videos(Arc::new(memory.view()));
                *self.videos.lock().await = memory;
            }
            PollKind::Moderation => {
                let memory = ModerationState::from_documents(documents).map_err(|e| unreadable("moderation", e))?;
                *self.moderation.lock().await = memory;
            }
            PollKind::Runners => {
                let memory = runner_sync::Memory::from_documents(documents).map_err(|e| unreadable("runners", e))?;
                self.metrics.runners(Arc::new(memory.view().followed_by(&self.policy)));
                self.runners.lock().await.memory = memory;
            }
            // Of these nothing is remembered that is not made anew.
            PollKind::VideosFull | PollKind::Config | PollKind::Stats => {}
        }
        Ok(())
    }
}

fn unreadable<E: std::error::Error + Send + Sync + 'static>(what: &str, error: E) -> anyhow::Error {
    anyhow!(error).context(format!("what is remembered of the {what} can't be read; {REMEDY}"))
}
