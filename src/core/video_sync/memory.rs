//! What the polls of videos remember. Documents and memory say the same: what is
//! written can be read back, and a restart neither loses nor repeats anything.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::entry::{Before, Entry, Once, Watch};
use super::{FirstLook, Look};
use crate::core::histogram::Histogram;
use crate::core::memory::Documents;
use crate::core::video::{Scope, VideoState};
use crate::core::video_facts::Facts;
use crate::core::view::VideosView;

const STATE: &str = "state";
const VIDEO: &str = "video/";
const DELETED: &str = "deleted/";

/// Deleted videos remembered, so that one that turns up again is not told anew.
const MOST_DELETED: usize = 10_000;

/// Everything that both polls of videos remember of one instance.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Memory {
    pub(super) entries: BTreeMap<String, Entry>,
    deleted: BTreeMap<String, Deleted>,
    pub(super) state: State,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Deleted {
    at: Timestamp,
    once: Once,
}

/// What is remembered beside the videos.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct State {
    /// What we could see when we looked last.
    pub look: Option<Look>,
    /// When the first look by it began; `None` until one has ended well.
    pub since: Option<Timestamp>,
    /// The beginning of the last poll.
    pub mark: Option<Timestamp>,
    pub published_total: u64,
    pub last_published: Option<Timestamp>,
    pub ready: Histogram,
    /// Whose turn it was last, among those that are asked one by one.
    pub turns: Turns,
    /// What waits for no job was looked at once since the first look.
    pub judged: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Turns {
    pub soon: String,
    pub seldom: String,
    pub missing: String,
}

/// A document that is not ours, or of a version that we don't know.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    #[error("read what is remembered of videos under {key:?}: it was not written by this version of the program")]
    Unreadable { key: String, source: serde_json::Error },
    #[error("read what is remembered of videos: the key {key:?} is not known to this version of the program")]
    UnknownKey { key: String },
}

impl Memory {
    pub fn from_documents(documents: &Documents) -> Result<Self, MemoryError> {
        let mut memory = Self::default();
        for (key, text) in documents {
            if let Some(uuid) = key.strip_prefix(VIDEO) {
                let mut entry: Entry = read(key, text)?;
                uuid.clone_into(&mut entry.facts.uuid);
                memory.entries.insert(uuid.to_owned(), entry);
            } else if let Some(uuid) = key.strip_prefix(DELETED) {
                memory.deleted.insert(uuid.to_owned(), read(key, text)?);
            } else if key == STATE {
                memory.state = read(key, text)?;
            } else {
                return Err(MemoryError::UnknownKey { key: key.clone() });
            }
        }
        Ok(memory)
    }

    pub fn to_documents(&self) -> Documents {
        let videos = self.entries.iter().map(|(uuid, entry)| (format!("{VIDEO}{uuid}"), write(entry)));
        let deleted = self.deleted.iter().map(|(uuid, deleted)| (format!("{DELETED}{uuid}"), write(deleted)));
        let state = std::iter::once((STATE.to_owned(), write(&self.state)));
        // Plain structs with text keys: writing them can't fail.
        videos.chain(deleted).chain(state).filter_map(|(key, text)| Some((key, text.ok()?))).collect()
    }

    /// What is known of a video, for events that name it.
    pub fn facts(&self, uuid: &str) -> Option<&Facts> {
        self.entries.get(uuid).map(|entry| &entry.facts)
    }

    /// The picture that metrics show. A video whose privacy we may no longer know is
    /// not counted; a state that nobody tells us is `other`.
    pub fn view(&self) -> VideosView {
        let mut view = VideosView {
            published_total: self.state.published_total,
            last_published: self.state.last_published,
            ready: self.state.ready.clone(),
            ..VideosView::default()
        };
        for entry in self.entries.values() {
            let Some(privacy) = entry.facts.privacy else { continue };
            let state = entry.facts.state.map_or("other", VideoState::as_str);
            *view.videos.entry((privacy.as_str(), state)).or_default() += 1;
            if entry.facts.state.is_some_and(VideoState::is_passing) {
                let oldest = view.oldest_in_state.entry(state).or_insert(entry.state_since);
                *oldest = entry.state_since.min(*oldest);
            }
        }
        view
    }

    /// The same memory by another look. When what we may see changes, what comes into
    /// sight by that was there before: another first look begins.
    pub(super) fn under(&self, look: Look) -> Self {
        let mut memory = self.clone();
        if memory.state.look != Some(look) {
            memory.state.look = Some(look);
            memory.state.since = None;
            memory.state.judged = false;
        }
        if look.scope == Scope::Local {
            memory.entries.retain(|_, entry| entry.local != Some(false));
        }
        memory
    }

    pub(super) fn before(&self, uuid: &str) -> Before<'_> {
        match (self.entries.get(uuid), self.deleted.get(uuid)) {
            (Some(entry), _) => Before::Known(entry),
            (None, Some(deleted)) => Before::Deleted(deleted.once),
            (None, None) => Before::Unknown,
        }
    }

    pub(super) fn insert(&mut self, uuid: &str, entry: Entry) {
        self.deleted.remove(uuid);
        self.entries.insert(uuid.to_owned(), entry);
    }

    /// Forgets a deleted video, but for what was told of it.
    pub(super) fn delete(&mut self, uuid: &str, at: Timestamp) -> Option<Entry> {
        let entry = self.entries.remove(uuid)?;
        self.deleted.insert(uuid.to_owned(), Deleted { at, once: entry.once });
        if self.deleted.len() > MOST_DELETED {
            let oldest = self.deleted.iter().min_by_key(|(_, deleted)| deleted.at).map(|(uuid, _)| uuid.clone());
            oldest.map(|uuid| self.deleted.remove(&uuid));
        }
        Some(entry)
    }

    /// The videos that want to be asked for like this, in the order of their uuids.
    pub(super) fn watched(&self, watch: Watch) -> impl Iterator<Item = &str> {
        self.entries.iter().filter(move |(_, entry)| entry.watch() == Some(watch)).map(|(uuid, _)| uuid.as_str())
    }

    /// What is so now; `None` until a first look has ended well.
    pub fn first_look(&self) -> Option<FirstLook> {
        self.state.since?;
        let count = |is: fn(VideoState) -> bool| {
            self.entries.values().filter(|entry| entry.facts.state.is_some_and(is)).count() as u64
        };
        Some(FirstLook {
            videos: self.entries.len() as u64,
            failed: count(VideoState::is_failed),
            passing: count(VideoState::is_passing),
        })
    }
}

fn read<T: DeserializeOwned>(key: &str, text: &str) -> Result<T, MemoryError> {
    serde_json::from_str(text).map_err(|source| MemoryError::Unreadable { key: key.to_owned(), source })
}

fn write<T: Serialize>(value: &T) -> serde_json::Result<String> {
    serde_json::to_string(value)
}
