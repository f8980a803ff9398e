//! A client that says exactly what it is told to.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::daemon::harness::PATIENCE;

/// What was answered; all of it empty if the other side only hung up.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: Option<u16>,
    /// In lower case.
    pub(super) head: String,
    pub(super) body: String,
}

impl Reply {
    pub(super) fn of(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)).and_then(|code| code.parse().ok());
        Self { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
    }

    pub(super) fn assert(&self, status: u16, what: &str) {
        assert_eq!(self.status, Some(status), "{what}: {self:?}");
    }
}

/// Says this and reads until the other side closes, which it must do by itself.
pub(super) async fn say(address: SocketAddr, bytes: &[u8]) -> Reply {
    let stream = TcpStream::connect(address).await.unwrap();
    // One that is cut may be told as an error.
    converse(stream, bytes).await.unwrap_or_else(|_| Reply::of(b""))
}

/// The same over any stream.
pub(super) async fn converse(mut stream: impl AsyncRead + AsyncWrite + Unpin, bytes: &[u8]) -> io::Result<Reply> {
    let mut answer = Vec::new();
    let talk = async {
        // What was answered before it was all said counts.
        let said = stream.write_all(bytes).await;
        let _ = stream.flush().await;
        let read = stream.read_to_end(&mut answer).await;
        said.and(read.map(drop))
    };
    let talked = timeout(PATIENCE, talk).await.unwrap_or_else(|_| panic!("the server does not close"));
    if answer.is_empty() { talked.map(|()| Reply::of(b"")) } else { Ok(Reply::of(&answer)) }
}

/// A request with these lines of headers, on a connection of its own.
pub(super) async fn ask(address: SocketAddr, method: &str, path: &str, headers: &str) -> Reply {
    say(address, request(method, path, headers).as_bytes()).await
}

pub(super) fn request(method: &str, path: &str, headers: &str) -> String {
    let has_host = headers.lines().any(|line| line.to_ascii_lowercase().starts_with("host:"));
    let host = if has_host { "" } else { "Host: localhost\r\n" };
    format!("{method} {path} HTTP/1.1\r\n{host}{headers}Connection: close\r\n\r\n")
}

/// A line with a user and a password.
pub(super) fn basic(user: &str, password: &str) -> String {
    use base64::Engine;
    let pair = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
    format!("Authorization: Basic {pair}\r\n")
}
