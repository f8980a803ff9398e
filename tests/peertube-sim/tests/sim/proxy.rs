use std::io::ErrorKind;
use std::time::{Duration, Instant};

use peertube_sim::accounts::Grants;
use peertube_sim::jobs::Version;
use peertube_sim::{KeepAlive, Mode, Proxy, Sim};

use crate::client::{Ask, Connection, refresh, sign_in};
use crate::world;

async fn behind_proxy() -> (Sim, Proxy) {
    let sim = Sim::serve(world(Version::V8_2)).await.unwrap();
    let proxy = Proxy::start(sim.address()).await.unwrap();
    (sim, proxy)
}

fn ping() -> Ask {
    Ask::get("/api/v1/ping")
}

fn is_broken(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof | ErrorKind::BrokenPipe)
}

#[tokio::test]
async fn a_refused_port_can_be_opened_again() {
    let (_sim, proxy) = behind_proxy().await;
    assert_eq!(ping().at(proxy.address()).await.unwrap().text(), "pong");
    let mut standing = Connection::open(proxy.address()).await.unwrap();
    standing.ask(&ping()).await.unwrap();

    proxy.set(Mode::Refuse).await;
    assert_eq!(ping().at(proxy.address()).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    assert_eq!(standing.closed().await.unwrap_err().kind(), ErrorKind::ConnectionReset);

    proxy.set(Mode::Pass).await;
    assert_eq!(ping().at(proxy.address()).await.unwrap().text(), "pong");
    assert_eq!(proxy.accepted(), 3);
}

#[tokio::test]
async fn connections_are_reset_or_swallowed() {
    let (sim, proxy) = behind_proxy().await;
    proxy.set(Mode::Reset).await;
    assert!(is_broken(ping().at(proxy.address()).await.unwrap_err().kind()));

    proxy.set(Mode::BlackHole).await;
    let asked = ping().at(proxy.address());
    assert!(tokio::time::timeout(Duration::from_millis(100), asked).await.is_err());
    assert_eq!(sim.requests().total, 0);
}

#[tokio::test]
async fn a_reply_is_cut_in_its_body_or_comes_in_drops() {
    let (sim, proxy) = behind_proxy().await;
    let config = || Ask::get("/api/v1/config");
    proxy.set(Mode::CutBody(100)).await;
    assert!(is_broken(config().at(proxy.address()).await.unwrap_err().kind()));
    assert_eq!(ping().at(proxy.address()).await.unwrap().text(), "pong", "shorter than that");
    assert_eq!(sim.requests().with_status(200), 2);

    proxy.set(Mode::Drip { bytes: 500, every: Duration::from_millis(10) }).await;
    let began = Instant::now();
    assert_eq!(config().at(proxy.address()).await.unwrap().json()["serverVersion"], "8.2.1");
    assert!(began.elapsed() >= Duration::from_millis(60));
}

#[tokio::test]
async fn a_dropped_reply_was_granted_all_the_same() {
    let (sim, proxy) = behind_proxy().await;
    let (_, token) = sign_in(&sim, "root").await;
    proxy.drop_next_reply("POST /api/v1/users/token");
    assert_eq!(ping().at(proxy.address()).await.unwrap().status, 200, "not what was meant");

    let ask = refresh(&sim, &token);
    assert!(is_broken(ask.clone().at(proxy.address()).await.unwrap_err().kind()));
    assert_eq!(proxy.dropped_replies(), 1);
    assert_eq!(ask.at(proxy.address()).await.unwrap().status, 400);
    let truth = sim.with(|world| world.accounts.truth().refresh_token);
    assert_eq!(truth, Grants { granted: 1, refused: 1 });
}

#[tokio::test]
async fn an_idle_connection_is_closed_or_found_dead() {
    let (sim, proxy) = behind_proxy().await;
    proxy.keep_alive(KeepAlive::ClosedAfter(Duration::from_millis(30)));
    let mut connection = Connection::open(proxy.address()).await.unwrap();
    connection.ask(&ping()).await.unwrap();
    assert_eq!(connection.closed().await.unwrap(), 0);

    proxy.keep_alive(KeepAlive::DeadAfter(Duration::from_secs(60)));
    let mut connection = Connection::open(proxy.address()).await.unwrap();
    connection.ask(&ping()).await.unwrap();
    connection.ask(&ping()).await.unwrap();
    proxy.keep_alive(KeepAlive::DeadAfter(Duration::ZERO));
    assert!(is_broken(connection.ask(&ping()).await.unwrap_err().kind()));
    assert_eq!(sim.requests().of("ping"), 3, "the last was never passed on");
}
