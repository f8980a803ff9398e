//! Marked secrets on every path that there is, at the level `trace`: sign-ins that work
//! and fail, webhooks that arrive and don't, all commands. None is to be seen anywhere.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use jiff::Timestamp;
use peertube_sim::accounts::Role;
use peertube_sim::jobs::{NewJob, Version, work};
use peertube_sim::limits::Limits;
use peertube_sim::{Fault, Sim, When, World};

use tubewarden::core::event::EventKind;

use super::super::harness::{Home, Scraper, each_second, eventually, instance};
use super::super::rules::receiver::Receiver;
use super::{LINK_SECRET, state, tokens_in};

const PASSWORD: &str = "marked-password-5f1e";
const WRONG: &str = "marked-wrong-password-77aa";
const TOTP: &str = "MARKEDSEEDMARKEDSEEDMARKEDSEEDMA";
const URL_USER: &str = "marked-user-31b2";
const URL_PASSWORD: &str = "marked-url-password-9c4d";
const URL_PATH: &str = "marked-path-e8f0";
const URL_QUERY: &str = "marked-query-1d2c";
const HEADER: &str = "marked-header-6b7a";
/// Of a webhook: base64 as Standard Webhooks has it.
const SIGNING: &str = "bWFya2VkLXNpZ25pbmctc2VjcmV0LTAwMQ==";

const ALL: [&str; 11] = [
    PASSWORD,
    WRONG,
    TOTP,
    URL_USER,
    URL_PASSWORD,
    URL_PATH,
    URL_QUERY,
    HEADER,
    SIGNING,
    LINK_SECRET,
    work::RESET_LINK,
];

async fn guarded() -> Sim {
    let mut world = World::new(1, Timestamp::now(), Version::V8_2);
    world.limits = Limits::none();
    world.accounts.lifetimes.access = Duration::from_secs(1);
    world.accounts.add("guarded", PASSWORD, Role::Administrator).totp_secret = Some(TOTP.to_owned());
    Sim::serve(world).await.unwrap()
}

/// Rules that deliver to somebody who takes it, who refuses it, and who is not there.
fn rules(home: &Home, receivers: [&str; 3]) -> String {
    fs::write(home.file("header"), HEADER).unwrap();
    let rule = |(number, host): (usize, &str)| {
        let url = format!("http://{URL_USER}:{URL_PASSWORD}@{host}?key={URL_QUERY}&path={URL_PATH}");
        fs::write(home.file(&format!("url-{number}")), url).unwrap();
        format!(
            "[[rule]]\nname = \"hook {number}\"\non = [\"job.*\", \"auth.*\"]\nwebhook.url_file = \"url-{number}\"\n\
             webhook.secret = \"whsec_{SIGNING}\"\nwebhook.headers.X-Key_file = \"header\"\nwebhook.backoff = \"1s\"\n"
        )
    };
    receivers.into_iter().enumerate().map(rule).collect()
}

