//! Remote runners and their jobs, as an administrator sees them.

use std::time::Duration;

use peertube_sim::Sim;
use peertube_sim::jobs::Version;
use peertube_sim::runners::NewRunnerJob;
use serde_json::Value;

use crate::client::{Ask, sign_in};
use crate::{keys, recorded, world};

const JOBS: &str = "/api/v1/runners/jobs";

#[tokio::test]
async fn runners_are_for_administrators() {
    let sim = Sim::serve(world(Version::V6_3)).await.unwrap();
    let (bob, _) = sign_in(&sim, "bob").await;
    let (moderator, _) = sign_in(&sim, "moderator").await;
    let (root, _) = sign_in(&sim, "root").await;
    let runners = || Ask::get("/api/v1/runners");
    assert_eq!(runners().of(&sim).await.told(), recorded("6.3/s5-runners-noauth"));
    assert_eq!(runners().bearer(&bob).of(&sim).await.told(), recorded("6.3/s5-runners-bob"));
    for target in ["/api/v1/runners", JOBS] {
        let ask = || Ask::get(target);
        assert_eq!(ask().of(&sim).await.status, 401);
        assert_eq!(ask().bearer(&moderator).of(&sim).await.status, 403);
        assert_eq!(ask().bearer(&root).of(&sim).await.json(), serde_json::json!({"total": 0, "data": []}));
    }

    let old = Sim::serve(world(Version::QuickStart)).await.unwrap();
    let (root, _) = sign_in(&old, "root").await;
    let unknown = Ask::get(JOBS).bearer(&root).of(&old).await;
    assert_eq!((unknown.status, unknown.body.len()), (400, 0));
}

#[tokio::test]
async fn rows_are_as_recorded() {
    let mut world = world(Version::V6_3);
    world.runners.add_runner("runner-one");
    world.runners.add(NewRunnerJob::new("vod-web-video-transcoding"));
    let sim = Sim::serve(world).await.unwrap();
    let (root, _) = sign_in(&sim, "root").await;
    for (target, name) in [("/api/v1/runners", "runners-list"), (JOBS, "runner-jobs-processing")] {
        let (_, _, recorded) = recorded(&format!("6.3/{name}"));
        let seen = Ask::get(target).bearer(&root).of(&sim).await.json();
        let (seen, recorded) = (&seen["data"][0], &recorded["data"][0]);
        assert_eq!(keys(seen), keys(recorded), "{name}");
        for part in ["state", "payload", "runner", "privatePayload"].map(|part| (&seen[part], &recorded[part])) {
            let (Value::Object(seen), Value::Object(recorded)) = part else { continue };
            assert!(seen.keys().eq(recorded.keys()), "{name}");
        }
    }
}

#[tokio::test]
async fn jobs_are_sorted_and_chosen_by_state_where_the_server_can() {
    let mut world = world(Version::V8_2);
    world.runners.add_runner("one");
    for run in [30, 10, 20, 600] {
        world.runners.add(NewRunnerJob::new("vod-hls-transcoding").run(Duration::from_secs(run)));
        world.advance(Duration::from_millis(5));
    }
    world.advance(Duration::from_secs(60));
    let sim = Sim::serve(world).await.unwrap();
    let (root, _) = sign_in(&sim, "root").await;
    let ask = async |query: &str| Ask::get(&format!("{JOBS}?{query}")).bearer(&root).of(&sim).await;
    let times = async |query: &str, key: &str| -> Vec<String> {
        let rows = ask(query).await.json()["data"].as_array().unwrap().clone();
        rows.iter().map(|row| row[key].as_str().unwrap().to_owned()).collect()
    };
    for key in ["updatedAt", "createdAt"] {
        assert!(times(&format!("sort={key}"), key).await.is_sorted());
        assert!(times(&format!("sort=-{key}"), key).await.iter().rev().is_sorted());
    }
    assert_eq!(times("", "updatedAt").await, times("sort=-updatedAt", "updatedAt").await);
    assert_eq!(ask("stateOneOf=1&stateOneOf=2&count=1").await.json()["total"], 1);
    assert_eq!(ask("stateOneOf=3&start=1&count=1").await.json()["data"].as_array().unwrap().len(), 1);
    for wrong in ["count=101", "sort=name", "start=x"] {
        assert_eq!(ask(wrong).await.status, 400, "{wrong}");
    }
    sim.with(|world| world.runners.ignores_state = true);
    assert_eq!(ask("stateOneOf=1").await.json()["total"], 4);
}
