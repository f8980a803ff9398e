//! What is read, and what it means.

use std::fs;
use std::time::Duration;

use jiff::tz::TimeZone;
use secrecy::ExposeSecret;
use tubewarden::config::{Config, Instance, LogFormat, Scope, Secrets, When};
use tubewarden::core::cron::Cron;
use tubewarden::core::poll::PollKind;

use super::{INSTANCE, files, load, loaded};

fn every(seconds: u64) -> When {
    When::Every(Duration::from_secs(seconds))
}

fn names(config: &Config) -> Vec<&str> {
    config.instances.iter().map(|instance| instance.origin.name.as_str()).collect()
}

fn instance(lines: &str) -> Instance {
    loaded(&format!("{INSTANCE}{lines}")).instances.remove(0)
}

#[test]
fn a_name_and_a_url_are_enough() {
    let config = loaded(INSTANCE);

    assert_eq!(config.server.listen.to_string(), "127.0.0.1:9797");
    assert!(config.server.tls.is_none() && config.server.users.is_empty() && config.server.bearer_token.is_none());
    assert!(!config.server.protect_health && config.server.hosts.is_empty() && config.server.warnings().is_empty());
    assert_eq!(config.state.path.to_str().unwrap(), "/var/lib/tubewarden/state.db");
    assert_eq!(config.state.keep_events, Duration::from_secs(30 * 24 * 3600));
    assert_eq!((config.log.format, config.log.filter.as_str()), (LogFormat::Text, "info"));
    assert!(config.log.events.matches("job.failed") && !config.log.events.matches("job.completed"));
    assert!(config.jobs.follow.matches("video-transcoding"));
    assert!(config.jobs.count_only.matches("activitypub-follow") && !config.jobs.count_only.matches("email"));
    assert_eq!(config.jobs.stuck_waiting.as_mins(), 30);
    let stuck = |job_type: &str| config.jobs.stuck_active.of(&job_type.into()).unwrap().as_hours();
    assert_eq!(["email", "video-transcoding", "video-import"].map(stuck), [2, 12, 3]);
    assert_eq!(config.videos.scope, Scope::Local);

    let [instance] = &config.instances[..] else { panic!("there is one instance") };
    assert_eq!(instance.origin.name, "main");
    assert_eq!(instance.origin.url, "https://peertube.example.com");
    assert_eq!(instance.url.as_str(), "https://peertube.example.com/");
    assert!(instance.connect.is_none() && instance.account.is_none() && instance.read_only);
    assert_eq!((instance.timeout, instance.down_after), (Duration::from_secs(15), 3));
    let polls = PollKind::ALL.map(|kind| instance.polls.when(kind).clone());
    assert_eq!(polls, [every(30), every(60), every(3600), every(60), every(120), every(900), every(3600)]);
}

#[test]
fn every_key_is_heeded() {
    let config = loaded(
        r#"
        [server]
        listen = "[::1]:0"
        protect_health = true
        hosts = ["Metrics.example.com", "192.0.2.1"]
        [state]
        url = "sqlite:///tmp/other.db"
        keep_events = "1h30m"
        [log]
        format = "json"
        level = "warn,tubewarden::peertube=debug,tubewarden[poll{instance=main}]=trace"
        events = ["video.*"]
        [poll]
        jobs = "1m30s"
        [jobs]
        follow = ["video-*", "!video-import"]
        count_only = []
        stuck_waiting = "1h30m"
        stuck_active = { default = "30d", email = "1s", "video-file-import" = "90m" }
        [videos]
        scope = "all"
        [[instance]]
        name = "A_b.c-9"
        url = "http://peertube.example.com:8080"
        connect = "http://127.0.0.1:9000"
        timeout = "1500ms"
        down_after = 1_000
        read_only = false
        "#,
    );
    assert_eq!(config.server.listen.to_string(), "[::1]:0");
    assert!(config.server.protect_health);
    assert_eq!(config.server.hosts, ["metrics.example.com", "192.0.2.1"]);
    assert_eq!(config.state.path.to_str().unwrap(), "/tmp/other.db");
    assert_eq!(config.state.keep_events, Duration::from_secs(5400));
    assert_eq!(config.log.format, LogFormat::Json);
    assert_eq!(config.log.filter, "warn,tubewarden::peertube=debug,tubewarden[poll{instance=main}]=trace");
    assert!(config.log.events.matches("video.ready") && !config.log.events.matches("job.failed"));
    assert!(config.jobs.follow.matches("video-transcoding") && !config.jobs.follow.matches("video-import"));
    assert!(!config.jobs.count_only.matches("activitypub-follow"));
    assert_eq!(config.jobs.stuck_waiting.as_mins(), 90);
    let stuck = |job_type: &str| config.jobs.stuck_active.of(&job_type.into()).unwrap().as_secs();
    assert_eq!(["email", "video-file-import", "video-transcoding"].map(stuck), [1, 5400, 30 * 86_400]);
    assert_eq!(config.videos.scope, Scope::All);
    let instance = &config.instances[0];
    assert_eq!(instance.origin.name, "A_b.c-9");
    assert_eq!(instance.connect.as_ref().unwrap().as_str(), "http://127.0.0.1:9000/");
    assert_eq!((instance.timeout, instance.down_after), (Duration::from_millis(1500), 1000));
    assert!(!instance.read_only);
    assert_eq!(*instance.polls.when(PollKind::Jobs), every(90));
}