fn account(user: &str, password: &str) -> String {
    format!("username = \"{user}\"\npassword = \"{password}\"\ntotp_secret = \"{TOTP}\"\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn marked_secrets_are_nowhere_to_be_seen() {
    let (sim, broken) = (guarded().await, guarded().await);
    broken.faults().always(When::path("/api/v1/users/token"), Fault::WrongShape);
    let taker = Receiver::refusing(|_| false).await;
    let refuser = Receiver::refusing(|_| true).await;
    let home = Home::new("");
    let host = |receiver: &Receiver| receiver.url().trim_start_matches("http://").to_owned();
    let config = [
        "[server]\nlisten = \"127.0.0.1:0\"\n[state]\nurl = \"sqlite://state.db\"\n".to_owned(),
        "[log]\nformat = \"json\"\nlevel = \"trace\"\nevents = [\"*\"]\n".to_owned(),
        each_second(),
        instance("main", &sim.url(), &account("guarded", PASSWORD)),
        instance("refused", &sim.url(), &account("guarded", WRONG)),
        instance("broken", &broken.url(), &account("guarded", PASSWORD)),
        instance("absent", "http://127.0.0.1:9", &account("guarded", PASSWORD)),
        rules(&home, [&host(&taker), &host(&refuser), "127.0.0.1:9"]),
    ]
    .concat();
    fs::write(home.file("config.toml"), config).unwrap();
    let mut program = home.program("run", &["run"]);
    let scraper = Scraper::new(program.address().await);
    scraper.ready().await;
    sim.with(|world| {
        let mail = || work::reset_mail(Version::V8_2, 1, LINK_SECRET);
        world.jobs.add(mail());
        world.jobs.add(NewJob { attempts: 1, ..mail().failing() });
        world.advance(Duration::from_secs(60));
    });
    eventually("it is told, delivered, refused, and the token renewed", async || {
        let told = home.events().await;
        let has = |kind| told.iter().any(|event| event.kind == kind);
        let renewed = sim.with(|world| world.accounts.truth().refresh_token.granted) >= 2;
        let tried = !taker.accepted().is_empty() && refuser.tries() > 1;
        (has(EventKind::JobFailed) && has(EventKind::AuthFailed) && renewed && tried).then_some(())
    })
    .await;
    let metrics = scraper.text().await;
    let said = |args: &[&str]| {
        let output = home.done(args);
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
    };
    let mut shown = vec![("metrics".to_owned(), metrics)];
    let commands: [&[&str]; 10] = [
        &["status"],
        &["status", "--json"],
        &["events"],
        &["events", "--json"],
        &["deliveries", "list"],
        &["schedules"],
        &["check"],
        &["check", "--online"],
        &["try", "hook 0"],
        &["try", "hook 2"],
    ];
    shown.extend(commands.iter().map(|args| (args.join(" "), said(args))));
    program.terminate();
    assert!(program.ends().await.success());
    shown.push(("the log".to_owned(), program.words()));
    let config = home.config();
    shown.push(("Debug of the configuration".to_owned(), format!("{config:?} {config:#?}")));
    let bodies: Vec<String> = taker.accepted().iter().map(|taken| taken.body.to_string()).collect();
    shown.push(("webhooks".to_owned(), bodies.concat()));
    let (stored, tokens) = state(&home.file("state.db")).await;
    shown.push(("the state".to_owned(), stored));
    assert!(tokens.len() >= 2);

    assert!(program.log().iter().any(|line| line["level"] == "TRACE"), "all that can be logged was logged");
    for (place, text) in &shown {
        assert!(place == "schedules" || text.len() > 40, "{place} is not empty: {text}");
        for secret in ALL {
            assert!(!text.contains(secret), "{secret} is in {place}");
        }
        assert_eq!(tokens_in(text), [""; 0], "a token is in {place}");
    }
    println!("{} secrets, tokens besides, in {} places: none", ALL.len(), shown.len());
}

#[tokio::test]
async fn files_with_secrets_that_all_may_read_are_told_once() {
    let home =
        Home::new(&instance("main", "http://127.0.0.1:9", "username = \"root\"\npassword_file = \"password\"\n"));
    fs::write(home.file("password"), PASSWORD).unwrap();
    let mode = |name: &str, mode| fs::set_permissions(home.file(name), fs::Permissions::from_mode(mode)).unwrap();
    let warnings = |text: &str| text.lines().filter(|line| line.contains("can be read by everybody")).count();
    let checked = || String::from_utf8(home.done(&["check"]).stderr).unwrap();

    mode("password", 0o644);
    mode("", 0o700);
    assert_eq!(warnings(&checked()), 0, "nobody else gets into its directory");
    mode("", 0o755);
    let told = checked();
    assert!(warnings(&told) == 1 && told.contains("/password holds a secret"), "{told}");
    let mut program = home.program("run", &["run"]);
    program.address().await;
    program.terminate();
    assert!(program.ends().await.success());
    assert_eq!(warnings(&program.words()), 1);

    mode("password", 0o640);
    assert_eq!(warnings(&checked()), 0, "the configuration itself holds none");
    home.configure("127.0.0.1:0", &instance("main", "http://127.0.0.1:9", &account("root", PASSWORD)));
    mode("config.toml", 0o644);
    assert!(checked().contains("/config.toml holds a secret"));
    mode("config.toml", 0o600);
    assert_eq!(warnings(&checked()), 0);
}
