//! Who is let in. Nothing is reached that is not behind this, new routes included: only
//! the health pages may be left open.

mod credentials;
mod host;
mod passwords;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use self::credentials::{Login, Token};
use self::host::Hosts;
use self::passwords::{Passwords, Verdict};
use super::harden::harden;
use super::seldom::Seldom;
use crate::config;

/// The pages that are open unless `protect_health` says otherwise.
const HEALTH: [&str; 2] = ["/-/healthy", "/-/ready"];

/// From where a connection comes; each request of it has this in its extensions.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub(super) SocketAddr);

/// What clients must show.
#[derive(Debug)]
pub(super) struct Access {
    hosts: Hosts,
    passwords: Passwords,
    token: Option<Token>,
    protect_health: bool,
    refused: Seldom,
}

impl Access {
    pub(super) fn new(server: &config::Server) -> Self {
        // Names that mislead a browser matter where it needs nothing else to be let in.
        let default = if server.is_local() && !server.asks_who() { Hosts::local() } else { Hosts::any() };
        let hosts = if server.hosts.is_empty() { default } else { Hosts::named(&server.hosts) };
        Self {
            hosts,
            passwords: Passwords::new(&server.users),
            token: server.bearer_token.as_ref().map(Token::new),
            protect_health: server.protect_health,
            refused: Seldom::default(),
        }
    }

    /// Whoever comes is let in, by whatever name.
    pub(super) fn open_to_all() -> Self {
        Self {
            hosts: Hosts::any(),
            passwords: Passwords::new(&BTreeMap::new()),
            token: None,
            protect_health: false,
            refused: Seldom::default(),
        }
    }

    /// What must be looked at before a request goes on, if something must.
    fn check(&self, request: &Request) -> Result<Option<Login>, Refusal> {
        self.hosts.check(request)?;
        host::check_origin(request)?;
        let is_open = !self.protect_health && HEALTH.contains(&request.uri().path());
        let asks_nobody = self.passwords.is_empty() && self.token.is_none();
        Ok((!is_open && !asks_nobody).then(|| Login::of(request.headers())))
    }

    async fn admit(&self, login: Login, client: Option<Peer>) -> Result<(), Refusal> {
        match self.judge(login).await {
            Verdict::Right => Ok(()),
            Verdict::Busy => Err(Refusal::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "too many passwords wait to be looked at; try again in a second\n",
            )),
            Verdict::Absent => Err(self.unauthorized("credentials are needed here\n")),
            Verdict::Wrong => {
                // Never what was shown: it may be a password that belongs elsewhere.
                if let Some(times) = self.refused.now() {
                    let client = client.map(|Peer(address)| address.to_string());
                    tracing::warn!(
                        client,
                        times,
                        "wrong credentials for the HTTP listener; told once a minute at most"
                    );
                }
                Err(self.unauthorized("the credentials are wrong\n"))
            }
        }
    }

    async fn judge(&self, login: Login) -> Verdict {
        match login {
            Login::Absent => Verdict::Absent,
            Login::Basic { user, password } if !self.passwords.is_empty() => {
                self.passwords.check(&user, password).await
            }
            Login::Bearer(token) if self.token.as_ref().is_some_and(|expected| expected.is(&token)) => Verdict::Right,
            Login::Basic { .. } | Login::Bearer(_) | Login::Unknown => Verdict::Wrong,
        }
    }

    fn unauthorized(&self, words: &'static str) -> Refusal {
        let mut refusal = Refusal::new(StatusCode::UNAUTHORIZED, words);
        let basic = (!self.passwords.is_empty()).then_some(r#"Basic realm="tubewarden", charset="UTF-8""#);
        let bearer = self.token.is_some().then_some(r#"Bearer realm="tubewarden""#);
        refusal.challenges = basic.into_iter().chain(bearer).collect();
        refusal
    }
}

/// Why a request is not answered as it wishes.
#[derive(Debug)]
struct Refusal {
    status: StatusCode,
    words: &'static str,
    challenges: Vec<&'static str>,
}

impl Refusal {
    fn new(status: StatusCode, words: &'static str) -> Self {
        Self { status, words, challenges: Vec::new() }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (self.status, self.words).into_response();
        for challenge in self.challenges {
            response.headers_mut().append(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// Stands before all routes.
pub(super) async fn guard(State(access): State<Arc<Access>>, request: Request, next: Next) -> Response {
    let client = request.extensions().get().copied();
    let admitted = match access.check(&request) {
        Ok(None) => Ok(()),
        Ok(Some(login)) => access.admit(login, client).await,
        Err(refusal) => Err(refusal),
    };
    let mut response = match admitted {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    };
    harden(response.headers_mut());
    response
}

#[cfg(test)]
mod tests;
