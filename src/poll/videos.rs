//! The polls of videos: the newest and those under way each minute, all of them each
//! hour. Both share one memory, and are run one at a time.

use std::sync::{Arc, MutexGuard, PoisonError};

use super::{Instance, Works, vitals};
use crate::core::event::Event;
use crate::core::poll::PollKind;
use crate::core::rights::Role;
use crate::core::video::{Sought, VideosPage, VideosQuery};
use crate::core::video_sync::{self, Ask, Look, Sight};
use crate::core::work::Work;
use crate::peertube::{Client, Error};

/// The videos of a real instance.
struct Lists<'a>(&'a Client);

impl Ask for Lists<'_> {
    type Error = Error;

    async fn videos(&mut self, query: &VideosQuery) -> Result<VideosPage, Error> {
        self.0.videos(query).await
    }

    async fn video(&mut self, uuid: &str) -> Result<Sought, Error> {
        self.0.video(uuid).await
    }
}

impl Instance {
    pub(super) async fn poll_videos(&self, kind: PollKind) -> anyhow::Result<()> {
        let sees_all = self.role().await?.is_some_and(Role::moderates);
        let sight = if sees_all { Sight::Everything } else { Sight::Public };
        let look = Look { sight, scope: self.scope };
        let _turn = vitals::queue(self.videos_turn.lock()).await;
        // The memory stays free meanwhile: the poll of jobs reads it.
        let memory = self.videos.lock().await.clone();
        let mut lists = Lists(&self.client);
        let mut outcome = match kind {
            PollKind::VideosFull => video_sync::full(&mut lists, &memory, look).await?,
            _ => video_sync::newest(&mut lists, &memory, look).await?,
        };
        if let Some(work) = self.work().filter(|_| sees_all) {
            outcome.tell_stuck(&work);
        }
        let events: Vec<Event> = outcome.told.iter().map(|told| told.to_event(&self.origin)).collect();
        let (before, after) = (memory.to_documents(), outcome.memory.to_documents());
        self.commit(PollKind::Videos, &before, &after, Vec::new(), events).await?;
        self.metrics.videos(Arc::new(outcome.memory.view()));
        *self.videos.lock().await = outcome.memory;
        Ok(())
    }

    /// The unfinished jobs of videos, as the last polls saw them; `None` where a source
    /// of jobs may not be asked or was not seen whole.
    pub(super) fn work(&self) -> Option<Work> {
        let works = self.works();
        let own = works.own.clone().filter(|_| self.may(PollKind::Jobs))?;
        match &works.at_runners {
            Some(at_runners) => Some(own.join(at_runners.clone())),
            None => works.has_no_runners.then_some(own),
        }
    }

    pub(super) fn works(&self) -> MutexGuard<'_, Works> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
