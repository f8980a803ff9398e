//! Scrapes without a pause, and how long each took.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use crate::scrape::Scrape;

const EVERY: Duration = Duration::from_millis(500);

pub(crate) struct Scrapes {
    taken: Arc<Mutex<Taken>>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Taken {
    times: Vec<Duration>,
    failed: Vec<String>,
    /// How many have been shown.
    shown: usize,
}

impl Scrapes {
    pub(crate) fn start(client: reqwest::Client, daemon: SocketAddr) -> Self {
        let taken = Arc::<Mutex<Taken>>::default();
        let here = taken.clone();
        let task = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(EVERY);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
            loop {
                ticks.tick().await;
                let began = Instant::now();
                let scrape = Scrape::of(&client, daemon).await;
                let took = began.elapsed();
                let mut taken = here.lock().unwrap_or_else(PoisonError::into_inner);
                match scrape {
                    Ok(_) => taken.times.push(took),
                    Err(error) => taken.failed.push(format!("{error:#}")),
                }
            }
        });
        Self { taken, task }
    }

    /// Those since the last time.
    pub(crate) fn of_late(&self) -> Times {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let times = Times::of(&taken.times[taken.shown..], &[]);
        taken.shown = taken.times.len();
        times
    }

    pub(crate) async fn stop(self) -> String {
        self.task.abort();
        // That it was aborted is what was asked for.
        let _ = self.task.await;
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let times = Times::of(&taken.times, &taken.failed);
        format!("{} scrapes: median, 99th, worst: {times}", taken.times.len())
    }
}

pub(crate) struct Times {
    median: Duration,
    p99: Duration,
    worst: Duration,
    failed: Vec<String>,
}

impl Times {
    fn of(times: &[Duration], failed: &[String]) -> Self {
        let mut times = times.to_vec();
        times.sort_unstable();
        let at = |share: usize| times.get(times.len() * share / 100).copied().unwrap_or_default();
        let worst = times.last().copied().unwrap_or_default();
        Self { median: at(50), p99: at(99), worst, failed: failed.to_vec() }
    }
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        write!(f, "{:.1}, {:.1}, {:.1} ms", ms(self.median), ms(self.p99), ms(self.worst))?;
        if let [first, ..] = &*self.failed {
            write!(f, "; {} failed, the first: {first}", self.failed.len())?;
        }
        Ok(())
    }
}
