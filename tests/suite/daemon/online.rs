//! `tubewarden check --online`: what each instance says, at the cost of one sign-in.

use std::fs;
use std::process::Output;

use jiff::Timestamp;
use peertube_sim::accounts::{Grants, Role, Standing};
use peertube_sim::jobs::Version;
use peertube_sim::limits::Limits;
use peertube_sim::{Sim, World};

use tubewarden::core::poll::PollKind;

use super::harness::{Home, ROOT, Watch, by_hand, instance};

const TOTP: &str = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP";

async fn sim() -> Sim {
    let mut world = World::new(1, Timestamp::now(), Version::V8_2);
    world.limits = Limits { token: Limits::peertube().token, ..Limits::none() };
    world.accounts.add("mod", "mod-password", Role::Moderator);
    world.accounts.add("bob", "bob-password", Role::User);
    world.accounts.add("guarded", "guarded-password", Role::Administrator).totp_secret = Some(TOTP.to_owned());
    world.accounts.add("blocked", "blocked-password", Role::User).standing = Standing::Blocked;
    Sim::serve(world).await.unwrap()
}

fn account(username: &str, more: &str) -> String {
    format!("username = \"{username}\"\npassword = \"{username}-password\"\n{more}")
}

/// What was said of an instance, a line each.
fn of<'a>(shown: &'a str, name: &str) -> Vec<&'a str> {
    let begins = format!("{name}  http");
    let part = shown.split("\n\n").find(|part| part.starts_with(&begins));
    part.unwrap_or_else(|| panic!("{name} is not in {shown}")).lines().skip(1).map(str::trim).collect()
}

fn out(done: &Output) -> String {
    String::from_utf8(done.stdout.clone()).unwrap()
}

fn grants(sim: &Sim) -> [Grants; 2] {
    sim.with(|world| [world.accounts.truth().password, world.accounts.truth().refresh_token])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_account_is_told_what_it_allows() {
    let sim = sim().await;
    let watched = [
        ("administrator", ROOT.to_owned()),
        ("moderator", account("mod", "")),
        ("user", account("bob", "")),
        ("nobody", String::new()),
        ("two-factor", account("guarded", &format!("totp_secret = \"{TOTP}\"\n"))),
    ];
    let instances = watched.each_ref().map(|(name, account)| instance(name, &sim.url(), account));
    let home = Home::new(&(by_hand() + &*instances.concat()));
    let done = home.done(&["check", "--online"]);
    assert_eq!((done.status.code(), String::from_utf8_lossy(&done.stderr).into_owned()), (Some(0), String::new()));
    let shown = out(&done);
    assert!(shown.contains("the configuration is right"), "{shown}");

    let jobs = ("jobs", "jobs: needs an administrator");
    let runners = ("runners", "runners: needs an administrator");
    let moderation = ("moderation", "moderation: needs a moderator");
    let polls = |off: &[(&str, &str)]| -> Vec<String> {
        let line = |kind: PollKind| match off.iter().find(|(off, _)| *off == kind.as_str()) {
            Some((_, why)) => format!("off         {why}"),
            None => format!("on          {kind}"),
        };
        PollKind::ALL.into_iter().map(line).collect()
    };
    let reached = "reached     PeerTube 8.2.1";
    let signed_in = |who: &str| format!("account     signed in as {who}, by password");
    for (name, who) in
        [("administrator", signed_in("root, administrator")), ("two-factor", signed_in("guarded, administrator"))]
    {
        assert_eq!(of(&shown, name), [vec![reached.to_owned(), who], polls(&[])].concat());
    }
    for (name, who, off) in [
        ("moderator", signed_in("mod, moderator"), [jobs, runners].as_slice()),
        ("user", signed_in("bob, user"), &[jobs, runners, moderation]),
        ("nobody", "account     none: what anyone may see".to_owned(), &[jobs, runners, moderation]),
    ] {
        let mut lines = of(&shown, name);
        let warning = lines.pop().unwrap();
        assert_eq!(lines, [vec![reached.to_owned(), who], polls(off)].concat(), "{name}");
        let limit = "PeerTube's limit of 50 requests in 10 s is shared with all who come from this address";
        assert!(warning.starts_with("warning ") && warning.contains(limit), "{warning}");
    }
    assert_eq!(grants(&sim), [Grants { granted: 4, refused: 0 }, Grants::default()], "one sign-in each");
    assert_eq!(fs::read_dir(home.file("")).unwrap().count(), 1, "nothing is kept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_can_not_be_asked_or_refuses_is_told_after_one_try() {
    let sim = sim().await;
    let watched = [
        instance("gone", "http://127.0.0.1:9", ROOT),
        instance("wrong", &sim.url(), "username = \"root\"\npassword = \"not-it\"\n"),
        instance("no-code", &sim.url(), &account("guarded", "")),
        instance("blocked", &sim.url(), &account("blocked", "")),
        instance("main", &sim.url(), ROOT),
    ];
    let home = Home::new(&watched.concat());
    let done = home.done(&["check", "--online"]);
    assert_eq!(done.status.code(), Some(1));
    let words = "tubewarden: 4 of 5 instances can't be watched as configured\n";
    assert_eq!(String::from_utf8_lossy(&done.stderr), words);
    let shown = out(&done);
    let gone = of(&shown, "gone");
    assert!(gone.len() == 1 && gone[0].starts_with("not reached ask gone for config: no connection"), "{gone:?}");
    for (name, code) in [("wrong", "invalid_grant"), ("no-code", "missing_two_factor"), ("blocked", "access_denied")] {
        let lines = of(&shown, name);
        assert_eq!(lines[0], "reached     PeerTube 8.2.1", "{name}: anyone may ask this");
        assert!(lines[1].starts_with("account ") && lines[1].ends_with(&format!("({code})")), "{name}: {lines:?}");
    }
    assert_eq!(of(&shown, "main").len(), 2 + PollKind::ALL.len());
    assert_eq!(grants(&sim)[0], Grants { granted: 1, refused: 3 });

    fs::write(home.file("config.toml"), "[[instance]]\nname = \"main\"\n").unwrap();
    assert_eq!(home.done(&["check", "--online"]).status.code(), Some(78));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_kept_token_is_used_beside_a_daemon_and_never_renewed() {
    let sim = sim().await;
    let home = Home::new(&(by_hand() + &*instance("main", &sim.url(), ROOT)));
    let watch = Watch::ready(&home).await;
    let shown = out(&home.done(&["check", "--online"]));
    assert_eq!(of(&shown, "main")[1], "account     signed in as root, administrator, by the token in the state");
    assert_eq!(grants(&sim)[0].granted, 1, "that of the daemon");

    // One that is no longer good costs a sign-in, and the daemon's pair is not spent.
    sim.with(|world| world.accounts.revoke("root"));
    let shown = out(&home.done(&["check", "--online"]));
    assert_eq!(of(&shown, "main")[1], "account     signed in as root, administrator, by password");
    assert_eq!(grants(&sim), [Grants { granted: 2, refused: 0 }, Grants::default()]);
    watch.stop().await;
}
