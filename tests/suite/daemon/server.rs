//! What an instance tells of itself: updates, and its own statistics.

use std::time::Duration;

use jiff::Timestamp;
use peertube_sim::accounts::Role;
use peertube_sim::jobs::Version;
use peertube_sim::limits::Limits;
use peertube_sim::moderation::{NewAbuse, Standing};
use peertube_sim::videos::NewVideo;
use peertube_sim::{Fault, Sim, When, World};
use serde_json::{Value, json};

use tubewarden::core::event::{Event, EventKind};
use tubewarden::core::poll::PollKind;

use super::harness::{Home, ROOT, Scrape, Watch, by_hand, eventually, instance};

const UPDATE: &str = "peertube_update_available";
const PLUGIN_UPDATE: &str = "peertube_plugin_update_available";
const MODERN: [Version; 2] = [Version::V6_3, Version::V8_2];

fn world(version: Version) -> World {
    let mut world = World::new(1, Timestamp::now(), version);
    world.limits = Limits::none();
    world.accounts.add("moderator", "moderator-password", Role::Moderator);
    world
}

fn updates(scrape: &Scrape) -> [Option<f64>; 3] {
    let plugin = |name| scrape.value(PLUGIN_UPDATE, &[("peertube_instance", "main"), ("plugin", name)]);
    let server = scrape.value(UPDATE, &[("peertube_instance", "main")]);
    [server, plugin("peertube-plugin-auth-ldap"), plugin("peertube-plugin-chat")]
}

