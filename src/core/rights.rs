//! What an account may ask of an instance. PeerTube's own word, a refusal, comes
//! before what is concluded here from a role.

use std::fmt;

use super::poll::PollKind;

/// What an account is on its instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    Administrator,
    Moderator,
    User,
    /// Of a version that knows more roles than we do.
    Other(u64),
}

impl Role {
    pub fn from_id(id: u64) -> Self {
        match id {
            0 => Self::Administrator,
            1 => Self::Moderator,
            2 => Self::User,
            other => Self::Other(other),
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Administrator => "administrator",
            Self::Moderator => "moderator",
            Self::User => "user",
            Self::Other(_) => "other",
        }
    }

    /// Whether it sees what is not public: each privacy and state, reports,
    /// registrations.
    pub fn moderates(self) -> bool {
        matches!(self, Self::Administrator | Self::Moderator)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Who may make a poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Needs {
    Nothing,
    Moderator,
    Administrator,
}

impl Needs {
    /// Whether the role will do; without an account there is none.
    pub fn are_met_by(self, role: Option<Role>) -> bool {
        match self {
            Self::Nothing => true,
            Self::Moderator => role.is_some_and(Role::moderates),
            Self::Administrator => role == Some(Role::Administrator),
        }
    }
}

impl Needs {
    /// The least role that will do; `None` if it takes no account.
    pub fn least(self) -> Option<Role> {
        match self {
            Self::Nothing => None,
            Self::Moderator => Some(Role::Moderator),
            Self::Administrator => Some(Role::Administrator),
        }
    }
}

impl fmt::Display for Needs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "no account",
            Self::Moderator => "a moderator",
            Self::Administrator => "an administrator",
        })
    }
}

impl PollKind {
    pub fn needs(self) -> Needs {
        match self {
            Self::Jobs | Self::Runners => Needs::Administrator,
            Self::Moderation => Needs::Moderator,
            Self::Videos | Self::VideosFull | Self::Config | Self::Stats => Needs::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_need_is_met_by_those_who_have_the_right_and_by_nobody_else() {
        let roles = [None, Some(Role::Other(7)), Some(Role::User), Some(Role::Moderator), Some(Role::Administrator)];
        let met = |needs: Needs| roles.map(|role| needs.are_met_by(role));
        assert_eq!(met(Needs::Nothing), [true, true, true, true, true]);
        assert_eq!(met(Needs::Moderator), [false, false, false, true, true]);
        assert_eq!(met(Needs::Administrator), [false, false, false, false, true]);
    }
}
