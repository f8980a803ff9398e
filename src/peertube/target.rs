//! Where an instance is connected to, and as whose host. Whatever the address,
//! the `Host` header is the public one, for PeerTube checks sign-ins by it.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Certificate;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::HeaderValue;
use reqwest::redirect::Policy;
use url::{Host, Url};

use super::error::BuildError;
use super::options::Options;

/// PeerTube ends a connection after five idle seconds: end it before.
const POOL_IDLE: Duration = Duration::from_secs(4);
const CONNECT: Duration = Duration::from_secs(5);

/// The base of all addresses, the host to name there, and the client to ask with.
pub(super) struct Target {
    pub(super) base: Url,
    pub(super) host: HeaderValue,
    pub(super) http: reqwest::Client,
}

impl Target {
    pub(super) fn new(options: &Options) -> Result<Self, BuildError> {
        let host = public_host(&options.url).ok_or(BuildError::Address { key: "url" })?;
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("tubewarden/", env!("CARGO_PKG_VERSION"), " (monitor)"))
            .redirect(Policy::none())
            .referer(false)
            .http1_only()
            .connect_timeout(CONNECT.min(options.timeout))
            .pool_idle_timeout(POOL_IDLE);
        let mut base = options.url.clone();
        if let Some(connect) = &options.connect {
            public_host(connect).ok_or(BuildError::Address { key: "connect" })?;
            base = connect.clone();
            // An explicit place to connect to is not reached through a proxy.
            builder = builder.no_proxy();
            if base.scheme() == "https" {
                // The name in the address is what the certificate is checked by, so
                // it stays the public one, and only its resolution is replaced.
                let Some(Host::Domain(name)) = options.url.host() else { return Err(BuildError::NeedsName) };
                base.set_host(Some(name)).map_err(|_| BuildError::NeedsName)?;
                builder = builder.dns_resolver(Arc::new(Elsewhere::of(connect)));
            }
        }
        builder = if base.scheme() == "https" {
            // An error means that a provider is installed already, which is as good.
            let _installed = rustls::crypto::ring::default_provider().install_default();
            match &options.authorities {
                Some(pem) => {
                    let authorities =
                        Certificate::from_pem_bundle(pem.as_bytes()).map_err(|_| BuildError::Authorities)?;
                    builder.tls_certs_only(authorities)
                }
                None => builder,
            }
        } else {
            builder
                .tls_backend_preconfigured(no_tls().map_err(|source| BuildError::Transport { source: source.into() })?)
        };
        let http = builder.build().map_err(|source| match options.authorities {
            Some(_) if base.scheme() == "https" => BuildError::Authorities,
            _ => BuildError::Transport { source: source.into() },
        })?;
        Ok(Self { base, host, http })
    }
}

/// The value of the `Host` header: no port where it is the scheme's own. `None`
/// if the address is none of an instance.
fn public_host(url: &Url) -> Option<HeaderValue> {
    let plain = matches!(url.scheme(), "http" | "https")
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    let host = url.host_str().filter(|_| plain)?;
    let text = match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    };
    HeaderValue::from_str(&text).ok()
}

/// For plain HTTP: trusts nobody, so that a system without root certificates can
/// still watch an instance on its own host.
fn no_tls() -> Result<rustls::ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(builder.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth())
}

/// Resolves every name to the address of `connect`, at each connection anew.
#[derive(Debug)]
struct Elsewhere {
    host: String,
    port: u16,
}

impl Elsewhere {
    fn of(connect: &Url) -> Self {
        let host = match connect.host() {
            Some(Host::Domain(name)) => name.to_owned(),
            Some(Host::Ipv4(address)) => address.to_string(),
            Some(Host::Ipv6(address)) => address.to_string(),
            None => String::new(),
        };
        Self { host, port: connect.port_or_known_default().unwrap_or(0) }
    }
}

impl Resolve for Elsewhere {
    fn resolve(&self, _: Name) -> Resolving {
        let place = (self.host.clone(), self.port);
        Box::pin(async move {
            let addresses: Vec<_> = tokio::net::lookup_host(place).await?.collect();
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::event::Origin;

    fn options(url: &str, connect: Option<&str>) -> Options {
        let origin = Origin { name: "main".into(), url: url.into() };
        let connect = connect.map(|connect| connect.parse().unwrap());
        Options { connect, ..Options::new(origin, url.parse().unwrap()) }
    }

    fn target(url: &str, connect: Option<&str>) -> (String, String) {
        let target = Target::new(&options(url, connect)).unwrap();
        (target.base.to_string(), target.host.to_str().unwrap().to_owned())
    }

    #[test]
    fn the_host_is_the_public_one_wherever_the_connection_goes() {
        let pair = |base: &str, host: &str| (base.to_owned(), host.to_owned());
        assert_eq!(target("https://pt.example", None), pair("https://pt.example/", "pt.example"));
        assert_eq!(target("https://pt.example:443", None), pair("https://pt.example/", "pt.example"));
        assert_eq!(target("http://pt.example:9000/sub/", None), pair("http://pt.example:9000/sub/", "pt.example:9000"));
        assert_eq!(
            target("https://pt.example", Some("http://127.0.0.1:9000")),
            pair("http://127.0.0.1:9000/", "pt.example")
        );
        assert_eq!(
            target("https://pt.example:8443", Some("https://10.0.0.2:9443")),
            pair("https://pt.example:9443/", "pt.example:8443")
        );
    }

    #[test]
    fn addresses_that_are_none_of_an_instance_are_refused() {
        for url in
            ["ftp://pt.example", "https://me:secret@pt.example", "https://pt.example/?a=b", "https://pt.example/#a"]
        {
            let error = Target::new(&options(url, None)).err().unwrap();
            assert!(matches!(error, BuildError::Address { key: "url" }), "{url}");
            assert!(!error.to_string().contains("secret"));
        }
        let elsewhere = options("https://10.0.0.1", Some("https://10.0.0.2"));
        assert!(matches!(Target::new(&elsewhere), Err(BuildError::NeedsName)));
    }
}
