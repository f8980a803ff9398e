use std::time::Duration;

use peertube_sim::jobs::{NewJob, Restart, Version};
use peertube_sim::videos::{NewVideo, Privacy, RemoteVideo};
use peertube_sim::{Clock, Options, Sim, World};

use crate::client::{Ask, sign_in};
use crate::{keys, recorded, world};

#[tokio::test]
async fn wrong_parameters_are_refused_word_for_word_as_recorded() {
    let sim = Sim::serve(world(Version::V6_3)).await.unwrap();
    let (root, _) = sign_in(&sim, "root").await;
    for (name, target) in [
        ("6.3/jobs-count-200", "/api/v1/jobs?count=200"),
        ("6.3/jobs-count-neg", "/api/v1/jobs?count=-1"),
        ("6.3/jobs-sort-finishedOn", "/api/v1/jobs?count=5&sort=-finishedOn"),
        ("6.3/jobs-unknown-state", "/api/v1/jobs/bogus"),
        ("6.3/jobs-unknown-type", "/api/v1/jobs?jobType=bogus"),
        ("6.3/videos-count-101", "/api/v1/videos?count=101"),
        ("6.3/videos-sort-updatedAt", "/api/v1/videos?count=3&sort=-updatedAt"),
    ] {
        assert_eq!(Ask::get(target).bearer(&root).of(&sim).await.told(), recorded(name), "{name}");
    }

    let sim = Sim::serve(world(Version::V8_2)).await.unwrap();
    let (root, _) = sign_in(&sim, "root").await;
    for (name, target) in [
        ("8.2/jobs-count-200", "/api/v1/jobs?count=200"),
        ("8.2/jobs-badstate", "/api/v1/jobs/bogus"),
        ("8.2/jobs-oldtype", "/api/v1/jobs?jobType=videos-views-stats"),
        ("8.2/unknown-route", "/api/v1/nope"),
    ] {
        assert_eq!(Ask::get(target).bearer(&root).of(&sim).await.told(), recorded(name), "{name}");
    }
}

/// A transcode of ten minutes, and younger federation.
fn long_transcode_beside_federation(version: Version) -> World {
    let mut world = world(version);
    let start = world.now();
    world.jobs.add(NewJob::new("video-transcoding").run(Duration::from_secs(600)));
    for second in 300..600 {
        world.jobs.add_at(start + Duration::from_secs(second), NewJob::new("activitypub-http-unicast"));
    }
    world.advance(Duration::from_secs(601));
    world
}

#[tokio::test]
async fn a_list_over_http_is_cut_as_the_queues_cut_it() {
    let sim = Sim::serve(long_transcode_beside_federation(Version::V6_3)).await.unwrap();
    let (root, _) = sign_in(&sim, "root").await;
    let get = |target: &str| Ask::get(target).bearer(&root);

    let all = get("/api/v1/jobs/completed?count=100").of(&sim).await.json();
    assert_eq!(all["total"], 301);
    let rows = all["data"].as_array().unwrap();
    assert_eq!(rows.len(), 100);
    assert!(rows.iter().all(|row| row["type"] == "activitypub-http-unicast"));

    let alone = get("/api/v1/jobs/completed?count=100&jobType=video-transcoding").of(&sim).await.json();
    assert_eq!(alone["total"], 1);
    let oldest = get("/api/v1/jobs/completed?count=1&sort=createdAt").of(&sim).await.json();
    assert_eq!(oldest["data"][0]["type"], "video-transcoding");
    let none = get("/api/v1/jobs?count=0").of(&sim).await.json();
    assert_eq!((none["total"].as_u64(), none["data"].as_array().map(Vec::len)), (Some(301), Some(0)));
    assert_eq!(get("/api/v1/jobs").of(&sim).await.json()["data"].as_array().unwrap().len(), 15);

    let requests = sim.requests();
    assert_eq!((requests.of("jobs/completed"), requests.of("jobs"), requests.of_jobs()), (3, 2, 5));
    assert_eq!(requests.rows_read["completed"], 102 + 1 + 3);
}

#[tokio::test]
async fn an_instance_of_the_first_years_numbers_its_jobs_and_ignores_the_type_asked() {
    let sim = Sim::serve(long_transcode_beside_federation(Version::QuickStart)).await.unwrap();
    let (root, _) = sign_in(&sim, "root").await;
    let list =
        Ask::get("/api/v1/jobs/complete?count=100&jobType=video-transcoding").bearer(&root).of(&sim).await.json();
    assert_eq!(list["total"], 301);
    assert!(list["data"][0]["id"].is_u64());
    assert_eq!(list["data"][0]["state"], "complete");
    assert_eq!(Ask::get("/api/v1/jobs/inactive").bearer(&root).of(&sim).await.status, 200);

    let refused = Ask::get("/api/v1/jobs/failed").of(&sim).await;
    assert_eq!((refused.status, refused.code().as_str()), (401, Some("unauthorized_request")));
    assert_eq!(refused.header("content-type"), Some("application/json; charset=utf-8"));
}

