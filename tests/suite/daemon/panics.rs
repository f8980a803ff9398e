//! A panic in each kind of task: what works on what others gave is caught, counted and
//! tried again; the end of any other task is the end of the daemon, with an error, so
//! that it is started anew. A log that blows up at a line injects it: nothing in the
//! program is made for this.

use std::fmt::Debug;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::subscriber::DefaultGuard;
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

use tubewarden::core::event::EventKind;
use tubewarden::core::poll::PollKind;
use tubewarden::log::{Format, LogOptions};
use tubewarden::panics;

use super::harness::{Home, Watch, eventually};
use super::rules::{quiet_instance, watched, work};

/// Blows up once, at the first line of this thread that holds these words.
#[derive(Clone)]
struct Bomb(Arc<Mutex<Option<String>>>);

impl Bomb {
    fn at(words: &str) -> (Self, DefaultGuard) {
        let bomb = Self(Arc::new(Mutex::new(Some(words.to_owned()))));
        let guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(bomb.clone()));
        (bomb, guard)
    }

    fn has_gone_off(&self) -> bool {
        self.0.lock().unwrap().is_none()
    }
}

impl<S: Subscriber> Layer<S> for Bomb {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut words = Words::default();
        event.record(&mut words);
        let goes_off = {
            let mut armed = self.0.lock().unwrap();
            armed.take_if(|at| words.0.contains(at.as_str())).is_some()
        };
        if goes_off {
            panic!("the bomb");
        }
    }
}

#[derive(Default)]
struct Words(String);

impl Visit for Words {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

#[tokio::test]
async fn a_poll_that_panics_is_counted_and_made_again_and_nothing_is_told_twice() {
    let (bomb, _guard) = Bomb::at("job completed");
    let sim = quiet_instance().await;
    let home = Home::new(&watched(&sim, ""));
    let watch = Watch::ready(&home).await;
    work(&sim, 5);
    watch.poll("main", PollKind::Jobs).await;
    assert!(bomb.has_gone_off());
    assert_eq!(watch.scrape().await.polls_with("main", PollKind::Jobs, "error"), 1.0);
    watch.poll("main", PollKind::Jobs).await;
    assert_eq!(watch.count(EventKind::JobCompleted).await, 5);
    let scrape = watch.scrape().await;
    assert_eq!(scrape.polls_with("main", PollKind::Jobs, "error"), 1.0);
    assert_eq!(scrape.value("peertube_jobs_completed_total", &[("job_type", "video-import")]), Some(5.0));
    watch.stop().await;
}

#[tokio::test]
async fn a_try_that_panics_is_counted_and_made_again() {
    let (bomb, _guard) = Bomb::at("said by the command");
    let sim = quiet_instance().await;
    let rule = "[[rule]]\nname = \"say\"\non = [\"job.completed\"]\nexec.backoff = \"1s\"\n\
        exec.command = [\"/bin/sh\", \"-c\", \"echo said by the command\"]\n";
    let home = Home::new(&watched(&sim, rule));
    let watch = Watch::ready(&home).await;
    work(&sim, 2);
    watch.poll("main", PollKind::Jobs).await;
    eventually("nothing is owed", async || watch.store().owes().await.unwrap().is_empty().then_some(())).await;
    assert!(bomb.has_gone_off());
    let scrape = watch.scrape().await;
    let result = |result| scrape.value("tubewarden_deliveries_total", &[("rule", "say"), ("result", result)]);
    assert_eq!([result("ok"), result("retry"), result("dead")], [Some(2.0), Some(1.0), Some(0.0)]);
    assert_eq!(scrape.value("tubewarden_rule_errors_total", &[("rule", "say")]), Some(1.0));
    watch.stop().await;
}

#[tokio::test]
async fn any_other_task_that_panics_ends_the_daemon_with_an_error() {
    const COURIER: &str = "[[rule]]\nname = \"quiet\"\non = [\"job.completed\"]\nexec.command = [\"/bin/true\"]\n";
    const SCHEDULE: &str = "[[schedule]]\nname = \"tick\"\ncron = \"* * * * * *\"\nexec.command = [\"/bin/true\"]\n";
    for (task, at, rule) in [
        ("a courier", "delivered", COURIER),
        ("a schedule", "schedule fired", SCHEDULE),
        ("the pruning", "pruned the state", ""),
    ] {
        let (bomb, _guard) = Bomb::at(at);
        let sim = quiet_instance().await;
        let home = Home::new(&watched(&sim, rule));
        let watch = Watch::start(&home).await;
        if task == "a courier" {
            let watch = watch.once_ready().await;
            work(&sim, 1);
            watch.wake("main", PollKind::Jobs);
            assert!(format!("{:#}", watch.fails().await).contains("panicked"), "{task}");
        } else {
            assert!(format!("{:#}", watch.fails().await).contains("panicked"), "{task}");
        }
        assert!(bomb.has_gone_off(), "{task}");
        // What was under way is stored, and the next one goes on.
        Watch::ready(&home).await.stop().await;
    }
}

const VICTIM: &str = "TUBEWARDEN_TEST_PANICS";

/// Runs in a process of its own, for the hook is the whole process's. Alone it does nothing.
#[test]
fn a_victim_panics_in_a_thread() {
    if std::env::var_os(VICTIM).is_none() {
        return;
    }
    tubewarden::log::init(&LogOptions { format: Format::Json, filter: "info".to_owned(), ansi: false }).unwrap();
    panics::tell_all();
    let thread = std::thread::Builder::new().name("script".to_owned());
    assert!(thread.spawn(|| panic!("one line\nand another")).unwrap().join().is_err());
    assert_eq!(panics::count(), 1);
}

#[test]
fn a_panic_is_one_line_of_the_log_whatever_thread_it_is_in() {
    let done = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "daemon::panics::a_victim_panics_in_a_thread", "--nocapture"])
        .env(VICTIM, "1")
        .stdout(Stdio::null())
        .output()
        .unwrap();
    assert!(done.status.success());
    let said = String::from_utf8(done.stderr).unwrap();
    assert_eq!(said.lines().count(), 1, "{said}");
    let line: Value = serde_json::from_str(said.trim()).unwrap();
    assert_eq!([&line["level"], &line["thread"], &line["what"]], ["ERROR", "script", "one line and another"]);
    assert!(line["place"].as_str().unwrap().contains("panics.rs"), "{line}");
}
