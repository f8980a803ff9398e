//! By which names we are spoken to, and by which pages. A page of a stranger can make a
//! name of its own mean our address and then read our answers as its own: its browser
//! still says that name. It can't do so with an address, so addresses are always right.

use std::net::IpAddr;

use axum::extract::Request;
use axum::http::uri::Authority;
use axum::http::{Method, StatusCode, Version, header};

use super::Refusal;

/// The names that are right.
#[derive(Debug)]
pub(super) enum Hosts {
    Any,
    Named(Vec<String>),
}

impl Hosts {
    pub(super) fn any() -> Self {
        Self::Any
    }

    pub(super) fn local() -> Self {
        Self::Named(Vec::new())
    }

    pub(super) fn named(names: &[String]) -> Self {
        if names.iter().any(|name| name == "*") { Self::Any } else { Self::Named(names.to_vec()) }
    }

    /// The name in the target, if it has one, counts beside that of the header.
    pub(super) fn check(&self, request: &Request) -> Result<(), Refusal> {
        let bad = |words| Err(Refusal::new(StatusCode::BAD_REQUEST, words));
        let mut headers = request.headers().get_all(header::HOST).iter();
        let header = match (headers.next(), headers.next()) {
            (Some(one), None) => Some(one),
            (None, None) if request.version() < Version::HTTP_11 => None,
            (None, None) => return bad("a request needs a Host\n"),
            (_, Some(_)) => return bad("a request has one Host\n"),
        };
        let header = match header.map(|host| Authority::try_from(host.as_bytes())) {
            Some(Ok(host)) => Some(host),
            // Old clients send none to a server that has no name.
            None => None,
            Some(Err(_)) => return bad("the Host is no name of a host\n"),
        };
        for authority in header.iter().chain(request.uri().authority()) {
            if authority.as_str().contains('@') {
                return bad("the Host is no name of a host\n");
            }
            if !self.has(authority.host()) {
                return Err(Refusal::new(
                    StatusCode::MISDIRECTED_REQUEST,
                    "this is not the host of that name; if it is, write the name to [server] hosts\n",
                ));
            }
        }
        Ok(())
    }

    fn has(&self, host: &str) -> bool {
        let Self::Named(names) = self else { return true };
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(&host);
        address.parse::<IpAddr>().is_ok()
            || host == "localhost"
            || host.ends_with(".localhost")
            || names.contains(&host)
    }
}

/// A browser adds the credentials that it knows to whatever any page makes it send. So
/// what changes something is only taken from our own pages, and from what is no browser.
pub(super) fn check_origin(request: &Request) -> Result<(), Refusal> {
    if [Method::GET, Method::HEAD].contains(request.method()) {
        return Ok(());
    }
    let text = |name| request.headers().get(name).map(|value| value.to_str().unwrap_or("?"));
    let is_ours = match (text(header::HeaderName::from_static("sec-fetch-site")), text(header::ORIGIN)) {
        (Some(site), _) => ["same-origin", "none"].contains(&site),
        (None, Some(origin)) => {
            let host = origin.split_once("://").map(|(_, host)| host);
            host.is_some() && host == text(header::HOST)
        }
        (None, None) => true,
    };
    if is_ours { Ok(()) } else { Err(Refusal::new(StatusCode::FORBIDDEN, "this is not for other sites to ask\n")) }
}
