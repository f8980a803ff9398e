//! The configuration: the TOML as written in, a [`Config`] that cannot be wrong out.
//! Everything is parsed, resolved and bounded at load, or told as an error with its
//! file, line and key; neither an error nor `Debug` ever shows a secret.

mod action;
mod error;
mod include;
mod load;
mod rule;
mod secret;
mod section;
mod source;
mod value;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::certificates;
use crate::core::cron::Cron;
use crate::core::event::Origin;
use crate::core::glob::Globs;
pub use crate::core::job_sync::{Policy as JobsPolicy, StuckActive};
use crate::core::poll::PollKind;
pub use crate::core::video::Scope;

pub use action::{Exec, Method, Patience, Webhook, is_reserved_header};
pub use error::{ConfigError, ConfigErrors};
pub use rule::{Action, Does, Rule, Schedule, ScriptAction};

/// Where the configuration is when nobody says otherwise.
pub const DEFAULT_PATH: &str = "/etc/tubewarden/config.toml";

/// The whole configuration, included files and all.
#[derive(Debug, Clone)]
pub struct Config {
    pub server: Server,
    pub state: State,
    pub log: Log,
    pub jobs: JobsPolicy,
    pub videos: VideosPolicy,
    /// At least one. Those of the main file come first, then those of the included
    /// files in the order of `include`, a pattern's files by name.
    pub instances: Vec<Instance>,
    /// In the same order.
    pub rules: Vec<Rule>,
    pub schedules: Vec<Schedule>,
    /// Files with secrets that everybody on this system may read, which is told.
    pub exposed: Vec<PathBuf>,
}

impl Config {
    /// Reads the file and what it includes. A relative path in a file is relative to
    /// the directory of that file. `env` gives the variables of the environment:
    /// those that a secret names as `${NAME}`, and `CREDENTIALS_DIRECTORY`.
    pub fn load(path: &Path, secrets: Secrets, env: &dyn Fn(&str) -> Option<String>) -> Result<Self, ConfigErrors> {
        load::load(path, &secret::Vault::new(secrets, env))
    }
}

/// Whether secrets are wanted: what only reads the state store needs none, and may
/// be run by somebody who can't read them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secrets {
    Read,
    /// No secret is looked up, so no instance has an account.
    Skip,
}

/// `[server]`: what tubewarden itself serves, and to whom.
#[derive(Debug, Clone)]
pub struct Server {
    /// The address and port of `/metrics` and the health pages. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// `tls_cert_file`, `tls_key_file`, `tls_client_ca_file`, absolute; without them, plain
    /// HTTP. Known to fit, unless loaded with [`Secrets::Skip`].
    pub tls: Option<certificates::Files>,
    /// `basic_auth`: users with bcrypt hashes of their passwords, of a cost from 10 to 14.
    pub users: BTreeMap<String, SecretString>,
    /// `bearer_token` or `bearer_token_file`: at least 16 characters.
    pub bearer_token: Option<SecretString>,
    /// Whether the health pages ask for credentials too.
    pub protect_health: bool,
    /// By which names it may be spoken to, in lower case; `*` for all, none for the default.
    pub hosts: Vec<String>,
    /// Whether the configuration may be read anew by `/-/reload`; only if clients must
    /// show who they are.
    pub reload: bool,
}

impl PartialEq for Server {
    fn eq(&self, other: &Self) -> bool {
        let Self { listen, tls, users, bearer_token, protect_health, hosts, reload } = self;
        let token = |token: &Option<SecretString>| token.as_ref().map(|token| token.expose_secret().to_owned());
        let all = |users: &BTreeMap<String, SecretString>| {
            users.iter().map(|(user, hash)| (user.clone(), hash.expose_secret().to_owned())).collect::<Vec<_>>()
        };
        (listen, tls, protect_health, hosts, reload)
            == (&other.listen, &other.tls, &other.protect_health, &other.hosts, &other.reload)
            && all(users) == all(&other.users)
            && token(bearer_token) == token(&other.bearer_token)
    }
}

