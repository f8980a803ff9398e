use std::time::{Duration, Instant};

use peertube_sim::accounts::Grants;
use peertube_sim::jobs::Version;
use peertube_sim::{Fault, Sim, When};

use crate::client::{Ask, pair, refresh, sign_in};
use crate::world;

#[tokio::test]
async fn each_fault_spoils_a_reply_in_its_way() {
    let sim = Sim::serve(world(Version::V8_2)).await.unwrap();
    let ask = || Ask::get("/api/v1/config").of(&sim);
    let arm = |fault| sim.faults().next(1, When::path("/api/v1/config"), fault);

    arm(Fault::Status(502));
    let reply = ask().await;
    assert_eq!((reply.status, reply.header("content-type")), (502, Some("text/html")));
    arm(Fault::TooManyRequests { retry_after: 7 });
    let reply = ask().await;
    assert_eq!((reply.status, reply.header("retry-after")), (429, Some("7")));
    arm(Fault::Unavailable { retry_after: 9 });
    let reply = ask().await;
    assert_eq!((reply.status, reply.header("retry-after")), (503, Some("9")));
    arm(Fault::Html);
    let reply = ask().await;
    assert_eq!((reply.status, reply.header("content-type")), (200, Some("text/html")));
    arm(Fault::CutShort);
    let reply = ask().await;
    assert!(reply.status == 200 && reply.body.starts_with(b"{") && reply.json().is_string());
    arm(Fault::WrongShape);
    let reply = ask().await;
    assert!(reply.status == 200 && reply.json().get("serverVersion").is_none());
    arm(Fault::ContentType("text/plain"));
    let reply = ask().await;
    assert_eq!((reply.header("content-type"), &reply.json()["serverVersion"]), (Some("text/plain"), &"8.2.1".into()));
    arm(Fault::Redirect { status: 307, to: "https://elsewhere.example.org/".to_owned() });
    let reply = ask().await;
    assert_eq!((reply.status, reply.header("location")), (307, Some("https://elsewhere.example.org/")));
    arm(Fault::Huge(1_000_000));
    assert!(ask().await.body.len() > 1_000_000);

    assert!(sim.faults().is_spent());
    assert_eq!(ask().await.json()["serverVersion"], "8.2.1");
    sim.faults().always(When::always(), Fault::Status(500));
    assert_eq!((ask().await.status, ask().await.status), (500, 500));
    sim.faults().clear();
    assert_eq!(ask().await.status, 200);
}

#[tokio::test]
async fn a_reply_that_is_late_or_lost_was_granted_all_the_same() {
    let sim = Sim::serve(world(Version::V8_2)).await.unwrap();
    let (_, token) = sign_in(&sim, "root").await;
    sim.keep_log();

    let late = Duration::from_secs(1);
    sim.faults().next(1, When::grant("refresh_token"), Fault::Late(late));
    let began = Instant::now();
    let slow = refresh(&sim, &token).of(&sim);
    let quick = async {
        while sim.requests().tokens("refresh_token") == 0 {
            tokio::task::yield_now().await;
        }
        Ask::get("/api/v1/ping").header("User-Agent", "tester/1").of(&sim).await;
        began.elapsed()
    };
    let (reply, quick) = tokio::join!(slow, quick);
    assert!(began.elapsed() >= late && quick < late, "the others do not wait");
    let (_, token) = pair(&reply);

    sim.faults().next(1, When::grant("refresh_token"), Fault::DoneButStatus(504));
    assert_eq!(refresh(&sim, &token).of(&sim).await.status, 504);
    assert_eq!(refresh(&sim, &token).of(&sim).await.status, 400, "it was spent");
    let truth = sim.with(|world| world.accounts.truth().refresh_token);
    assert_eq!(truth, Grants { granted: 2, refused: 1 });

    let log = sim.take_log();
    let seen: Vec<_> = log.iter().map(|logged| (logged.target.as_str(), logged.status)).collect();
    let token = "/api/v1/users/token";
    assert_eq!(seen, [(token, 200), ("/api/v1/ping", 200), (token, 504), (token, 400)]);
    assert_eq!(log[1].user_agent.as_deref(), Some("tester/1"));
}

#[tokio::test]
async fn a_fault_before_the_instance_grants_nothing() {
    let sim = Sim::serve(world(Version::V8_2)).await.unwrap();
    let (access, token) = sign_in(&sim, "root").await;
    sim.faults().next(1, When::grant("refresh_token"), Fault::Status(503));
    assert_eq!(refresh(&sim, &token).of(&sim).await.status, 503);
    assert_eq!(Ask::get("/api/v1/users/me").bearer(&access).of(&sim).await.status, 200);
    pair(&refresh(&sim, &token).of(&sim).await);
}
