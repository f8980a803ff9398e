//! Reported abuses and requested registrations: each told once, what waits counted, and
//! nothing of who or why shown anywhere.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use jiff::Timestamp;
use peertube_sim::accounts::Role;
use peertube_sim::jobs::Version;
use peertube_sim::limits::Limits;
use peertube_sim::moderation::{NewAbuse, NewRegistration, Standing};
use peertube_sim::{Fault, Sim, When, World};
use serde_json::Value;

use tubewarden::core::event::EventKind;
use tubewarden::core::poll::PollKind;

use super::harness::{Home, ROOT, Scrape, Scraper, Watch, by_hand, each_second, eventually, instance};
use super::secrets::state;

const MODERN: [Version; 2] = [Version::V6_3, Version::V8_2];
const MODERATOR: &str = "username = \"moderator\"\npassword = \"moderator-password\"\n";
const PENDING: &str = "peertube_moderation_pending";
const OLDEST: &str = "peertube_moderation_oldest_pending_timestamp_seconds";

fn world(version: Version) -> World {
    let mut world = World::new(1, Timestamp::now(), version);
    world.limits = Limits::none();
    world.accounts.add("moderator", "moderator-password", Role::Moderator);
    world
}

fn report(world: &mut World) {
    world.advance(Duration::from_secs(1));
    world.report_abuse(NewAbuse {
        reporter: "zebediah".to_owned(),
        video: "quagmire".to_owned(),
        reason: "he sings badly".to_owned(),
    });
}

fn request(world: &mut World) {
    world.advance(Duration::from_secs(1));
    let username = format!("wilhelmina{}", world.moderation.registrations.iter().count());
    world.request_registration(NewRegistration {
        email: format!("{username}@faraway.example"),
        username,
        reason: "I love pottery".to_owned(),
    });
}

/// Of abuses and of registrations: how many wait, and since when.
fn waiting(scrape: &Scrape) -> [(Option<f64>, Option<f64>); 2] {
    ["abuse", "registration"]
        .map(|kind| (scrape.value(PENDING, &[("kind", kind)]), scrape.value(OLDEST, &[("kind", kind)])))
}

/// The same in truth.
fn truth(world: &World) -> [(Option<f64>, Option<f64>); 2] {
    let seconds = |at: Timestamp| at.as_millisecond() as f64 / 1000.0;
    let (abuses, registrations) = (&world.moderation.abuses, &world.moderation.registrations);
    [
        (abuses.pending().count(), abuses.pending().map(|case| case.created_at).min()),
        (registrations.pending().count(), registrations.pending().map(|case| case.created_at).min()),
    ]
    .map(|(count, oldest)| (Some(count as f64), oldest.map(seconds)))
}

/// The ids that were told, in the order of telling.
async fn told(watch: &Watch, kind: EventKind, key: &str) -> Vec<u64> {
    let events = watch.events().await;
    events.iter().filter(|event| event.kind == kind).map(|event| event.data[key].as_u64().unwrap()).collect()
}

async fn abuses(watch: &Watch) -> Vec<u64> {
    told(watch, EventKind::AbuseCreated, "abuse_id").await
}