impl Server {
    /// Whether a client must show who it is.
    pub fn asks_who(&self) -> bool {
        self.has_credentials() || self.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some())
    }

    /// What is allowed, and perhaps not meant.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.is_local() {
            return warnings;
        }
        if !self.asks_who() {
            warnings.push(format!(
                "server.listen: whoever reaches {} reads all of it; \
                 write basic_auth, bearer_token or tls_client_ca_file, or listen on 127.0.0.1",
                self.listen
            ));
        } else if self.has_credentials() && self.tls.is_none() {
            warnings.push(format!(
                "server.listen: passwords and tokens come to {} unencrypted; write tls_cert_file and tls_key_file",
                self.listen
            ));
        }
        warnings
    }

    /// Whether only this machine can reach it.
    pub fn is_local(&self) -> bool {
        self.listen.ip().to_canonical().is_loopback()
    }

    fn has_credentials(&self) -> bool {
        !self.users.is_empty() || self.bearer_token.is_some()
    }
}

/// `[state]`: what outlives the process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// The SQLite file, absolute; created if missing. Written as
    /// `url = "sqlite:///absolute/path"` or `"sqlite://path/relative/to/this/file"`.
    pub path: PathBuf,
    /// How long the history of events is kept: one hour to ten years.
    pub keep_events: Duration,
}

/// `[log]`: what is written to standard error, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct Log {
    pub format: LogFormat,
    /// `level`: `error`, `warn`, `info`, `debug` or `trace`, or a filter of the
    /// tracing crate such as `info,tubewarden::peertube=debug`. Known to parse as one.
    pub filter: String,
    /// Which types of events are written to the log, at info.
    pub events: Globs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    /// One object a line.
    Json,
}

/// `[videos]`: which videos are watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VideosPolicy {
    pub scope: Scope,
}

/// `[[instance]]`: one PeerTube server that is watched.
#[derive(Debug, Clone, PartialEq)]
pub struct Instance {
    /// `name`, the label `peertube_instance`: unique, of letters, digits, `_`, `.` and
    /// `-`, at most 64; and its address without a slash at the end.
    pub origin: Origin,
    /// The public address, http or https, with a slash at the end, so that
    /// `url.join("api/v1/jobs")` stays below a path that it may have.
    pub url: Url,
    /// Where to connect instead, still speaking as the host of `url`. Ends with a slash.
    pub connect: Option<Url>,
    /// `ca_file`, read: the certificates in PEM that alone are trusted instead of the
    /// system's. At least one, each of the right form.
    pub authorities: Option<String>,
    /// Who is to sign in; known with [`Secrets::Skip`] too.
    pub username: Option<String>,
    /// Without one, only what anyone may see is watched. Always absent with [`Secrets::Skip`].
    pub account: Option<Account>,
    /// The longest that one request may take: a second to ten minutes.
    pub timeout: Duration,
    /// Missed polls, one after another, before the instance is told to be down: 1 to 1000.
    pub down_after: u32,
    /// Whether nothing but GET and the token endpoints may be asked.
    pub read_only: bool,
    /// How often it is polled: `[instance.poll]`, else `[poll]`.
    pub polls: Polls,
}

/// Who to sign in as.
#[derive(Debug, Clone)]
pub struct Account {
    pub username: String,
    /// `password` or `password_file`. Never empty.
    pub password: SecretString,
    /// `totp_secret` or `totp_secret_file`, for an account with two-factor
    /// authentication: base32, upper case, at least 16 characters, no padding.
    pub totp: Option<SecretString>,
}

impl PartialEq for Account {
    fn eq(&self, other: &Self) -> bool {
        let totp = |account: &Self| account.totp.as_ref().map(|totp| totp.expose_secret().to_owned());
        self.username == other.username
            && self.password.expose_secret() == other.password.expose_secret()
            && totp(self) == totp(other)
    }
}

/// `[poll]`: when each kind of poll runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Polls([When; PollKind::ALL.len()]);

impl Polls {
    pub fn when(&self, kind: PollKind) -> &When {
        &self.0[kind as usize]
    }
}

impl Default for Polls {
    fn default() -> Self {
        let seconds = |kind| match kind {
            PollKind::Jobs => 30,
            PollKind::Videos | PollKind::Runners => 60,
            PollKind::VideosFull => 3600,
            PollKind::Moderation => 120,
            PollKind::Config => 900,
            PollKind::Stats => 3600,
        };
        Self(PollKind::ALL.map(|kind| When::Every(Duration::from_secs(seconds(kind)))))
    }
}

/// When something recurs.
#[derive(Debug, Clone, PartialEq)]
pub enum When {
    /// Whole seconds, one second to 30 days.
    Every(Duration),
    /// `{ cron = "0 */5 * * * *", timezone = "Europe/Paris" }`, the time zone UTC unless given.
    Cron(Cron),
}
