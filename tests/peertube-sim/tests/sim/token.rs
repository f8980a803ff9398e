use std::time::Duration;

use jiff::Timestamp;
use peertube_sim::accounts::Grants;
use peertube_sim::jobs::Version;
use peertube_sim::limits::Limiter;
use peertube_sim::{Options, Sim};
use serde_json::json;

use crate::client::{Ask, Connection, pair, refresh, sign_in};
use crate::{keys, recorded, world};

#[tokio::test]
async fn each_refusal_of_a_token_is_word_for_word_as_recorded() {
    let sim = Sim::serve(world(Version::V6_3)).await.unwrap();
    let (_, refresh_token) = sign_in(&sim, "bob").await;
    let spent = refresh_token.clone();
    refresh(&sim, &refresh_token).of(&sim).await;
    let by = |username: &str, password: &str| {
        Ask::token(&sim, &format!("grant_type=password&username={username}&password={password}"))
    };

    let cases = [
        ("token-wrong-password", by("root", "wrong")),
        ("token-wrong-password", by("nobody", "wrong")),
        ("token-wrong-client", Ask::form("client_id=abc&client_secret=def&grant_type=password&username=root")),
        ("token-missing-client", Ask::form("grant_type=password&username=root&password=x")),
        ("token-missing-grant", Ask::token(&sim, "username=root&password=root-password")),
        ("token-json-body", by("root", "x").header("Content-Type", "application/json").body("{}")),
        ("token-pending-registration", by("carol", "carol-password")),
        ("token-refresh-garbage", refresh(&sim, "zzz")),
        ("token-refresh-reuse-old", refresh(&sim, &spent)),
        ("token-otp-missing", by("guarded", "guarded-password")),
        ("token-otp-wrong", by("guarded", "guarded-password").header("x-peertube-otp", "000000")),
    ];
    for (name, ask) in cases {
        assert_eq!(ask.of(&sim).await.told(), recorded(&format!("6.3/{name}")), "{name}");
    }
    let otp = by("guarded", "guarded-password").of(&sim).await;
    assert_eq!(otp.header("x-peertube-otp"), Some("required; app"));

    sim.with(|world| world.limits.token = Limiter::new(15, Duration::from_secs(300)));
    sim.with(|world| world.accounts.block("bob"));
    assert_eq!(by("bob", "bob-password").of(&sim).await.told(), recorded("6.3/token-blocked"));

    let sim = Sim::serve(world(Version::V8_2)).await.unwrap();
    let wrong = Ask::token(&sim, "grant_type=password&username=root&password=x").of(&sim).await;
    assert_eq!(wrong.told(), recorded("8.2/token-wrong-password"));
}

#[tokio::test]
async fn a_pair_of_tokens_has_the_recorded_form_and_lifetimes() {
    for (version, name) in [(Version::V6_3, "6.3/token-success"), (Version::V8_2, "8.2/token-success")] {
        let sim = Sim::serve(world(version)).await.unwrap();
        let reply = Ask::token(&sim, "grant_type=password&username=bob&password=bob-password").of(&sim).await;
        let (status, content_type, body) = recorded(name);
        assert_eq!((reply.status, reply.header("content-type")), (status, Some(content_type.as_str())));
        assert_eq!(keys(&reply.json()), keys(&body));
        for lifetime in ["expires_in", "refresh_token_expires_in"] {
            assert_eq!(reply.json()[lifetime], body[lifetime], "{lifetime} of {name}");
        }
        assert_eq!(reply.header("x-ratelimit-limit"), Some("15"));
    }
    let sim = Sim::serve(world(Version::QuickStart)).await.unwrap();
    let reply = Ask::token(&sim, "grant_type=password&username=bob&password=bob-password").of(&sim).await;
    assert_eq!(reply.json()["expires_in"], 14_399);
    assert_eq!(reply.json().get("refresh_token_expires_in"), None);
}

#[tokio::test]
async fn a_refresh_ends_the_old_pair_at_once() {
    let sim = Sim::serve(world(Version::V6_3)).await.unwrap();
    let (old, refresh_token) = sign_in(&sim, "bob").await;
    let me = |token: &str| Ask::get("/api/v1/users/me").bearer(token);
    assert_eq!(me(&old).of(&sim).await.status, 200);

    let (new, _) = pair(&refresh(&sim, &refresh_token).of(&sim).await);

    assert_eq!(me(&new).of(&sim).await.status, 200);
    assert_eq!(me(&old).of(&sim).await.told(), recorded("6.3/token-old-access-after-refresh"));
    let public = Ask::get("/api/v1/videos?count=1").bearer(&old).of(&sim).await;
    assert_eq!(public.told(), recorded("6.3/token-expired-access-public"));
}

#[tokio::test]
async fn of_four_refreshes_at_once_one_is_granted_and_all_are_seen_in_flight() {
    let options = Options { token_latency: Duration::from_millis(500), ..Options::default() };
    let sim = Sim::start(world(Version::V8_2), options).await.unwrap();
    let (_, refresh_token) = sign_in(&sim, "root").await;

    let ask = || refresh(&sim, &refresh_token).of(&sim);
    let (a, b, c, d) = tokio::join!(ask(), ask(), ask(), ask());

    let mut statuses = [a.status, b.status, c.status, d.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 400, 400, 400]);
    let truth = sim.with(|world| world.accounts.truth().clone());
    assert_eq!(truth.refresh_token, Grants { granted: 1, refused: 3 });
    assert_eq!(truth.password, Grants { granted: 1, refused: 0 });
    assert_eq!(truth.max_refreshes_in_flight, 4);
    assert_eq!(sim.requests().tokens("refresh_token"), 4);

    let (_, next) =
        pair(if a.status == 200 { &a } else { [&b, &c, &d].into_iter().find(|reply| reply.status == 200).unwrap() });
    refresh(&sim, &next).of(&sim).await;
    assert_eq!(sim.with(|world| world.accounts.truth().max_refreshes_in_flight), 4, "one after the other is one");
}