#[test]
fn who_is_let_in_is_known_by_files_and_secrets() {
    let part = |name: &str| fs::read_to_string(format!("tests/suite/config/bad/parts/{name}")).unwrap();
    let server = "[server]\ntls_cert_file = 'tls/cert.pem'\ntls_key_file = 'key'\ntls_client_ca_file = 'tls/cert.pem'\n\
                  basic_auth = { prometheus = '${HASH}', 'a b_file' = 'hash' }\nbearer_token_file = 'token'\n";
    let directory = files(&[
        ("config.toml", &format!("{server}{INSTANCE}")),
        ("tls/cert.pem", &part("tls-cert.pem")),
        ("credentials/key", &part("tls-key.pem")),
        ("hash", &part("bcrypt")),
        ("token", "0123456789abcdef\n"),
    ]);
    let credentials = directory.path().join("credentials");
    let load = |secrets| {
        let env = |name: &str| match name {
            "CREDENTIALS_DIRECTORY" => Some(credentials.display().to_string()),
            "HASH" => Some(part("bcrypt").trim_end().to_owned()),
            _ => None,
        };
        Config::load(&directory.path().join("config.toml"), secrets, &env).unwrap().server
    };
    let server = load(Secrets::Read);
    assert!(server.asks_who());
    let tls = server.tls.as_ref().unwrap();
    assert_eq!((&tls.cert, tls.client_ca.as_ref()), (&directory.path().join("tls/cert.pem"), Some(&tls.cert)));
    assert_eq!(tls.key, credentials.join("key"));
    assert_eq!(server.users.keys().collect::<Vec<_>>(), ["a b", "prometheus"]);
    assert!(server.users.values().all(|hash| hash.expose_secret() == part("bcrypt").trim_end()));
    assert_eq!(server.bearer_token.as_ref().unwrap().expose_secret(), "0123456789abcdef");
    let shown = format!("{server:?}");
    assert!(!shown.contains("0123456789") && !shown.contains("$2b$"), "{shown}");

    // Who only reads the state needs none of it.
    fs::remove_dir_all(&credentials).unwrap();
    fs::remove_file(directory.path().join("hash")).unwrap();
    assert!(load(Secrets::Skip).bearer_token.is_none());
}

#[test]
fn limits_that_are_given_replace_the_others_but_the_default() {
    let config = loaded(&format!("[jobs.stuck_active]\nemail = '5m'\n{INSTANCE}"));
    let stuck = |job_type: &str| config.jobs.stuck_active.of(&job_type.into()).unwrap().as_mins();
    assert_eq!(["email", "video-transcoding", "notify"].map(stuck), [5, 120, 120]);
}

