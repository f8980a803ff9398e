//! What is watched in whose name: rights, one-time passwords, refused sign-ins.

use std::time::Duration;

use jiff::Timestamp;
use peertube_sim::accounts::{Grants, Role};
use peertube_sim::jobs::Version;
use peertube_sim::limits::Limits;
use peertube_sim::videos::NewVideo;
use peertube_sim::{Sim, World};

use tubewarden::core::event::EventKind;
use tubewarden::core::poll::PollKind;
use tubewarden::daemon::Options;

use super::harness::{Home, Log, ROOT, Scrape, Watch, by_hand, eventually, instance};

const TOTP: &str = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP";

/// What each role may not ask.
const OFF_FOR_MODERATORS: &[PollKind] = &[PollKind::Jobs, PollKind::Runners];
const OFF_FOR_USERS: &[PollKind] = &[PollKind::Jobs, PollKind::Runners, PollKind::Moderation];

/// The polls whose `tubewarden_poll_enabled` is 0.
fn off(scrape: &Scrape, name: &str) -> Vec<PollKind> {
    let of = |kind: PollKind| [("peertube_instance", name), ("poll", kind.as_str())];
    let is_off = |kind: &PollKind| scrape.value("tubewarden_poll_enabled", &of(*kind)).unwrap() == 0.0;
    PollKind::ALL.into_iter().filter(is_off).collect()
}

fn signed_in(scrape: &Scrape, name: &str) -> Option<f64> {
    scrape.value("tubewarden_signed_in", &[("peertube_instance", name)])
}

fn sign_ins(scrape: &Scrape, name: &str, result: &str) -> f64 {
    let labels = [("peertube_instance", name), ("grant", "password"), ("result", result)];
    scrape.value("tubewarden_token_refreshes_total", &labels).unwrap()
}

fn account(username: &str, more: &str) -> String {
    format!("username = \"{username}\"\npassword = \"{username}-password\"\n{more}")
}

/// Lines of the log with a text that are about an instance.
fn said(log: &Log, name: &str, text: &str) -> usize {
    let name = format!("peertube_instance={name} ");
    log.lines_with(text).iter().filter(|line| line.contains(&name)).count()
}

const OFF: &str = "the account does not allow this poll: it is off";
const ON: &str = "the account allows this poll now: it is on";
const ANOTHER: &str = "the account has another role now";

#[tokio::test]
async fn each_account_is_asked_what_it_may_and_signs_in_once() {
    let (log, _logging) = Log::of_this_thread();
    let mut world = World::new(1, Timestamp::now(), Version::V8_2);
    world.limits = Limits { token: Limits::peertube().token, ..Limits::none() };
    world.accounts.add("moderator", "moderator-password", Role::Moderator);
    world.accounts.add("bob", "bob-password", Role::User);
    world.accounts.add("guarded", "guarded-password", Role::Administrator).totp_secret = Some(TOTP.to_owned());
    world.upload(NewVideo::named("holidays").without_transcoding());
    let sim = Sim::serve(world).await.unwrap();
    let watched = [
        ("administrator", ROOT.to_owned()),
        ("moderator", account("moderator", "")),
        ("user", account("bob", "")),
        ("nobody", String::new()),
        ("two-factor", account("guarded", &format!("totp_secret = \"{TOTP}\"\n"))),
    ];
    let instances = watched.each_ref().map(|(name, account)| instance(name, &sim.url(), account));
    let home = Home::new(&(by_hand() + &*instances.concat()));
    let watch = Watch::ready(&home).await;
    let names = watched.each_ref().map(|(name, _)| *name);
    for _ in 0..10 {
        for kind in OFF_FOR_USERS {
            names.iter().for_each(|name| watch.wake(name, *kind));
        }
        watch.poll_each(&names, &[PollKind::Videos, PollKind::VideosFull, PollKind::Config]).await;
    }

    let scrape = watch.scrape().await;
    for (name, polls_off, is_in) in [
        ("administrator", [].as_slice(), Some(1.0)),
        ("moderator", OFF_FOR_MODERATORS, Some(1.0)),
        ("user", OFF_FOR_USERS, Some(1.0)),
        ("nobody", OFF_FOR_USERS, None),
        ("two-factor", &[], Some(1.0)),
    ] {
        assert_eq!(off(&scrape, name), polls_off, "{name}");
        assert_eq!(signed_in(&scrape, name), is_in, "{name}");
        assert_eq!(sign_ins(&scrape, name, "ok"), is_in.unwrap_or(0.0), "{name}");
        assert_eq!(sign_ins(&scrape, name, "error"), 0.0, "{name}");
        let of = [("peertube_instance", name)];
        assert_eq!(scrape.value("peertube_up", &of), Some(1.0), "{name}");
        assert!(scrape.value("peertube_videos", &of).is_some(), "{name}");
        let is_counted = scrape.value("peertube_jobs_listed", &of).is_some();
        assert_eq!(is_counted, polls_off.is_empty(), "{name}: no gauge lies about what can't be asked");
        assert_eq!(said(&log, name, OFF), polls_off.len(), "{name}: each that is off is told once");
        assert_eq!(said(&log, name, ON) + said(&log, name, ANOTHER), 0, "{name}: nothing has changed");
    }
    assert_eq!(scrape.value("tubewarden_polls_total", &[("result", "error")]), Some(0.0));
    assert_eq!(sim.with(|world| world.accounts.truth().password), Grants { granted: 4, refused: 0 });
    assert_eq!(watch.count(EventKind::AuthFailed).await, 0);
    watch.stop().await;

    // The tokens are kept: a restart signs nobody in anew.
    let watch = Watch::ready(&home).await;
    assert_eq!(signed_in(&watch.scrape().await, "two-factor"), Some(1.0));
    assert_eq!(sim.with(|world| world.accounts.truth().password.granted), 4);
    watch.stop().await;
}

