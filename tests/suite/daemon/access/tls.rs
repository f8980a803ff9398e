//! TLS: what is shown, that it is read again when it changes, and clients that must
//! show who they are.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::client::{Reply, ask, converse, request};
use super::{Guarded, LOCAL, guarded_at};
use crate::daemon::harness::{Home, eventually};

/// Who signs certificates.
pub(super) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key.
pub(super) struct Pair {
    cert: CertificateDer<'static>,
    cert_pem: String,
    key: KeyPair,
}

impl Authority {
    pub(super) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// For 127.0.0.1.
    pub(super) fn server(&self) -> Pair {
        let mut params = CertificateParams::default();
        params.subject_alt_names.push(SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)));
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.0).unwrap();
        Pair { cert: cert.der().clone(), cert_pem: cert.pem(), key }
    }

    fn builder(&self) -> rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert> {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        builder.with_root_certificates(roots)
    }

    /// A client that trusts it.
    pub(super) fn client(&self) -> TlsConnector {
        TlsConnector::from(Arc::new(self.builder().with_no_client_auth()))
    }

    /// One that also shows who it is.
    fn client_with(&self, pair: &Pair) -> TlsConnector {
        let key = PrivateKeyDer::try_from(pair.key.serialize_der()).unwrap();
        TlsConnector::from(Arc::new(self.builder().with_client_auth_cert(vec![pair.cert.clone()], key).unwrap()))
    }
}

impl Pair {
    pub(super) fn write(&self, home: &Home) {
        fs::write(home.file("cert.pem"), &self.cert_pem).unwrap();
        fs::write(home.file("key.pem"), self.key.serialize_pem()).unwrap();
    }
}

pub(super) async fn connect<IO: AsyncRead + AsyncWrite + Unpin>(
    connector: &TlsConnector,
    stream: IO,
) -> io::Result<TlsStream<IO>> {
    let name = ServerName::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST).into());
    connector.connect(name, stream).await
}

async fn get(address: SocketAddr, connector: &TlsConnector, path: &str) -> io::Result<Reply> {
    let stream = connect(connector, TcpStream::connect(address).await.unwrap()).await?;
    converse(stream, request("GET", path, "").as_bytes()).await
}

/// The certificate that is shown now.
async fn shown(daemon: &Guarded, connector: &TlsConnector) -> CertificateDer<'static> {
    let stream = connect(connector, TcpStream::connect(daemon.address).await.unwrap()).await.unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}

const TLS: &str = "tls_cert_file = \"cert.pem\"\ntls_key_file = \"key.pem\"\n";

async fn with_tls(pair: &Pair, more: &str) -> Guarded {
    let home = Home::new("");
    pair.write(&home);
    guarded_at(home, &format!("{LOCAL}{TLS}{more}")).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scrape_over_tls_is_answered_by_http_1_alone() {
    let authority = Authority::new("ours");
    let daemon = with_tls(&authority.server(), "bearer_token = \"0123456789abcdef\"\n").await;
    let connector = authority.client();
    get(daemon.address, &connector, "/-/healthy").await.unwrap().assert(200, "over TLS");
    get(daemon.address, &connector, "/metrics").await.unwrap().assert(401, "and still behind the token");

    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[version]).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(authority.0.der().clone()).unwrap();
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let stream = TcpStream::connect(daemon.address).await.unwrap();
        let stream = connect(&TlsConnector::from(Arc::new(config.clone())), stream).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"http/1.1".as_slice()));
        assert_eq!(stream.get_ref().1.protocol_version(), Some(version.version));
        config.alpn_protocols = vec![b"h2".to_vec()];
        let stream = TcpStream::connect(daemon.address).await.unwrap();
        let refused = connect(&TlsConnector::from(Arc::new(config)), stream).await;
        assert!(refused.is_err(), "HTTP/2 is not spoken");
    }
    let plain = ask(daemon.address, "GET", "/-/healthy", "").await;
    assert_eq!(plain.status, None, "{plain:?}");
    let stranger = Authority::new("theirs").client();
    assert!(get(daemon.address, &stranger, "/-/healthy").await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_are_read_again_and_a_wrong_pair_leaves_the_old_one() {
    let authority = Authority::new("ours");
    let (first, second, third) = (authority.server(), authority.server(), authority.server());
    let daemon = with_tls(&first, "").await;
    let connector = authority.client();
    assert_eq!(shown(&daemon, &connector).await, first.cert);

    second.write(&daemon.home);
    let now_shown = async |pair: &Pair| {
        let is_shown = async || (shown(&daemon, &connector).await == pair.cert).then_some(());
        eventually("the new certificate is shown", is_shown).await;
    };
    now_shown(&second).await;
    assert_eq!(daemon.told("the certificates have changed, and are shown").len(), 1);

    // A certificate without its key, then none at all.
    fs::write(daemon.home.file("cert.pem"), &third.cert_pem).unwrap();
    let wrong = "the certificates have changed and are wrong";
    let told = eventually("the wrong pair is told", async || daemon.told(wrong).into_iter().next()).await;
    assert!(told.contains("is not the key of the first certificate"), "{told}");
    assert_eq!(shown(&daemon, &connector).await, second.cert);
    fs::remove_file(daemon.home.file("key.pem")).unwrap();
    let again = async || (daemon.told(wrong).len() == 2).then_some(());
    eventually("another wrong pair is told", again).await;
    assert!(daemon.told(wrong)[1].contains("key.pem cannot be read"), "{:?}", daemon.told(wrong));
    assert_eq!(shown(&daemon, &connector).await, second.cert);

    // The key comes, and all is well; what was told once was told once.
    third.write(&daemon.home);
    now_shown(&third).await;
    assert_eq!(daemon.told(wrong).len(), 2);
    assert!(!daemon.program.words().contains("PRIVATE"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_shows_no_right_certificate_gets_no_word_where_one_is_asked_for() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let home = Home::new("");
    fs::write(home.file("ca.pem"), ours.0.pem()).unwrap();
    ours.server().write(&home);
    let daemon = guarded_at(home, &format!("{LOCAL}{TLS}tls_client_ca_file = \"ca.pem\"\n")).await;

    let right = ours.client_with(&ours.server());
    get(daemon.address, &right, "/metrics").await.unwrap().assert(200, "a right one");
    for (what, connector) in [("none", ours.client()), ("of another", ours.client_with(&theirs.server()))] {
        for path in ["/metrics", "/-/healthy"] {
            let refused = get(daemon.address, &connector, path).await;
            assert!(refused.as_ref().is_err() || refused.as_ref().is_ok_and(|reply| reply.status.is_none()), "{what}");
        }
    }
    let told = eventually("it is told", async || daemon.told("without a right certificate").into_iter().next()).await;
    assert!(told.contains("\"client\":\"127.0.0.1:"), "{told}");
    assert_eq!(daemon.told("without a right certificate").len(), 1);
}
