//! Tokens that live a second, asked for by several polls at once.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use peertube_sim::jobs::Version;
use peertube_sim::limits::Limits;
use peertube_sim::{Clock, Options, Proxy, Sim, World};

use tubewarden::core::poll::PollKind;

use super::harness::{Home, Log, ROOT, Watch, by_hand, eventually, instance};

/// Polls that ended badly, of every kind.
async fn errors(watch: &Watch) -> f64 {
    watch.scrape().await.value("tubewarden_polls_total", &[("result", "error")]).unwrap()
}

/// Wakes every poll again and again until something has happened.
async fn poll_hard(watch: &Watch, what: &str, mut happened: impl FnMut() -> bool) {
    eventually(what, async || {
        PollKind::ALL.into_iter().for_each(|kind| watch.wake("main", kind));
        happened().then_some(())
    })
    .await;
}

// All of the daemon runs on the thread of this test, so its log can be read.
#[tokio::test]
async fn short_lived_tokens_are_refreshed_one_at_a_time_and_no_poll_notices() {
    let (log, _logging) = Log::of_this_thread();
    let mut world = World::new(1, Timestamp::now(), Version::V8_2);
    world.limits = Limits::none();
    world.accounts.lifetimes.access = Duration::from_secs(1);
    let options =
        Options { clock: Clock::Real { speed: 1.0 }, token_latency: Duration::from_millis(30), ..Options::default() };
    let sim = Sim::start(world, options).await.unwrap();
    let proxy = Proxy::start(sim.address()).await.unwrap();
    let truth = || sim.with(|world| world.accounts.truth().clone());

    let more = format!("connect = \"{}\"\n{ROOT}", proxy.url());
    let home = Home::new(&(by_hand() + &*instance("main", &sim.url(), &more)));
    let began = Instant::now();
    let watch = Watch::ready(&home).await;
    poll_hard(&watch, "four refreshes", || truth().refresh_token.granted >= 4).await;

    assert_eq!(errors(&watch).await, 0.0);
    assert_eq!((truth().password.granted, truth().password.refused), (1, 0));
    assert_eq!(truth().refresh_token.refused, 0);

    // The instance grants a refresh, and its reply is lost: that pair is spent.
    proxy.drop_next_reply("POST /api/v1/users/token");
    poll_hard(&watch, "a dropped reply", || proxy.dropped_replies() == 1).await;
    poll_hard(&watch, "a sign-in by password", || truth().password.granted == 2).await;
    // What failed by the lost reply has failed once each kind has run again.
    for kind in PollKind::ALL {
        watch.poll("main", kind).await;
    }

    let so_far = errors(&watch).await;
    let granted = truth().refresh_token.granted;
    poll_hard(&watch, "three more refreshes", || truth().refresh_token.granted >= granted + 3).await;
    assert_eq!(errors(&watch).await, so_far, "all is as before");

    assert_eq!((truth().password.granted, truth().password.refused), (2, 0));
    assert_eq!(truth().refresh_token.refused, 1, "the spent one, once");
    assert_eq!(truth().max_refreshes_in_flight, 1);
    // A token is renewed when a fifth of its second is left.
    let most = began.elapsed().as_secs_f64() / 0.8 + 1.0;
    assert!(truth().refresh_token.granted as f64 <= most, "{:?}, but {most} at most", truth());
    let failed = log.lines_with("the poll failed");
    assert!(!failed.is_empty() && failed.len() == so_far as usize);
    let refused: Vec<_> = failed.iter().filter(|line| line.contains("answered 401")).collect();
    assert!(refused.is_empty(), "{refused:#?}");
    let polls = watch.scrape().await.value("tubewarden_polls_total", &[("result", "ok")]).unwrap();
    assert!(polls > 200.0, "{polls} polls are no rush");
    watch.stop().await;
}
