use peertube_sim::Sim;
use peertube_sim::jobs::Version;
use peertube_sim::videos::{NewVideo, Privacy};

use crate::client::{Ask, sign_in};
use crate::{recorded, world};

#[tokio::test]
async fn jobs_are_for_administrators() {
    let sim = Sim::serve(world(Version::V6_3)).await.unwrap();
    let jobs = || Ask::get("/api/v1/jobs/failed");
    let (bob, _) = sign_in(&sim, "bob").await;
    let (moderator, _) = sign_in(&sim, "moderator").await;
    let (root, _) = sign_in(&sim, "root").await;

    for (name, ask) in [
        ("jobs-no-token", jobs()),
        ("jobs-bad-token", jobs().bearer("garbage")),
        ("jobs-nonadmin", jobs().bearer(&bob)),
        ("jobs-moderator", jobs().bearer(&moderator)),
        ("jobs-malformed-auth", jobs().header("Authorization", "Basic cm9vdDpyb290")),
    ] {
        assert_eq!(ask.of(&sim).await.told(), recorded(&format!("6.3/{name}")), "{name}");
    }
    assert_eq!(jobs().bearer(&root).of(&sim).await.status, 200);

    let sim = Sim::serve(world(Version::V8_2)).await.unwrap();
    let (bob, _) = sign_in(&sim, "bob").await;
    assert_eq!(jobs().of(&sim).await.told(), recorded("8.2/jobs-notoken"));
    assert_eq!(jobs().bearer(&bob).of(&sim).await.told(), recorded("8.2/jobs-nonadmin"));
}

#[tokio::test]
async fn all_videos_are_for_moderators() {
    let sim = Sim::serve(world(Version::V6_3)).await.unwrap();
    let (bob, _) = sign_in(&sim, "bob").await;
    let (moderator, _) = sign_in(&sim, "moderator").await;
    let videos = || Ask::get("/api/v1/videos?include=1");

    assert_eq!(videos().of(&sim).await.told(), recorded("6.3/videos-anon-include"));
    assert_eq!(videos().bearer(&bob).of(&sim).await.told(), recorded("6.3/videos-bob-include"));
    let by_privacy = Ask::get("/api/v1/videos?privacyOneOf=1").bearer(&bob).of(&sim).await;
    assert_eq!((by_privacy.status, by_privacy.code()), (401, serde_json::Value::Null));
    assert_eq!(videos().bearer(&moderator).of(&sim).await.status, 200);
}

#[tokio::test]
async fn a_video_is_shown_at_its_address_to_whom_it_may_concern() {
    let mut world = world(Version::V8_2);
    let mut add = |privacy| world.upload(NewVideo::named("one").owner("bob").privacy(privacy));
    let (public, private) = (add(Privacy::Public), add(Privacy::Private));
    let (internal, password) = (add(Privacy::Internal), add(Privacy::PasswordProtected));
    let blocked = world.upload(NewVideo::named("blocked"));
    world.block(&blocked, "against the rules");
    world.accounts.add("eve", "eve-password", peertube_sim::accounts::Role::User);
    let sim = Sim::serve(world).await.unwrap();
    let (bob, _) = sign_in(&sim, "bob").await;
    let (eve, _) = sign_in(&sim, "eve").await;
    let (moderator, _) = sign_in(&sim, "moderator").await;

    for (uuid, expected) in [
        (&public, [200, 200, 200, 200]),
        (&private, [401, 403, 200, 200]),
        (&internal, [401, 200, 200, 200]),
        (&password, [403, 403, 200, 200]),
        (&blocked, [403, 403, 403, 200]),
    ] {
        let ask = Ask::get(&format!("/api/v1/videos/{uuid}"));
        let mut seen = vec![ask.clone().of(&sim).await.status];
        for token in [&eve, &bob, &moderator] {
            seen.push(ask.clone().bearer(token).of(&sim).await.status);
        }
        assert_eq!(seen, expected);
    }
    let gone = Ask::get("/api/v1/videos/00000000-0000-4000-8000-000000000000").of(&sim).await;
    assert_eq!((gone.status, gone.json()["detail"].as_str()), (404, Some("Video not found")));
    assert_eq!(Ask::get("/api/v1/videos/what").of(&sim).await.status, 400);
}

#[tokio::test]
async fn an_active_job_is_cancelled_by_an_administrator_since_8_2() {
    let mut world = world(Version::V8_2);
    let job = world.jobs.add(peertube_sim::jobs::NewJob::new("video-import").run(std::time::Duration::from_secs(60)));
    let sim = Sim::serve(world).await.unwrap();
    let (bob, _) = sign_in(&sim, "bob").await;
    let (root, _) = sign_in(&sim, "root").await;
    let cancel = |id: &str| Ask::post(&format!("/api/v1/jobs/video-import/{id}/cancel"));

    assert_eq!(cancel(&job.id).of(&sim).await.status, 401);
    assert_eq!(cancel(&job.id).bearer(&bob).of(&sim).await.status, 403);
    assert_eq!(cancel("999").bearer(&root).of(&sim).await.status, 404);
    assert_eq!(cancel(&job.id).bearer(&root).of(&sim).await.status, 204);
    assert_eq!(cancel(&job.id).bearer(&root).of(&sim).await.status, 409);

    let old = Sim::serve(crate::world(Version::V6_3)).await.unwrap();
    let (root, _) = sign_in(&old, "root").await;
    assert_eq!(cancel(&job.id).bearer(&root).of(&old).await.status, 400);
}
