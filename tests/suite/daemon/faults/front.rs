//! What stands before an instance and fails as only sockets can: TLS with a wrong
//! certificate, answers that never end, headers and bodies that come byte by byte.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nDate: Tue, 24 Nov 2026 03:00:00 GMT\r\n";
/// What an endless answer would send if it was read.
pub(super) const ENDLESS: u64 = 1 << 30;

/// What becomes of connections, also of those that stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Face {
    Plain,
    /// With this certificate.
    Tls(&'static str),
    /// A gibibyte of JSON.
    Endless,
    SlowHeaders,
    SlowBody,
    /// Of another protocol.
    NoHttp,
}

pub(crate) fn tls_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/tls").join(name)
}

/// Ends with all its connections when it is dropped.
pub(super) struct Front {
    address: SocketAddr,
    upstream: Arc<Mutex<SocketAddr>>,
    face: watch::Sender<Face>,
    sent: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Front {
    pub(super) async fn start(upstream: SocketAddr, face: Face) -> Self {
        // An error says that another test has installed it already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (face, seen) = watch::channel(face);
        let sent = Arc::new(AtomicU64::new(0));
        let upstream = Arc::new(Mutex::new(upstream));
        let (counted, leads_to) = (sent.clone(), upstream.clone());
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (mut seen, sent) = (seen.clone(), counted.clone());
                let leads_to = leads_to.clone();
                tokio::spawn(async move {
                    let face = *seen.borrow_and_update();
                    let upstream = *leads_to.lock().unwrap();
                    tokio::select! {
                        _ = carry(client, upstream, face, &sent) => {}
                        _ = seen.changed() => {}
                    }
                });
            }
        });
        Self { address, upstream, face, sent, task }
    }

    pub(super) fn port(&self) -> u16 {
        self.address.port()
    }

    pub(super) fn set(&self, face: Face) {
        self.face.send_replace(face);
    }

    /// From now on another server stands behind it.
    pub(super) fn lead_to(&self, upstream: SocketAddr) {
        *self.upstream.lock().unwrap() = upstream;
        self.face.send_modify(|_| {});
    }

    /// Bytes of endless answers that were taken.
    pub(super) fn sent(&self) -> u64 {
        self.sent.load(Ordering::SeqCst)
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn carry(mut client: TcpStream, upstream: SocketAddr, face: Face, sent: &AtomicU64) -> std::io::Result<()> {
    match face {
        Face::Plain => {
            copy_bidirectional(&mut client, &mut TcpStream::connect(upstream).await?).await?;
        }
        Face::Tls(certificate) => {
            let mut client = acceptor(certificate).accept(client).await?;
            copy_bidirectional(&mut client, &mut TcpStream::connect(upstream).await?).await?;
        }
        Face::Endless => {
            asked(&mut client).await?;
            client.write_all(format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n").as_bytes()).await?;
            let piece = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
            while sent.load(Ordering::SeqCst) < ENDLESS {
                client.write_all(piece.as_bytes()).await?;
                sent.fetch_add(0x10000, Ordering::SeqCst);
            }
        }
        Face::SlowHeaders => {
            asked(&mut client).await?;
            byte_by_byte(&mut client, HEAD).await?;
        }
        Face::SlowBody => {
            asked(&mut client).await?;
            client.write_all(format!("{HEAD}Content-Length: 1000\r\n\r\n").as_bytes()).await?;
            byte_by_byte(&mut client, &" ".repeat(1000)).await?;
        }
        Face::NoHttp => {
            asked(&mut client).await?;
            client.write_all(b"\x00\xffSSH-2.0-OpenSSH_9.2p1\r\n\r\n").await?;
        }
    }
    Ok(())
}

/// Reads the head of a request.
async fn asked(client: &mut TcpStream) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await?);
    }
    Ok(())
}

async fn byte_by_byte(client: &mut TcpStream, text: &str) -> std::io::Result<()> {
    for byte in text.bytes() {
        client.write_u8(byte).await?;
        client.flush().await?;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

fn acceptor(certificate: &str) -> TlsAcceptor {
    let certificate = CertificateDer::from_pem_file(tls_file(certificate)).unwrap();
    let key = PrivateKeyDer::from_pem_file(tls_file("server.key")).unwrap();
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate], key).unwrap();
    TlsAcceptor::from(Arc::new(config))
}
