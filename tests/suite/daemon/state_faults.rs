//! What happens to the state while it is in use, or was done to it before the start: the
//! daemon says so in its log, its metrics and its readiness, and goes on where that can
//! be mended without it, or ends with a message that says what to do.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use peertube_sim::Sim;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Executor, SqlitePool};

use tubewarden::core::event::EventKind;
use tubewarden::core::poll::PollKind;

use super::harness::{Home, Program, ROOT, Scraper, each_second, eventually, instance};
use super::rules::{quiet_instance, work};
use crate::tools;

/// Nobody is there.
const NOWHERE: &str = "http://127.0.0.1:9";

async fn home() -> (Sim, Home) {
    let sim = quiet_instance().await;
    let home = Home::new(&(each_second() + &*instance("main", &sim.url(), ROOT)));
    (sim, home)
}

async fn state(path: &Path) -> SqlitePool {
    SqlitePool::connect_with(SqliteConnectOptions::new().filename(path)).await.unwrap()
}

/// Watches a daemon whose state fails for this reason, then `mend`s it, and sees it heal:
/// all that happened meanwhile is told, and told once.
async fn fails_and_heals(sim: &Sim, program: &Program, error: &str, words: &str, mend: impl AsyncFnOnce()) {
    let scraper = Scraper::new(program.address().await);
    let (mut worked, mut polls) = (0, -1.0);
    eventually("the state fails", async || {
        // Something to store for each poll, and no more than it can take in.
        let ended = scraper.scrape().await.polls("main", PollKind::Jobs);
        if ended > polls {
            work(sim, 20);
            (worked, polls) = (worked + 20, ended);
        }
        program.says(words).then_some(())
    })
    .await;
    eventually("it is not ready", async || (scraper.status("/-/ready").await == Some(503)).then_some(())).await;
    eventually("the metrics show it", async || {
        let scrape = scraper.scrape().await;
        let errors = scrape.value("tubewarden_state_errors_total", &[("error", error)]).unwrap();
        (scrape.value("tubewarden_state_writable", &[]) == Some(0.0) && errors >= 1.0).then_some(())
    })
    .await;
    assert_eq!(scraper.status("/-/healthy").await, Some(200), "it lives");

    mend().await;
    eventually("it heals", async || program.says("the state can be written again").then_some(())).await;
    eventually("it is ready", async || (scraper.status("/-/ready").await == Some(200)).then_some(())).await;
    assert_eq!(scraper.scrape().await.value("tubewarden_state_writable", &[]), Some(1.0));
    let labels = [("job_type", "video-import")];
    eventually("all is told and counted", async || {
        let scrape = scraper.scrape().await;
        let told = scrape.value("tubewarden_events_total", &[("type", EventKind::JobCompleted.as_str())]);
        let counted = scrape.value("peertube_jobs_completed_total", &labels);
        ([told, counted] == [Some(f64::from(worked)); 2]).then_some(())
    })
    .await;
}

