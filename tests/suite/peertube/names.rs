//! Old servers call two lists of jobs otherwise; it is found out once.

use serde_json::json;
use tubewarden::core::job::{JobList, JobType, JobsQuery};
use wiremock::matchers::{path, query_param};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::world::{anonymous, empty_page, jobs_in, problem};

async fn asked(server: &MockServer) -> Vec<String> {
    let requests = server.received_requests().await.expect("a record");
    requests.iter().map(|request| request.url.path().trim_start_matches("/api/v1/jobs/").to_owned()).collect()
}

#[tokio::test]
async fn an_old_servers_names_are_tried_once_and_remembered() {
    let server = MockServer::start().await;
    for old in ["complete", "inactive", "failed"] {
        Mock::given(path(format!("/api/v1/jobs/{old}"))).respond_with(empty_page()).mount(&server).await;
    }
    let unknown = ResponseTemplate::new(400).set_body_raw("", "application/json");
    for today in ["completed", "waiting"] {
        Mock::given(path(format!("/api/v1/jobs/{today}"))).respond_with(unknown.clone()).mount(&server).await;
    }
    let client = anonymous(&server.uri());
    for list in [JobList::Failed, JobList::Completed, JobList::Completed, JobList::Waiting] {
        client.jobs(&jobs_in(list)).await.expect("a page");
    }
    assert_eq!(asked(&server).await, ["failed", "completed", "complete", "complete", "inactive"]);
}

#[tokio::test]
async fn an_old_server_that_was_updated_is_asked_by_todays_names_again() {
    let server = MockServer::start().await;
    let old = Mock::given(path("/api/v1/jobs/complete")).respond_with(empty_page()).mount_as_scoped(&server).await;
    let client = anonymous(&server.uri());
    let unknown = Mock::given(path("/api/v1/jobs/completed")).respond_with(problem(400, None));
    let unknown = unknown.mount_as_scoped(&server).await;
    client.jobs(&jobs_in(JobList::Completed)).await.expect("a page");

    drop((old, unknown));
    Mock::given(path("/api/v1/jobs/complete")).respond_with(problem(400, None)).mount(&server).await;
    Mock::given(path("/api/v1/jobs/completed")).respond_with(empty_page()).mount(&server).await;
    client.jobs(&jobs_in(JobList::Completed)).await.expect("a page");
    client.jobs(&jobs_in(JobList::Completed)).await.expect("a page");
    assert_eq!(asked(&server).await.last_chunk(), Some(&["complete", "completed", "completed"].map(String::from)));
}

#[tokio::test]
async fn an_unknown_job_type_is_asked_for_once() {
    let server = MockServer::start().await;
    let unknown = Mock::given(query_param("jobType", "bogus")).respond_with(problem(400, None));
    unknown.with_priority(1).mount(&server).await;
    Mock::given(path("/api/v1/jobs/completed")).respond_with(empty_page()).mount(&server).await;
    let client = anonymous(&server.uri());
    client.jobs(&jobs_in(JobList::Completed)).await.expect("a page");

    let query = JobsQuery { job_type: Some(JobType::from("bogus")), ..jobs_in(JobList::Completed) };
    let error = client.jobs(&query).await.expect_err("an unknown type");
    assert_eq!((error.label().as_ref(), error.is_transient(), error.reached()), ("400", false, Some(true)));
    assert_eq!(asked(&server).await, ["completed", "completed"]);
}

#[tokio::test]
async fn a_page_without_a_total_is_no_page() {
    let server = MockServer::start().await;
    let body = ResponseTemplate::new(200).set_body_json(json!({"data": []}));
    Mock::given(path("/api/v1/jobs/failed")).respond_with(body).mount(&server).await;
    let error = anonymous(&server.uri()).jobs(&jobs_in(JobList::Failed)).await.expect_err("no total");
    assert_eq!(error.label(), "decode");
    assert!(error.to_string().contains("missing field `total`"), "{error}");
}