/// An instance watched in the name of somebody with this role, and its log.
async fn watched_as(role: Role, rights_last: Option<Duration>) -> (Sim, Watch, Home) {
    let mut world = World::new(1, Timestamp::now(), Version::V8_2);
    world.limits = Limits { token: Limits::peertube().token, ..Limits::none() };
    world.accounts.add("warden", "warden-password", role);
    world.upload(NewVideo::named("holidays").without_transcoding());
    let sim = Sim::serve(world).await.unwrap();
    let home = Home::new(&(by_hand() + &*instance("main", &sim.url(), &account("warden", ""))));
    let watch = Watch::start_with(&home, Options { rights_last, ..Options::default() }).await.once_ready().await;
    (sim, watch, home)
}

/// Changes what the account may, and nothing else.
fn change_role(sim: &Sim, role: Role) {
    sim.with(|world| world.accounts.get_mut("warden").unwrap().role = role);
}

/// Wakes the polls that need rights until just these are off.
async fn off_become(watch: &Watch, polls: &[PollKind]) {
    eventually("polls are on or off", async || {
        OFF_FOR_USERS.iter().for_each(|kind| watch.wake("main", *kind));
        (off(&watch.scrape().await, "main") == polls).then_some(())
    })
    .await;
}

const VIDEOS: [PollKind; 2] = [PollKind::Videos, PollKind::VideosFull];

#[tokio::test]
async fn a_promotion_is_noticed_when_the_role_is_asked_for_again() {
    let (log, _logging) = Log::of_this_thread();
    let (sim, watch, _home) = watched_as(Role::User, Some(Duration::ZERO)).await;
    assert_eq!(off(&watch.scrape().await, "main"), OFF_FOR_USERS);
    assert_eq!(said(&log, "main", OFF), OFF_FOR_USERS.len());

    change_role(&sim, Role::Moderator);
    watch.poll_each(&["main"], &VIDEOS).await;
    assert_eq!(said(&log, "main", ANOTHER), 1);
    off_become(&watch, OFF_FOR_MODERATORS).await;
    change_role(&sim, Role::Administrator);
    off_become(&watch, &[]).await;
    for _ in 0..5 {
        watch.poll_each(&["main"], &PollKind::ALL).await;
    }

    let scrape = watch.scrape().await;
    assert!(scrape.value("peertube_jobs_listed", &[("peertube_instance", "main")]).is_some());
    let all = OFF_FOR_USERS.len();
    assert_eq!([said(&log, "main", OFF), said(&log, "main", ON), said(&log, "main", ANOTHER)], [all, all, 2]);
    assert_eq!(scrape.value("tubewarden_polls_total", &[("result", "error")]), Some(0.0));
    assert_eq!(sim.with(|world| world.accounts.truth().password), Grants { granted: 1, refused: 0 });
    watch.stop().await;
}

#[tokio::test]
async fn a_role_is_not_asked_for_at_each_poll() {
    let (sim, watch, _home) = watched_as(Role::User, None).await;
    change_role(&sim, Role::Administrator);
    for _ in 0..5 {
        watch.wake("main", PollKind::Jobs);
        watch.poll_each(&["main"], &VIDEOS).await;
    }
    assert_eq!(off(&watch.scrape().await, "main"), OFF_FOR_USERS, "not for 15 minutes");
    watch.stop().await;
}

#[tokio::test]
async fn a_role_that_is_given_in_peertube_is_noticed_by_the_sign_in_that_it_costs() {
    let (log, _logging) = Log::of_this_thread();
    let (sim, watch, _home) = watched_as(Role::User, None).await;
    for (i, (role, polls_off)) in
        [(Role::Administrator, [].as_slice()), (Role::Moderator, OFF_FOR_MODERATORS)].into_iter().enumerate()
    {
        sim.with(|world| world.accounts.set_role("warden", role));
        watch.poll_each(&["main"], &VIDEOS).await;
        off_become(&watch, polls_off).await;
        assert_eq!(said(&log, "main", ANOTHER), i + 1);
        assert_eq!(sim.with(|world| world.accounts.truth().password.granted), i as u64 + 2);
    }
    let (all, some) = (OFF_FOR_USERS.len(), OFF_FOR_MODERATORS.len());
    assert_eq!([said(&log, "main", OFF), said(&log, "main", ON)], [all + some, all]);
    assert_eq!(watch.scrape().await.value("tubewarden_polls_total", &[("result", "error")]), Some(0.0));
    watch.stop().await;
}

