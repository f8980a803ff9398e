//! Whether the daemon is ready: the first round of polls has ended, well or badly,
//! and the state store answers now.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A store that takes longer than this does not answer.
const STORE_TIMEOUT: Duration = Duration::from_secs(2);

type StoreCheck = Box<dyn Fn() -> Pin<Box<dyn Future<Output = bool> + Send>> + Send + Sync>;

/// Shared by the daemon, which says what has happened, and the listener.
#[derive(Clone)]
pub struct Readiness(Arc<Inner>);

struct Inner {
    first_round_done: AtomicBool,
    store_answers: StoreCheck,
}

impl Readiness {
    /// `store_answers` is asked anew each time that readiness is.
    pub fn new<F>(store_answers: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = bool> + Send + 'static,
    {
        Self(Arc::new(Inner {
            first_round_done: AtomicBool::new(false),
            store_answers: Box::new(move || Box::pin(store_answers())),
        }))
    }

    pub fn set_first_round_done(&self) {
        self.0.first_round_done.store(true, Ordering::Release);
    }

    /// What stands between the daemon and being ready.
    pub(super) async fn missing(&self) -> Vec<&'static str> {
        let mut missing = Vec::new();
        if !self.0.first_round_done.load(Ordering::Acquire) {
            missing.push("the first round of polls has not ended");
        }
        if !tokio::time::timeout(STORE_TIMEOUT, (self.0.store_answers)()).await.unwrap_or(false) {
            missing.push("the state store does not answer");
        }
        missing
    }
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readiness").field("first_round_done", &self.0.first_round_done).finish_non_exhaustive()
    }
}
