//! What can go wrong between us and an instance, told so that a person knows what
//! to do. No token, password, address with a query, or body is ever in an error.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use super::host::HostError;

/// A route of the API without its variable parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Endpoint {
    Jobs,
    Videos,
    Video,
    Runners,
    RunnersJobs,
    Config,
    ServerStats,
    Plugins,
    Abuses,
    UsersRegistrations,
    UsersMe,
    UsersMeNotifications,
    UsersToken,
    OauthClientsLocal,
    /// Whatever a script asks.
    Script,
}

impl Endpoint {
    /// As metrics and errors name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Jobs => "jobs",
            Self::Videos => "videos",
            Self::Video => "video",
            Self::Runners => "runners",
            Self::RunnersJobs => "runners_jobs",
            Self::Config => "config",
            Self::ServerStats => "server_stats",
            Self::Plugins => "plugins",
            Self::Abuses => "abuses",
            Self::UsersRegistrations => "users_registrations",
            Self::UsersMe => "users_me",
            Self::UsersMeNotifications => "users_me_notifications",
            Self::UsersToken => "users_token",
            Self::OauthClientsLocal => "oauth_clients_local",
            Self::Script => "script",
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A question to an instance that has no answer. Its text is whole: it holds the
/// cause, so that the sources below it are for those who want the details.
#[derive(Debug)]
pub struct Error {
    /// The configured name.
    pub instance: String,
    pub endpoint: Endpoint,
    pub cause: Cause,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ask {} for {}: {}", self.instance, self.endpoint, self.cause)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&self.cause)
    }
}

impl Error {
    /// Whether the same question may be answered later without anybody's doing.
    pub fn is_transient(&self) -> bool {
        match &self.cause {
            Cause::Status { status, .. } | Cause::NotJson { status, .. } => {
                *status >= 500 || matches!(status, 408 | 425 | 429)
            }
            Cause::Shape { cut, .. } => *cut,
            Cause::Timeout { .. }
            | Cause::Connect { .. }
            | Cause::Tls { .. }
            | Cause::Broken { .. }
            | Cause::Paused { .. }
            | Cause::Tokens { .. } => true,
            Cause::Redirect { .. }
            | Cause::TooLarge { .. }
            | Cause::NoDate
            | Cause::OtherStates
            | Cause::SignInRefused { .. }
            | Cause::BadUuid
            | Cause::ReadOnly => false,
        }
    }

    /// How long nothing will be sent, if a pause is why.
    pub fn retry_after(&self) -> Option<Duration> {
        match self.cause {
            Cause::Paused { left, .. } => Some(left),
            _ => None,
        }
    }

