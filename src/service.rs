//! What the service manager is told: ready, how it goes, stopping, and the watchdog's
//! food. Sole owner of its socket; without one (`NOTIFY_SOCKET`) nothing of it happens.
//!
//! The watchdog is fed only while the state takes what is written and no poll hangs. An
//! instance that is slow or down is no reason: the polls live on.

mod life;

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram as Unbound};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::net::UnixDatagram;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, timeout};

use self::life::{Picture, Watcher};
use crate::core::fault::Fault;
use crate::poll::Vitals;
use crate::store::Store;

/// The manager's variables, which are meant for this process alone: no child gets them.
pub const VARIABLES: [&str; 3] = [SOCKET, WATCHDOG_USEC, WATCHDOG_PID];

const SOCKET: &str = "NOTIFY_SOCKET";
const WATCHDOG_USEC: &str = "WATCHDOG_USEC";
const WATCHDOG_PID: &str = "WATCHDOG_PID";

/// How often the status is renewed, if the watchdog does not want more.
const RENEWED: Duration = Duration::from_secs(30);
/// A state that takes longer than this to take a write does not answer. A program beside
/// the daemon is waited for five seconds.
const STATE_ANSWERS: Duration = Duration::from_secs(10);
/// A manager that does not read its socket is no reason to wait.
const SEND: Duration = Duration::from_secs(1);

/// The way to the service manager.
#[derive(Debug)]
pub struct Manager {
    socket: SocketAddr,
    /// It ends the daemon that was not heard of for this long.
    watchdog: Option<Duration>,
    /// The last that it was to be told did not reach it, which is in the log.
    missed: AtomicBool,
}

impl Manager {
    /// The manager that started this process, if it wants to hear of it.
    pub fn of(pid: u32, env: &dyn Fn(&str) -> Option<String>) -> io::Result<Option<Self>> {
        let Some(name) = env(SOCKET).filter(|name| !name.is_empty()) else { return Ok(None) };
        let socket = match name.strip_prefix('@') {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(name)?,
        };
        let number = |name| env(name).and_then(|text| text.parse::<u64>().ok());
        let is_ours = number(WATCHDOG_PID).is_none_or(|of| of == u64::from(pid));
        let watchdog = number(WATCHDOG_USEC).filter(|usec| is_ours && *usec > 0).map(Duration::from_micros);
        Ok(Some(Self { socket, watchdog, missed: AtomicBool::new(false) }))
    }

    /// Half of what the watchdog allows, so that one that comes late does no harm.
    fn every(&self) -> Duration {
        self.watchdog.map_or(RENEWED, |limit| (limit / 2).clamp(Duration::from_millis(1), RENEWED))
    }

    /// Opened anew each time, for the manager may have been started anew.
    pub(crate) async fn tell(&self, words: &str) {
        let send = async {
            let socket = Unbound::unbound()?;
            socket.connect_addr(&self.socket)?;
            socket.set_nonblocking(true)?;
            UnixDatagram::from_std(socket)?.send(words.as_bytes()).await
        };
        let problem = match timeout(SEND, send).await {
            Ok(Ok(_)) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some("it does not read its socket".to_owned()),
        };
        let missed_before = self.missed.swap(problem.is_some(), Ordering::Relaxed);
        if let Some(problem) = problem.filter(|_| !missed_before) {
            tracing::warn!(problem, "the service manager could not be told how it goes");
        }
    }
}

/// The signs of life of all instances, as they come and go. Clones share all.
#[derive(Debug, Clone, Default)]
pub struct AllVitals(Arc<Mutex<Vec<Arc<Vitals>>>>);

impl AllVitals {
    pub fn add(&self, vitals: Arc<Vitals>) {
        self.lock().push(vitals);
    }

    pub fn remove(&self, vitals: &Arc<Vitals>) {
        self.lock().retain(|one| !Arc::ptr_eq(one, vitals));
    }

