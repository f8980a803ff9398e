//! Who is let in and who is not, seen from outside: the real program, over real sockets.
#![expect(clippy::print_stdout, reason = "figures, for whoever runs these with --nocapture")]

mod client;
mod credentials;
mod hosts;
mod malformed;
mod slow;
mod tls;

use std::net::SocketAddr;

use super::harness::{Home, Program, by_hand, instance};

/// A daemon that watches nobody who is there.
struct Guarded {
    home: Home,
    program: Program,
    address: SocketAddr,
}

/// The lines of `[server]` say who is let in; `listen` is among them.
async fn guarded(server: &str) -> Guarded {
    guarded_at(Home::new(""), server).await
}

async fn guarded_at(home: Home, server: &str) -> Guarded {
    home.serve(server, &(by_hand() + &*instance("main", "http://127.0.0.1:9", "")));
    let program = home.program("run", &["run"]);
    let address = program.address().await;
    Guarded { home, program, address }
}

const LOCAL: &str = "listen = \"127.0.0.1:0\"\n";

impl Guarded {
    /// The lines of its log that say this.
    fn told(&self, words: &str) -> Vec<String> {
        let lines = self.program.words();
        lines.lines().filter(|line| line.contains(words)).map(str::to_owned).collect()
    }
}