/// The data of the events of a kind, without the instance.
async fn told(watch: &Watch, kind: EventKind) -> Vec<Value> {
    let data = |event: Event| {
        let mut data = event.data;
        data.remove("instance");
        Value::Object(data)
    };
    watch.events().await.into_iter().filter(|event| event.kind == kind).map(data).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_update_is_told_once_and_shown_until_it_is_made() {
    for version in MODERN {
        let mut world = world(version);
        world.server_version = "8.2.1".to_owned();
        world.install_plugin("auth-ldap", "0.1.0");
        world.install_plugin("chat", "2.0.0");
        world.release_plugin("auth-ldap", "0.2.0");
        let sim = Sim::serve(world).await.unwrap();
        let home = Home::new(&(by_hand() + &*instance("main", &sim.url(), ROOT)));
        let watch = Watch::ready(&home).await;
        assert_eq!(updates(&watch.scrape().await), [Some(0.0), Some(1.0), Some(0.0)]);

        sim.with(|world| {
            world.advance(Duration::from_secs(1));
            world.release_peertube("8.3.0");
            world.release_plugin("auth-ldap", "0.3.0");
            world.release_plugin("chat", "2.0.1");
        });
        watch.poll("main", PollKind::Config).await;
        watch.poll("main", PollKind::Config).await;
        assert_eq!(updates(&watch.scrape().await), [Some(1.0), Some(1.0), Some(1.0)]);
        watch.stop().await;

        // A restart knows what it told; what is updated is shown as such.
        sim.with(|world| {
            world.install_plugin("chat", "2.0.1");
            "8.3.0".clone_into(&mut world.server_version);
        });
        let watch = Watch::ready(&home).await;
        assert_eq!(updates(&watch.scrape().await), [Some(0.0), Some(1.0), Some(0.0)]);
        let update = json!({ "version": "8.2.1", "latest_version": "8.3.0" });
        assert_eq!(told(&watch, EventKind::InstanceUpdateAvailable).await, [update]);
        let plugin = |plugin: &str, version: &str, latest: &str| json!({ "plugin": format!("peertube-plugin-{plugin}"), "version": version, "latest_version": latest });
        assert_eq!(
            told(&watch, EventKind::PluginUpdateAvailable).await,
            [plugin("auth-ldap", "0.1.0", "0.3.0"), plugin("chat", "2.0.0", "2.0.1")],
            "what was there at the first look is not told"
        );
        sim.with(|world| world.news.uninstall("chat"));
        watch.poll("main", PollKind::Config).await;
        assert_eq!(updates(&watch.scrape().await)[2], None, "what is uninstalled has no series");
        watch.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trouble_with_updates_does_not_hide_the_version_and_takes_only_their_gauges() {
    let mut world = world(Version::V8_2);
    world.install_plugin("chat", "2.0.0");
    let sim = Sim::serve(world).await.unwrap();
    let home = Home::new(&(by_hand() + &*instance("main", &sim.url(), ROOT)));
    let watch = Watch::ready(&home).await;
    sim.faults().next(3, When::path("/api/v1/plugins"), Fault::Html);
    sim.with(|world| "8.2.2".clone_into(&mut world.server_version));
    for plugin in [Some(0.0), Some(0.0), None, Some(0.0)] {
        watch.poll("main", PollKind::Config).await;
        let scrape = watch.scrape().await;
        assert_eq!(updates(&scrape), [Some(0.0), None, plugin]);
        assert_eq!(scrape.value("peertube_info", &[("version", "8.2.2")]), Some(1.0));
        assert_eq!(scrape.polls_with("main", PollKind::Config, "error"), 0.0);
    }
    assert_eq!(watch.count(EventKind::InstanceVersionChanged).await, 1);
    watch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_administrators_are_asked_for_updates() {
    let mut world = world(Version::V8_2);
    world.install_plugin("chat", "2.0.0");
    world.release_peertube("99.0.0");
    let sim = Sim::serve(world).await.unwrap();
    let moderator = "username = \"moderator\"\npassword = \"moderator-password\"\n";
    let instances = instance("main", &sim.url(), moderator) + &*instance("nobody", &sim.url(), "");
    let home = Home::new(&(by_hand() + &*instances));
    let watch = Watch::ready(&home).await;
    let scrape = watch.scrape().await;
    assert_eq!((scrape.value(UPDATE, &[]), scrape.value(PLUGIN_UPDATE, &[])), (None, None));
    assert_eq!((sim.requests().of("plugins"), sim.requests().of("users_me_notifications")), (0, 0));
    watch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statistics_are_shown_as_the_instance_counts_them() {
    for version in MODERN {
        let mut world = world(version);
        world.upload(NewVideo::named("holidays").without_transcoding());
        let abuse = NewAbuse { reporter: "bob".into(), video: "holidays".into(), reason: "none".into() };
        let id = world.report_abuse(abuse);
        world.advance(Duration::from_millis(90_500));
        world.settle_abuse(id, Standing::Accepted);
        let sim = Sim::serve(world).await.unwrap();
        sim.keep_log();
        let home = Home::new(&(by_hand() + &*instance("main", &sim.url(), "")));
        let watch = Watch::ready(&home).await;
        let scrape = watch.scrape().await;
        let value = |name: &str| scrape.value(&format!("peertube_stats_{name}"), &[]);
        for (name, expected) in [
            ("users", Some(2.0)),
            ("moderators", Some(1.0)),
            ("local_videos", Some(1.0)),
            ("abuses", Some(1.0)),
            ("abuses_processed", Some(1.0)),
            ("average_abuse_response_time_seconds", Some(90.5)),
            ("average_registration_request_response_time_seconds", None),
            ("redundancy_used_bytes", Some(0.0)),
            ("redundancy_size_bytes", None),
            ("local_video_downloads", (version == Version::V8_2).then_some(0.0)),
        ] {
            assert_eq!(value(name), expected, "{name}");
        }
        let messages = |activity, result| {
            scrape.value("peertube_stats_activitypub_messages", &[("activity", activity), ("result", result)])
        };
        assert_eq!((messages("create", "success"), messages("reject_reply", "error")), (Some(0.0), Some(0.0)));
        assert_eq!(messages("download", "error"), (version == Version::V8_2).then_some(0.0));

        // One address, so that the server need not count anew, and nothing sent twice.
        watch.poll("main", PollKind::Stats).await;
        let asked: Vec<_> = sim.take_log().into_iter().filter(|asked| asked.target.contains("stats")).collect();
        let seen: Vec<_> = asked.iter().map(|asked| (asked.target.as_str(), asked.status)).collect();
        assert_eq!(seen, [("/api/v1/server/stats", 200), ("/api/v1/server/stats", 304)]);

        sim.faults().next(3, When::path("/api/v1/server/stats"), Fault::Html);
        for is_shown in [true, true, false, true] {
            watch.poll("main", PollKind::Stats).await;
            let shown = async || watch.scrape().await.value("peertube_stats_users", &[]).is_some();
            assert_eq!(shown().await, is_shown);
        }
        eventually("all is well", async || (watch.scrape().await.value("peertube_up", &[]) == Some(1.0)).then_some(()))
            .await;
        watch.stop().await;
    }
}
