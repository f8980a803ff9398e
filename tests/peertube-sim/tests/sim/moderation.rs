use std::time::Duration;

use peertube_sim::jobs::Version;
use peertube_sim::moderation::{NewAbuse, NewRegistration, Standing};
use peertube_sim::{Sim, World};
use serde_json::{Value, json};

use crate::client::{Ask, sign_in};
use crate::{keys, recorded, world};

const MODERN: [Version; 2] = [Version::V6_3, Version::V8_2];

fn abuse(reason: &str) -> NewAbuse {
    NewAbuse { reporter: "bob".into(), video: "public-a".into(), reason: reason.into() }
}

fn registration(username: &str) -> NewRegistration {
    NewRegistration { username: username.into(), email: format!("{username}@example.com"), reason: "please".into() }
}

/// Three of each: one accepted, one that waits, one rejected.
fn busy(version: Version) -> World {
    let mut world = world(version);
    for name in ["ann", "ben", "cid"] {
        world.report_abuse(abuse(name));
        world.request_registration(registration(name));
        world.advance(Duration::from_secs(60));
    }
    world.settle_abuse(1, Standing::Accepted);
    world.settle_abuse(3, Standing::Rejected);
    world.settle_registration(1, Standing::Accepted);
    world.settle_registration(3, Standing::Rejected);
    world
}

async fn page(sim: &Sim, token: &str, target: &str) -> Value {
    let reply = Ask::get(target).bearer(token).of(sim).await;
    assert_eq!(reply.status, 200, "{target}: {}", reply.text());
    reply.json()
}

