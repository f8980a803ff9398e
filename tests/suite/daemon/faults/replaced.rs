//! An instance that is replaced by another at the same address: other tokens, other jobs,
//! other videos. The daemon finds its way by itself and tells what happens there once.

use std::collections::BTreeMap;
use std::time::Duration;

use peertube_sim::Sim;
use peertube_sim::videos::NewVideo;

use tubewarden::core::event::EventKind;
use tubewarden::core::poll::PollKind;

use super::{MINUTE, Stage, quiet, truth};

#[tokio::test]
async fn an_instance_that_is_replaced_by_another_is_watched_on() {
    let stage = Stage::open().await;
    for _ in 0..3 {
        stage.work();
        stage.poll().await;
    }
    let told_before = truth::jobs_told(&stage.watch.events().await);
    let mut videos = stage.sim.with(|world| truth::videos_to_tell(world, stage.looked));
    assert!(told_before.len() >= 8 && !videos.is_empty());

    let mut other = quiet(1_000);
    other.host = Some("localhost".to_owned());
    other.upload(NewVideo::named("it was there before").run(Duration::from_secs(5)));
    other.advance_to(stage.sim.with(|world| world.now()));
    let other = Sim::serve(other).await.unwrap();
    stage.front.lead_to(other.address());
    for _ in 0..3 {
        other.with(|world| {
            world.upload(NewVideo::named("it is new").run(Duration::from_secs(20)));
            (0..6).for_each(|_| drop(world.jobs.add(peertube_sim::jobs::NewJob::new("video-import"))));
            world.advance(MINUTE);
        });
        stage.poll_until_well().await;
    }
    stage.watch.poll_each(&["main"], &[PollKind::VideosFull]).await;

    let mut expected: BTreeMap<_, _> = told_before;
    expected.extend(other.with(|world| truth::jobs_to_tell(world, stage.looked)));
    let events: Vec<_> = stage.watch.events().await.into_iter().filter(|event| event.instance() == "main").collect();
    assert_eq!(truth::jobs_told(&events), expected);
    let grants = other.with(|world| world.accounts.truth().password.granted);
    assert_eq!(grants, 1, "its tokens are none here: one sign-in");
    // What is gone is gone, by its own address, and told once each.
    assert_eq!(stage.told(EventKind::VideoDeleted).await.len(), 3);
    videos.extend(other.with(|world| truth::videos_to_tell(world, stage.looked)));
    assert_eq!(truth::videos_told(&events), videos);
    assert_eq!(stage.told(EventKind::AuthFailed).await.len(), 0);
    let emptied = stage.told(EventKind::JobUnaccounted).await;
    assert!(emptied.iter().any(|event| event.data["reason"] == "emptied"), "{emptied:?}");
    assert_eq!(stage.watch.scrape().await.value("peertube_up", &[("peertube_instance", "main")]), Some(1.0));
    stage.watch.stop().await;
}