/// A way to give a process mounts of its own, as root or as anybody; `None` if it is not
/// allowed here, as in most containers.
#[expect(clippy::print_stderr, reason = "who runs the tests must see what was skipped")]
fn mounts(script: &str) -> Option<Vec<String>> {
    tools::require("unshare")?;
    for flags in ["-m", "-Urm"] {
        let may = Command::new("unshare").args([flags, "sh", "-c", "mount -t tmpfs tmpfs /mnt"]).output().unwrap();
        if may.status.success() {
            return Some(["unshare", flags, "sh", "-c", script].map(str::to_owned).to_vec());
        }
    }
    eprintln!("SKIPPED: no process may mount anything here");
    None
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_told_and_heals_when_there_is_space_again() {
    let (sim, home) = home().await;
    fs::create_dir(home.file("small")).unwrap();
    let config = fs::read_to_string(home.file("config.toml")).unwrap();
    fs::write(home.file("config.toml"), config.replace("sqlite://state.db", "sqlite://small/state.db")).unwrap();
    let Some(by) = mounts("mount -t tmpfs -o size=6m,mode=0700 tmpfs \"$0\" && exec \"$@\"") else { return };
    let small = home.file("small").to_str().unwrap().to_owned();
    let by: Vec<&str> = by.iter().map(String::as_str).chain([small.as_str()]).collect();
    let mut program = home.program_by(&by, "run", &["run"]);
    Scraper::new(program.address().await).ready().await;

    // As the daemon sees its file system, whose mount is its own.
    let inside = PathBuf::from(format!("/proc/{}/root{small}", program.id()));
    let filler = inside.join("filler");
    let full = fs::write(&filler, vec![0; 8 << 20]).unwrap_err();
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    let words = "no space is left for the state: nothing is stored or told until it is mended";
    let mend = async || {
        refuses_to_reload(&program, "No space left on device").await;
        fs::remove_file(&filler).unwrap();
    };
    fails_and_heals(&sim, &program, "full", words, mend).await;

    // It ends as asked, whatever the disk says.
    fs::write(&filler, vec![0; 8 << 20]).unwrap_err();
    program.terminate();
    assert_eq!(program.ends().await.code(), Some(0));
}

/// A reload that could not be carried through changes nothing, and ends nothing.
async fn refuses_to_reload(program: &Program, why: &str) {
    program.signal("HUP");
    let is_told =
        |line: &serde_json::Value| line["level"] == "ERROR" && line["message"].as_str().unwrap().contains(why);
    eventually("the reload is refused", async || program.log().iter().any(is_told).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_refuses_to_write_is_told_and_heals_when_it_takes_it_again() {
    let Some(_) = tools::require("prlimit") else { return };
    let (sim, home) = home().await;
    // The limit's signal would end it; without that, a write fails as over a quota.
    let mut program = home.program_by(&["sh", "-c", "trap '' XFSZ; exec \"$0\" \"$@\""], "run", &["run"]);
    Scraper::new(program.address().await).ready().await;
    let limit = |bytes: &str| {
        let limit = format!("--fsize={bytes}:");
        assert!(Command::new("prlimit").args(["--pid", &program.id().to_string(), &limit]).status().unwrap().success());
    };
    // More than the log needs, and what the state has by now.
    let largest = ["state.db", "state.db-wal"].map(|name| fs::metadata(home.file(name)).unwrap().len());
    limit(&largest.into_iter().max().unwrap().to_string());
    let words = "the disk of the state fails: nothing is stored or told until it is mended";
    fails_and_heals(&sim, &program, "disk", words, async || limit("unlimited")).await;
    program.terminate();
    assert_eq!(program.ends().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_that_another_program_keeps_locked_is_told_and_heals_when_it_lets_go() {
    let (sim, home) = home().await;
    let mut program = home.program("run", &["run"]);
    Scraper::new(program.address().await).ready().await;
    let other = state(&home.file("state.db")).await;
    let held = other.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let words = "another program keeps the state locked: nothing is stored or told until it is mended";
    let mend = async || {
        refuses_to_reload(&program, "write to the state: another program keeps").await;
        held.rollback().await.unwrap();
    };
    fails_and_heals(&sim, &program, "busy", words, mend).await;
    other.close().await;
    program.terminate();
    assert_eq!(program.ends().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_that_is_deleted_ends_the_daemon_and_the_next_one_begins_anew() {
    let (_sim, home) = home().await;
    // Idle: it is noticed without a poll that has something to store.
    home.configure("127.0.0.1:0", &instance("main", NOWHERE, "[instance.poll]\njobs = \"10h\""));
    let mut program = home.program("run", &["run"]);
    Scraper::new(program.address().await).ready().await;
    fs::remove_file(home.file("state.db")).unwrap();
    assert_eq!(program.ends().await.code(), Some(1));
    let last = program.log().pop().unwrap();
    assert_eq!([&last["level"], &last["message"]], ["ERROR", "tubewarden ends"]);
    let error = last["error"].as_str().unwrap();
    assert!(error.contains("was deleted or replaced while in use") && error.contains("restart"), "{error}");

    let next = home.program("next", &["run"]);
    Scraper::new(next.address().await).ready().await;
    assert!(home.file("state.db").exists());
}

/// Why `run` refuses to begin, with status 1.
async fn refusal(home: &Home, by: &[&str]) -> String {
    let mut program = match by {
        [] => home.program("refused", &["run"]),
        by => home.program_by(by, "refused", &["run"]),
    };
    assert_eq!(program.ends().await.code(), Some(1), "{}", program.words());
    program.words()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_that_can_t_be_used_is_refused_with_what_to_do_and_left_as_it_is() {
    let (sim, home) = home().await;
    let mut program = home.program("first", &["run"]);
    Scraper::new(program.address().await).ready().await;
    work(&sim, 20);
    program.terminate();
    assert_eq!(program.ends().await.code(), Some(0));
    let path = home.file("state.db");
    let good = fs::read(&path).unwrap();

    // Bits that fell over in the middle, where no start would look by chance.
    let mut bad = good.clone();
    for page in bad.chunks_mut(4096).skip(3) {
        page[..64].fill(0xa5);
    }
    fs::write(&path, &bad).unwrap();
    let said = refusal(&home, &[]).await;
    assert!(said.contains("is damaged") && said.contains("restore it from a backup, or move it away"), "{said}");
    assert!(fs::read(&path).unwrap() == bad, "it is left as it is");

    fs::write(&path, &good).unwrap();
    let pool = state(&path).await;
    pool.execute("INSERT INTO schema_version (version) VALUES (99)").await.unwrap();
    pool.close().await;
    let said = refusal(&home, &[]).await;
    assert!(said.contains("its schema 99 is newer than this program") && said.contains("update tubewarden"), "{said}");

    fs::write(&path, &good).unwrap();
    let Some(by) = mounts("mount --bind \"$0\" \"$0\" && mount -o remount,bind,ro \"$0\" && exec \"$@\"") else {
        return;
    };
    let folder = path.parent().unwrap().to_str().unwrap();
    let by: Vec<&str> = by.iter().map(String::as_str).chain([folder]).collect();
    let said = refusal(&home, &by).await;
    assert!(said.contains("must be writable for the user tubewarden runs as"), "{said}");

    // What was wrong is over, and nothing is lost.
    let next = home.program("next", &["run"]);
    Scraper::new(next.address().await).ready().await;
    eventually("all is told", async || {
        let events = home.events().await;
        (events.iter().filter(|event| event.kind == EventKind::JobCompleted).count() == 20).then_some(())
    })
    .await;
}
