//! What goes wrong with an instance, and with the way to it.

use std::sync::Arc;
use std::time::Duration;

use peertube_sim::jobs::Restart;
use peertube_sim::{Fault, Mode, Proxy, Sim, When};

/// Whom the daemon signs in as: the simulated instances are delivered with it.
pub(crate) const ROOT: (&str, &str) = ("root", "root-password");

#[derive(Debug, Clone)]
enum How {
    /// The way to the instance.
    Way(Mode),
    /// Its replies.
    Reply(Fault),
    /// All tokens are forgotten.
    Tokens,
    Restart(Restart),
}

#[derive(Debug, Clone)]
pub(crate) struct Trouble {
    pub(crate) name: &'static str,
    how: How,
}

impl Trouble {
    /// One of all kinds.
    pub(crate) fn any(rng: &mut fastrand::Rng) -> Self {
        use How::{Reply, Way};
        let drip = Mode::Drip { bytes: 1, every: Duration::from_millis(50) };
        let nested: Arc<[u8]> = "[".repeat(10_000).into_bytes().into();
        let kinds = [
            ("connections refused", Way(Mode::Refuse)),
            ("connections reset", Way(Mode::Reset)),
            ("reset in mid-body", Way(Mode::CutBody(rng.usize(1..400)))),
            ("never answering", Way(Mode::BlackHole)),
            ("dripping", Way(drip)),
            ("429", Reply(Fault::TooManyRequests { retry_after: rng.u64(1..20) })),
            ("503 for a while", Reply(Fault::Unavailable { retry_after: rng.u64(1..20) })),
            ("500", Reply(Fault::Status(500))),
            ("502", Reply(Fault::Status(502))),
            ("504", Reply(Fault::Status(504))),
            ("HTML with 200", Reply(Fault::Html)),
            ("JSON cut short", Reply(Fault::CutShort)),
            ("JSON of another shape", Reply(Fault::WrongShape)),
            ("another content type", Reply(Fault::ContentType("text/plain"))),
            ("10,000 nested arrays", Reply(Fault::Body { encoding: None, body: nested })),
            ("a redirect", Reply(Fault::Redirect { status: 302, to: "/api/v1/jobs".to_owned() })),
            ("late by two seconds", Reply(Fault::Late(Duration::from_secs(2)))),
            ("tokens forgotten", How::Tokens),
            ("a restart", How::Restart(Restart::Graceful)),
            ("killed and started again", How::Restart(Restart::Killed)),
        ];
        let (name, how) = kinds[rng.usize(..kinds.len())].clone();
        Self { name, how }
    }

    pub(crate) async fn strike(&self, sim: &Sim, way: &Proxy, lasting: Duration) {
        match &self.how {
            How::Way(mode) => way.set(*mode).await,
            How::Reply(fault) => sim.faults().always(When::always(), fault.clone()),
            How::Tokens => sim.with(|world| world.accounts.revoke(ROOT.0)),
            How::Restart(how) => sim.with(|world| world.restart_server(*how, lasting)),
        }
    }
}

pub(crate) async fn heal(sim: &Sim, way: &Proxy) {
    way.set(Mode::Pass).await;
    sim.faults().clear();
}