#[tokio::test]
async fn tokens_expire_by_the_clock_of_the_world() {
    let mut world = world(Version::V8_2);
    world.accounts.lifetimes.access = Duration::from_secs(1);
    world.accounts.lifetimes.refresh = Duration::from_secs(60);
    let sim = Sim::serve(world).await.unwrap();
    let (access, refresh_token) = sign_in(&sim, "root").await;
    let jobs = |token: &str| Ask::get("/api/v1/jobs/failed?count=1").bearer(token);
    assert_eq!(jobs(&access).of(&sim).await.status, 200);

    sim.advance(Duration::from_secs(1));
    assert_eq!(jobs(&access).of(&sim).await.told(), recorded("8.2/token-expired-access"));
    // A refresh still works, and needs no password.
    let (access, refresh_token) = pair(&refresh(&sim, &refresh_token).of(&sim).await);
    assert_eq!(jobs(&access).of(&sim).await.status, 200);

    sim.advance(Duration::from_secs(60));
    assert_eq!(refresh(&sim, &refresh_token).of(&sim).await.told(), recorded("8.2/token-expired-refresh"));
}

#[tokio::test]
async fn two_factor_takes_the_password_of_the_moment() {
    let sim = Sim::serve(world(Version::V6_3)).await.unwrap();
    let otp = sim.with(|world| world.accounts.get("guarded").unwrap().otp_at(Timestamp::now()).unwrap());
    let form = "grant_type=password&username=guarded&password=guarded-password";
    let (_, refresh_token) = pair(&Ask::token(&sim, form).header("x-peertube-otp", &otp).of(&sim).await);
    pair(&refresh(&sim, &refresh_token).of(&sim).await);
}

#[tokio::test]
async fn the_client_is_given_under_the_configured_name_only() {
    let sim = Sim::serve(world(Version::V6_3)).await.unwrap();
    let ask = Ask::get("/api/v1/oauth-clients/local");
    let reply = ask.clone().of(&sim).await;
    assert_eq!(keys(&reply.json()), ["client_id", "client_secret"]);

    let elsewhere = ask.header("Host", "127.0.0.1:9000").of(&sim).await;
    assert_eq!(elsewhere.told(), recorded("6.3/oauth-clients-local-hostmismatch-127"));
    assert_eq!(Ask::get("/api/v1/config").header("Host", "127.0.0.1:9000").of(&sim).await.status, 200);

    // Without a configured name it is where the face listens.
    let mut world = world(Version::V6_3);
    world.host = None;
    let sim = Sim::serve(world).await.unwrap();
    let own = sim.address().to_string();
    assert_eq!(Ask::get("/api/v1/oauth-clients/local").header("Host", &own).of(&sim).await.status, 200);
}

#[tokio::test]
async fn asking_for_tokens_is_limited_successes_counted() {
    let sim = Sim::serve(world(Version::V6_3)).await.unwrap();
    for _ in 0..15 {
        sign_in(&sim, "root").await;
    }
    sim.advance(Duration::from_secs(3));
    let ask = Ask::token(&sim, "grant_type=password&username=root&password=root-password");
    let refused = ask.clone().of(&sim).await;
    assert_eq!(refused.told(), recorded("6.3/token-429"));
    assert_eq!(refused.header("retry-after"), Some("297"));

    sim.advance(Duration::from_secs(297));
    assert_eq!(ask.of(&sim).await.status, 200);
    assert_eq!(sim.with(|world| world.accounts.truth().password), Grants { granted: 16, refused: 0 });
}

#[tokio::test]
async fn the_api_is_limited_by_address_but_not_for_administrators() {
    let sim = Sim::serve(world(Version::V6_3)).await.unwrap();
    let (root, _) = sign_in(&sim, "root").await;
    sim.advance(Duration::from_secs(60));
    let videos = Ask::get("/api/v1/videos?count=1");
    let mut connection = Connection::open(sim.address()).await.unwrap();
    for _ in 0..50 {
        assert_eq!(connection.ask(&videos).await.unwrap().status, 200);
    }

    let refused = videos.clone().of(&sim).await;
    assert_eq!(refused.told(), recorded("6.3/api-429"));
    assert_eq!(refused.header("retry-after"), Some("10"));
    let passed = videos.clone().bearer(&root).of(&sim).await;
    assert_eq!((passed.status, passed.header("retry-after")), (200, Some("10")));
    assert_eq!(videos.clone().header("X-Forwarded-For", "192.0.2.1").of(&sim).await.status, 200);

    sim.advance(Duration::from_secs(10));
    assert_eq!(videos.of(&sim).await.status, 200);
    assert_eq!(sim.requests().with_status(429), 1);
    assert_eq!(sim.requests().by_status.values().sum::<u64>(), json!(sim.requests().total));
}
