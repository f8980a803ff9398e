//! Schedules with a whole daemon: what was missed while it was down, runs that last
//! longer than their time, and instances that each have a run of their own.

use std::collections::BTreeSet;
use std::fs;

use jiff::civil::DateTime;
use jiff::{SignedDuration, Timestamp, ToSpan};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};

use super::harness::{Home, ROOT, Watch, by_hand, eventually, instance};
use super::rules::receiver::{Receiver, Taken};
use super::rules::{quiet_instance, watched};

fn schedule(name: &str, cron: &str, more: &str) -> String {
    format!("[[schedule]]\nname = \"{name}\"\ncron = \"{cron}\"\n{more}\n")
}

fn times(taken: &[Taken]) -> Vec<Timestamp> {
    taken.iter().map(|one| one.body["time"].as_str().unwrap().parse().unwrap()).collect()
}

/// As if the daemon had known its schedules for two days, and been down since.
async fn down_for_two_days(home: &Home) {
    let since = Timestamp::now() - SignedDuration::from_hours(48);
    let mut state = SqliteConnectOptions::new().filename(home.file("state.db")).connect().await.unwrap();
    sqlx::query("UPDATE rules SET added_at = $1").bind(since.as_millisecond()).execute(&mut state).await.unwrap();
    state.close().await.unwrap();
}

#[tokio::test]
async fn a_run_that_was_missed_is_made_up_for_once_where_that_is_asked() {
    let sim = quiet_instance().await;
    let (careful, careless) = (Receiver::refusing(|_| false).await, Receiver::refusing(|_| false).await);
    // Once a day, and not while this test runs.
    let now = Timestamp::now().in_tz("UTC").unwrap().datetime();
    let hour = (now + 6.hours()).hour();
    let line = format!("0 0 {hour} * * *");
    let schedules = [
        schedule("careful", &line, &format!("catch_up = true\nwebhook.url = \"{}\"", careful.url())),
        schedule("careless", &line, &format!("webhook.url = \"{}\"", careless.url())),
    ];
    let home = Home::new(&watched(&sim, &schedules.concat()));
    Watch::ready(&home).await.stop().await;
    assert_eq!(careful.tries(), 0, "what was before a schedule is there was not missed");
    down_for_two_days(&home).await;

    let watch = Watch::ready(&home).await;
    eventually("it is made up for", async || (!careful.accepted().is_empty()).then_some(())).await;
    eventually("nothing is owed", async || watch.store().owes().await.unwrap().is_empty().then_some(())).await;
    let missed = times(&careful.accepted());
    let hour_before = (now + 6.hours()).with().minute(0).second(0).subsec_nanosecond(0).build().unwrap() - 24.hours();
    assert_eq!(missed, [hour_before.in_tz("UTC").unwrap().timestamp()], "the last of two");
    watch.stop().await;

    let watch = Watch::ready(&home).await;
    let fired = watch.events().await.into_iter().filter(|event| event.type_name() == "schedule.fired").count();
    watch.stop().await;
    assert_eq!((fired, careful.tries(), careless.tries()), (1, 1, 0), "no restart repeats it");
}

#[test]
fn the_next_runs_are_listed_in_their_zone() {
    let schedules = [
        schedule("morning", "0 0 9 * * *", "timezone = \"Asia/Kolkata\"\nexec.command = [\"/bin/true\"]"),
        schedule("off", "0 30 12 * * 1", "instance = \"main\"\nenabled = false\nexec.command = [\"/bin/true\"]"),
    ];
    let main = instance("main", "http://127.0.0.1:9", "");
    let home = Home::new(&(main.clone() + &*schedules.concat()));
    let listed = home.done(&["schedules", "--next", "5"]);
    let listed = String::from_utf8(listed.stdout).unwrap();
    let (morning, off) = listed.split_once("\n\n").unwrap();
    let runs = |part: &str| {
        let runs = part.lines().skip(2).map(|line| line.trim().split_once(' ').unwrap().1);
        runs.map(|at| DateTime::strptime("%Y-%m-%d %H:%M:%S", at).unwrap()).collect::<Vec<_>>()
    };
    assert!(morning.starts_with("morning\n  0 0 9 * * * Asia/Kolkata, exec, all instances\n"), "{listed}");
    let now = Timestamp::now().in_tz("Asia/Kolkata").unwrap().datetime();
    let first = now.date().at(9, 0, 0, 0);
    let first = if first > now { first } else { first + 1.day() };
    assert_eq!(runs(morning), (0..5).map(|day| first + day.days()).collect::<Vec<_>>(), "{listed}");
    assert!(off.starts_with("off\n  0 30 12 * * 1 UTC, exec, main, switched off\n"), "{listed}");
    assert!(runs(off).windows(2).all(|two| two[0] + 7.days() == two[1]), "{listed}");
    assert_eq!(off.matches("  Monday ").count(), 5, "{listed}");

    home.configure("127.0.0.1:0", &main);
    assert_eq!(home.done(&["schedules"]).stdout, b"there are no schedules\n");
    assert_eq!(home.done(&["schedules", "--next", "0"]).status.code(), Some(2));
}

