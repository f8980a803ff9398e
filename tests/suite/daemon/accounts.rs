//! What is watched in whose name: rights, one-time passwords, refused sign-ins.

use jiff::Timestamp;
use peertube_sim::accounts::{Grants, Role};
use peertube_sim::jobs::Version;
use peertube_sim::limits::Limits;
use peertube_sim::videos::NewVideo;
use peertube_sim::{Sim, World};

use tubewarden::core::event::EventKind;
use tubewarden::core::poll::PollKind;

use super::harness::{Home, ROOT, Scrape, Watch, by_hand, eventually, instance};

const TOTP: &str = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP";

/// `tubewarden_poll_enabled` of jobs, videos, videos_full, runners and config.
fn enabled(scrape: &Scrape, name: &str) -> [f64; 5] {
    let of = |kind: PollKind| [("peertube_instance", name), ("poll", kind.as_str())];
    PollKind::ALL.map(|kind| scrape.value("tubewarden_poll_enabled", &of(kind)).unwrap())
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_account_is_asked_what_it_may_and_signs_in_once() {
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
    let home = Home::new(&(by_hand() + &instances.concat()));
    let watch = Watch::ready(&home).await;
    let names = watched.each_ref().map(|(name, _)| *name);
    for _ in 0..5 {
        names.iter().for_each(|name| watch.wake(name, PollKind::Jobs));
        watch.poll_each(&names, &[PollKind::Videos, PollKind::VideosFull, PollKind::Config]).await;
    }

    let scrape = watch.scrape().await;
    for (name, polls, is_in) in [
        ("administrator", [1.0, 1.0, 1.0, 1.0, 1.0], Some(1.0)),
        ("moderator", [0.0, 1.0, 1.0, 0.0, 1.0], Some(1.0)),
        ("user", [0.0, 1.0, 1.0, 0.0, 1.0], Some(1.0)),
        ("nobody", [0.0, 1.0, 1.0, 0.0, 1.0], None),
        ("two-factor", [1.0, 1.0, 1.0, 1.0, 1.0], Some(1.0)),
    ] {
        assert_eq!(enabled(&scrape, name), polls, "{name}");
        assert_eq!(signed_in(&scrape, name), is_in, "{name}");
        assert_eq!(sign_ins(&scrape, name, "ok"), is_in.unwrap_or(0.0), "{name}");
        assert_eq!(sign_ins(&scrape, name, "error"), 0.0, "{name}");
        let of = [("peertube_instance", name)];
        assert_eq!(scrape.value("peertube_up", &of), Some(1.0), "{name}");
        assert!(scrape.value("peertube_videos", &of).is_some(), "{name}");
        let is_counted = scrape.value("peertube_jobs_listed", &of).is_some();
        assert_eq!(is_counted, polls[0] == 1.0, "{name}: no gauge lies about what can't be asked");
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_sign_in_is_told_once_and_not_tried_again_at_once() {
    let mut world = World::new(1, Timestamp::now(), Version::V8_2);
    world.limits = Limits::none();
    world.accounts.add("guarded", "guarded-password", Role::Administrator).totp_secret = Some(TOTP.to_owned());
    let sim = Sim::serve(world).await.unwrap();
    let wrong = "username = \"root\"\npassword = \"not-it\"\n";
    let watched = [("wrong", wrong.to_owned()), ("no-code", account("guarded", ""))];
    let instances = watched.each_ref().map(|(name, account)| instance(name, &sim.url(), account));
    let home = Home::new(&(by_hand() + &instances.concat()));
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