fn ids(page: &Value) -> Vec<u64> {
    page["data"].as_array().unwrap().iter().map(|row| row["id"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn rows_look_as_recorded() {
    let mut world = world(Version::V6_3);
    world.report_abuse(abuse("bad video"));
    world.request_registration(registration("carol"));
    let sim = Sim::serve(world).await.unwrap();
    let (root, _) = sign_in(&sim, "root").await;
    for (name, target) in
        [("s5-abuses-admin", "/api/v1/abuses"), ("s5-registrations-admin", "/api/v1/users/registrations")]
    {
        let (_, _, mut expected) = recorded(&format!("6.3/{name}"));
        let mut seen = page(&sim, &root, target).await;
        for page in [&mut expected, &mut seen] {
            for time in ["createdAt", "updatedAt"] {
                assert!(page["data"][0][time].take().is_string());
            }
        }
        assert_eq!(seen, expected, "{name}");
    }
}

#[tokio::test]
async fn moderation_is_for_moderators_and_plugins_are_for_administrators() {
    for version in MODERN {
        let sim = Sim::serve(busy(version)).await.unwrap();
        let mut tokens = Vec::new();
        for name in ["bob", "moderator", "root"] {
            tokens.push(sign_in(&sim, name).await.0);
        }
        for (target, expected) in [
            ("/api/v1/abuses", [401, 403, 200, 200]),
            ("/api/v1/users/registrations", [401, 403, 200, 200]),
            ("/api/v1/plugins", [401, 403, 403, 200]),
            ("/api/v1/users/me/notifications", [401, 200, 200, 200]),
        ] {
            let mut seen = vec![Ask::get(target).of(&sim).await.status];
            for token in &tokens {
                seen.push(Ask::get(target).bearer(token).of(&sim).await.status);
            }
            assert_eq!(seen, expected, "{target}");
        }
    }
}

#[tokio::test]
async fn lists_are_sorted_cut_and_filtered_as_far_as_the_version_can() {
    for version in MODERN {
        let sim = Sim::serve(busy(version)).await.unwrap();
        let (root, _) = sign_in(&sim, "root").await;
        let page = async |target: &str| page(&sim, &root, target).await;

        assert_eq!(ids(&page("/api/v1/abuses").await), [3, 2, 1]);
        assert_eq!(ids(&page("/api/v1/abuses?sort=createdAt&start=1&count=1").await), [2]);
        let pending = page("/api/v1/abuses?state=1&count=0").await;
        assert_eq!(pending, json!({ "total": 1, "data": [] }));
        let pending = page("/api/v1/users/registrations?stateOneOf=1&sort=createdAt").await;
        let expected = if version == Version::V8_2 { vec![2] } else { vec![1, 2, 3] };
        assert_eq!(ids(&pending), expected);
        assert_eq!(ids(&page("/api/v1/users/registrations?sort=state").await), [2, 3, 1]);
        let wrong = Ask::get("/api/v1/users/registrations?sort=email").bearer(&root).of(&sim).await;
        assert_eq!(wrong.status, 400);
        assert!(sim.with(|world| world.accounts.get("ann").is_some() && world.accounts.get("cid").is_none()));
    }
}

#[tokio::test]
async fn administrators_are_told_of_updates() {
    for version in MODERN {
        let mut world = busy(version);
        world.install_plugin("auth-ldap", "0.1.0");
        world.release_plugin("auth-ldap", "0.2.0");
        world.advance(Duration::from_secs(60));
        world.release_peertube("8.3.0");
        let sim = Sim::serve(world).await.unwrap();
        let (root, _) = sign_in(&sim, "root").await;
        let (moderator, _) = sign_in(&sim, "moderator").await;

        let types = |page: &Value| -> Vec<u64> {
            page["data"].as_array().unwrap().iter().map(|row| row["type"].as_u64().unwrap()).collect()
        };
        let all = page(&sim, &root, "/api/v1/users/me/notifications?count=3").await;
        assert_eq!((types(&all), &all["total"]), (vec![18, 17, 20], &json!(8)));
        assert_eq!(all["data"][0]["peertube"], json!({ "latestVersion": "8.3.0" }));
        let plugin = json!({ "name": "auth-ldap", "type": 1, "latestVersion": "0.2.0" });
        assert_eq!(all["data"][1]["plugin"], plugin);
        let asked = page(&sim, &root, "/api/v1/users/me/notifications?typeOneOf=17&typeOneOf=18").await;
        assert_eq!(asked["total"], if version == Version::V8_2 { 2 } else { 8 });
        assert_eq!(page(&sim, &moderator, "/api/v1/users/me/notifications").await["total"], 6);

        let plugins = page(&sim, &root, "/api/v1/plugins?sort=name").await;
        let row = &plugins["data"][0];
        assert_eq!(
            (&row["name"], &row["version"], &row["latestVersion"]),
            (&json!("auth-ldap"), &json!("0.1.0"), &json!("0.2.0"))
        );
        sim.with(|world| world.news.uninstall("auth-ldap"));
        assert_eq!(page(&sim, &root, "/api/v1/plugins").await["total"], 0);
        assert_eq!(page(&sim, &root, "/api/v1/plugins?uninstalled=true").await["total"], 1);
    }
}

#[tokio::test]
async fn the_oldest_versions_know_none_of_it_and_count_little() {
    let sim = Sim::serve(world(Version::QuickStart)).await.unwrap();
    let (root, _) = sign_in(&sim, "root").await;
    let taken_for_a_user = Ask::get("/api/v1/users/registrations").bearer(&root).of(&sim).await;
    assert_eq!(taken_for_a_user.status, 400);
    assert_eq!(taken_for_a_user.json()["errors"]["id"]["value"], "registrations");
    for target in ["abuses", "plugins", "users/me/notifications"] {
        let reply = Ask::get(&format!("/api/v1/{target}")).bearer(&root).of(&sim).await;
        assert_eq!((reply.status, reply.body), (400, Vec::new()), "{target}");
    }
    let stats = Ask::get("/api/v1/server/stats").of(&sim).await.json();
    assert_eq!((keys(&stats).len(), &stats["totalUsers"]), (10, &json!(5)));
}

#[tokio::test]
async fn statistics_have_all_that_was_recorded_and_are_kept_for_four_hours() {
    for (version, file) in [(Version::V6_3, "6.3/s5-server-stats-anon"), (Version::V8_2, "8.2/stats")] {
        let sim = Sim::serve(busy(version)).await.unwrap();
        let stats = async || Ask::get("/api/v1/server/stats").of(&sim).await.json();
        let (_, _, expected) = recorded(file);
        assert_eq!(keys(&stats().await), keys(&expected));
        assert_eq!(stats().await["totalAbuses"], 3);
        assert_eq!(stats().await["totalAbusesProcessed"], 2);
        assert_eq!(stats().await["averageAbuseResponseTimeMs"], 120_000);
        sim.with(|world| world.report_abuse(abuse("again")));
        sim.advance(Duration::from_secs(4 * 3600 - 1));
        assert_eq!(stats().await["totalAbuses"], 3);
        let anew = Ask::get("/api/v1/server/stats?t=1").of(&sim).await.json();
        assert_eq!(anew["totalAbuses"], 4, "another address is counted anew");
        sim.advance(Duration::from_secs(2));
        assert_eq!(stats().await["totalAbuses"], 4);
    }
}
