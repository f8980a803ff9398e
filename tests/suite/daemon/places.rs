//! Instances in other places than at the root of a host that answers to its own address:
//! below a path, behind another address, on another port. All polls of them succeed, and
//! what is told names the address of the configuration.

use std::time::Duration;

use peertube_sim::jobs::NewJob;
use peertube_sim::moderation::{NewAbuse, NewRegistration};
use peertube_sim::runners::NewRunnerJob;
use peertube_sim::videos::NewVideo;
use peertube_sim::{Options, Sim};

use tubewarden::core::event::EventKind;
use tubewarden::core::poll::PollKind;

use super::harness::{Home, ROOT, Watch, by_hand, instance};
use super::truth;

const MINUTE: Duration = Duration::from_secs(60);

/// A busy instance below a path, and what it wants to be called at sign-ins, if that is
/// not its address.
async fn served(base: &str, host: Option<&str>) -> Sim {
    let mut world = truth::busy(5);
    world.host = host.map(str::to_owned);
    world.install_plugin("chat", "2.0.0");
    world.runners.add_runner("runner");
    let sim = Sim::start(world, Options { base: base.to_owned(), ..Options::default() }).await.unwrap();
    sim.keep_log();
    sim
}

/// Watches it by `url` and all that it does, and looks where it was asked.
async fn is_watched(sim: &Sim, url: &str, more: &str) {
    let base = sim.url().replace(&format!("http://{}", sim.address()), "");
    let looked = sim.with(|world| world.now());
    let home = Home::new(&(by_hand() + &*instance("main", url, &format!("{ROOT}{more}"))));
    let watch = Watch::ready(&home).await;
    sim.advance(Duration::from_secs(3));
    sim.with(|world| {
        world.upload(NewVideo::named("holidays").run(MINUTE / 3));
        world.jobs.add(NewJob::new("video-import").failing());
        let abuse = NewAbuse { reporter: "bob".into(), video: "holidays".into(), reason: "none".into() };
        world.report_abuse(abuse);
        let [username, email, reason] = ["alice", "alice@example.com", "none"].map(str::to_owned);
        world.request_registration(NewRegistration { username, email, reason });
        world.release_plugin("chat", "2.0.1");
        world.release_peertube("8.3.0");
        // So that it signs in anew.
        world.accounts.revoke("root");
    });
    sim.advance(20 * MINUTE);
    watch.poll_each(&["main"], &PollKind::ALL).await;
    let (jobs, counts) = sim.with(|world| (truth::jobs_to_tell(world, looked), truth::jobs_to_count(world, looked)));
    truth::poll_until_known(&watch, &jobs, &counts).await;
    sim.with(|world| world.runners.add(NewRunnerJob::new("vod-hls-transcoding").run(MINUTE)));
    sim.advance(3 * MINUTE);
    watch.poll("main", PollKind::Runners).await;

    let events = watch.events().await;
    let elsewhere = events.iter().find(|event| event.source != url.trim_end_matches('/'));
    assert_eq!(elsewhere, None, "every event names {url}");
    assert_eq!(truth::videos_told(&events), sim.with(|world| truth::videos_to_tell(world, looked)), "{url}");
    assert_eq!(events.iter().filter(|event| event.data.contains_key("failures")).count(), 1, "{url}: a runner's job");
    for kind in [
        EventKind::AbuseCreated,
        EventKind::RegistrationRequested,
        EventKind::PluginUpdateAvailable,
        EventKind::InstanceUpdateAvailable,
    ] {
        assert_eq!(events.iter().filter(|event| event.kind == kind).count(), 1, "{url}: {kind:?}");
    }
    let scrape = watch.scrape().await;
    for kind in PollKind::ALL {
        assert_eq!(scrape.polls_with("main", kind, "error"), 0.0, "{url}: {kind}");
        assert!(scrape.polls_with("main", kind, "ok") >= 2.0, "{url}: {kind}");
    }
    assert!(scrape.value("peertube_stats_users", &[]).is_some_and(|users| users > 0.0), "{url}");
    watch.stop().await;

    let below = format!("{base}/api/v1/");
    let asked = sim.take_log();
    let stray = asked.iter().find(|asked| !asked.target.starts_with(&below));
    assert_eq!(stray, None, "every question to {url} stays below {below}");
    assert_eq!(sim.requests().of("oauth_clients_local"), 1, "{url}: nobody was refused the client");
    assert_eq!(sim.requests().tokens("password"), 2, "{url}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_below_a_path_is_asked_only_there() {
    for end in ["", "/"] {
        let sim = served("/tube", None).await;
        is_watched(&sim, &(sim.url() + end), "").await;
    }
    // Two steps deep.
    let sim = served("/media/tube", None).await;
    is_watched(&sim, &sim.url(), "").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_behind_another_address_is_called_by_its_name() {
    for (host, url) in [
        ("peertube.example.com", "http://peertube.example.com"),
        ("peertube.example.com", "https://peertube.example.com"),
        ("peertube.example.com:8443", "https://peertube.example.com:8443"),
        ("peertube.example.com:443", "http://peertube.example.com:443"),
    ] {
        let sim = served("", Some(host)).await;
        let connect = format!("connect = \"{}\"\n", sim.url());
        is_watched(&sim, url, &connect).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_path_below_which_another_address_is_asked_is_its_own() {
    // Public at a path of its host, which a reverse proxy takes away or leaves.
    for (base, url) in
        [("", "https://example.com/tube"), ("/tube", "https://example.com/tube/"), ("/tube", "https://example.com")]
    {
        let sim = served(base, Some("example.com")).await;
        is_watched(&sim, url, &format!("connect = \"{}\"\n", sim.url())).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_that_is_called_by_another_name_lets_nobody_in() {
    let sim = served("/tube", Some("peertube.example.com")).await;
    let home = Home::new(&(by_hand() + &*instance("main", &sim.url(), ROOT)));
    let watch = Watch::ready(&home).await;
    let scrape = watch.scrape().await;
    for kind in [PollKind::Jobs, PollKind::Runners, PollKind::Moderation] {
        assert_eq!(scrape.polls_with("main", kind, "ok"), 0.0, "{kind}");
    }
    assert_eq!(scrape.polls_with("main", PollKind::Stats, "ok"), 1.0, "what anyone may see");
    assert_eq!(sim.requests().of("users_token"), 0);
    watch.stop().await;
}
