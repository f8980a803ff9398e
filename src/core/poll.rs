//! The kinds of polls. A closed set: it is a metric's label and a key of `[poll]`.

use std::fmt;

/// One thing that is asked of an instance again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PollKind {
    /// Jobs of every type and state.
    Jobs,
    /// The newest videos, and those not yet published.
    Videos,
    /// All videos.
    VideosFull,
    /// Remote runners and their jobs.
    Runners,
    /// Reports of abuse, and registrations that are requested.
    Moderation,
    /// Version, configuration and updates.
    Config,
    /// What the instance counts itself.
    Stats,
}

impl PollKind {
    /// In the order of their declaration.
    pub const ALL: [Self; 7] =
        [Self::Jobs, Self::Videos, Self::VideosFull, Self::Runners, Self::Moderation, Self::Config, Self::Stats];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Jobs => "jobs",
            Self::Videos => "videos",
            Self::VideosFull => "videos_full",
            Self::Runners => "runners",
            Self::Moderation => "moderation",
            Self::Config => "config",
            Self::Stats => "stats",
        }
    }
}

impl fmt::Display for PollKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::PollKind;

    #[test]
    fn each_kind_stands_at_its_place() {
        assert!(PollKind::ALL.into_iter().enumerate().all(|(place, kind)| kind as usize == place));
    }
}
