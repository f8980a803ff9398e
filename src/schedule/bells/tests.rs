use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::lock;
use crate::config::When;
use crate::schedule::{Clock, phase_of};

/// Longer than a test may take on a machine that is busy with others.
const PATIENCE: Duration = Duration::from_secs(20);

fn every(seconds: u64) -> When {
    When::Every(Duration::from_secs(seconds))
}

fn pending(clock: &Clock) -> usize {
    lock(&clock.0.pending).len()
}

#[tokio::test]
async fn a_bell_rings_once_its_second_has_begun() {
    let clock = Clock::start().await.unwrap();
    let alarm = Arc::default();
    let second = Timestamp::now().as_second() + 3;

    clock.0.ring_at(second, &alarm).await;
    timeout(PATIENCE, alarm.look.notified()).await.expect("the bell did not ring");

    let rung = Timestamp::now();
    assert!(rung.as_second() >= second, "it rang at {rung}, before second {second}");
    assert_eq!(pending(&clock), 0);
}

#[tokio::test]
async fn alarms_of_all_intervals_share_few_bells() {
    let clock = Clock::start().await.unwrap();
    let mut tasks = JoinSet::new();
    for n in 0..1000 {
        let mut wakes = clock.wakes(every(2 + n), phase_of(&n.to_string(), "jobs")).await;
        tasks.spawn(async move { wakes.next().await });
    }

    timeout(PATIENCE, tasks.join_next()).await.expect("no wake came").unwrap().unwrap();

    let bells = pending(&clock);
    assert!(bells <= 32, "{bells} bells pend at once; the scheduler's queues hold 200 entries");
}

#[tokio::test]
async fn a_dropped_alarm_leaves_nothing_behind() {
    let clock = Clock::start().await.unwrap();
    for _ in 0..100 {
        let mut wakes = clock.wakes(every(1), 0.0).await;
        let given_up = timeout(Duration::from_millis(1), wakes.next()).await;
        drop((given_up, wakes));
    }

    timeout(PATIENCE, async {
        while pending(&clock) > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .expect("bells that nobody waits for stayed");
}

#[tokio::test]
async fn a_scheduler_that_fails_holds_nothing_up() {
    let clock = Clock::start().await.unwrap();
    let mut wakes = clock.wakes(every(1), 0.0).await;

    clock.0.scheduler.clone().shutdown().await.unwrap();

    timeout(PATIENCE, wakes.next()).await.expect("no wake came");
}

#[tokio::test]
async fn the_scheduler_does_not_fill_the_log() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    tracing::info!("the log is open");

    let clock = Clock::start().await.unwrap();
    let mut wakes = clock.wakes(every(1), 0.0).await;
    timeout(PATIENCE, wakes.next()).await.expect("no wake came");

    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("the log is open"), "{log}");
    assert_eq!(log.lines().count(), 1, "{log}");
}

/// A log in memory.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
