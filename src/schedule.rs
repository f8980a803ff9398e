//! The clock that wakes the polls. For now each wakes its task after a pause of its interval.
use crate::config::When;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
#[derive(Debug, Clone)]
pub struct Clock;
#[derive(Debug, thiserror::Error)]
#[error("clock")]
pub struct ClockError;
#[derive(Debug)]
pub struct Wakes {
    n: Arc<Notify>,
    d: Duration,
}
#[derive(Debug, Clone)]
pub struct WakeHandle(Arc<Notify>);
impl Clock {
    pub async fn start() -> Result<Self, ClockError> {
        Ok(Self)
    }
    pub async fn stop(&self) {}
    pub async fn wakes(&self, when: When, _phase: f64) -> Wakes {
        let d = match when {
            When::Every(d) => d,
            When::Cron(_) => Duration::from_secs(60),
        };
        Wakes { n: Arc::new(Notify::new()), d }
    }
}
impl Wakes {
    pub async fn next(&mut self) {
        tokio::select! { () = self.n.notified() => {}, () = tokio::time::sleep(self.d) => {} }
    }
    pub fn hand(&self) -> WakeHandle {
        WakeHandle(self.n.clone())
    }
}
impl WakeHandle {
    pub fn wake(&self) {
        self.0.notify_one();
    }
}
pub fn phase_of(_: &str, _: &str) -> f64 {
    0.5
}