    /// The metric's `code`: an HTTP status, or `timeout`, `connect`, `tls`,
    /// `decode`; `paused`, `refused` and `local` where nothing was sent.
    pub fn label(&self) -> Cow<'static, str> {
        self.cause.label()
    }

    /// The HTTP status, if PeerTube answered with one that is an error.
    pub fn status(&self) -> Option<u16> {
        match self.cause {
            Cause::Status { status, .. } => Some(status),
            _ => None,
        }
    }

    /// Whether the instance answered as one that is up: an HTTP status below 500
    /// in the expected form. A limit (429) comes as HTML from PeerTube itself.
    /// `None` if it was not asked at all, so nothing was learnt.
    pub fn reached(&self) -> Option<bool> {
        match &self.cause {
            cause if cause.is_short_of_files() => None,
            Cause::Status { status, told, .. } => {
                Some(*status == 429 || (*status < 500 && !matches!(told, Told::Foreign)))
            }
            Cause::Shape { .. } | Cause::TooLarge { .. } | Cause::NoDate | Cause::OtherStates => Some(true),
            Cause::Timeout { .. }
            | Cause::Connect { .. }
            | Cause::Tls { .. }
            | Cause::Broken { .. }
            | Cause::Redirect { .. }
            | Cause::NotJson { .. } => Some(false),
            Cause::SignInRefused { asked, .. } => asked.then_some(true),
            Cause::Paused { .. } | Cause::Tokens { .. } | Cause::BadUuid | Cause::ReadOnly => None,
        }
    }

    /// Whether PeerTube itself said that the account (or nobody's account) lacks
    /// the right. A proxy's refusal, which is no JSON, is none.
    pub fn is_forbidden(&self) -> bool {
        match &self.cause {
            Cause::Status { status: 403, told: Told::Problem { .. } } => true,
            Cause::Status { status: 401, told: Told::Problem { code } } => code.as_deref() != Some("invalid_token"),
            _ => false,
        }
    }

    /// Whether PeerTube itself said that it has no such route: its version is too old,
    /// or too new.
    pub fn is_unknown_route(&self) -> bool {
        match &self.cause {
            Cause::Status { status: 400, told } => *told == Told::Blank,
            Cause::Status { status: 404, told } => *told != Told::Foreign,
            _ => false,
        }
    }

    /// The refusal, if sign-in is refused until a person acts.
    pub fn refusal(&self) -> Option<&Refusal> {
        match &self.cause {
            Cause::SignInRefused { refusal, .. } => Some(refusal),
            _ => None,
        }
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    #[error("no complete answer within {limit:?}; look whether the instance, its database or its Redis hangs")]
    Timeout { limit: Duration },
    #[error("no connection ({reason}); look whether the instance runs and whether `url` or `connect` names it")]
    Connect { reason: String, source: reqwest::Error },
    #[error(
        "no secure connection ({reason}); look at the instance's certificate, and at this system's root certificates or `ca_file`"
    )]
    Tls { reason: String, source: reqwest::Error },
    #[error("the connection broke before the answer was complete ({reason})")]
    Broken { reason: String, source: reqwest::Error },
    #[error("answered {status}{told}; {}", advice(*status, told))]
    Status { status: u16, told: Told },
    #[error("answered with a redirect ({status}) to {to}, which is not followed; set `url` to PeerTube's own address")]
    Redirect { status: u16, to: String },
    #[error(
        "answered {status} with {content_type} where JSON was expected; look whether `url` is PeerTube's address and what a proxy before it does"
    )]
    NotJson { status: u16, content_type: String },
    #[error("the answer is longer than {limit} bytes; look whether `url` is PeerTube's address")]
    TooLarge { limit: usize },
    #[error("the answer is not what PeerTube is known to give ({reason}); look for a newer release of tubewarden")]
    Shape { reason: String, cut: bool },
    #[error("the answer holds jobs of other states than were asked for; look for a newer release of tubewarden")]
    OtherStates,
    #[error("the answer has no Date header, and the server's clock is needed; look for a proxy that takes it away")]
    NoDate,
    #[error("not asked: {why}, for another {left:.0?}")]
    Paused { left: Duration, why: Pause },
    /// `asked` tells whether the refusal was given just now.
    #[error("sign-in refused: {refusal}")]
    SignInRefused { refusal: Refusal, asked: bool },
    #[error("the kept tokens could not be read; look at the state store")]
    Tokens { source: HostError },
    #[error("not asked: what was given is no video's uuid")]
    BadUuid,
    #[error("not asked: the instance is read_only; set `read_only = false` for it to allow writes")]
    ReadOnly,
}

impl Cause {
    pub(super) fn label(&self) -> Cow<'static, str> {
        match self {
            Self::Timeout { .. } => "timeout".into(),
            Self::Connect { .. } | Self::Broken { .. } => "connect".into(),
            Self::Tls { .. } => "tls".into(),
            Self::NotJson { status, .. } if *status < 300 => "decode".into(),
            Self::Status { status, .. } | Self::Redirect { status, .. } | Self::NotJson { status, .. } => {
                status.to_string().into()
            }
            Self::TooLarge { .. } | Self::Shape { .. } | Self::NoDate | Self::OtherStates => "decode".into(),
            Self::Paused { .. } => "paused".into(),
            Self::SignInRefused { .. } => "refused".into(),
            Self::Tokens { .. } | Self::BadUuid | Self::ReadOnly => "local".into(),
        }
    }

    /// Whether the instance is down, so that asking again at once is useless.
    pub(super) fn is_down(&self) -> bool {
        match self {
            _ if self.is_short_of_files() => false,
            Self::Timeout { .. } | Self::Connect { .. } | Self::Tls { .. } | Self::Broken { .. } => true,
            Self::Status { status, .. } | Self::NotJson { status, .. } => *status >= 500,
            _ => false,
        }
    }

    /// This process can open no connection to anybody, which says nothing of the instance.
    fn is_short_of_files(&self) -> bool {
        use rustix::io::Errno;
        let first = std::error::Error::source(self);
        let codes = std::iter::successors(first, |error| error.source())
            .filter_map(|error| error.downcast_ref::<std::io::Error>()?.raw_os_error());
        let short = [Errno::MFILE, Errno::NFILE].map(Errno::raw_os_error);
        codes.into_iter().any(|code| short.contains(&code))
    }

    pub(super) fn is_invalid_token(&self) -> bool {
        matches!(self, Self::Status { status: 401, told } if told.code() == Some("invalid_token"))
    }
}

