//! The domain of videos: privacy, state, and a video as a list shows it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Who may see a video. Remembered as PeerTube's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "u64", into = "u64")]
pub enum Privacy {
    Public,
    Unlisted,
    Private,
    Internal,
    PasswordProtected,
    Other(u64),
}

impl Privacy {
    pub fn from_id(id: u64) -> Self {
        match id {
            1 => Self::Public,
            2 => Self::Unlisted,
            3 => Self::Private,
            4 => Self::Internal,
            5 => Self::PasswordProtected,
            other => Self::Other(other),
        }
    }

    pub fn id(self) -> u64 {
        match self {
            Self::Public => 1,
            Self::Unlisted => 2,
            Self::Private => 3,
            Self::Internal => 4,
            Self::PasswordProtected => 5,
            Self::Other(id) => id,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Unlisted => "unlisted",
            Self::Private => "private",
            Self::Internal => "internal",
            Self::PasswordProtected => "password_protected",
            Self::Other(_) => "other",
        }
    }
}

impl From<u64> for Privacy {
    fn from(id: u64) -> Self {
        Self::from_id(id)
    }
}

impl From<Privacy> for u64 {
    fn from(privacy: Privacy) -> Self {
        privacy.id()
    }
}

/// How far a video is. Remembered as PeerTube's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "u64", into = "u64")]
pub enum VideoState {
    Published,
    ToTranscode,
    ToImport,
    WaitingForLive,
    LiveEnded,
    ToMoveToExternalStorage,
    TranscodingFailed,
    ToMoveToExternalStorageFailed,
    ToEdit,
    ToMoveToFileSystem,
    ToMoveToFileSystemFailed,
    ToImportFailed,
    Other(u64),
}

impl VideoState {
    pub fn from_id(id: u64) -> Self {
        match id {
            1 => Self::Published,
            2 => Self::ToTranscode,
            3 => Self::ToImport,
            4 => Self::WaitingForLive,
            5 => Self::LiveEnded,
            6 => Self::ToMoveToExternalStorage,
            7 => Self::TranscodingFailed,
            8 => Self::ToMoveToExternalStorageFailed,
            9 => Self::ToEdit,
            10 => Self::ToMoveToFileSystem,
            11 => Self::ToMoveToFileSystemFailed,
            12 => Self::ToImportFailed,
            other => Self::Other(other),
        }
    }

    pub fn id(self) -> u64 {
        match self {
            Self::Published => 1,
            Self::ToTranscode => 2,
            Self::ToImport => 3,
            Self::WaitingForLive => 4,
            Self::LiveEnded => 5,
            Self::ToMoveToExternalStorage => 6,
            Self::TranscodingFailed => 7,
            Self::ToMoveToExternalStorageFailed => 8,
            Self::ToEdit => 9,
            Self::ToMoveToFileSystem => 10,
            Self::ToMoveToFileSystemFailed => 11,
            Self::ToImportFailed => 12,
            Self::Other(id) => id,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Published => "published",
            Self::ToTranscode => "to_transcode",
            Self::ToImport => "to_import",
            Self::WaitingForLive => "waiting_for_live",
            Self::LiveEnded => "live_ended",
            Self::ToMoveToExternalStorage => "to_move_to_external_storage",
            Self::TranscodingFailed => "transcoding_failed",
            Self::ToMoveToExternalStorageFailed => "to_move_to_external_storage_failed",
            Self::ToEdit => "to_edit",
            Self::ToMoveToFileSystem => "to_move_to_file_system",
            Self::ToMoveToFileSystemFailed => "to_move_to_file_system_failed",
            Self::ToImportFailed => "to_import_failed",
            Self::Other(_) => "other",
        }
    }

    pub fn is_failed(self) -> bool {
        matches!(
            self,
            Self::TranscodingFailed
                | Self::ToMoveToExternalStorageFailed
                | Self::ToMoveToFileSystemFailed
                | Self::ToImportFailed
        )
    }

    /// Whether a video should leave this state by itself, soon.
    pub fn is_passing(self) -> bool {
        matches!(
            self,
            Self::ToTranscode
                | Self::ToImport
                | Self::ToMoveToExternalStorage
                | Self::ToEdit
                | Self::ToMoveToFileSystem
        )
    }
}

impl From<u64> for VideoState {
    fn from(id: u64) -> Self {
        Self::from_id(id)
    }
}

impl From<VideoState> for u64 {
    fn from(state: VideoState) -> Self {
        state.id()
    }
}

/// Whose videos are watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Those of the instance itself.
    Local,
    /// Those it knows of other instances too.
    All,
}

/// The order of a list of videos.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum VideoSort {
    /// `-createdAt`: a place in it never changes.
    NewestCreated,
    /// `-publishedAt`: a video comes to the top when its first transcoding ends, when
    /// it leaves Private, when its schedule is due and when a live begins.
    NewestPublished,
}

/// A question to the list of videos of an instance. Sensitive ones are always asked
/// for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct VideosQuery {
    pub start: u64,
    /// At most 100.
    pub count: u64,
    pub sort: VideoSort,
    pub scope: Scope,
    /// The reply need not tell how many there are.
    pub skip_count: bool,
    /// Also what is not yet published, blocked, or of a blocked owner, and each
    /// privacy: needs the right.
    pub everything: bool,
}

/// What a video's own address answers.
#[derive(Debug, Clone, PartialEq)]
pub enum Sought {
    Here(Box<VideoRow>),
    /// It exists, but is not shown to us (401 or 403): nothing is learnt.
    Withheld,
    /// It is there and can't be read: nothing is learnt.
    Unread,
    /// 404: it is deleted.
    Gone,
}

/// A video as a list or its own address shows it. What an account may not see is
/// `None`.
#[derive(Debug, Clone, PartialEq)]
pub struct VideoRow {
    pub uuid: String,
    pub name: String,
    pub url: Option<String>,
    pub channel: Option<String>,
    pub account: Option<String>,
    pub privacy: Option<Privacy>,
    /// Told only to those who may ask for what is not yet published.
    pub state: Option<VideoState>,
    pub wait_transcoding: Option<bool>,
    pub blacklisted: Option<bool>,
    pub created_at: Timestamp,
    pub published_at: Option<Timestamp>,
    pub duration: Option<u64>,
    pub is_live: Option<bool>,
    pub is_local: Option<bool>,
    pub nsfw: Option<bool>,
}

/// A reply to a question for videos.
#[derive(Debug, Clone, PartialEq)]
pub struct VideosPage {
    /// Absent when the question said that it isn't wanted.
    pub total: Option<u64>,
    pub rows: Vec<VideoRow>,
    /// Rows besides that can't be read: they may be any video.
    pub unread: u64,
    /// The server's clock when it answered.
    pub date: Timestamp,
}
