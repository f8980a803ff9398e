//! The barest of HTTP clients: it shows exactly what is on the wire, and hides no
//! broken connection.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use peertube_sim::Sim;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    /// The body as JSON, or as a string where it is none, as the recordings have it.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| Value::String(self.text()))
    }

    pub(crate) fn code(&self) -> Value {
        self.json()["code"].clone()
    }

    /// To compare with a recorded one.
    pub(crate) fn told(&self) -> (u16, String, Value) {
        (self.status, self.header("content-type").unwrap_or_default().to_owned(), self.json())
    }
}

/// A request, before it is sent.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    method: &'static str,
    target: String,
    headers: Vec<(&'static str, String)>,
    body: String,
}

impl Ask {
    pub(crate) fn get(target: &str) -> Self {
        let host = ("Host", "peertube.example.com".to_owned());
        Self { method: "GET", target: target.to_owned(), headers: vec![host], body: String::new() }
    }

    pub(crate) fn post(target: &str) -> Self {
        Self { method: "POST", ..Self::get(target) }
    }

    /// A form for `/users/token` with the client of the instance.
    pub(crate) fn token(sim: &Sim, fields: &str) -> Self {
        let client = sim.with(|world| {
            format!("client_id={}&client_secret={}", world.accounts.client_id, world.accounts.client_secret)
        });
        Self::form(&format!("{client}&{fields}"))
    }

    pub(crate) fn form(fields: &str) -> Self {
        Self { body: fields.to_owned(), ..Self::post("/api/v1/users/token") }
            .header("Content-Type", "application/x-www-form-urlencoded")
    }

    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.retain(|(key, _)| *key != name);
        self.headers.push((name, value.to_owned()));
        self
    }

    pub(crate) fn body(self, body: &str) -> Self {
        Self { body: body.to_owned(), ..self }
    }

    pub(crate) fn bearer(self, token: &str) -> Self {
        self.header("Authorization", &format!("Bearer {token}"))
    }

    pub(crate) async fn of(self, sim: &Sim) -> Reply {
        self.at(sim.address()).await.unwrap()
    }

    pub(crate) async fn at(self, address: SocketAddr) -> io::Result<Reply> {
        Connection::open(address).await?.ask(&self).await
    }
}

/// Signs in. Gives access and refresh token.
pub(crate) async fn sign_in(sim: &Sim, username: &str) -> (String, String) {
    let form = format!("grant_type=password&username={username}&password={username}-password");
    pair(&Ask::token(sim, &form).of(sim).await)
}

pub(crate) fn pair(reply: &Reply) -> (String, String) {
    let body = reply.json();
    assert_eq!(reply.status, 200, "{body}");
    let token = |name: &str| body[name].as_str().unwrap().to_owned();
    (token("access_token"), token("refresh_token"))
}

pub(crate) fn refresh(sim: &Sim, refresh_token: &str) -> Ask {
    Ask::token(sim, &format!("grant_type=refresh_token&refresh_token={refresh_token}"))
}

/// Kept alive between requests.
#[derive(Debug)]
pub(crate) struct Connection(TcpStream);

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> io::Result<Self> {
        TcpStream::connect(address).await.map(Self)
    }

    pub(crate) async fn ask(&mut self, ask: &Ask) -> io::Result<Reply> {
        let mut request = format!("{} {} HTTP/1.1\r\n", ask.method, ask.target);
        for (name, value) in &ask.headers {
            request += &format!("{name}: {value}\r\n");
        }
        request += &format!("Content-Length: {}\r\n\r\n{}", ask.body.len(), ask.body);
        self.0.write_all(request.as_bytes()).await?;
        tokio::time::timeout(Duration::from_secs(10), self.hear()).await?
    }

    async fn hear(&mut self) -> io::Result<Reply> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.0.read_u8().await?);
        }
        let head = String::from_utf8(head).unwrap();
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let length = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
        let mut body = vec![0; length.map_or(0, |(_, length)| length.parse().unwrap())];
        self.0.read_exact(&mut body).await?;
        Ok(Reply { status, headers, body })
    }

    /// Until the other side closes.
    pub(crate) async fn closed(&mut self) -> io::Result<usize> {
        tokio::time::timeout(Duration::from_secs(10), self.0.read(&mut [0])).await?
    }
}
