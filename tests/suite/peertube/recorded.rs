//! What PeerTube 6.3, 8.2 and the oldest servers really answered, as it is understood.

use std::sync::Arc;

use jiff::Timestamp;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tubewarden::core::job::JobList;
use tubewarden::core::moderation::{self, Kind};
use tubewarden::core::runner::{RunnerJobsList, RunnerJobsQuery};
use tubewarden::core::video::{Scope, Sought, VideoSort, VideosQuery};
use tubewarden::peertube::{Cause, Client, Error, Host, MemoryHost, Options};
use wiremock::matchers::{any, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::world::{account, failed_jobs, jobs_in, options, pair};

const DATE: &str = "Tue, 24 Nov 2026 03:30:00 GMT";

fn recorded(file: &str) -> ResponseTemplate {
    let path = format!("{}/tests/captures/{file}.json", env!("CARGO_MANIFEST_DIR"));
    let capture: Value = serde_json::from_slice(&std::fs::read(&path).expect(&path)).expect(&path);
    let response = &capture["response"];
    let status = response["status"].as_u64().expect("a status");
    let mut template = ResponseTemplate::new(u16::try_from(status).expect("a status")).insert_header("date", DATE);
    let body = &response["body"];
    let text = body.as_str().map_or_else(|| body.to_string(), str::to_owned);
    let headers = response["headers"].as_object().expect("headers");
    let kind = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    template = template.set_body_raw(text, kind.and_then(|(_, kind)| kind.as_str()).expect("a content type"));
    for (name, value) in headers {
        if !["content-type", "content-length", "keep-alive"].contains(&name.to_lowercase().as_str()) {
            template = template.insert_header(name.as_str(), value.as_str().expect("a header"));
        }
    }
    template
}

/// A signed-in client to a server that answers everything so.
async fn served(answer: ResponseTemplate) -> (MockServer, Client) {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(answer).mount(&server).await;
    let host = Arc::new(MemoryHost::default());
    host.save_tokens(&pair(&server.uri(), "a", "r")).await.expect("memory");
    let options = Options { account: Some(account()), ..options(&server.uri()) };
    let client = Client::new(options, host).expect("a client");
    (server, client)
}

fn all_videos() -> VideosQuery {
    VideosQuery {
        start: 0,
        count: 100,
        sort: VideoSort::NewestPublished,
        scope: Scope::Local,
        skip_count: false,
        everything: true,
    }
}

#[tokio::test]
async fn jobs_decode() {
    for file in [
        "6.3/jobs-state-failed",
        "6.3/jobs-state-delayed",
        "6.3/jobs-email-delayed-after-fail",
        "6.3/jobs-count-0",
        "8.2/jobs-failed",
        "8.2/jobs-completed",
        "8.2/jobs-wc-live",
        "8.2/jobs-active-live-3",
    ] {
        let (_server, client) = served(recorded(file)).await;
        let page = client.jobs(&failed_jobs()).await.expect(file);
        insta::assert_debug_snapshot!(file.replace(['/', '.'], "_"), page);
    }
}

#[tokio::test]
async fn nothing_but_the_allowed_fields_of_a_jobs_data_is_held() {
    let (_server, client) = served(recorded("6.3/jobs-email-delayed-after-fail")).await;
    let page = client.jobs(&failed_jobs()).await.expect("a page");
    let all = format!("{page:?}");
    for secret in ["reset-password", "REDACTED", "bob@example.com", "bad video", "template"] {
        assert!(!all.contains(secret), "{secret}");
    }
}

#[tokio::test]
async fn runners_and_their_jobs_decode() {
    let changes = RunnerJobsQuery { list: RunnerJobsList::Changes, start: 0, count: 100 };
    let (_server, client) = served(recorded("6.3/runner-jobs-processing")).await;
    let page = client.runner_jobs(&changes).await.expect("a page");
    insta::assert_debug_snapshot!("6_3_runner-jobs-processing", page);
    let all = format!("{page:?}");
    for secret in ["max-quality", "videoFileUrl", "deleteInputFileId", "test runner"] {
        assert!(!all.contains(secret), "{secret}");
    }
    let (_server, client) = served(recorded("6.3/s5-runner-jobs-admin")).await;
    assert_eq!(client.runner_jobs(&changes).await.expect("a page").rows, []);

    let (_server, client) = served(recorded("6.3/runners-list")).await;
    insta::assert_debug_snapshot!("6_3_runners-list", client.runners(0).await.expect("a page"));
    let (_server, client) = served(recorded("6.3/s5-runners-admin")).await;
    assert_eq!(client.runners(0).await.expect("a page").rows, []);
}

#[tokio::test]
async fn runner_jobs_of_other_versions_decode() {
    let row = |more: Value| {
        let mut row = json!({"uuid": "u", "type": "live-rtmp-hls-transcoding", "state": {"id": 10, "label": "New"},
            "createdAt": "2026-11-24T02:57:00.846Z", "updatedAt": "2026-11-24T02:57:22.660Z"});
        row.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        row
    };
    let body = json!({"total": 2, "data": [
        row(json!({})),
        row(json!({"state": {"id": 7}, "failures": 2, "error": "x".repeat(200_000), "finishedAt": "2026-11-24T02:58:00.000Z",
            "runner": null, "parent": {"id": 3, "uuid": "p", "type": "vod-hls-transcoding", "state": {"id": 4}},
            "payload": {"output": {"toTranscode": [{"resolution": 1080, "fps": 60}], "fps": "many"}, "input": {"rtmpUrl": "rtmp://secret"}},
            "privatePayload": {"videoUUID": "v", "masterPlaylistName": "secret", "outputDirectory": "/secret"}})),
    ]});
    let (_server, client) = served(ResponseTemplate::new(200).insert_header("date", DATE).set_body_json(body)).await;
    let query = RunnerJobsQuery { list: RunnerJobsList::Unfinished, start: 0, count: 100 };
    let mut page = client.runner_jobs(&query).await.expect("a page");
    assert!(!format!("{page:?}").contains("secret"));
    let long = page.rows[1].error.take().expect("an error");
    assert!(long.len() < 70_000, "{} bytes", long.len());
    insta::assert_debug_snapshot!("other_runner_jobs", page);
}

#[tokio::test]
async fn jobs_of_the_oldest_servers_decode() {
    let row = |id: Value, more: Value| {
        let mut row = json!({"id": id, "type": "video-file", "createdAt": "2018-05-11T14:35:02.000Z"});
        row.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        row
    };
    let body = json!({"total": 5, "data": [
        row(json!(41), json!({"state": "complete", "data": {"videoUUID": "e1f0", "resolution": 720, "fps": 29.97, "isNewVideo": false},
            "error": null, "updatedAt": "2018-05-11T14:36:00.000Z", "processedOn": 1_526_049_303_000_i64, "finishedOn": 1_526_049_360_000_i64})),
        row(json!("42"), json!({"data": null})),
        row(json!(43), json!({"data": "text", "error": {"message": "an object"}})),
        row(json!(44), json!({"data": [{"type": "nested"}], "error": "x".repeat(200_000), "progress": 98})),
        row(json!(45), json!({"data": {"type": 7, "resolution": "HD", "fps": {}, "isNewVideo": "yes", "videoUUID": null}})),
    ]});
    let (_server, client) = served(ResponseTemplate::new(200).insert_header("date", DATE).set_body_json(body)).await;
    let mut page = client.jobs(&jobs_in(JobList::Completed)).await.expect("a page");
    let long = page.rows[3].error.take().expect("an error");
    assert!(long.len() < 70_000 && long.contains("…"), "{} bytes", long.len());
    insta::assert_debug_snapshot!("oldest_jobs", page);
}

#[tokio::test]
async fn videos_decode() {
    for file in ["6.3/videos-admin-include-state", "8.2/videos-anon-default", "8.2/videos-admin-stateOneOf"] {
        let (_server, client) = served(recorded(file)).await;
        insta::assert_debug_snapshot!(file.replace(['/', '.'], "_"), client.videos(&all_videos()).await.expect(file));
    }
    let (_server, client) = served(recorded("6.3/videos-skipcount")).await;
    let page = client.videos(&VideosQuery { skip_count: true, ..all_videos() }).await.expect("a page");
    assert_eq!((page.total, page.rows.len()), (None, 1));
}

#[tokio::test]
async fn a_video_the_server_and_the_account_decode() {
    let (_server, client) = served(recorded("6.3/video-transcode-failed")).await;
    let video = client.video("447920ab-ec9e-42cc-8599-3ddfc78a41fa").await.expect("an answer");
    let Sought::Here(video) = video else { panic!("it is here: {video:?}") };
    insta::assert_debug_snapshot!("6_3_video", video);

    let (_server, client) = served(recorded("6.3/s5-config-anon")).await;
    insta::assert_debug_snapshot!("6_3_config", client.config().await.expect("a version"));

    for file in ["6.3/users-me", "8.2/users-me"] {
        let (_server, client) = served(recorded(file)).await;
        insta::assert_debug_snapshot!(file.replace(['/', '.'], "_"), client.me().await.expect(file));
    }
    let before = ResponseTemplate::new(200).set_body_json(json!({"username": "root", "role": 1}));
    let (_server, client) = served(before).await;
    insta::assert_debug_snapshot!("oldest_me", client.me().await.expect("an account"));
}

#[tokio::test]
async fn of_moderation_nothing_but_ids_states_and_times_decode() {
    for (file, kind) in [("6.3/s5-abuses-admin", Kind::Abuse), ("6.3/s5-registrations-admin", Kind::Registration)] {
        let (_server, client) = served(recorded(file)).await;
        let query = moderation::Query { kind, list: moderation::List::NewestFirst, start: 0, count: 10 };
        let page = client.moderation(&query).await.expect(file);
        insta::assert_debug_snapshot!(file.replace(['/', '.'], "_"), page);
    }
}

#[tokio::test]
async fn statistics_and_updates_decode() {
    for file in ["6.3/s5-server-stats-anon", "8.2/stats"] {
        let (_server, client) = served(recorded(file)).await;
        let stats = client.stats().await.expect(file);
        let mut told = String::new();
        for (figure, number) in &stats.figures {
            told += &format!("{} {number}\n", figure.metric);
        }
        for (activity, result, number) in &stats.messages {
            told += &format!("{activity} {result} {number}\n");
        }
        insta::assert_snapshot!(file.replace(['/', '.'], "_"), format!("{told}{:?}", stats.redundancy));
    }

    let (_server, client) = served(recorded("6.3/s5-plugins-admin")).await;
    assert_eq!(client.plugins().await.expect("plugins"), []);
    let row = |name: &str, kind: u64, more: Value| {
        let mut row = json!({"name": name, "type": kind, "version": "0.1.0", "enabled": true});
        row.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        row
    };
    let body = json!({"total": 4, "data": [
        row("auth-ldap", 1, json!({"latestVersion": "0.2.0", "uninstalled": false})),
        row("dark", 2, json!({"latestVersion": null})),
        row("\u{1b}[2Jevil", 1, json!({})),
        row("gone", 1, json!({"latestVersion": "9.0.0", "uninstalled": true})),
    ]});
    let (_server, client) = served(ResponseTemplate::new(200).set_body_json(body)).await;
    insta::assert_debug_snapshot!("plugins", client.plugins().await.expect("plugins"));

    let body = json!({"total": 3, "data": [
        {"id": 3, "type": 18, "peertube": {"latestVersion": "8.3.0"}},
        {"id": 2, "type": 17, "plugin": {"name": "auth-ldap", "type": 1, "latestVersion": "0.2.0"}},
        {"id": 1, "type": 20, "registration": {"id": 1, "username": "carol"}, "peertube": null},
    ]});
    let (_server, client) = served(ResponseTemplate::new(200).set_body_json(body)).await;
    assert_eq!(client.new_versions().await.expect("versions"), ["8.3.0"]);
}

#[tokio::test]
async fn a_route_that_the_server_does_not_know_is_told_from_a_refusal() {
    let page = ResponseTemplate::new(404).set_body_raw("<html>nginx</html>", "text/html");
    let problem = ResponseTemplate::new(404).set_body_raw("{\"status\": 404}", "application/problem+json");
    for (answer, is_unknown) in [
        (recorded("8.2/unknown-route"), true),
        (problem, true),
        (page, false),
        (recorded("6.3/jobs-count-200"), false),
        (recorded("6.3/jobs-nonadmin"), false),
    ] {
        let (_server, client) = served(answer).await;
        let error = client.plugins().await.expect_err("an error");
        assert_eq!(error.is_unknown_route(), is_unknown, "{error}");
    }
}

/// Signs in with what the token endpoint answered; the result of the next question.
async fn sign_in(answer: ResponseTemplate) -> (Result<(), Error>, Arc<MemoryHost>) {
    let server = MockServer::start().await;
    let client = recorded("6.3/oauth-clients-local-ok");
    Mock::given(path("/api/v1/oauth-clients/local")).respond_with(client).mount(&server).await;
    Mock::given(path("/api/v1/users/token")).respond_with(answer).mount(&server).await;
    Mock::given(any()).respond_with(recorded("6.3/jobs-count-0")).mount(&server).await;
    let host = Arc::new(MemoryHost::default());
    let options = Options { account: Some(account()), ..options(&server.uri()) };
    let client = Client::new(options, host.clone()).expect("a client");
    (client.jobs(&failed_jobs()).await.map(drop), host)
}

#[tokio::test]
async fn tokens_decode() {
    let mut seen = Vec::new();
    let oldest = json!({"access_token": "a1", "refresh_token": "r1", "token_type": "Bearer", "expires_in": 14399});
    let answers = [
        ("6.3", recorded("6.3/token-success")),
        ("8.2", recorded("8.2/token-success")),
        ("oldest", ResponseTemplate::new(200).set_body_json(oldest)),
    ];
    for (name, answer) in answers {
        let (result, host) = sign_in(answer).await;
        result.expect(name);
        let pair = host.load_tokens().await.expect("memory").expect("a pair");
        // Told by the minute, for a moment has passed.
        let minutes = |at: Timestamp| (at.duration_since(Timestamp::now()).as_secs() + 30) / 60;
        let lives = (minutes(pair.access_expires_at), pair.refresh_expires_at.map(minutes));
        seen.push((name, pair.access_token.expose_secret().len(), pair.refresh_token.expose_secret().len(), lives));
    }
    insta::assert_debug_snapshot!("tokens", seen);
}

#[tokio::test]
async fn errors_of_signing_in_are_told() {
    let mut told = String::new();
    for file in [
        "6.3/token-wrong-password",
        "6.3/token-wrong-client",
        "6.3/token-missing-grant",
        "6.3/token-pending-registration",
        "6.3/token-blocked",
        "6.3/token-otp-missing",
        "6.3/token-otp-wrong",
        "6.3/token-429",
        "8.2/token-wrong-password",
    ] {
        let (result, _) = sign_in(recorded(file)).await;
        tell(&mut told, file, &result.expect_err(file));
    }
    for file in ["6.3/oauth-clients-local-hostmismatch-127", "8.2/oauth-hostmismatch"] {
        let server = MockServer::start().await;
        Mock::given(any()).respond_with(recorded(file)).mount(&server).await;
        let options = Options { account: Some(account()), ..options(&server.uri()) };
        let client = Client::new(options, Arc::new(MemoryHost::default())).expect("a client");
        tell(&mut told, file, &client.jobs(&failed_jobs()).await.expect_err(file));
    }
    insta::assert_snapshot!("errors_of_signing_in", told);
}

#[tokio::test]
async fn other_errors_are_told() {
    let mut told = String::new();
    for file in [
        "6.3/jobs-no-token",
        "6.3/jobs-nonadmin",
        "6.3/jobs-moderator",
        "6.3/jobs-count-200",
        "6.3/jobs-unknown-state",
        "6.3/jobs-unknown-type",
        "6.3/videos-bob-include",
        "6.3/videos-count-101",
        "6.3/api-429",
        "8.2/jobs-notoken",
        "8.2/jobs-nonadmin",
        "8.2/jobs-badstate",
        "8.2/jobs-oldtype",
        "8.2/unknown-route",
    ] {
        let (_server, client) = served(recorded(file)).await;
        tell(&mut told, file, &client.jobs(&failed_jobs()).await.expect_err(file));
    }
    insta::assert_snapshot!("other_errors", told);
}

fn tell(told: &mut String, file: &str, error: &Error) {
    use std::fmt::Write;
    let flags = [
        ("transient", error.is_transient()),
        ("forbidden", error.is_forbidden()),
        ("reached", error.reached() == Some(true)),
        ("refused", matches!(error.cause, Cause::SignInRefused { .. })),
    ];
    let flags: Vec<_> = flags.into_iter().filter(|(_, yes)| *yes).map(|(flag, _)| flag).collect();
    writeln!(told, "{file}\n  {error}\n  {} {}", error.label(), flags.join(" ")).expect("a string");
}
