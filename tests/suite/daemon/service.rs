//! What a service manager hears of the daemon, and when it does not hear of it.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use peertube_sim::jobs::Version;
use peertube_sim::{Fault, Mode, Proxy, Sim, When, World};
use serde_json::Value;
use tokio::net::UnixDatagram;

use tubewarden::core::poll::PollKind;
use tubewarden::daemon::Options;
use tubewarden::service::Manager;

use super::harness::{Home, PATIENCE, Program, ROOT, Scraper, Watch, by_hand, each_second, eventually, instance};
use super::rules;

/// Nobody is there.
const NOWHERE: &str = "http://127.0.0.1:9";

/// The manager's end of the socket.
struct Ear {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Ear {
    fn of(home: &Home) -> Self {
        let path = home.file("notify");
        Self { socket: UnixDatagram::bind(&path).unwrap(), path }
    }

    /// What a manager sets for the process that it starts.
    fn variables(&self, watchdog: Duration) -> [(&'static str, String); 2] {
        let socket = self.path.to_str().unwrap().to_owned();
        [("NOTIFY_SOCKET", socket), ("WATCHDOG_USEC", watchdog.as_micros().to_string())]
    }

    fn run(&self, home: &Home, watchdog: Duration) -> Program {
        home.program_with("run", &["run"], &self.variables(watchdog))
    }

    async fn next(&self) -> String {
        let mut bytes = [0; 4096];
        let heard = tokio::time::timeout(PATIENCE, self.socket.recv(&mut bytes)).await;
        let heard = heard.unwrap_or_else(|_| panic!("the manager is not told in time")).unwrap();
        String::from_utf8(bytes[..heard].to_vec()).unwrap()
    }

    /// The next message of those that were sent by now.
    fn already(&self) -> Option<String> {
        let mut bytes = [0; 4096];
        let heard = self.socket.try_recv(&mut bytes).ok()?;
        Some(String::from_utf8(bytes[..heard].to_vec()).unwrap())
    }

    /// The next message of which this is true.
    async fn until(&self, is: impl Fn(&str) -> bool) -> String {
        let begin = Instant::now();
        loop {
            let heard = self.next().await;
            if is(&heard) {
                return heard;
            }
            assert!(begin.elapsed() < PATIENCE, "not heard in time; the last was {heard:?}");
        }
    }
}

fn feeds(heard: &str) -> bool {
    heard.lines().any(|line| line == "WATCHDOG=1")
}

fn status(heard: &str) -> &str {
    heard.lines().find_map(|line| line.strip_prefix("STATUS=")).unwrap_or_else(|| panic!("no status in {heard:?}"))
}

async fn quiet() -> Sim {
    Sim::serve(World::new(1, Timestamp::now(), Version::V8_2)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_manager_hears_that_it_is_ready_how_it_goes_and_that_it_stops() {
    let sim = quiet().await;
    let down = instance("down", NOWHERE, "down_after = 1");
    let home = Home::new(&(each_second() + &*instance("main", &sim.url(), ROOT) + &*down));
    let ear = Ear::of(&home);
    let limit = Duration::from_secs(3);
    let mut program = ear.run(&home, limit);

    let ready = ear.next().await;
    let mut fed_at = Instant::now();
    assert!(ready.starts_with("READY=1\nSTATUS=2 instances, "), "{ready:?}");
    assert!(feeds(&ready));
    let health = format!("http://{}/-/healthy", program.address().await);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    assert_eq!(client.get(health).send().await.unwrap().status(), 200, "the listener answers by then");

    for _ in 0..2 {
        let heard = ear.next().await;
        let after = fed_at.elapsed();
        assert!(feeds(&heard) && !heard.contains("READY"), "{heard:?}");
        assert!(limit / 4 < after && after < limit, "{after:?}, of which half is asked for");
        fed_at = Instant::now();
    }
    let heard = ear.until(|heard| status(heard).contains("down")).await;
    let at = status(&heard).strip_prefix("2 instances, 1 down, last poll ").unwrap_or_else(|| panic!("{heard:?}"));
    let ago = Timestamp::now().duration_since(at.parse().unwrap());
    assert!(ago.as_secs().abs() < 30, "{ago:?}");
    assert!(feeds(&heard), "an instance that is down is no reason to starve the watchdog");

    program.terminate();
    let heard = ear.until(|heard| heard.contains("STOPPING=1")).await;
    assert!(status(&heard).starts_with("stopping"), "{heard:?}");
    assert_eq!(program.ends().await.code(), Some(0));
    assert_eq!(ear.already(), None, "the last that is heard is that it stops");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_manager_hears_that_the_configuration_is_read_anew_and_when_that_is_done() {
    let sim = quiet().await;
    let home = Home::new(&(each_second() + &*instance("main", &sim.url(), ROOT)));
    let ear = Ear::of(&home);
    let mut program = ear.run(&home, Duration::from_secs(30));
    ear.until(|heard| heard.starts_with("READY=1\n")).await;
    for more in ["", "[nonsense]\n"] {
        home.configure("127.0.0.1:0", &[&*each_second(), &*instance("main", &sim.url(), ROOT), more].concat());
        program.signal("HUP");
        let heard = ear.until(|heard| heard.starts_with("RELOADING=1\n")).await;
        let begun = heard.lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC="));
        assert!(begun.is_some_and(|usec| usec.parse::<u64>().is_ok_and(|usec| usec > 0)), "{heard:?}");
        ear.until(|heard| heard.starts_with("READY=1\n")).await;
    }
    program.terminate();
    assert_eq!(program.ends().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_does_not_wait_for_a_reload() {
    let sim = rules::quiet_instance().await;
    let home = Home::new("");
    let slow = home.file("slow.sh");
    fs::write(&slow, "echo begin > \"$1\"; sleep 600\n").unwrap();
    let began = home.file("began");
    let rule = |timeout: u32| {
        format!(
            "[[rule]]\nname = \"slow\"\non = [\"job.completed\"]\nexec.timeout = \"{timeout}s\"\n\
             exec.command = [\"/bin/sh\", \"{}\", \"{}\"]\n",
            slow.display(),
            began.display()
        )
    };
    let main = instance("main", &sim.url(), ROOT);
    home.configure("127.0.0.1:0", &[each_second(), main.clone(), rule(900)].concat());
    let ear = Ear::of(&home);
    let mut program = ear.run(&home, Duration::from_secs(30));
    Scraper::new(program.address().await).ready().await;
    rules::work(&sim, 1);
    eventually("it begins", async || began.exists().then_some(())).await;
    home.configure("127.0.0.1:0", &[each_second(), main, rule(901)].concat());
    program.signal("HUP");
    ear.until(|heard| heard.starts_with("RELOADING=1\n")).await;
    // The reload would wait for the command for 20 seconds.
    program.terminate();
    let asked = Instant::now();
    assert!(program.ends().await.success());
    assert!(asked.elapsed() < Duration::from_secs(15), "{:?}", asked.elapsed());
    let owed = String::from_utf8(home.done(&["deliveries", "list", "--json"]).stdout).unwrap();
    assert_eq!(owed.lines().count(), 1, "it is owed as before");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_that_cannot_begin_is_never_ready() {
    let home = Home::new(&(by_hand() + &*instance("main", NOWHERE, "")));
    let watch = Watch::start(&home).await;
    let ear = Ear::of(&home);
    let mut program = ear.run(&home, Duration::from_secs(1));
    assert_eq!(program.ends().await.code(), Some(1));
    assert_eq!(ear.already(), None);
    watch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_manager_that_does_not_listen_holds_nothing_up() {
    let home = Home::new(&(by_hand() + &*instance("main", NOWHERE, "")));
    let ear = Ear::of(&home);
    let mut program = ear.run(&home, Duration::from_millis(20));
    let complains = |line: &Value| line["message"] == "the service manager could not be told how it goes";
    eventually("the socket is full", async || program.log().iter().any(complains).then_some(())).await;
    program.terminate();
    assert_eq!(program.ends().await.code(), Some(0));
    assert_eq!(program.log().into_iter().filter(complains).count(), 1, "said once");
    assert_eq!(program.log().last().unwrap()["message"], "stopped");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_that_takes_no_write_starves_the_watchdog_until_it_does() {
    let sim = quiet().await;
    let home = Home::new(&(by_hand() + &*instance("main", &sim.url(), ROOT)));
    let ear = Ear::of(&home);
    let mut program = ear.run(&home, Duration::from_secs(1));
    ear.until(feeds).await;

    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(home.file("state.db"));
    let other = sqlx::SqlitePool::connect_with(options).await.unwrap();
    let held = other.begin_with("BEGIN IMMEDIATE").await.unwrap();
    ear.until(|heard| !feeds(heard)).await;
    for _ in 0..3 {
        let heard = ear.next().await;
        assert!(!feeds(&heard), "{heard:?}");
        assert!(status(&heard).starts_with("the state does not answer; 1 instance, "), "{heard:?}");
    }

    held.rollback().await.unwrap();
    let heard = ear.until(feeds).await;
    assert!(status(&heard).starts_with("1 instance, "), "{heard:?}");
    other.close().await;
    program.terminate();
    assert_eq!(program.ends().await.code(), Some(0));
    let errors: Vec<_> = program.log().into_iter().filter(|line| line["level"] == "ERROR").collect();
    let hangs = "the state does not answer: the watchdog is not fed until it goes on";
    assert!(errors.len() == 1 && errors[0]["message"] == hangs, "{errors:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poll_that_hangs_starves_the_watchdog_until_it_goes_on_and_a_slow_one_does_not() {
    let sim = quiet().await;
    let proxy = Proxy::start(sim.address()).await.unwrap();
    let more = format!("connect = \"{}\"\ntimeout = \"2m\"\n{ROOT}", proxy.url());
    let home = Home::new(&(by_hand() + &*instance("main", &sim.url(), &more)));
    let ear = Ear::of(&home);
    let variables = ear.variables(Duration::from_secs(2));
    let env = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| value.clone());
    let manager = Manager::of(std::process::id(), &env).unwrap();
    let hung_after = Duration::from_secs(3);
    let options = Options { manager, hung_after: Some(hung_after), ..Options::default() };
    let watch = Watch::start_with(&home, options).await;
    Scraper::new(watch.address()).ready().await;
    ear.until(feeds).await;

    // It is slow: a run takes longer, but none of its requests does.
    sim.faults().always(When::path("/api/v1/jobs"), Fault::Late(Duration::from_secs(1)));
    let begun = Instant::now();
    watch.poll("main", PollKind::Jobs).await;
    assert!(begun.elapsed() > hung_after, "{:?}", begun.elapsed());
    sim.faults().clear();
    while let Some(heard) = ear.already() {
        assert!(feeds(&heard), "{heard:?}");
    }

    proxy.set(Mode::BlackHole).await;
    watch.wake("main", PollKind::Jobs);
    let heard = ear.until(|heard| !feeds(heard)).await;
    assert!(status(&heard).starts_with("the poll jobs of main hangs; 1 instance, "), "{heard:?}");

    proxy.set(Mode::Refuse).await;
    let heard = ear.until(feeds).await;
    assert!(status(&heard).starts_with("1 instance, "), "{heard:?}");
    let stopped = tokio::spawn(watch.stop());
    ear.until(|heard| heard.starts_with("STOPPING=1\n")).await;
    stopped.await.unwrap();
}
