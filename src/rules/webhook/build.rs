//! From what the configuration says to a client and a request that only lacks its body.
//! All that can be wrong with a webhook is found here, and told by the name of its key.

use std::path::Path;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, ClientBuilder, Proxy};
use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;
use url::Url;

use super::Webhook;
use crate::config;
use crate::core::signing::SigningKey;
use crate::core::text::clean;

/// What is wrong with a webhook.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{key}: {problem}")]
pub struct WebhookError {
    /// Below `webhook`: `url`, `headers.Authorization`, …
    pub key: String,
    /// It shows no secret.
    pub problem: String,
}

fn wrong(key: impl Into<String>, problem: impl Into<String>) -> WebhookError {
    WebhookError { key: key.into(), problem: problem.into() }
}

const CONNECT: Duration = Duration::from_secs(5);
/// Many servers end a connection after five idle seconds: end it before.
const POOL_IDLE: Duration = Duration::from_secs(4);
/// A bundle of all the certificates of a system has some 250 KB.
const LARGEST_CA_FILE: u64 = 4 << 20;

impl Webhook {
    /// Makes the client once, for all tries.
    pub fn new(config: &config::Webhook, patience: &config::Patience) -> Result<Self, WebhookError> {
        let url = address("url", &config.url)?;
        let mut keys = Vec::new();
        for secret in &config.secrets {
            keys.push(SigningKey::parse(secret.expose_secret()).map_err(|problem| wrong("secret", problem))?);
        }
        let content_type = config.content_type.as_deref().map(|text| {
            let told = "is no content type; write one like application/json";
            HeaderValue::from_str(text).ok().filter(|_| text.contains('/')).ok_or_else(|| wrong("content_type", told))
        });
        Ok(Self {
            told: format!("{}://{}", url.scheme(), url.host_str().unwrap_or_default()),
            http: client(config, &url, patience.timeout)?,
            method: match config.method {
                config::Method::Post => reqwest::Method::POST,
                config::Method::Put => reqwest::Method::PUT,
                config::Method::Patch => reqwest::Method::PATCH,
            },
            content_type: content_type.transpose()?,
            headers: headers(&config.headers)?,
            timeout: patience.timeout,
            keys,
            url,
        })
    }
}

fn address(key: &str, text: &SecretString) -> Result<Url, WebhookError> {
    let url = Url::parse(text.expose_secret()).map_err(|error| {
        wrong(key, format!("is no address ({error}); write one like https://chat.example.com/hooks/…"))
    })?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong(key, "is neither http:// nor https://; write an address of one of them"));
    }
    Ok(url)
}

fn headers(given: &[(String, SecretString)]) -> Result<HeaderMap, WebhookError> {
    let mut all = HeaderMap::new();
    for (name, value) in given {
        let key = format!("headers.{}", clean(name, 100));
        let name = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| wrong(&key, "is no name of a header; write letters, digits and dashes"))?;
        if name == CONTENT_TYPE {
            return Err(wrong(key, "has a key of its own; write content_type instead"));
        }
        if config::is_reserved_header(name.as_str()) {
            return Err(wrong(key, "is set by tubewarden itself; leave it out"));
        }
        let mut value = HeaderValue::from_bytes(value.expose_secret().as_bytes())
            .map_err(|_| wrong(&key, "can't be the value of a header: it has a line end or a control character"))?;
        value.set_sensitive(true);
        if all.insert(name, value).is_some() {
            return Err(wrong(key, "stands there twice, for headers know no capitals; leave one out"));
        }
    }
    Ok(all)
}

fn client(config: &config::Webhook, url: &Url, timeout: Duration) -> Result<Client, WebhookError> {
    // An error means that a provider is installed already, which is as good.
    let _installed = rustls::crypto::ring::default_provider().install_default();
    let mut builder = Client::builder()
        .user_agent(concat!("tubewarden/", env!("CARGO_PKG_VERSION")))
        .redirect(Policy::none())
        .referer(false)
        .gzip(false)
        .http1_only()
        .no_proxy()
        .connect_timeout(CONNECT.min(timeout))
        .timeout(timeout)
        .pool_idle_timeout(POOL_IDLE);
    let mut uses_tls = url.scheme() == "https";
    if let Some(proxy) = &config.proxy {
        let proxy = address("proxy", proxy)?;
        uses_tls |= proxy.scheme() == "https";
        let proxy = Proxy::all(proxy).map_err(|_| wrong("proxy", "is no proxy; write http://host:port"))?;
        builder = builder.proxy(proxy);
    }
    builder = trust(builder, config.ca_file.as_deref(), uses_tls)?;
    builder.build().map_err(|_| match &config.ca_file {
        Some(_) if uses_tls => wrong("ca_file", "holds something else than certificates; give it certificates in PEM"),
        _ => wrong(
            "url",
            "https can't be prepared: no root certificates were found; install the package ca-certificates",
        ),
    })
}

fn trust(builder: ClientBuilder, ca_file: Option<&Path>, uses_tls: bool) -> Result<ClientBuilder, WebhookError> {
    let Some(path) = ca_file else {
        // What speaks plain HTTP alone works on a system without root certificates.
        return Ok(if uses_tls { builder } else { builder.tls_certs_only([]) });
    };
    let problem = |problem: &str| wrong("ca_file", format!("{} {problem}", path.display()));
    let size = path.metadata().map_err(|error| problem(&format!("can't be read: {error}")))?.len();
    if size > LARGEST_CA_FILE {
        return Err(problem("is larger than 4 MiB; give it the certificates alone"));
    }
    let pem = std::fs::read(path).map_err(|error| problem(&format!("can't be read: {error}")))?;
    match Certificate::from_pem_bundle(&pem) {
        Ok(certificates) if !certificates.is_empty() => Ok(builder.tls_certs_only(certificates)),
        _ => Err(problem("holds no certificate in PEM; it should have -----BEGIN CERTIFICATE-----")),
    }
}
