//! What a rule or schedule does, as plain data: who parses it has checked it. A value
//! that may be a secret is never shown.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

/// How long to wait for an action, and how often to try it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patience {
    /// For one try as a whole.
    pub timeout: Duration,
    /// The first pause, then doubled.
    pub backoff: Duration,
    pub max_backoff: Duration,
    /// After it a delivery is a dead letter.
    pub give_up: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(15),
            backoff: Duration::from_secs(5),
            max_backoff: Duration::from_secs(600),
            give_up: Duration::from_secs(86_400),
        }
    }
}

/// `webhook`: an HTTP request.
#[derive(Debug, Clone)]
pub struct Webhook {
    /// `url` or `url_file`. Whoever knows it may often post by it.
    pub url: SecretString,
    pub method: Method,
    /// `None` for that of a CloudEvent, or of a batch of them.
    pub content_type: Option<String>,
    pub headers: Vec<(String, SecretString)>,
    /// `secret` or `secret_file`: what the request is signed with, as Standard Webhooks
    /// has it. Several while receivers go over to a new one; without any, it is not signed.
    pub secrets: Vec<SecretString>,
    /// Certificates in PEM that are trusted instead of the system's. Absolute.
    pub ca_file: Option<PathBuf>,
    /// An http or https proxy, which may hold a user and a password. The variables of
    /// the environment are never asked for one.
    pub proxy: Option<SecretString>,
}

/// Whether a header, in lower case, belongs to the connection or to Standard Webhooks,
/// and so is no rule's to set.
pub fn is_reserved_header(name: &str) -> bool {
    const OF_THE_CONNECTION: [&str; 9] = [
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    name.starts_with("webhook-") || OF_THE_CONNECTION.contains(&name)
}

impl Webhook {
    /// A POST without anything but its address.
    pub fn new(url: SecretString) -> Self {
        Self {
            url,
            method: Method::default(),
            content_type: None,
            headers: Vec::new(),
            secrets: Vec::new(),
            ca_file: None,
            proxy: None,
        }
    }
}

impl PartialEq for Webhook {
    fn eq(&self, other: &Self) -> bool {
        fn told<'a>(secrets: impl IntoIterator<Item = &'a SecretString>) -> Vec<&'a str> {
            secrets.into_iter().map(ExposeSecret::expose_secret).collect()
        }
        let Self { url, method, content_type, headers, secrets, ca_file, proxy } = self;
        let names =
            |headers: &[(String, SecretString)]| headers.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        told([url]) == told([&other.url])
            && (method, content_type, ca_file) == (&other.method, &other.content_type, &other.ca_file)
            && names(headers) == names(&other.headers)
            && told(headers.iter().map(|(_, value)| value)) == told(other.headers.iter().map(|(_, value)| value))
            && told(secrets) == told(&other.secrets)
            && told(proxy) == told(&other.proxy)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Method {
    #[default]
    Post,
    Put,
    Patch,
}

/// `exec`: a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exec {
    /// The program and its arguments, never empty. A program without a slash is sought
    /// in `PATH`.
    pub command: Vec<String>,
}