#[tokio::test]
async fn runs_that_last_longer_than_a_second_never_overlap_and_what_waits_gives_way() {
    let sim = quiet_instance().await;
    let home = Home::new("");
    let slow = home.file("slow.sh");
    fs::write(
        &slow,
        "cd \"$1\"; mkdir running || echo overlap >> runs\necho \"$TUBEWARDEN_EVENT_TIME\" >> runs\n\
         sleep 3; rmdir running; echo done >> ended\n",
    )
    .unwrap();
    let command =
        format!("exec.command = [\"/bin/sh\", \"{}\", \"{}\"]", slow.display(), slow.parent().unwrap().display());
    home.configure("127.0.0.1:0", &watched(&sim, &schedule("slow", "* * * * * *", &command)));
    let watch = Watch::ready(&home).await;
    let lines = |name: &str| {
        let text = fs::read_to_string(home.file(name)).unwrap_or_default();
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    eventually("three runs end", async || {
        let owes = watch.store().owes().await.unwrap();
        // One that is under way and was overtaken is owed no more.
        assert!(owes.iter().all(|owes| owes.pending <= 1), "{owes:?}");
        (lines("ended").len() >= 3).then_some(())
    })
    .await;
    let fired = watch.events().await.into_iter().filter(|event| event.type_name() == "schedule.fired").count();
    watch.stop().await;

    let runs = lines("runs");
    assert!(!runs.iter().any(|line| line == "overlap"), "{runs:?}");
    let runs: Vec<Timestamp> = runs.iter().map(|line| line.parse().unwrap()).collect();
    // While one takes three seconds two others give way to the third.
    let between: Vec<i64> = runs.windows(2).map(|two| two[1].duration_since(two[0]).as_secs()).collect();
    assert!(between.iter().all(|seconds| *seconds >= 2), "{runs:?}");
    assert!(fired > runs.len() + 2, "{fired} times came, {} runs", runs.len());
}

#[tokio::test]
async fn a_schedule_fires_for_each_of_its_instances() {
    let (first, second) = (quiet_instance().await, quiet_instance().await);
    let (all, one) = (Receiver::refusing(|_| false).await, Receiver::refusing(|_| false).await);
    let schedules = [
        schedule("all", "* * * * * *", &format!("webhook.url = \"{}\"", all.url())),
        schedule("one", "* * * * * *", &format!("instance = \"second\"\nwebhook.url = \"{}\"", one.url())),
    ];
    let instances = [instance("first", &first.url(), ROOT), instance("second", &second.url(), ROOT)].concat();
    let home = Home::new(&[by_hand(), instances, schedules.concat()].concat());
    let watch = Watch::ready(&home).await;
    let of = |taken: &[Taken], name: &str| {
        let of_it: Vec<_> = taken.iter().filter(|one| one.body["data"]["instance"] == name).cloned().collect();
        times(&of_it)
    };
    eventually("some runs for each", async || {
        let taken = all.accepted();
        (["first", "second"].iter().all(|name| of(&taken, name).len() >= 3) && one.accepted().len() >= 3).then_some(())
    })
    .await;
    watch.stop().await;
    let taken = all.accepted();
    for name in ["first", "second"] {
        let times = of(&taken, name);
        assert!(times.windows(2).all(|two| two[0] < two[1]), "{name}: {times:?}");
    }
    let one = one.accepted();
    assert_eq!(of(&one, "second").len(), one.len());
    let ids: BTreeSet<String> = taken.iter().chain(&one).map(|taken| taken.id.clone()).collect();
    assert_eq!(ids.len(), taken.len() + one.len(), "each under an id of its own");
}
