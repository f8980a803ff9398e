//! What scripts ask in their own words: every answer of PeerTube's own is one.

use serde_json::{Value, json};
use tubewarden::core::call::{Method, Path};
use tubewarden::peertube::{Cause, Client, Options};
use wiremock::ResponseTemplate;

use super::world::{World, account, client, options, problem};

fn path(text: &str) -> Path {
    Path::parse(text).unwrap()
}

fn writing(url: &str) -> Client {
    let options = Options { account: Some(account()), read_only: false, ..options(url) };
    Client::new(options, std::sync::Arc::default() as std::sync::Arc<tubewarden::peertube::MemoryHost>).unwrap()
}

#[tokio::test]
async fn a_call_whose_token_is_dead_is_repeated_once_with_a_new_one() {
    let (server, world) = World::start().await;
    let (client, host) = client(&server.uri());
    let config = path("/api/v1/config");
    client.call(Method::Get, &config, None).await.unwrap();
    world.set(|world| world.access = None);
    assert_eq!(client.call(Method::Get, &config, None).await.unwrap().0, 200);
    assert_eq!(world.state().asked.len(), 3);
    assert_eq!(host.requested.lock().unwrap().iter().filter(|(endpoint, _)| endpoint.as_str() == "script").count(), 3);
}

#[tokio::test]
async fn refusals_of_the_api_are_answers_and_those_of_others_are_errors() {
    let (server, world) = World::start().await;
    let client = writing(&server.uri());
    let video = path("/api/v1/videos/none");
    let answers: [(ResponseTemplate, u16, Value); 5] = [
        (ResponseTemplate::new(200).set_body_json(json!([1, 2])), 200, json!([1, 2])),
        (ResponseTemplate::new(204), 204, Value::Null),
        (ResponseTemplate::new(400).set_body_raw("", "application/json; charset=utf-8"), 400, Value::Null),
        (problem(409, Some("video_already_being_transcoded")), 409, "video_already_being_transcoded".into()),
        (problem(500, Some("boom")), 500, "boom".into()),
    ];
    for (answer, status, body) in answers {
        world.set(|world| world.answer = Some(answer));
        let (told, whole) = client.call(Method::Post, &video, Some(&json!({"a": 1}))).await.unwrap();
        assert_eq!(told, status);
        assert_eq!(whole.get("code").unwrap_or(&whole), &body);
    }
    let html = |status| ResponseTemplate::new(status).set_body_raw("<html>", "text/html");
    let redirect = ResponseTemplate::new(302).insert_header("location", "https://evil.example/");
    let huge = ResponseTemplate::new(200).set_body_json("x".repeat(2 << 20));
    for (answer, code) in
        [(html(404), "404"), (html(502), "502"), (html(200), "decode"), (redirect, "302"), (huge, "decode")]
    {
        world.set(|world| world.answer = Some(answer));
        // A pause after the failure before is over within a moment.
        let error = loop {
            let error = client.call(Method::Get, &video, None).await.unwrap_err();
            if !matches!(error.cause, Cause::Paused { .. }) {
                break error;
            }
        };
        assert_eq!(error.label(), code, "{error}");
    }
}

#[tokio::test]
async fn a_read_only_client_sends_no_write() {
    let (server, world) = World::start().await;
    let (client, _) = client(&server.uri());
    for method in [Method::Post, Method::Put, Method::Delete] {
        let error = client.call(method, &path("/api/v1/videos/a"), None).await.unwrap_err();
        assert!(matches!(error.cause, Cause::ReadOnly), "{error}");
        assert!(!error.is_transient() && error.reached().is_none());
        assert!(error.to_string().contains("set `read_only = false`"), "{error}");
    }
    assert!(world.state().asked.is_empty());
}
