//! What an instance may be besides its version: below a path, with other names for its
//! lists, upgraded to another generation.

use std::time::Duration;

use peertube_sim::jobs::{ListError, ListQuery, Naming, NewJob, Version};
use peertube_sim::videos::NewVideo;
use peertube_sim::{Options, Sim};

use super::client::{Ask, sign_in};
use super::world;

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn below_a_path_is_the_instance_and_beside_it_nothing() {
    let options = Options { base: "/tube".to_owned(), ..Options::default() };
    let sim = Sim::start(world(Version::V8_2), options).await.unwrap();
    assert!(sim.url().ends_with("/tube"));
    assert_eq!(Ask::get("/tube/api/v1/config").of(&sim).await.json()["serverVersion"], "8.2.1");
    assert_eq!(Ask::get("/tube/nodeinfo/2.0.json").of(&sim).await.status, 200);
    for outside in ["/api/v1/config", "/", "/tubes/api/v1/config", "/other/tube/api/v1/config"] {
        let reply = Ask::get(outside).of(&sim).await;
        assert_eq!((reply.status, reply.text(), reply.header("x-powered-by")), (404, String::new(), None), "{outside}");
    }
    assert_eq!(sim.requests().of("outside"), 4);
}

#[tokio::test]
async fn a_server_knows_the_names_of_its_lists_and_no_others() {
    let sim = Sim::serve(world(Version::V8_2)).await.unwrap();
    sim.with(|world| world.jobs.add(NewJob::new("email")));
    sim.advance(MINUTE);
    let (root, _) = sign_in(&sim, "root").await;
    for (naming, statuses) in [
        (Naming::Todays, [200, 200, 400, 400]),
        (Naming::Old, [400, 400, 200, 200]),
        (Naming::Both, [200, 200, 200, 200]),
        (Naming::ByStates, [400, 400, 400, 400]),
    ] {
        sim.with(|world| world.jobs.naming = naming);
        let mut told = Vec::new();
        for name in ["completed", "waiting", "complete", "inactive"] {
            let reply = Ask::get(&format!("/api/v1/jobs/{name}")).bearer(&root).of(&sim).await;
            if name.starts_with("complete") && reply.status == 200 {
                assert_eq!(reply.json()["data"][0]["state"], name);
            }
            told.push(reply.status);
        }
        assert_eq!(told, statuses, "{naming:?}");
    }
}

#[test]
fn an_upgrade_keeps_what_redis_holds_and_hides_the_types_that_are_gone() {
    let mut world = world(Version::V6_3);
    world.jobs.add_recurring(10 * MINUTE, NewJob::new("videos-views-stats"));
    world.jobs.add(NewJob::new("video-import").run(5 * MINUTE));
    world.jobs.add(NewJob::new("video-import").run(MINUTE));
    world.upload(NewVideo::named("holidays"));
    world.advance(MINUTE);
    world.upgrade_to(Version::V8_2, MINUTE / 2);
    assert_eq!((world.version(), world.server_version.as_str()), (Version::V8_2, "8.2.1"));
    let of = |job_type| ListQuery { job_type: Some(job_type), ..ListQuery::default() };
    assert_eq!(world.jobs.list(&of("videos-views-stats")), Err(ListError::UnknownType));
    assert_eq!(world.jobs.list(&of("video-import")).unwrap().total, 2);

    let before = world.jobs.ended().iter().filter(|ended| ended.job_type == "videos-views-stats").count();
    world.advance(60 * MINUTE);
    let ended = |job_type| world.jobs.ended().iter().filter(|ended| ended.job_type == job_type).count();
    assert_eq!(ended("videos-views-stats"), before, "no worker takes it");
    assert!(ended("videos-stats") >= 5, "its new name goes on");
    assert_eq!(ended("video-import"), 2, "what ran and what waited ended once");
    let shown = world.jobs.list(&ListQuery { count: 100, ..ListQuery::default() }).unwrap();
    assert!(shown.rows.iter().all(|row| row.job_type != "videos-views-stats"));
    assert!(!world.jobs.types().contains(&"videos-views-stats"));
}
