//! The videos that are not published, by their states.

use jiff::Timestamp;
use serde::Serialize;

use crate::core::video::VideoState;
use crate::core::view::VideosView;

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Videos {
    /// In states that should pass by themselves.
    pub passing: Vec<VideosIn>,
    pub failed: Vec<VideosIn>,
    /// Whose state is not told to the account.
    pub unknown: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct VideosIn {
    pub state: &'static str,
    pub videos: u64,
    pub oldest_since: Option<Timestamp>,
}

impl Videos {
    pub(super) fn of(view: &VideosView) -> Self {
        let states = || (1..=12).map(VideoState::from_id);
        let count = |state| view.videos.iter().filter(|((_, is), _)| *is == state).map(|(_, videos)| videos).sum();
        let videos_in = |state: VideoState| {
            let state = state.as_str();
            VideosIn { state, videos: count(state), oldest_since: view.oldest_in_state.get(state).copied() }
        };
        let those = |is: fn(VideoState) -> bool| {
            let all = states().filter(|state| is(*state)).map(videos_in);
            all.filter(|videos_in| videos_in.videos > 0).collect()
        };
        Self { passing: those(VideoState::is_passing), failed: those(VideoState::is_failed), unknown: count("other") }
    }
}