/// What the body of an HTTP error was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// Not PeerTube's JSON: a proxy's page, or the plain text of a limit.
    Foreign,
    /// The type of JSON, but empty or no object: so are unknown routes answered.
    Blank,
    /// PeerTube's own description.
    Problem { code: Option<String> },
}

impl Told {
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Problem { code } => code.as_deref(),
            Self::Foreign | Self::Blank => None,
        }
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code() {
            Some(code) => write!(f, " ({code})"),
            None => Ok(()),
        }
    }
}

/// Why nothing is sent for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pause {
    /// The instance is down.
    Down,
    /// The instance asked for it by `Retry-After`.
    Asked,
    /// There were as many sign-ins as we allow ourselves.
    SignIns,
    /// The instance calls one token after another invalid that it has just given.
    Renewals,
    /// The next one-time code is awaited.
    OneTimeCode,
}

impl fmt::Display for Pause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Down => "the instance is down and is left alone",
            Self::Asked => "the instance asked to be left alone (Retry-After)",
            Self::SignIns => "there were too many sign-ins lately",
            Self::Renewals => "it keeps refusing the tokens that it has just given",
            Self::OneTimeCode => "the one-time code was wrong and the next one is awaited",
        })
    }
}

/// A sign-in that only a person can help.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// PeerTube's code, or `forbidden_host`.
    pub code: String,
    /// What to do next.
    pub message: String,
}

impl Refusal {
    pub(super) fn new(code: &str, has_totp_secret: bool) -> Self {
        let message = match (code, has_totp_secret) {
            ("invalid_grant", _) => "wrong username or password; correct `username` and the password",
            ("account_waiting_for_approval", _) => "the account awaits approval; a moderator must accept it",
            ("access_denied", _) => "the account is blocked; an administrator must unblock it",
            ("missing_two_factor", false) => {
                "the account asks for a one-time code; set `totp_secret_file` or use an account without two-factor authentication"
            }
            ("missing_two_factor" | "invalid_two_factor", _) => {
                "the one-time code is wrong; correct the TOTP secret, and set both clocks right"
            }
            ("forbidden_host", _) => {
                "the instance has another host name; set `url` to its configured public address, and `connect` to where it is reached"
            }
            _ => {
                "the instance refuses sign-ins for a reason that is not known here; sign in by hand to see what it wants"
            }
        };
        Self { code: code.to_owned(), message: message.to_owned() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.code)
    }
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error("{key} must be http:// or https:// with a host, without user, query or fragment")]
    Address { key: &'static str },
    #[error("connect by https needs a host name in `url`, not an IP address: it is what the certificate is checked by")]
    NeedsName,
    #[error("the TOTP secret is no base32; copy it from where two-factor authentication was set up")]
    TotpSecret,
    #[error("ca_file holds something else than certificates; give it certificates in PEM")]
    Authorities,
    #[error("prepare connections; if no root certificates were found, install the package ca-certificates")]
    Transport { source: Box<dyn std::error::Error + Send + Sync> },
}

fn advice(status: u16, told: &Told) -> &'static str {
    match status {
        401 if told.code() == Some("invalid_token") => "the access token was not accepted, not even a new one",
        401 if told.code() == Some("unauthorized_request") => {
            "only an account with the right may ask this: set `username`"
        }
        401 | 403 => "the account lacks the right: jobs need an administrator, hidden videos a moderator",
        408 | 429 => "it was asked too often or is too busy",
        500.. => "the instance or the proxy before it failed: see its log",
        _ => "its version does not know this question",
    }
}