#[tokio::test]
async fn what_a_client_has_is_not_sent_again() {
    let sim = Sim::serve(long_transcode_beside_federation(Version::V6_3)).await.unwrap();
    let (root, _) = sign_in(&sim, "root").await;
    let ask = Ask::get("/api/v1/jobs/completed?count=5").bearer(&root);
    let tag = ask.clone().of(&sim).await.header("etag").unwrap().to_owned();

    let again = ask.clone().header("If-None-Match", &tag).of(&sim).await;
    assert_eq!((again.status, again.body.len(), again.header("content-type")), (304, 0, None));
    assert_eq!(again.header("etag"), Some(tag.as_str()));

    sim.with(|world| {
        world.jobs.add(NewJob::new("video-import"));
    });
    sim.advance(Duration::from_secs(1));
    assert_eq!(ask.header("If-None-Match", &tag).of(&sim).await.status, 200);
    assert_eq!(sim.requests().with_status(304), 1);
}

#[tokio::test]
async fn replies_carry_the_time_of_the_world() {
    let sim = Sim::serve(world(Version::V6_3)).await.unwrap();
    let ping = Ask::get("/api/v1/ping");
    let reply = ping.clone().of(&sim).await;
    assert_eq!(reply.header("date"), Some("Tue, 24 Nov 2026 03:00:00 GMT"));
    assert_eq!(reply.told(), recorded("6.3/s5-ping-anon"));
    sim.advance(Duration::from_secs(3_661));
    assert_eq!(ping.of(&sim).await.header("date"), Some("Tue, 24 Nov 2026 04:01:01 GMT"));

    // A clock of its own, a day in a second: an hour passes while a test waits for it.
    let options = Options { clock: Clock::Real { speed: 86_400.0 }, ..Options::default() };
    let sim = Sim::start(world(Version::V6_3), options).await.unwrap();
    let began = sim.with(|world| world.now());
    while sim.with(|world| world.now()) < began + Duration::from_secs(3_600) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn rows_of_videos_have_the_recorded_fields() {
    for (version, plain, included) in [
        (Version::V6_3, "6.3/videos-anon-default", "6.3/videos-admin-include-state"),
        (Version::V8_2, "8.2/videos-anon-default", "8.2/videos-admin-all"),
    ] {
        let mut world = world(version);
        let uuid = world.upload(NewVideo::named("one"));
        world.advance(Duration::from_secs(120));
        let sim = Sim::serve(world).await.unwrap();
        let (root, _) = sign_in(&sim, "root").await;

        let row = |body: serde_json::Value| body["data"][0].clone();
        let (_, _, expected) = recorded(plain);
        let list = Ask::get("/api/v1/videos").of(&sim).await.json();
        assert_eq!(keys(&list), keys(&expected));
        assert_eq!(keys(&row(list)), keys(&row(expected)));
        let (_, _, expected) = recorded(included);
        let list = Ask::get("/api/v1/videos?include=1&privacyOneOf=1").bearer(&root).of(&sim).await.json();
        assert_eq!(keys(&row(list.clone())), keys(&row(expected)));

        let whole = Ask::get(&format!("/api/v1/videos/{uuid}")).of(&sim).await.json();
        if version == Version::V6_3 {
            let (_, _, expected) = recorded("6.3/video-transcode-failed");
            assert_eq!(keys(&whole), keys(&expected));
        }
        let short = format!("/api/v1/videos/{}", whole["shortUUID"].as_str().unwrap());
        assert_eq!(Ask::get(&short).of(&sim).await.json()["uuid"], uuid.as_str());

        let uncounted = Ask::get("/api/v1/videos?skipCount=true").of(&sim).await.json();
        assert_eq!(keys(&uncounted), ["data"]);
    }
}

#[tokio::test]
async fn an_instance_tells_its_version_and_keeps_its_statistics_for_four_hours() {
    let sim = Sim::serve(world(Version::V8_2)).await.unwrap();
    let (root, _) = sign_in(&sim, "root").await;
    let get = |target: &str| Ask::get(target);
    assert_eq!(get("/api/v1/config").of(&sim).await.json()["serverVersion"], "8.2.1");
    assert_eq!(get("/nodeinfo/2.0.json").of(&sim).await.json()["software"]["version"], "8.2.1");
    let me = get("/api/v1/users/me").bearer(&root).of(&sim).await.json();
    assert_eq!((me["username"].as_str(), me["role"]["id"].as_u64()), (Some("root"), Some(0)));
    assert_eq!(get("/api/v1/users/me").of(&sim).await.status, 401);

    let stats = get("/api/v1/server/stats").of(&sim).await;
    assert_eq!(keys(&stats.json()), keys(&recorded("8.2/stats").2));
    sim.with(|world| world.upload(NewVideo::named("one")));
    assert_eq!(get("/api/v1/server/stats").of(&sim).await.body, stats.body);
    assert_eq!(get("/api/v1/server/stats?t=1").of(&sim).await.json()["totalLocalVideos"], 1);
    sim.advance(Duration::from_secs(4 * 3_600));
    assert_eq!(get("/api/v1/server/stats").of(&sim).await.json()["totalLocalVideos"], 1);
}

#[tokio::test]
async fn while_the_server_is_down_a_proxy_answers_for_it() {
    let sim = Sim::serve(world(Version::V8_2)).await.unwrap();
    let (root, _) = sign_in(&sim, "root").await;
    sim.with(|world| world.upgrade("8.2.2", Duration::from_secs(30)));
    let down = Ask::get("/api/v1/config").of(&sim).await;
    assert_eq!((down.status, down.header("content-type")), (503, Some("text/html")));
    assert_eq!(down.header("x-powered-by"), None);

    sim.advance(Duration::from_secs(30));
    assert_eq!(Ask::get("/api/v1/config").of(&sim).await.json()["serverVersion"], "8.2.2");
    assert_eq!(Ask::get("/api/v1/users/me").bearer(&root).of(&sim).await.status, 200, "tokens outlive a restart");

    sim.with(|world| {
        world.jobs.add(NewJob::new("video-import"));
        world.restart_server(Restart::Killed, Duration::from_secs(5));
        world.flush_redis();
        world.advance(Duration::from_secs(60));
    });
    assert_eq!(Ask::get("/api/v1/jobs?count=0").bearer(&root).of(&sim).await.json()["total"], 0);
}

#[tokio::test]
async fn a_list_of_videos_hides_what_is_not_asked_for() {
    let mut world = world(Version::V8_2);
    let at_once = |name: &str| NewVideo::named(name).without_transcoding();
    world.upload(at_once("public"));
    world.upload(at_once("nsfw").nsfw());
    world.upload(at_once("unlisted").privacy(Privacy::Unlisted));
    world.upload(at_once("private").privacy(Privacy::Private));
    world.upload(at_once("internal").privacy(Privacy::Internal));
    world.upload(at_once("password").privacy(Privacy::PasswordProtected));
    let blocked = world.upload(at_once("blocked"));
    world.block(&blocked, "against the rules");
    world.upload(at_once("muted").owner("bob"));
    world.mute_owner("bob", true);
    world.receive(RemoteVideo::named("remote", world.now()));
    world.upload(NewVideo::named("waits"));
    world.upload(NewVideo::named("does not wait").without_waiting());
    let sim = Sim::serve(world).await.unwrap();
    let (root, _) = sign_in(&sim, "root").await;
    let names = async |query: &str, token: Option<&str>| {
        let ask = Ask::get(&format!("/api/v1/videos?count=100&sort=name&{query}"));
        let ask = token.map_or(ask.clone(), |token| ask.bearer(token));
        let list = ask.of(&sim).await.json();
        let rows = list["data"].as_array().unwrap();
        assert_eq!(list["total"], rows.len());
        rows.iter().map(|row| row["name"].as_str().unwrap()).collect::<Vec<_>>().join(", ")
    };

    assert_eq!(names("", None).await, "does not wait, public, remote");
    assert_eq!(names("", Some(&root)).await, "does not wait, internal, public, remote");
    assert_eq!(names("isLocal=true&nsfw=both", None).await, "does not wait, nsfw, public");
    assert_eq!(names("isLocal=maybe&nsfw=true&unknown=1", None).await, "nsfw");
    assert_eq!(names("isLocal=true&include=1&privacyOneOf=1", Some(&root)).await, "does not wait, public, waits");
    assert_eq!(names("privacyOneOf=2&privacyOneOf=3", Some(&root)).await, "private, unlisted");
    assert_eq!(names("stateOneOf=2", Some(&root)).await, "does not wait, waits");
    let local = "isLocal=true&nsfw=both&include=7&privacyOneOf=1&privacyOneOf=2&privacyOneOf=3&privacyOneOf=4";
    assert_eq!(
        names(&format!("{local}&privacyOneOf=5"), Some(&root)).await,
        "blocked, does not wait, internal, muted, nsfw, password, private, public, unlisted, waits"
    );
    assert!(!names(local, Some(&root)).await.contains("password"));
}
