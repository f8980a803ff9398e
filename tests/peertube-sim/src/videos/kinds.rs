//! Privacy and state by PeerTube's numbers and labels.

/// Who may see a video.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Privacy {
    Public = 1,
    Unlisted = 2,
    Private = 3,
    Internal = 4,
    PasswordProtected = 5,
}

impl Privacy {
    pub fn id(self) -> u64 {
        self as u64
    }

    pub fn label(self) -> &'static str {
        match self {
            Self::Public => "Public",
            Self::Unlisted => "Unlisted",
            Self::Private => "Private",
            Self::Internal => "Internal",
            Self::PasswordProtected => "Password protected",
        }
    }
}

/// How far a video is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum VideoState {
    Published = 1,
    ToTranscode = 2,
    ToImport = 3,
    WaitingForLive = 4,
    LiveEnded = 5,
    ToMoveToExternalStorage = 6,
    TranscodingFailed = 7,
    ToMoveToExternalStorageFailed = 8,
    ToEdit = 9,
    ToMoveToFileSystem = 10,
    ToMoveToFileSystemFailed = 11,
    ToImportFailed = 12,
}

impl VideoState {
    pub fn id(self) -> u64 {
        self as u64
    }

    pub fn label(self) -> &'static str {
        match self {
            Self::Published => "Published",
            Self::ToTranscode => "To transcode",
            Self::ToImport => "To import",
            Self::WaitingForLive => "Waiting for livestream",
            Self::LiveEnded => "Livestream ended",
            Self::ToMoveToExternalStorage => "To move to an external storage",
            Self::TranscodingFailed => "Transcoding failed",
            Self::ToMoveToExternalStorageFailed => "External storage move failed",
            Self::ToEdit => "To edit",
            Self::ToMoveToFileSystem => "To move to file system",
            Self::ToMoveToFileSystemFailed => "Move to file system failed",
            Self::ToImportFailed => "Import failed",
        }
    }

    pub fn is_failure(self) -> bool {
        matches!(
            self,
            Self::TranscodingFailed
                | Self::ToMoveToExternalStorageFailed
                | Self::ToMoveToFileSystemFailed
                | Self::ToImportFailed
        )
    }
}
