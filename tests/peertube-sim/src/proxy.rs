//! A TCP proxy that spoils connections. Its port stays its own whatever the mode: a
//! refused one is bound and does not listen, so nobody else can take it.

mod carry;

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

/// What happens to connections, also to those that stand already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Pass,
    /// Nobody listens; connections that stand are reset.
    Refuse,
    /// Connections are accepted, and reset at once.
    Reset,
    /// Replies are reset after so many bytes of their body.
    CutBody(usize),
    /// Connections are accepted, what is asked is swallowed, nothing comes back.
    BlackHole,
    /// Replies come in pieces of `bytes`, each after a pause.
    Drip {
        bytes: usize,
        every: Duration,
    },
}

/// What becomes of a connection on which nothing was said for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeepAlive {
    Forever,
    /// It is closed, as servers do.
    ClosedAfter(Duration),
    /// It looks alive, and is reset when it is used again: what a client meets whose
    /// request crosses the close.
    DeadAfter(Duration),
}

/// Ends with all its connections when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    orders: mpsc::Sender<(Mode, oneshot::Sender<()>)>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    upstream: SocketAddr,
    keep_alive: Mutex<KeepAlive>,
    /// What a request must begin with for its reply to be dropped.
    drop_next: Mutex<Option<String>>,
    accepted: AtomicU64,
    dropped: AtomicU64,
}

impl Proxy {
    /// Passes everything on to `upstream`, until told otherwise.
    pub async fn start(upstream: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            upstream,
            keep_alive: Mutex::new(KeepAlive::Forever),
            drop_next: Mutex::new(None),
            accepted: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        });
        let (orders, taken) = mpsc::channel(1);
        let task = tokio::spawn(serve(listener, address, Arc::clone(&shared), taken));
        Ok(Self { address, shared, orders, task })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// In force for new connections when this returns, and for those that stand as
    /// soon as they notice.
    pub async fn set(&self, mode: Mode) {
        let (done, told) = oneshot::channel();
        if self.orders.send((mode, done)).await.is_ok() {
            // An error means that the port could not be had again: then it is refused.
            let _ = told.await;
        }
    }

    /// In force from the next request of each connection on.
    pub fn keep_alive(&self, keep_alive: KeepAlive) {
        *lock(&self.shared.keep_alive) = keep_alive;
    }

    /// The next request that begins so (`POST /api/v1/users/token`) is passed on, and
    /// its reply is thrown away with the connection.
    pub fn drop_next_reply(&self, request: &str) {
        *lock(&self.shared.drop_next) = Some(request.to_owned());
    }

    /// How many replies were thrown away.
    pub fn dropped_replies(&self) -> u64 {
        self.shared.dropped.load(Ordering::SeqCst)
    }

    /// How many connections were accepted so far.
    pub fn accepted(&self) -> u64 {
        self.shared.accepted.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The port: open, or bound without listening.
enum Port {
    Open(TcpListener),
    Shut(TcpSocket),
}

impl Port {
    async fn accept(&self) -> io::Result<TcpStream> {
        match self {
            Self::Open(listener) => Ok(listener.accept().await?.0),
            Self::Shut(_) => std::future::pending().await,
        }
    }

    fn turned(self, address: SocketAddr, open: bool) -> io::Result<Self> {
        match self {
            Self::Open(listener) if !open => {
                drop(listener);
                bound(address).map(Self::Shut)
            }
            Self::Shut(socket) if open => socket.listen(1_024).map(Self::Open),
            same => Ok(same),
        }
    }
}

fn bound(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// Connections end when the mode can't change any more, which is when this ends.
async fn serve(
    listener: TcpListener,
    address: SocketAddr,
    shared: Arc<Shared>,
    mut orders: mpsc::Receiver<(Mode, oneshot::Sender<()>)>,
) {
    let (modes, mode) = watch::channel(Mode::Pass);
    let mut port = Port::Open(listener);
    loop {
        tokio::select! {
            order = orders.recv() => {
                let Some((mode, done)) = order else { return };
                let Ok(turned) = port.turned(address, mode != Mode::Refuse) else { return };
                port = turned;
                modes.send_replace(mode);
                let _ = done.send(());
            }
            accepted = port.accept() => {
                let Ok(client) = accepted else { continue };
                shared.accepted.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(carry::carry(client, Arc::clone(&shared), mode.clone()));
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