    fn now(&self) -> Vec<Arc<Vitals>> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Vitals>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is watched for whether it lives.
#[derive(Debug)]
pub struct Watched {
    pub store: Arc<Store>,
    pub polls: AllVitals,
    /// How long a poll may show no sign of life; `None` for what its time limits allow.
    pub hung_after: Option<Duration>,
}

/// Tells the manager that the daemon is ready, then how it goes, until it stops.
pub async fn keep_telling(manager: &Manager, watched: Watched, mut stopping: watch::Receiver<bool>) {
    tokio::select! {
        () = tell_how_it_goes(manager, &watched) => {}
        _ = stopping.wait_for(|stopping| *stopping) => {}
    }
    // Fed a last time: from here on the manager's limit for stopping is in force.
    manager.tell("STOPPING=1\nSTATUS=stopping: polls under way are finished\nWATCHDOG=1\n").await;
}

async fn tell_how_it_goes(manager: &Manager, watched: &Watched) {
    let mut watcher = Watcher::new(watched.hung_after);
    let mut first = "READY=1\n";
    let mut told = None;
    let mut ticks = interval(manager.every());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let answer = timeout(STATE_ANSWERS.min(manager.every()), watched.store.check_writer()).await;
        // Another answer than this is told, but a new start would get the same.
        let state_answers = answer.is_ok_and(|answer| answer.err().is_none_or(|error| error.fault() != Fault::Busy));
        let polls = watched.polls.now();
        let picture = Picture { state_answers, polls: &polls };
        let trouble = watcher.look(&picture, Instant::now(), Timestamp::now());
        match (&trouble, &told) {
            (Some(trouble), None) => tracing::error!("{trouble}: the watchdog is not fed until it goes on"),
            (None, Some(_)) => tracing::info!("nothing hangs any more"),
            _ => {}
        }
        let food = if trouble.is_none() && manager.watchdog.is_some() { "WATCHDOG=1\n" } else { "" };
        let fault = watched.store.trouble().map(Fault::words);
        let status = life::status(&picture, trouble.as_deref().or(fault));
        manager.tell(&format!("{}STATUS={status}\n{food}", std::mem::take(&mut first))).await;
        told = trouble;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manager(pairs: &[(&str, &str)]) -> Option<Manager> {
        let env = |name: &str| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        Manager::of(42, &env).unwrap()
    }

    #[test]
    fn without_a_socket_there_is_no_manager_whatever_else_is_set() {
        assert!(manager(&[]).is_none());
        assert!(manager(&[("NOTIFY_SOCKET", ""), ("WATCHDOG_USEC", "1000000")]).is_none());
        assert!(manager(&[("WATCHDOG_USEC", "1000000"), ("WATCHDOG_PID", "42")]).is_none());
    }

    #[test]
    fn the_watchdog_is_fed_at_half_its_time_if_it_is_this_process_that_it_watches() {
        let socket = ("NOTIFY_SOCKET", "/run/systemd/notify");
        let every = |more: &[(&str, &str)]| {
            let manager = manager(&[&[socket], more].concat()).unwrap();
            (manager.watchdog.is_some(), manager.every())
        };
        let seconds = Duration::from_secs;
        assert_eq!(every(&[]), (false, RENEWED));
        assert_eq!(every(&[("WATCHDOG_USEC", "20000000")]), (true, seconds(10)));
        assert_eq!(every(&[("WATCHDOG_USEC", "20000000"), ("WATCHDOG_PID", "42")]), (true, seconds(10)));
        assert_eq!(every(&[("WATCHDOG_USEC", "20000000"), ("WATCHDOG_PID", "41")]), (false, RENEWED));
        assert_eq!(every(&[("WATCHDOG_USEC", "0")]), (false, RENEWED));
        assert_eq!(every(&[("WATCHDOG_USEC", "soon")]), (false, RENEWED));
        assert_eq!(every(&[("WATCHDOG_USEC", "1")]), (true, Duration::from_millis(1)));
        assert_eq!(every(&[("WATCHDOG_USEC", "600000000")]), (true, RENEWED), "the status is renewed more often");
    }

    #[test]
    fn a_socket_may_have_a_path_or_an_abstract_name() {
        let path = manager(&[("NOTIFY_SOCKET", "/run/systemd/notify")]).unwrap();
        assert_eq!(path.socket.as_pathname().unwrap().to_str(), Some("/run/systemd/notify"));
        let name = manager(&[("NOTIFY_SOCKET", "@of/systemd")]).unwrap();
        assert_eq!(name.socket.as_abstract_name(), Some(b"of/systemd".as_slice()));
    }
}
