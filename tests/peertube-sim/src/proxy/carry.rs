//! One connection, carried between a client and the upstream. It obeys the mode of the
//! moment, and ends when either side does.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;

use super::{KeepAlive, Mode, Shared, lock};

const PIECE: usize = 16 * 1_024;

pub(super) async fn carry(client: TcpStream, shared: Arc<Shared>, mode: watch::Receiver<Mode>) {
    let mut connection = Connection {
        client,
        shared,
        mode,
        last_said: Instant::now(),
        used: false,
        waits: false,
        doomed: false,
        head: Head::default(),
    };
    // However it ends, there is nobody to tell.
    if let Ok(End::Reset) | Err(_) = connection.run().await {
        let _ = connection.client.set_zero_linger();
    }
}

enum End {
    /// As a peer that has done with it.
    Closed,
    /// As a peer that is gone.
    Reset,
}

struct Connection {
    client: TcpStream,
    shared: Arc<Shared>,
    mode: watch::Receiver<Mode>,
    last_said: Instant,
    /// Whether anything was asked yet.
    used: bool,
    /// For a reply: such a connection is not idle, however long it takes.
    waits: bool,
    /// The reply to come is thrown away.
    doomed: bool,
    head: Head,
}

impl Connection {
    async fn run(&mut self) -> io::Result<End> {
        if self.mode() == Mode::Reset {
            return Ok(End::Reset);
        }
        let mut upstream = TcpStream::connect(self.shared.upstream).await?;
        let (mut asked, mut answered) = (vec![0; PIECE], vec![0; PIECE]);
        loop {
            let idle_until = self.closes_at();
            tokio::select! {
                changed = self.mode.changed() => {
                    if changed.is_err() || matches!(self.mode(), Mode::Refuse | Mode::Reset) {
                        return Ok(End::Reset);
                    }
                }
                read = self.client.read(&mut asked) => {
                    let piece = &asked[..read?];
                    if piece.is_empty() {
                        return Ok(End::Closed);
                    }
                    if self.is_dead() {
                        return Ok(End::Reset);
                    }
                    self.hear_client(piece);
                    if self.mode() != Mode::BlackHole {
                        upstream.write_all(piece).await?;
                    }
                }
                read = upstream.read(&mut answered) => {
                    let piece = &answered[..read?];
                    if piece.is_empty() {
                        return Ok(End::Closed);
                    }
                    self.last_said = Instant::now();
                    self.waits = false;
                    if let Some(end) = self.answer(piece).await? {
                        return Ok(end);
                    }
                }
                () = sleep_until(idle_until) => return Ok(End::Closed),
            }
        }
    }

    fn mode(&self) -> Mode {
        *self.mode.borrow()
    }

    fn hear_client(&mut self, piece: &[u8]) {
        self.last_said = Instant::now();
        self.used = true;
        self.waits = true;
        self.head = Head::default();
        let mut drop_next = lock(&self.shared.drop_next);
        if drop_next.as_ref().is_some_and(|request| piece.starts_with(request.as_bytes())) {
            *drop_next = None;
            self.doomed = true;
        }
    }

    /// Passes on a piece of a reply, or what the mode leaves of it.
    async fn answer(&mut self, piece: &[u8]) -> io::Result<Option<End>> {
        if self.doomed {
            self.shared.dropped.fetch_add(1, Ordering::SeqCst);
            return Ok(Some(End::Closed));
        }
        match self.mode() {
            Mode::BlackHole => {}
            Mode::CutBody(most) => {
                let passed = self.head.passes(piece, most);
                self.client.write_all(&piece[..passed]).await?;
                if passed < piece.len() {
                    self.client.flush().await?;
                    // What was sent shall be read before the reset throws it away.
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    return Ok(Some(End::Reset));
                }
            }
            Mode::Drip { bytes, every } => {
                for drop in piece.chunks(bytes.max(1)) {
                    tokio::time::sleep(every).await;
                    self.client.write_all(drop).await?;
                    if self.mode.has_changed().is_err() {
                        return Ok(Some(End::Reset));
                    }
                }
            }
            Mode::Pass | Mode::Refuse | Mode::Reset => self.client.write_all(piece).await?,
        }
        Ok(None)
    }

    /// When this connection is closed if nobody says anything more.
    fn closes_at(&self) -> Option<Instant> {
        match *lock(&self.shared.keep_alive) {
            KeepAlive::ClosedAfter(pause) if self.is_idle() => Some(self.last_said + pause),
            _ => None,
        }
    }

    fn is_idle(&self) -> bool {
        self.used && !self.waits
    }

    fn is_dead(&self) -> bool {
        match *lock(&self.shared.keep_alive) {
            KeepAlive::DeadAfter(pause) => self.is_idle() && self.last_said.elapsed() >= pause,
            _ => false,
        }
    }
}

/// How far a reply has come: its head, then so many bytes of its body.
#[derive(Debug, Default)]
struct Head {
    last: [u8; 4],
    over: bool,
    body: usize,
}

impl Head {
    /// How much of a piece may pass when the body may have no more than `most` bytes.
    fn passes(&mut self, piece: &[u8], most: usize) -> usize {
        for (position, byte) in piece.iter().enumerate() {
            if self.over {
                if self.body == most {
                    return position;
                }
                self.body += 1;
            } else {
                self.last.rotate_left(1);
                self.last[3] = *byte;
                self.over = &self.last == b"\r\n\r\n";
            }
        }
        piece.len()
    }
}

async fn sleep_until(until: Option<Instant>) {
    match until {
        Some(until) => tokio::time::sleep_until(until).await,
        None => std::future::pending().await,
    }
}
