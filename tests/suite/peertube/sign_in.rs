//! Signing in: what is final is told once and left alone, and nothing loops.

use std::sync::Arc;

use tubewarden::peertube::{Account, Cause, Client, Grant, Options, Pause, SignIn};

use super::world::{Recorder, TOTP_SECRET, World, account, client, failed_jobs, options};

fn client_with_codes(url: &str, secret: &str) -> (Client, Arc<Recorder>) {
    let host = Arc::new(Recorder::default());
    let account = Account { totp_secret: Some(secret.to_owned().into()), ..account() };
    let options = Options { account: Some(account), ..options(url) };
    (Client::new(options, host.clone()).expect("a client"), host)
}

#[tokio::test]
async fn a_wrong_password_is_tried_and_told_once() {
    let (server, world) = World::start().await;
    world.state().password = "another".into();
    let (client, host) = client(&server.uri());

    for round in 0..30 {
        let error = client.jobs(&failed_jobs()).await.expect_err("no jobs without an account");
        let refusal = error.refusal().expect("a refusal");
        assert_eq!(refusal.code, "invalid_grant");
        assert!(error.to_string().contains("wrong username or password"), "{error}");
        assert_eq!(error.reached(), (round == 0).then_some(true), "the first was an answer, then nothing is asked");
        assert!(!error.is_transient() && !error.is_forbidden());
    }
    assert_eq!(world.state().sign_ins, 1);
    assert_eq!(host.refused.lock().expect("the record").len(), 1);
    assert_eq!(*host.signed_in.lock().expect("the record"), Some(false));
    assert_eq!(*host.granted.lock().expect("the record"), [(Grant::Password, false)]);
    assert!(matches!(client.state(), SignIn::Refused(refusal) if refusal.code == "invalid_grant"));
}

#[tokio::test]
async fn what_anyone_may_see_is_still_asked_with_a_wrong_password() {
    let (server, world) = World::start().await;
    world.state().password = "another".into();
    let (client, _) = client(&server.uri());
    for _ in 0..3 {
        let error = client.config().await.expect_err("this world serves jobs alone");
        assert_eq!(error.label(), "decode", "it was answered without a token");
    }
    let state = world.state();
    assert_eq!(state.sign_ins, 1);
    assert!(state.asked.iter().all(|(path, token)| path == "/api/v1/config" && token.is_none()));
}

#[tokio::test]
async fn each_final_refusal_says_what_to_do() {
    for (status, code, advice) in [
        (400, "account_waiting_for_approval", "must accept it"),
        (400, "access_denied", "unblock it"),
        (401, "missing_two_factor", "set `totp_secret_file`"),
        (400, "a_code_of_tomorrow", "sign in by hand"),
    ] {
        let (server, world) = World::start().await;
        world.state().refusal = Some((status, code));
        let (client, host) = client(&server.uri());
        for _ in 0..3 {
            let error = client.me().await.expect_err(code);
            assert!(error.to_string().contains(advice), "{error}");
        }
        assert_eq!(world.state().sign_ins, 1, "{code}");
        assert_eq!(host.refused.lock().expect("the record").len(), 1, "{code}");
    }
}

#[tokio::test]
async fn a_blocked_account_loses_its_tokens_once() {
    let (server, world) = World::start().await;
    let (client, host) = client(&server.uri());
    client.jobs(&failed_jobs()).await.expect("jobs");
    // Blocked: its tokens are gone, and no password helps.
    {
        let mut state = world.state();
        (state.access, state.refresh, state.refusal) = (None, None, Some((400, "access_denied")));
    }
    for _ in 0..10 {
        client.jobs(&failed_jobs()).await.expect_err("blocked");
    }
    let state = world.state();
    assert_eq!((state.refreshes.len(), state.sign_ins), (1, 2));
    assert_eq!(host.refused.lock().expect("the record").len(), 1);
}

#[tokio::test]
async fn the_one_time_code_is_right_by_the_servers_clock() {
    let (server, world) = World::start().await;
    world.set(|state| (state.needs_code, state.ahead) = (true, 600));
    let (client, _) = client_with_codes(&server.uri(), &TOTP_SECRET.to_lowercase());
    client.jobs(&failed_jobs()).await.expect("jobs");
    assert_eq!(world.state().sign_ins, 1);

    // A refresh needs no code.
    world.state().access = None;
    client.jobs(&failed_jobs()).await.expect("jobs");
    assert_eq!(world.state().sign_ins, 1);
}

#[tokio::test]
async fn a_wrong_one_time_code_waits_for_the_next_one() {
    let (server, world) = World::start().await;
    world.state().needs_code = true;
    let (client, host) = client_with_codes(&server.uri(), "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
    for _ in 0..10 {
        let error = client.jobs(&failed_jobs()).await.expect_err("a wrong code");
        assert!(matches!(error.cause, Cause::Paused { why: Pause::OneTimeCode, .. }), "{error}");
        assert!(error.retry_after().expect("a pause").as_secs() <= 30);
    }
    assert_eq!(world.state().sign_ins, 1);
    assert!(host.refused.lock().expect("the record").is_empty(), "it may have been the edge of a half minute");
}

#[tokio::test]
async fn a_client_that_the_server_does_not_know_any_more_is_asked_for_again() {
    let (server, world) = World::start().await;
    let (client, _) = client(&server.uri());
    client.jobs(&failed_jobs()).await.expect("jobs");
    world.set(|state| (state.client, state.access) = (2, None));
    client.jobs(&failed_jobs()).await.expect("jobs");
    let state = world.state();
    assert_eq!((state.clients_asked, state.refreshes.len(), state.sign_ins), (2, 1, 1));
}

#[tokio::test]
async fn never_more_than_four_sign_ins_in_five_minutes() {
    let (server, world) = World::start().await;
    let (client, _) = client(&server.uri());
    let mut paused = 0;
    for _ in 0..20 {
        match client.jobs(&failed_jobs()).await {
            Ok(_) => {}
            Err(error) => {
                assert!(matches!(error.cause, Cause::Paused { why: Pause::SignIns, .. }), "{error}");
                paused += 1;
            }
        }
        // A server that loses all tokens again and again.
        world.set(|state| (state.access, state.refresh) = (None, None));
    }
    assert_eq!((world.state().sign_ins, paused), (4, 16));
}

#[tokio::test]
async fn the_limit_of_the_token_endpoint_is_obeyed() {
    let (server, world) = World::start().await;
    world.state().token_limit = true;
    let (client, host) = client(&server.uri());
    let first = client.jobs(&failed_jobs()).await.expect_err("a limit");
    assert_eq!((first.label().as_ref(), first.reached()), ("429", Some(true)));
    for _ in 0..5 {
        let error = client.jobs(&failed_jobs()).await.expect_err("a pause");
        assert!(matches!(error.cause, Cause::Paused { why: Pause::Asked, .. }), "{error}");
        assert!((290..=297).contains(&error.retry_after().expect("a pause").as_secs()));
    }
    assert_eq!(host.codes(), ["200", "429"]);
    assert!(host.refused.lock().expect("the record").is_empty());
}