async fn registrations(watch: &Watch) -> Vec<u64> {
    told(watch, EventKind::RegistrationRequested, "registration_id").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_in_is_told_once_and_what_waits_is_counted() {
    for version in MODERN {
        let mut world = world(version);
        (0..40).for_each(|_| report(&mut world));
        (0..70).for_each(|_| request(&mut world));
        (1..=38).for_each(|id| world.settle_abuse(id, Standing::Accepted));
        (1..=69).filter(|id| id % 2 == 0).for_each(|id| world.settle_registration(id, Standing::Rejected));
        let sim = Sim::serve(world).await.unwrap();
        let home = Home::new(&(by_hand() + &*instance("main", &sim.url(), MODERATOR)));
        let watch = Watch::ready(&home).await;
        assert_eq!(waiting(&watch.scrape().await), sim.with(|world| truth(world)));
        let first_look = eventually("the first look is told", async || {
            watch.events().await.into_iter().find(|event| event.kind == EventKind::InstanceFirstLook)
        })
        .await;
        assert_eq!(
            (&first_look.data["abuses_pending"], &first_look.data["registrations_pending"]),
            (&2.into(), &36.into())
        );

        // Some are settled before anybody looked.
        sim.with(|world| {
            (0..13).for_each(|_| report(world));
            request(world);
            world.settle_abuse(41, Standing::Rejected);
            world.settle_registration(71, Standing::Accepted);
            request(world);
        });
        // One half of an answer is none.
        sim.faults().next(1, When::path("/api/v1/users/registrations"), Fault::WrongShape);
        watch.poll("main", PollKind::Moderation).await;
        assert!(abuses(&watch).await.is_empty() && registrations(&watch).await.is_empty());
        watch.poll("main", PollKind::Moderation).await;
        assert_eq!(abuses(&watch).await, (41..=53).collect::<Vec<_>>());
        assert_eq!(registrations(&watch).await, [71, 72]);
        assert_eq!(waiting(&watch.scrape().await), sim.with(|world| truth(world)));
        watch.stop().await;

        // What comes in while nobody watches is told afterwards, and nothing again.
        sim.with(report);
        let watch = Watch::ready(&home).await;
        assert_eq!(abuses(&watch).await, (41..=54).collect::<Vec<_>>());
        assert_eq!(registrations(&watch).await, [71, 72]);
        let event = watch.events().await.into_iter().rfind(|event| event.kind == EventKind::AbuseCreated).unwrap();
        let case = sim.with(|world| world.moderation.abuses.iter().last().unwrap().created_at);
        let pending = sim.with(|world| world.moderation.abuses.pending().count());
        assert_eq!((event.data["pending"].as_u64(), event.time), (Some(pending as u64), case));

        // All is done.
        sim.with(|world| {
            (1..=54).for_each(|id| world.settle_abuse(id, Standing::Accepted));
            (1..=72).for_each(|id| world.settle_registration(id, Standing::Rejected));
        });
        watch.poll("main", PollKind::Moderation).await;
        assert_eq!(waiting(&watch.scrape().await), [(Some(0.0), None); 2]);
        watch.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_right_nothing_is_asked_and_no_gauge_lies() {
    let mut world = world(Version::V8_2);
    report(&mut world);
    let sim = Sim::serve(world).await.unwrap();
    let instances = instance("main", &sim.url(), MODERATOR) + &*instance("nobody", &sim.url(), "");
    let home = Home::new(&(by_hand() + &*instances));
    let watch = Watch::ready(&home).await;
    let pending = async |name: &str| watch.scrape().await.value(PENDING, &[("peertube_instance", name)]);
    assert_eq!((pending("main").await, pending("nobody").await), (Some(1.0), None));
    let enabled = async |name: &str| {
        let labels = [("peertube_instance", name), ("poll", "moderation")];
        watch.scrape().await.value("tubewarden_poll_enabled", &labels)
    };
    assert_eq!((enabled("main").await, enabled("nobody").await), (Some(1.0), Some(0.0)));

    sim.with(|world| world.accounts.get_mut("moderator").unwrap().role = Role::User);
    watch.wake("main", PollKind::Moderation);
    eventually("the poll is off", async || (enabled("main").await == Some(0.0)).then_some(())).await;
    assert_eq!(pending("main").await, None);
    watch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gauges_go_when_polls_are_missed_and_come_back() {
    let mut world = world(Version::V6_3);
    report(&mut world);
    let sim = Sim::serve(world).await.unwrap();
    let home = Home::new(&(by_hand() + &*instance("main", &sim.url(), MODERATOR)));
    let watch = Watch::ready(&home).await;
    let shown = async || watch.scrape().await.value(PENDING, &[]).is_some();
    sim.faults().next(3, When::path("/api/v1/abuses"), Fault::Html);
    for is_shown in [true, true, false, true] {
        watch.poll("main", PollKind::Moderation).await;
        assert_eq!(shown().await, is_shown);
    }
    watch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_without_moderation_is_asked_once_and_all_else_goes_on() {
    let sim = Sim::serve(world(Version::QuickStart)).await.unwrap();
    let home = Home::new(&(by_hand() + &*instance("main", &sim.url(), ROOT)));
    let watch = Watch::ready(&home).await;
    for _ in 0..3 {
        watch.poll_each(&["main"], &[PollKind::Moderation, PollKind::Config, PollKind::Stats]).await;
    }
    let requests = sim.requests();
    assert_eq!((requests.of("abuses"), requests.of("users_registrations")), (1, 1));
    let scrape = watch.scrape().await;
    assert_eq!(scrape.value("tubewarden_polls_total", &[("result", "error")]), Some(0.0));
    assert_eq!(scrape.value("peertube_info", &[("version", "1.4.1")]), Some(1.0));
    assert_eq!(scrape.value("peertube_stats_users", &[]), Some(2.0));
    for absent in
        [PENDING, OLDEST, "peertube_update_available", "peertube_plugin_update_available", "peertube_stats_admins"]
    {
        assert_eq!(scrape.value(absent, &[]), None, "{absent}");
    }
    let first_look = eventually("the first look is told", async || {
        watch.events().await.into_iter().find(|event| event.kind == EventKind::InstanceFirstLook)
    })
    .await;
    assert!(first_look.data["abuses_pending"].is_null());
    watch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_who_or_why_is_shown_logged_or_kept() {
    for version in MODERN {
        let mut world = world(version);
        report(&mut world);
        request(&mut world);
        world.install_plugin("auth-ldap", "0.1.0");
        let sim = Sim::serve(world).await.unwrap();
        let home = Home::new("");
        let common = "[server]\nlisten = \"127.0.0.1:0\"\n[state]\nurl = \"sqlite://state.db\"\n";
        let log = "[log]\nformat = \"json\"\nlevel = \"trace\"\n";
        let config = [common, log, &each_second(), &instance("main", &sim.url(), ROOT)].concat();
        fs::write(home.file("config.toml"), config).unwrap();
        let mut program = home.program("run", &["run"]);
        let scraper = Scraper::new(program.address().await);
        scraper.ready().await;
        sim.with(|world| {
            (0..20).for_each(|_| report(world));
            (0..40).for_each(|_| request(world));
            world.settle_registration(3, Standing::Accepted);
            world.release_peertube("99.0.0");
        });
        eventually("all of it is told", async || {
            let told: Vec<_> = home.events().await.into_iter().map(|event| event.kind).collect();
            let count = |kind| told.iter().filter(|told| **told == kind).count();
            let all = count(EventKind::AbuseCreated) == 20 && count(EventKind::RegistrationRequested) == 40;
            (all && count(EventKind::InstanceUpdateAvailable) == 1).then_some(())
        })
        .await;
        // A wrong answer is logged too, and what stands in it is not.
        sim.faults().always(When::path("/api/v1/abuses"), Fault::CutShort);
        sim.faults().always(When::path("/api/v1/users/me/notifications"), Fault::CutShort);
        sim.with(report);
        let failed = |line: &Value| line["code"] == "decode";
        eventually("the log tells of a wrong answer", async || program.log().iter().any(failed).then_some(())).await;
        let metrics = scraper.text().await;
        program.terminate();
        assert!(program.ends().await.success());

        let (stored, _) = state(&home.file("state.db")).await;
        let raw = String::from_utf8_lossy(&fs::read(home.file("state.db")).unwrap()).into_owned();
        let told = String::from_utf8(home.done(&["events", "--json"]).stdout).unwrap();
        assert!(told.contains("abuse.created") && stored.contains("registration.requested"));
        let places = [
            ("the log", program.words()),
            ("the metrics", metrics),
            ("the history", told),
            ("the history in words", String::from_utf8(home.done(&["events"]).stdout).unwrap()),
            ("the state", stored),
            ("the state file", raw),
        ];
        let found: BTreeSet<_> = places
            .iter()
            .flat_map(|(place, text)| {
                let secrets = ["zebediah", "quagmire", "sings", "wilhelmina", "faraway", "pottery"];
                secrets.into_iter().filter(|secret| text.contains(secret)).map(move |secret| (*place, secret))
            })
            .collect();
        assert_eq!(found, BTreeSet::new());
    }
}
