//! Tokens expire, are spent and get lost on the way, and no caller ever notices.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tubewarden::peertube::{Client, Grant, Host, Options, SignIn};

use super::world::{Recorder, World, account, client, failed_jobs, options, pair};

/// A client whose host kept this pair from a process before.
async fn client_with(url: &str, access: &str, refresh: &str) -> (Client, Arc<Recorder>) {
    let (client, host) = client(url);
    host.save_tokens(&pair(url, access, refresh)).await.expect("memory");
    (client, host)
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_live_a_second_serve_many_who_ask_at_once() {
    let (server, world) = World::start().await;
    let takes = Duration::from_millis(50);
    world.set(|state| (state.life, state.refresh_takes) = (1, takes));
    let (client, host) = client(&server.uri());

    let end = Instant::now() + Duration::from_millis(3500);
    let askers: Vec<_> = (0..16)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move {
                let mut asked = 0;
                while Instant::now() < end {
                    client.jobs(&failed_jobs()).await.expect("no 401 reaches a caller");
                    asked += 1;
                    tokio::task::yield_now().await;
                }
                asked
            })
        })
        .collect();
    let mut asked = 0;
    for asker in askers {
        asked += asker.await.expect("an asker that ends well");
    }

    let state = world.state();
    assert!(asked > 100, "{asked} questions");
    assert_eq!(state.sign_ins, 1);
    assert!((3..=8).contains(&state.refreshes.len()), "{} refreshes", state.refreshes.len());
    for two in state.refreshes.windows(2) {
        assert!(two[1] - two[0] >= takes, "two refreshes in flight");
    }
    let granted = host.granted.lock().expect("the record");
    assert!(granted.iter().all(|(_, ok)| *ok), "no refresh of a spent pair");
    assert_eq!(*host.saved.lock().expect("the record"), granted.len() as u64);
}

#[tokio::test]
async fn a_token_that_the_server_forgot_is_refreshed_once_for_all_who_ask() {
    let (server, world) = World::start().await;
    let (client, _) = client(&server.uri());
    client.jobs(&failed_jobs()).await.expect("jobs");
    world.state().access = None;

    let all: Vec<_> = (0..10)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.jobs(&failed_jobs()).await.map(drop) })
        })
        .collect();
    for one in all {
        one.await.expect("a task").expect("jobs");
    }
    let state = world.state();
    assert_eq!((state.refreshes.len(), state.sign_ins), (1, 1));
}

#[tokio::test]
async fn a_server_that_believes_no_token_gets_one_refresh_a_question_and_no_password() {
    let (server, world) = World::start().await;
    world.state().believes_nobody = true;
    let (client, _) = client(&server.uri());
    for _ in 0..3 {
        let error = client.jobs(&failed_jobs()).await.expect_err("a refusal");
        assert_eq!(error.label(), "401");
        assert!(!error.is_forbidden(), "the right is not what is missing");
    }
    let state = world.state();
    assert_eq!((state.refreshes.len(), state.sign_ins, state.asked.len()), (3, 1, 6));
}

#[tokio::test]
async fn a_server_that_goes_on_believing_no_token_is_soon_left_alone() {
    let (server, world) = World::start().await;
    world.state().believes_nobody = true;
    let (client, _) = client(&server.uri());
    let mut labels = Vec::new();
    for _ in 0..50 {
        labels.push(client.jobs(&failed_jobs()).await.expect_err("a refusal").label().into_owned());
    }
    let (before, after) = labels.split_at(8);
    assert!(before.iter().all(|label| label == "401"), "{before:?}");
    assert!(after.iter().all(|label| *label == after[0] && label != "401"), "{after:?}");
    let state = world.state();
    assert_eq!((state.refreshes.len(), state.sign_ins), (8, 1));
}

