//! Certificates and keys, as files in PEM, made into what the listener speaks TLS with.
//! What is wrong is told by the file that it is wrong with, and never shows its content.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{Error, RootCertStore, ServerConfig};
use secrecy::{ExposeSecret, SecretSlice};

/// A bundle of all the certificates of a system has some 250 KB.
const LARGEST: u64 = 4 << 20;

/// Where they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The certificate, and those between it and one that clients know.
    pub cert: PathBuf,
    pub key: PathBuf,
    /// Who signs the certificates of clients; with it, no client without one is let in.
    pub client_ca: Option<PathBuf>,
}

/// Which of the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Cert,
    Key,
    ClientCa,
}

/// What is wrong with one of the files.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} {problem}", .path.display())]
pub struct CertificatesError {
    pub part: Part,
    path: PathBuf,
    problem: String,
}

/// Reads the files anew. TLS 1.2 and 1.3, and over them HTTP/1.1 alone.
pub fn load(files: &Files) -> Result<Arc<ServerConfig>, CertificatesError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let certificate = certificate(files, &provider)?;
    let builder = ServerConfig::builder_with_provider(provider.clone());
    let builder = builder
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(Part::Cert, &files.cert, format!("cannot be used: {error}")))?;
    let builder = match &files.client_ca {
        Some(path) => builder.with_client_cert_verifier(verifier(path, provider)?),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(certificate)));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn certificate(files: &Files, provider: &CryptoProvider) -> Result<CertifiedKey, CertificatesError> {
    let chain = certificates(Part::Cert, &files.cert)?;
    let wrong_key = |problem: String| wrong(Part::Key, &files.key, problem);
    let key = private_key(&files.key).map_err(wrong_key)?;
    let key = provider.key_provider.load_private_key(key).map_err(|_| {
        wrong_key("holds a key that cannot be used; write one of ECDSA, Ed25519, or RSA of at least 2048 bits".into())
    })?;
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        Ok(()) => Ok(certified),
        Err(Error::InconsistentKeys(_)) => {
            Err(wrong_key(format!("is not the key of the first certificate in {}", files.cert.display())))
        }
        Err(error) => {
            Err(wrong(Part::Cert, &files.cert, format!("begins with a certificate that cannot be used: {error}")))
        }
    }
}

fn verifier(path: &Path, provider: Arc<CryptoProvider>) -> Result<Arc<dyn ClientCertVerifier>, CertificatesError> {
    let wrong_ca = |error: &dyn std::error::Error| {
        wrong(Part::ClientCa, path, format!("holds a certificate that cannot be used: {error}"))
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(Part::ClientCa, path)? {
        roots.add(certificate).map_err(|error| wrong_ca(&error))?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    verifier.build().map_err(|error| wrong_ca(&error))
}

/// At least one.
fn certificates(part: Part, path: &Path) -> Result<Vec<CertificateDer<'static>>, CertificatesError> {
    let bytes = read(path).map_err(|problem| wrong(part, path, problem))?;
    let all: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(&bytes).collect();
    // The error of the parser is dropped on purpose: it may hold a line of the file.
    let all = all.map_err(|_| wrong(part, path, "is spoilt or cut off: it is no whole PEM".to_owned()))?;
    if all.is_empty() {
        let problem = "holds no certificate in PEM, which begins with -----BEGIN CERTIFICATE-----";
        return Err(wrong(part, path, problem.to_owned()));
    }
    Ok(all)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    let bytes = SecretSlice::from(read(path)?);
    let bytes = bytes.expose_secret();
    if bytes.windows(9).any(|word| word == b"ENCRYPTED") {
        return Err("holds a key under a passphrase; take that off: openssl pkey -in OLD -out NEW".to_owned());
    }
    PrivateKeyDer::from_pem_slice(bytes).map_err(|error| match error {
        pem::Error::NoItemsFound => "holds no private key in PEM, such as -----BEGIN PRIVATE KEY-----".to_owned(),
        _ => "is spoilt or cut off: it is no whole PEM".to_owned(),
    })
}

/// The error goes on after the file's name.
fn read(path: &Path) -> Result<Vec<u8>, String> {
    let cannot = |error: io::Error| format!("cannot be read: {error}");
    let mut bytes = Vec::new();
    File::open(path).map_err(cannot)?.take(LARGEST + 1).read_to_end(&mut bytes).map_err(cannot)?;
    if bytes.len() as u64 > LARGEST {
        return Err(format!("is longer than {} KiB, the most that is read", LARGEST / 1024));
    }
    Ok(bytes)
}

fn wrong(part: Part, path: &Path, problem: String) -> CertificatesError {
    CertificatesError { part, path: path.to_owned(), problem }
}
