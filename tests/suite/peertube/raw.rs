//! Servers that break HTTP: a thread that is given each connection in turn.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Counts of what a server has met.
#[derive(Default)]
pub(super) struct Met {
    pub(super) connections: AtomicUsize,
    pub(super) requests: AtomicUsize,
}

impl Met {
    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub(super) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

/// Serves every request by `answer`, which is given the connection, its number
/// and the number of the request on it, and tells whether to go on.
pub(super) fn serve(
    answer: impl Fn(&mut TcpStream, usize, usize) -> bool + Send + Sync + 'static,
) -> (String, Arc<Met>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let met = Arc::new(Met::default());
    let (seen, answer) = (met.clone(), Arc::new(answer));
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let number = seen.connections.fetch_add(1, Ordering::SeqCst);
            let (seen, answer) = (seen.clone(), answer.clone());
            thread::spawn(move || {
                let mut out = stream.try_clone().unwrap();
                let mut lines = BufReader::new(stream).lines();
                let mut request = 0;
                // The end of the headers: none of these requests has a body.
                while lines.by_ref().map_while(Result::ok).any(|line| line.is_empty()) {
                    seen.requests.fetch_add(1, Ordering::SeqCst);
                    if !answer(&mut out, number, request) {
                        return;
                    }
                    request += 1;
                }
            });
        }
    });
    (url, met)
}

/// A whole answer in JSON, as a healthy server would give it.
pub(super) fn answer(out: &mut TcpStream, body: &str) -> bool {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nDate: Tue, 24 Nov 2026 03:00:00 GMT";
    write!(out, "{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).is_ok()
}