#[tokio::test]
async fn a_demotion_is_noticed_at_the_first_refusal_and_fails_no_poll() {
    let (log, _logging) = Log::of_this_thread();
    let (sim, watch, _home) = watched_as(Role::Administrator, None).await;
    assert_eq!(off(&watch.scrape().await, "main"), []);

    change_role(&sim, Role::Moderator);
    off_become(&watch, OFF_FOR_MODERATORS).await;
    assert_eq!([said(&log, "main", OFF), said(&log, "main", ANOTHER)], [OFF_FOR_MODERATORS.len(), 1]);
    let of = [("peertube_instance", "main")];
    assert_eq!(watch.scrape().await.value("peertube_jobs_listed", &of), None, "nothing is shown that may be old");
    // Of this one, the first refusal is that of the videos that are not public.
    change_role(&sim, Role::User);
    for _ in 0..5 {
        watch.wake("main", PollKind::Jobs);
        watch.poll_each(&["main"], &[PollKind::Videos, PollKind::VideosFull, PollKind::Config]).await;
    }
    off_become(&watch, OFF_FOR_USERS).await;

    let scrape = watch.scrape().await;
    let all = OFF_FOR_USERS.len();
    assert_eq!([said(&log, "main", OFF), said(&log, "main", ON), said(&log, "main", ANOTHER)], [all, 0, 2]);
    assert_eq!(scrape.value("tubewarden_polls_total", &[("result", "error")]), Some(0.0));
    assert_eq!(signed_in(&scrape, "main"), Some(1.0));
    assert_eq!(sim.with(|world| world.accounts.truth().password), Grants { granted: 1, refused: 0 });
    assert_eq!(watch.count(EventKind::VideoDeleted).await, 0);
    watch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_sign_in_is_told_once_and_not_tried_again_at_once() {
    let mut world = World::new(1, Timestamp::now(), Version::V8_2);
    world.limits = Limits::none();
    world.accounts.add("guarded", "guarded-password", Role::Administrator).totp_secret = Some(TOTP.to_owned());
    let sim = Sim::serve(world).await.unwrap();
    let wrong = "username = \"root\"\npassword = \"not-it\"\n";
    let watched = [("wrong", wrong.to_owned()), ("no-code", account("guarded", ""))];
    let instances = watched.each_ref().map(|(name, account)| instance(name, &sim.url(), account));
    let home = Home::new(&(by_hand() + &*instances.concat()));
    let watch = Watch::ready(&home).await;
    for _ in 0..10 {
        watch.poll_each(&["wrong", "no-code"], &PollKind::ALL).await;
    }

    let scrape = watch.scrape().await;
    for (name, _) in &watched {
        assert_eq!(signed_in(&scrape, name), Some(0.0), "{name}");
        assert_eq!(sign_ins(&scrape, name, "error"), 1.0, "{name}");
        assert_eq!(scrape.polls_with(name, PollKind::Jobs, "ok"), 0.0, "{name}");
        assert_eq!(scrape.polls_with(name, PollKind::Config, "error"), 0.0, "{name}: anyone may ask this");
        assert_eq!(scrape.value("peertube_up", &[("peertube_instance", name)]), Some(1.0), "{name}");
    }
    assert_eq!(sim.with(|world| world.accounts.truth().password), Grants { granted: 0, refused: 2 });
    let refusals = async || {
        let events = watch.events().await;
        let refused = events.into_iter().filter(|event| event.kind == EventKind::AuthFailed);
        refused.map(|event| (event.instance().to_owned(), event.data["code"].as_str().unwrap().to_owned())).collect()
    };
    let mut told: Vec<(String, String)> = refusals().await;
    told.sort();
    let expected = [("no-code", "missing_two_factor"), ("wrong", "invalid_grant")];
    assert_eq!(told, expected.map(|(name, code)| (name.to_owned(), code.to_owned())));
    watch.stop().await;

    // Still refused after a restart: that is no news. A person mends it: that is.
    let watch = Watch::ready(&home).await;
    assert_eq!(watch.count(EventKind::AuthFailed).await, 2);
    watch.stop().await;
    sim.with(|world| world.accounts.get_mut("root").unwrap().password = "not-it".to_owned());
    let watch = Watch::ready(&home).await;
    eventually("signed in", async || (signed_in(&watch.scrape().await, "wrong") == Some(1.0)).then_some(())).await;
    watch.stop().await;
}