#[tokio::test]
async fn a_lost_reply_to_a_refresh_costs_at_most_one_sign_in() {
    let (server, world) = World::start().await;
    let host = Arc::new(Recorder::default());
    let timeout = Duration::from_millis(300);
    let options = Options { account: Some(account()), timeout, ..options(&server.uri()) };
    let client = Client::new(options, host.clone()).expect("a client");
    client.jobs(&failed_jobs()).await.expect("jobs");

    // The server rotates, and its reply comes too late.
    world.set(|state| (state.access, state.refresh_takes) = (None, Duration::from_secs(2)));
    let error = client.jobs(&failed_jobs()).await.expect_err("a time-out");
    assert_eq!((error.label().as_ref(), error.endpoint.as_str()), ("timeout", "users_token"));
    assert!(error.is_transient());

    tokio::time::sleep(Duration::from_millis(5)).await;
    for _ in 0..5 {
        client.jobs(&failed_jobs()).await.expect("jobs again");
    }
    let state = world.state();
    assert_eq!((state.refreshes.len(), state.sign_ins), (2, 2));
    let granted = host.granted.lock().expect("the record");
    use Grant::{Password, RefreshToken};
    assert_eq!(*granted, [(Password, true), (RefreshToken, false), (RefreshToken, false), (Password, true)]);
}

#[tokio::test]
async fn kept_tokens_are_used_after_a_restart() {
    let (server, world) = World::start().await;
    let (first, host) = client(&server.uri());
    first.jobs(&failed_jobs()).await.expect("jobs");

    let options = Options { account: Some(account()), ..options(&server.uri()) };
    let second = Client::new(options, host).expect("a client");
    assert_eq!(second.state(), SignIn::SignedOut);
    second.jobs(&failed_jobs()).await.expect("jobs");
    assert!(matches!(second.state(), SignIn::SignedIn { refresh_expires: Some(_), .. }));
    let state = world.state();
    assert_eq!((state.sign_ins, state.clients_asked), (1, 1));
}

#[tokio::test]
async fn a_kept_pair_that_is_spent_costs_one_sign_in() {
    let (server, world) = World::start().await;
    let (client, _) = client_with(&server.uri(), "old", "spent").await;
    for _ in 0..3 {
        client.jobs(&failed_jobs()).await.expect("jobs");
    }
    let state = world.state();
    assert_eq!((state.refreshes.len(), state.sign_ins), (1, 1));
}

#[tokio::test]
async fn a_kept_pair_of_another_account_or_instance_is_never_sent() {
    let (server, world) = World::start().await;
    for (url, username) in [("https://elsewhere.example/", "monitor"), (server.uri().as_str(), "somebody")] {
        let (client, host) = client(&server.uri());
        let mut other = pair(url, "others-access", "others-refresh");
        other.username = username.into();
        host.save_tokens(&other).await.expect("memory");
        client.jobs(&failed_jobs()).await.expect("jobs");
    }
    let state = world.state();
    assert_eq!((state.sign_ins, state.refreshes.len()), (2, 0));
    assert!(state.asked.iter().all(|(_, token)| token.as_ref().is_some_and(|token| !token.contains("others"))));
}

#[tokio::test]
async fn a_pair_that_cannot_be_stored_is_used_and_stored_later() {
    let (server, world) = World::start().await;
    let (client, host) = client(&server.uri());
    host.cannot_save.store(true, Ordering::Relaxed);
    client.jobs(&failed_jobs()).await.expect("jobs");
    client.jobs(&failed_jobs()).await.expect("jobs");
    assert_eq!((*host.saved.lock().expect("the record"), world.state().sign_ins), (0, 1));

    host.cannot_save.store(false, Ordering::Relaxed);
    client.jobs(&failed_jobs()).await.expect("jobs");
    assert_eq!((*host.saved.lock().expect("the record"), world.state().sign_ins), (1, 1));
    assert!(host.load_tokens().await.expect("memory").is_some());
}

#[tokio::test]
async fn no_other_refusal_touches_the_token() {
    let (server, world) = World::start().await;
    let (client, _) = client(&server.uri());
    for (status, code) in [(401, None), (403, None), (401, Some("unauthorized_request")), (403, Some("invalid_token"))]
    {
        world.state().answer = Some(super::world::problem(status, code));
        let error = client.jobs(&failed_jobs()).await.expect_err("a refusal");
        assert!(error.is_forbidden(), "{status} {code:?}");
    }
    let state = world.state();
    assert_eq!((state.sign_ins, state.refreshes.len(), state.asked.len()), (1, 0, 4));
}
