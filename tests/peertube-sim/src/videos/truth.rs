//! What really happened to the videos.

use jiff::Timestamp;

use super::{Privacy, Video, VideoState};

/// One transition of one video.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happening {
    pub at: Timestamp,
    pub uuid: String,
    pub local: bool,
    pub what: What,
    /// Whether it is the first of its kind for this video.
    pub first: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum What {
    Created,
    /// Anyone finds it in the list, perhaps not transcoded.
    Listed,
    Unlisted,
    /// Entered the state published, whatever its privacy.
    Ready,
    /// Became public and published.
    Published,
    /// Entered a failed state.
    Failed,
    Blocked,
    Unblocked,
    LiveStarted,
    LiveEnded,
    Deleted,
}

/// What counts for the truth, at one moment.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Standing {
    listed: bool,
    ready: bool,
    published: bool,
    failed: Option<VideoState>,
    blocked: bool,
    streaming: bool,
}

impl Standing {
    pub(super) fn of(video: &Video) -> Self {
        let ready = video.state == VideoState::Published;
        Self {
            listed: video.is_listed(),
            ready,
            published: ready && video.privacy == Privacy::Public,
            failed: Some(video.state).filter(|state| state.is_failure()),
            blocked: video.blocked.is_some(),
            streaming: ready && video.live.is_some(),
        }
    }

    /// In the order in which a person would tell it.
    pub(super) fn since(self, before: Self) -> impl Iterator<Item = What> {
        let turns = [
            (self.listed && !before.listed, What::Listed),
            (self.ready && !before.ready, What::Ready),
            (self.published && !before.published, What::Published),
            (self.failed.is_some() && self.failed != before.failed, What::Failed),
            (self.blocked && !before.blocked, What::Blocked),
            (!self.blocked && before.blocked, What::Unblocked),
            (self.streaming && !before.streaming, What::LiveStarted),
            (!self.streaming && before.streaming, What::LiveEnded),
            (!self.listed && before.listed, What::Unlisted),
        ];
        turns.into_iter().filter_map(|(turned, what)| turned.then_some(what))
    }
}
