//! What a daemon tells of the replies that PeerTube 6.3 and 8.2 really gave. It first
//! looks at an instance with empty lists; then all that was recorded is there at once.
//!
//! Another reply takes part by a file in `tests/captures` and its line below. A list that
//! has no line is empty.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

use tubewarden::core::poll::PollKind;

use super::harness::{Home, ROOT, Watch, by_hand, instance};

const BEFORE: &str = "Tue, 24 Nov 2026 02:40:00 GMT";
const AFTER: &str = "Tue, 24 Nov 2026 03:15:00 GMT";

const V6_3: &[(&str, &str)] = &[
    ("oauth-clients/local", "6.3/oauth-clients-local-ok"),
    ("users/token", "6.3/token-success"),
    ("users/me", "6.3/users-me"),
    ("config", "6.3/s5-config-anon"),
    ("server/stats", "6.3/s5-server-stats-anon"),
    ("jobs/completed", "6.3/jobs-state-completed"),
    ("jobs/failed", "6.3/jobs-state-failed"),
    ("jobs/delayed", "6.3/jobs-state-delayed"),
    ("jobs/waiting", "6.3/jobs-busy-waiting"),
    ("jobs/active", "6.3/jobs-active-live-3"),
    ("videos", "6.3/videos-admin-include-state"),
    ("runners", "6.3/runners-list"),
    ("runners/jobs", "6.3/runner-jobs-processing"),
    ("abuses", "6.3/s5-abuses-admin"),
    ("users/registrations", "6.3/s5-registrations-admin"),
    ("plugins", "6.3/s5-plugins-admin"),
];

/// What was not recorded of it, and is no list, is what 6.3 answered.
const V8_2: &[(&str, &str)] = &[
    ("oauth-clients/local", "6.3/oauth-clients-local-ok"),
    ("users/token", "8.2/token-success"),
    ("users/me", "8.2/users-me"),
    ("config", "6.3/s5-config-anon"),
    ("server/stats", "8.2/stats"),
    ("jobs/completed", "8.2/jobs-completed"),
    ("jobs/failed", "8.2/jobs-failed"),
    ("jobs/delayed", "8.2/jobs-delayed"),
    ("jobs/waiting", "8.2/jobs-waiting-live"),
    ("jobs/active", "8.2/jobs-active-live-3"),
    ("videos", "8.2/videos-admin-all"),
];

#[tokio::test]
async fn what_6_3_replied_is_told() {
    insta::assert_snapshot!("6_3", told_of(V6_3).await);
}

#[tokio::test]
async fn what_8_2_replied_is_told() {
    insta::assert_snapshot!("8_2", told_of(V8_2).await);
}

/// Every event, and every series of the instance's own that is not 0.
async fn told_of(routes: &[(&str, &str)]) -> String {
    let server = MockServer::start().await;
    let replies = Replies::of(routes);
    Mock::given(any()).respond_with(replies.clone()).mount(&server).await;
    let home = Home::new(&(by_hand() + &*instance("main", &server.uri(), ROOT)));
    let watch = Watch::ready(&home).await;
    replies.are_there.store(true, Ordering::Relaxed);
    // One after the other: what is known of a job's video is the same each time.
    for kind in [PollKind::Videos].into_iter().chain(PollKind::ALL) {
        watch.poll("main", kind).await;
    }
    let told = tell(&watch).await;
    assert_eq!(watch.scrape().await.value("tubewarden_polls_total", &[("result", "error")]), Some(0.0));

    // The same replies once more are no news.
    for kind in PollKind::ALL {
        watch.poll("main", kind).await;
    }
    assert_eq!(tell(&watch).await, told);
    watch.stop().await;
    told
}

async fn tell(watch: &Watch) -> String {
    let mut told = String::new();
    for event in watch.events().await {
        // What the instance says of itself bears our clock.
        let is_ours = event.kind.as_str().starts_with("instance.");
        let time = if is_ours { "-".to_owned() } else { event.time.to_string() };
        let mut data = event.data;
        data.remove("instance");
        let subject = event.subject.unwrap_or_default();
        writeln!(told, "{time} {} {subject}\n    {}", event.kind.as_str(), Value::Object(data)).unwrap();
    }
    let of_interest = |name: &str| {
        name.starts_with("peertube_") && !name.starts_with("peertube_stats_") && !name.ends_with("_bucket")
    };
    for ((name, labels), value) in watch.scrape().await.0.samples {
        if of_interest(&name) && value != 0.0 {
            let labels: Vec<_> = labels.into_iter().filter(|(label, _)| label != "peertube_instance").collect();
            writeln!(told, "{name} {labels:?} {value}").unwrap();
        }
    }
    told
}

/// Serves what was recorded, as an instance that has just these rows.
#[derive(Clone)]
struct Replies {
    /// By the path below that of the API.
    bodies: Arc<BTreeMap<String, Value>>,
    /// Until then every list is empty.
    are_there: Arc<AtomicBool>,
}

impl Replies {
    fn of(routes: &[(&str, &str)]) -> Self {
        let bodies = routes.iter().map(|(route, file)| ((*route).to_owned(), body(file))).collect();
        Self { bodies: Arc::new(bodies), are_there: Arc::default() }
    }
}

fn body(file: &str) -> Value {
    let path = format!("{}/tests/captures/{file}.json", env!("CARGO_MANIFEST_DIR"));
    let mut capture: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    capture["response"]["body"].take()
}

impl Respond for Replies {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let are_there = self.are_there.load(Ordering::Relaxed);
        let path = request.url.path().trim_start_matches("/api/v1/");
        let recorded = self.bodies.get(path);
        let body = if let Some(uuid) = path.strip_prefix("videos/") {
            let videos = self.bodies["videos"]["data"].as_array().unwrap();
            videos.iter().find(|video| video["uuid"] == uuid).filter(|_| are_there).cloned()
        } else if let Some(body) = recorded.filter(|body| body.get("data").is_none()) {
            Some(body.clone())
        } else {
            let rows = recorded.filter(|_| are_there).and_then(|body| body["data"].as_array());
            Some(page(rows.cloned().unwrap_or_default(), request))
        };
        let date = if are_there { AFTER } else { BEFORE };
        match body {
            Some(body) => ResponseTemplate::new(200).set_body_json(body),
            None => {
                ResponseTemplate::new(404).set_body_raw(json!({"status": 404}).to_string(), "application/problem+json")
            }
        }
        .insert_header("Date", date)
    }
}

/// The part of a list that was asked for. Recorded lists were cut, so that the total is
/// the number of their rows.
fn page(mut rows: Vec<Value>, request: &Request) -> Value {
    let asked: Vec<(String, String)> = request.url.query_pairs().into_owned().collect();
    let one = |name: &str| asked.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let states: Vec<u64> =
        asked.iter().filter(|(key, _)| key == "stateOneOf").map(|(_, state)| state.parse().unwrap()).collect();
    rows.retain(|row| {
        let state = row["state"]["id"].as_u64();
        one("jobType").is_none_or(|job_type| row["type"] == job_type)
            && (states.is_empty() || state.is_some_and(|state| states.contains(&state)))
    });
    if let Some(sort) = one("sort") {
        let key = sort.trim_start_matches('-');
        rows.sort_by_key(|row| row[key].as_str().map(str::to_owned));
        if sort.starts_with('-') {
            rows.reverse();
        }
    }
    let number = |name: &str, default: usize| one(name).map_or(default, |text| text.parse().unwrap());
    let total = rows.len();
    let rows: Vec<Value> = rows.into_iter().skip(number("start", 0)).take(number("count", 15)).collect();
    json!({ "total": total, "data": rows })
}