#[test]
fn an_instance_overrides_single_polls_and_keeps_the_others() {
    let directory = files(&[
        ("config.toml", &format!("include = ['more.toml']\n[poll]\njobs = '10s'\nvideos = '20s'\n{INSTANCE}")),
        (
            "more.toml",
            "[[instance]]\nname = 'more'\nurl = 'https://more.example.com'\n[instance.poll]\nvideos = '2d'\n",
        ),
    ]);
    let config = load(&directory, Secrets::Read).unwrap();
    let polls = |i: usize| [PollKind::Jobs, PollKind::Videos].map(|kind| config.instances[i].polls.when(kind).clone());
    assert_eq!(polls(0), [every(10), every(20)]);
    assert_eq!(polls(1), [every(10), every(2 * 86_400)]);
}

#[test]
fn a_poll_takes_a_cron_line_in_its_time_zone() {
    let cron = |line: &str, zone: &str| When::Cron(Cron::parse(line, TimeZone::get(zone).unwrap()).unwrap());
    let instance = instance(
        "[instance.poll]\njobs = { cron = '0 */5 * * * *' }\n\
         videos_full = { timezone = 'Europe/Paris', cron = '0 0 3 * * SUN' }\n",
    );
    assert_eq!(*instance.polls.when(PollKind::Jobs), cron("0 */5 * * * *", "UTC"));
    assert_eq!(*instance.polls.when(PollKind::VideosFull), cron("0 0 3 * * SUN", "Europe/Paris"));
}

#[test]
fn addresses_are_brought_into_one_form() {
    for (written, url, origin) in [
        ("https://PeerTube.example.com", "https://peertube.example.com/", "https://peertube.example.com"),
        ("https://peertube.example.com:443/", "https://peertube.example.com/", "https://peertube.example.com"),
        ("http://[::1]:9000/videos", "http://[::1]:9000/videos/", "http://[::1]:9000/videos"),
        ("https://example.com/videos/", "https://example.com/videos/", "https://example.com/videos"),
    ] {
        let config = loaded(&format!("[[instance]]\nname = 'main'\nurl = '{written}'\n"));
        let instance = &config.instances[0];
        assert_eq!((instance.url.as_str(), instance.origin.url.as_str()), (url, origin));
        let endpoint = instance.url.join("api/v1/jobs").unwrap();
        assert_eq!(endpoint.as_str(), format!("{origin}/api/v1/jobs"));
    }
}

#[test]
fn the_state_is_relative_to_the_file_and_then_absolute() {
    let directory = files(&[("config.toml", &format!("[state]\nurl = 'sqlite://data/state.db'\n{INSTANCE}"))]);
    let config = load(&directory, Secrets::Read).unwrap();
    assert_eq!(config.state.path, directory.path().join("data/state.db"));

    // A relative name of the configuration makes no relative path of the state.
    let config = Config::load("tests/suite/config/relative-state.toml".as_ref(), Secrets::Read, &|_| None).unwrap();
    assert_eq!(config.state.path, std::env::current_dir().unwrap().join("tests/suite/config/state.db"));
}

#[test]
fn files_are_included_in_order_and_a_pattern_may_match_nothing() {
    let named = |name: &str| format!("[[instance]]\nname = '{name}'\nurl = 'https://{name}.example.com'\n");
    let main = format!("include = ['last.toml', '*.d/*-?.toml', 'no*/*.toml', 'empty.toml']\n{}", named("main"));
    let directory = files(&[
        ("config.toml", main.as_str()),
        ("last.toml", &named("last")),
        ("b.d/x-1.toml", &named("b1")),
        ("a.d/x-2.toml", &named("a2")),
        ("a.d/x-1.toml", &named("a1")),
        ("a.d/x-10.toml", &named("unmatched")),
        ("a.d/.x-3.toml", &named("hidden")),
        ("a.d/x-4.toml.d/x-4.toml", &named("deeper")),
        ("a.d/x-5.toml/x", ""),
        ("empty.toml", "# nothing yet\n"),
    ]);
    let config = load(&directory, Secrets::Read).unwrap();
    assert_eq!(names(&config), ["main", "last", "a1", "a2", "b1"]);
}

#[test]
fn included_files_alone_may_bring_the_instances() {
    let absolute = files(&[("more.toml", INSTANCE)]);
    let pattern = absolute.path().join("*.toml").display().to_string();
    let directory = files(&[("config.toml", &format!("include = ['{pattern}']\n"))]);
    assert_eq!(names(&load(&directory, Secrets::Read).unwrap()), ["main"]);
}
