//! What can be wrong with the state as a whole, as metrics and people hear of it.

/// What is wrong with a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    Busy,
    Full,
    ReadOnly,
    Disk,
    Files,
    Denied,
    Corrupt,
    Replaced,
    /// What is no trouble of the file.
    Other,
}

impl Fault {
    pub const ALL: [Self; 9] = [
        Self::Busy,
        Self::Full,
        Self::ReadOnly,
        Self::Disk,
        Self::Files,
        Self::Denied,
        Self::Corrupt,
        Self::Replaced,
        Self::Other,
    ];

    /// As metrics name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::Full => "full",
            Self::ReadOnly => "read_only",
            Self::Disk => "disk",
            Self::Files => "files",
            Self::Denied => "denied",
            Self::Corrupt => "corrupt",
            Self::Replaced => "replaced",
            Self::Other => "other",
        }
    }

    /// In a few words for people.
    pub fn words(self) -> &'static str {
        match self {
            Self::Busy => "another program keeps the state locked",
            Self::Full => "no space is left for the state",
            Self::ReadOnly => "the state can only be read",
            Self::Disk => "the disk of the state fails",
            Self::Files => "too many files are open to reach the state",
            Self::Denied => "the state can't be opened",
            Self::Corrupt => "the state is damaged",
            Self::Replaced => "the state was deleted or replaced",
            Self::Other => "the state fails",
        }
    }

    /// Whether only a start anew can help.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Corrupt | Self::Replaced)
    }
}
