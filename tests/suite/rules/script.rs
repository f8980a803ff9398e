//! Scripts, run against a PeerTube: what they may do, what they are kept from, and what
//! is left of a run.

mod limits;
mod wrong;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use peertube_sim::jobs::Version;
use peertube_sim::videos::{NewVideo, VideoState};
use peertube_sim::{Fault, Sim, When, World};
use serde_json::{Value, json};
use tubewarden::core::call::Allow;
use tubewarden::core::event::Origin;
use tubewarden::core::lang::script::{OBJECTS, Script};
use tubewarden::peertube::{Account, Client, MemoryHost, Options};
use tubewarden::rules::Outcome;
use tubewarden::rules::script::{Dry, Host, Instance, Metric, Ran, Scripts, Task};

const TRANSCODE: &str = r#"
let uuid = event.data.video.uuid;
let reply = api.post("/api/v1/videos/" + uuid + "/transcoding", #{ transcodingType: "hls" });
emit("custom.told", #{ status: reply.status, body: reply.body });
"#;

/// A PeerTube with one video that is published, and its uuid.
struct Stage {
    sim: Sim,
    uuid: String,
    scripts: Scripts,
}

impl Stage {
    async fn set() -> Self {
        Self::with_videos(1).await
    }

    async fn with_videos(count: usize) -> Self {
        let mut world = World::new(7, "2026-11-24T02:00:00Z".parse().unwrap(), Version::V8_2);
        let uuids: Vec<_> = (0..count).map(|n| world.upload(NewVideo::named(&format!("video {n}")))).collect();
        let uuid = uuids[0].clone();
        world.advance(Duration::from_secs(3600 * 12));
        assert_eq!(world.videos.get(&uuid).unwrap().state, VideoState::Published);
        Self { sim: Sim::serve(world).await.unwrap(), uuid, scripts: Scripts::default() }
    }

    fn client(&self) -> Client {
        let url = self.sim.url();
        let account =
            Account { username: "root".into(), password: "root-password".to_owned().into(), totp_secret: None };
        let origin = Origin { name: "main".into(), url: url.clone() };
        let options =
            Options { account: Some(account), read_only: false, ..Options::new(origin, url.parse().unwrap()) };
        Client::new(options, Arc::new(MemoryHost::default())).unwrap()
    }

    /// A run as a trial, which shows what it did, but whose writes are real.
    fn task(&self, text: &str) -> (Task, Arc<Shown>) {
        let host = Arc::new(Shown { client: self.client(), dry: Dry::new(self.client()) });
        let task = Task {
            script: Script::compile("rules/test.rhai", text, false).unwrap(),
            events: vec![json!({
                "id": "3f0c", "type": "video.failed", "time": "2026-11-24T02:51:53.854Z",
                "data": { "video": { "uuid": self.uuid, "name": "holidays" } },
            })],
            is_batch: false,
            instance: Instance { name: "main".into(), url: self.sim.url(), version: Some("8.2.1".into()) },
            allow: Vec::new(),
            read_only: false,
            stored: BTreeMap::new(),
            timeout: Duration::from_secs(60),
            retry: false,
            host: host.clone(),
        };
        (task, host)
    }

    async fn run(&self, text: &str) -> Ran {
        self.scripts.run(self.task(text).0).await
    }

    fn transcodings_asked(&self) -> u64 {
        self.sim.requests().of("video_transcoding")
    }
}

/// Calls as the daemon does, and keeps the lines.
struct Shown {
    client: Client,
    dry: Dry,
}

impl Host for Shown {
    fn call<'a>(
        &'a self,
        method: tubewarden::core::call::Method,
        path: &'a tubewarden::core::call::Path,
        body: Option<&'a Value>,
    ) -> tubewarden::peertube::Boxed<'a, Result<(u16, Value), tubewarden::peertube::Error>> {
        Box::pin(self.client.call(method, path, body))
    }

    fn log(&self, is_warning: bool, line: &str) {
        self.dry.log(is_warning, line);
    }
}

/// A defect of what runs scripts.
struct Broken(Arc<Shown>);

impl Host for Broken {
    fn call<'a>(
        &'a self,
        method: tubewarden::core::call::Method,
        path: &'a tubewarden::core::call::Path,
        body: Option<&'a Value>,
    ) -> tubewarden::peertube::Boxed<'a, Result<(u16, Value), tubewarden::peertube::Error>> {
        self.0.call(method, path, body)
    }

    fn log(&self, _: bool, line: &str) {
        panic!("a defect at {line}");
    }
}

#[tokio::test]
async fn a_panic_on_the_thread_of_a_script_fails_its_run_and_no_other() {
    let stage = Stage::set().await;
    let (mut task, shown) = stage.task("emit(\"custom.told\", #{}); log.info(\"here\");");
    task.host = Arc::new(Broken(shown));
    // As many as may run at once, and one more: none of them keeps its place.
    for _ in 0..65 {
        let why = dead(stage.scripts.run(task.clone()).await);
        assert_eq!(why, "the engine of the scripts broke down; this is an error of tubewarden");
    }
    let (sound, _) = stage.task("emit(\"custom.told\", #{ fine: true });");
    assert_eq!(told(stage.scripts.run(sound).await)["fine"], true);
}

/// Why it is a dead letter; nothing may be left of it.
fn dead(ran: Ran) -> String {
    let Ran { outcome: Outcome::Dead { why }, emitted, metrics, store } = ran else { panic!("{ran:?} did not fail") };
    assert!(emitted.is_empty() && metrics.is_empty() && store.is_empty(), "something is left");
    why
}

/// The data of the only event.
fn told(ran: Ran) -> Value {
    assert_eq!(ran.outcome, Outcome::Done);
    let [emitted] = ran.emitted.as_slice() else { panic!("{:?}", ran.emitted) };
    Value::Object(emitted.data.clone())
}

#[tokio::test]
async fn a_list_is_read_page_by_page() {
    let stage = Stage::with_videos(230).await;
    let script = |most| {
        format!(
            r#"let rows = api.pages("/api/v1/videos?include=7&nsfw=both", {most});
            let uuids = #{{}};
            for row in rows {{ uuids[row.uuid] = true; }}
            emit("custom.count", #{{ rows: rows.len(), different: uuids.len() }});"#
        )
    };
    assert_eq!(told(stage.run(&script(2000)).await), json!({"rows": 230, "different": 230}));
    assert_eq!(stage.sim.requests().of("videos"), 3);
    assert_eq!(told(stage.run(&script(130)).await), json!({"rows": 130, "different": 130}));
    assert_eq!(stage.sim.requests().of("videos"), 5);
    let why = dead(stage.run(&script(2001)).await);
    assert_eq!(why, "rules/test.rhai: line 1, column 16: api.pages gives from 0 to 2000 rows");
    let why = dead(stage.run("api.pages(\"/api/v1/config\", 10)").await);
    assert!(why.ends_with("GET /api/v1/config: answered 200 without a list of `data` and its `total`"), "{why}");
}

#[tokio::test]
async fn a_write_that_the_rule_does_not_name_is_refused_with_what_to_write() {
    let stage = Stage::set().await;
    let why = dead(stage.run(TRANSCODE).await);
    let path = format!("POST /api/v1/videos/{}/transcoding", stage.uuid);
    assert_eq!(
        why,
        format!(
            "rules/test.rhai: line 3, column 17: {path} is not allowed; to allow it, write \"{path}\" into `script.allow`, where * stands for one segment"
        )
    );
    // Nor what only looks like what is named.
    for sly in ["%2e%2e%2fusers", "a%2F..%2F..%2Fusers%2F1", "x/../../users", "x/y"] {
        let (mut task, _) = stage.task(&format!("api.post(\"/api/v1/videos/{sly}/transcoding\", #{{}})"));
        task.allow = vec![Allow::parse("POST /api/v1/videos/*/transcoding").unwrap()];
        dead(stage.scripts.run(task).await);
    }
    assert_eq!(stage.sim.requests().total, 0, "nothing was sent, not even a sign-in");
}

#[tokio::test]
async fn a_read_only_instance_is_never_written_to() {
    let stage = Stage::set().await;
    let (mut task, _) = stage.task(TRANSCODE);
    task.allow = vec![Allow::parse("POST /api/v1/videos/*/transcoding").unwrap()];
    task.read_only = true;
    let why = dead(stage.scripts.run(task).await);
    assert!(why.ends_with("is not allowed; to allow it, set `read_only = false` for the instance"), "{why}");
    assert_eq!(stage.sim.requests().total, 0);
}

#[tokio::test]
async fn a_write_that_is_allowed_reaches_the_instance() {
    let stage = Stage::set().await;
    let (mut task, _) = stage.task(TRANSCODE);
    task.allow = vec![Allow::parse("POST /api/v1/videos/*/transcoding").unwrap()];
    assert_eq!(told(stage.scripts.run(task.clone()).await), json!({"status": 204, "body": null}));
    let state = stage.sim.with(|world| world.videos.get(&stage.uuid).unwrap().state);
    assert_eq!(state, VideoState::ToTranscode);
    // PeerTube's own refusal is an answer.
    let again = told(stage.scripts.run(task).await);
    assert_eq!((&again["status"], &again["body"]["code"]), (&json!(409), &json!("video_already_being_transcoded")));
}

#[tokio::test]
async fn a_trial_asks_but_writes_nothing_and_shows_what_it_would() {
    let stage = Stage::set().await;
    let (mut task, _) = stage.task(&format!("api.get(\"/api/v1/config\"); log.warn(\"so\"); {TRANSCODE}"));
    task.allow = vec![Allow::parse("POST /api/v1/videos/*/transcoding").unwrap()];
    let dry = Arc::new(Dry::new(stage.client()));
    task.host = dry.clone();
    assert_eq!(told(stage.scripts.run(task).await), json!({"status": 204, "body": null}));
    assert_eq!(stage.transcodings_asked(), 0);
    let post = format!("held back: POST /api/v1/videos/{}/transcoding {{\"transcodingType\":\"hls\"}}", stage.uuid);
    assert_eq!(dry.take(), ["asked: GET /api/v1/config: 200", "log, warning: so", &post]);
}

#[tokio::test]
async fn what_is_kept_is_seen_at_once_and_given_back_only_by_a_run_that_succeeds() {
    let stage = Stage::set().await;
    let count = "store.set(\"n\", (store.get(\"n\") ?? 0) + 1); store.set(\"n\", store.get(\"n\") + 1); store.set(\"old\", ());";
    let (mut task, _) = stage.task(count);
    task.stored = BTreeMap::from([("n".to_owned(), json!(40)), ("old".to_owned(), json!({"a": [1.5, null]}))]);
    let ran = stage.scripts.run(task.clone()).await;
    assert_eq!(ran.store, BTreeMap::from([("n".to_owned(), Some(json!(42))), ("old".to_owned(), None)]));

    task.script = Script::compile(
        "rules/test.rhai",
        &format!("{count} emit(\"custom.a\", #{{}}); metric.inc(\"a\"); throw `no ${{store.get(\"n\")}}`"),
        false,
    )
    .unwrap();
    assert_eq!(dead(stage.scripts.run(task).await), "rules/test.rhai: line 1, column 142: no 42");

    for (wrong, what) in [
        ("store.set(\"x\".repeat_, 1)", "property"),
        ("let k = \"k\"; k.pad(201, \"k\"); store.set(k, 1)", "a key of store has 1 to 200 characters"),
        ("store.set(\"\", 1)", "a key of store has 1 to 200 characters"),
        ("let v = \"v\"; v.pad(70000, \"v\"); store.set(\"k\", v)", "a value of store has at most 65536 bytes of JSON"),
        ("for i in 0..1001 { store.set(`k${i}`, i) }", "a rule keeps at most 1000 keys"),
        (
            "let v = \"v\"; v.pad(60000, \"v\"); for i in 0..20 { store.set(`k${i}`, v) }",
            "a rule keeps at most 1048576 bytes",
        ),
        ("store.set(\"f\", |x| x)", "store.set: the value holds something of type Fn, which is no JSON"),
        ("store.set(\"f\", api)", "store.set: the value holds something of type Api, which is no JSON"),
    ] {
        let why = dead(stage.run(wrong).await);
        assert!(why.to_lowercase().contains(&what.to_lowercase()), "{wrong}: {why}");
    }
}

#[tokio::test]
async fn events_and_metrics_are_told_with_the_run() {
    let stage = Stage::set().await;
    let ran = stage
        .run(
            r#"emit("custom.quota.near", #{ user: "me", left: 0.5, list: [1, (), true] });
            emit("custom.b", #{});
            metric.set("users", 3, 3600); metric.set("users", 4, 3600); metric.inc("runs"); metric.inc("runs");"#,
        )
        .await;
    assert_eq!(ran.outcome, Outcome::Done);
    let told: Vec<_> = ran.emitted.into_iter().map(|event| (event.kind, Value::Object(event.data))).collect();
    let quota = json!({"user": "me", "left": 0.5, "list": [1, null, true]});
    assert_eq!(told, [("custom.quota.near".to_owned(), quota), ("custom.b".to_owned(), json!({}))]);
    let ttl = Duration::from_secs(3600);
    assert_eq!(
        ran.metrics,
        [Metric::Set { name: "users".into(), value: 4.0, ttl }, Metric::Count { name: "runs".into(), by: 2 }]
    );
    for (wrong, what) in [
        ("emit(\"job.failed\", #{})", "the type of an event of your own is custom."),
        ("emit(\"custom.\", #{})", "the type of an event"),
        ("emit(\"custom.A\", #{})", "the type of an event"),
        ("emit(\"custom.a\", 3)", "the data of an event is a map"),
        ("loop { emit(\"custom.a\", #{}) }", "a script may emit 100 events in a run"),
        ("metric.inc(\"9\")", "a metric's name has"),
        ("metric.inc(\"a-b\")", "a metric's name has"),
        ("metric.set(\"a\", \"b\", 1)", "the value of a metric is a number"),
        ("metric.set(\"a\", 1, 0)", "a metric is shown for a number of seconds"),
        ("for i in 0..65 { metric.inc(`m${i}`) }", "a rule has at most 64 metrics"),
    ] {
        let why = dead(stage.run(wrong).await);
        assert!(why.starts_with("rules/test.rhai: line 1, column ") && why.contains(what), "{wrong}: {why}");
    }
}

#[tokio::test]
async fn lines_of_the_log_are_safe_and_bounded() {
    let stage = Stage::set().await;
    let (task, shown) = stage.task(
        r#"log.info("red \x1b[31m\nnext"); log.warn("hm"); print(#{ a: 1 }); debug("d");
        for i in 0..1000 { log.info(`line ${i}`) }"#,
    );
    assert_eq!(stage.scripts.run(task).await.outcome, Outcome::Done);
    let lines = shown.dry.take();
    assert_eq!(lines[..2], ["log, info: red [31m next", "log, warning: hm"]);
    assert_eq!(lines.len(), 101);
    assert_eq!(lines[100], "log, warning: more lines of this run are left out");
}

#[tokio::test]
async fn every_name_of_the_interface_is_there_in_functions_too() {
    let stage = Stage::set().await;
    let text = r#"
fn all() {
    let out = #{ refused: 0 };
    out.captured = [1, 2].map(|n| instance.name + n + url.encode("/"));
    out.get = api.get("/api/v1/config").status;
    out.gone = api.get("/api/v1/videos/" + url.encode("9c9de5e8-0a1e-484a-b099-e80766180a6d")).status;
    out.pages = api.pages("/api/v1/videos", 1).len();
    for refused in [|| api.post("/api/v1/a", ()), || api.put("/api/v1/a", #{}), || api.delete("/api/v1/a")] {
        try { refused.call() } catch (why) { if why.contains("is not allowed") { out.refused = out.refused + 1 } }
    }
    store.set("a", 1);
    out.kept = store.get("a");
    out.unknown = type_of(store.get("b"));
    out.then = time.parse("2026-11-24T02:51:53.854Z");
    out.is_now = time.now() - time.parse(event.time) == time.since(event.time);
    out.encoded = url.encode("a b/ü?&~");
    out.order = [version.compare("6.3.0", "8.2.1"), version.compare("8.2.1", "8.2.1"), version.compare("8.2.1", "8.2.0-rc.1")];
    log.info("i");
    log.warn("w");
    metric.set("a", 1.5, 60);
    metric.inc("b");
    out.instance = instance.name + instance.version;
    emit("custom.out", out);
}
all();
"#;
    for (object, functions) in OBJECTS {
        for (name, _) in functions {
            assert!(text.contains(&format!("{object}.{name}(")), "{object}.{name} is not tried here");
        }
    }
    let mut out = told(stage.run(text).await);
    assert!(out["is_now"].take().is_boolean());
    assert_eq!(
        out,
        json!({
            "get": 200, "gone": 404, "pages": 1, "refused": 3, "kept": 1, "unknown": "()", "is_now": null,
            "captured": ["main1%2F", "main2%2F"],
            "then": "2026-11-24T02:51:53Z".parse::<Timestamp>().unwrap().as_second(),
            "encoded": "a%20b%2F%C3%BC%3F%26~", "order": [-1, 0, 1], "instance": "main8.2.1",
        })
    );
}

#[tokio::test]
async fn a_batch_is_given_its_events() {
    let stage = Stage::set().await;
    let (mut task, _) = stage.task("");
    task.script =
        Script::compile("b.rhai", "emit(\"custom.n\", #{ n: events.len(), last: events[-1].id })", true).unwrap();
    task.is_batch = true;
    task.events.push(json!({"id": "77"}));
    assert_eq!(told(stage.scripts.run(task).await), json!({"n": 2, "last": "77"}));
}

#[tokio::test]
async fn a_run_that_failed_is_tried_again_only_if_the_rule_asks() {
    let stage = Stage::set().await;
    let asks = "let answer = api.get(\"/api/v1/config\");";
    stage.sim.faults().next(1, When::path("/api/v1/config"), Fault::Status(502));
    let why = dead(stage.run(asks).await);
    assert!(
        why.starts_with("rules/test.rhai: line 1, column 18: GET /api/v1/config: ask main for script: answered 502"),
        "{why}"
    );

    stage.sim.faults().next(1, When::path("/api/v1/config"), Fault::Unavailable { retry_after: 9 });
    let (mut task, _) = stage.task(asks);
    task.retry = true;
    let first = stage.scripts.run(task.clone()).await;
    assert!(matches!(&first.outcome, Outcome::Again { after: None, .. }), "{first:?}");
    let Outcome::Again { after: Some(after), .. } = stage.scripts.run(task).await.outcome else {
        panic!("it was not told how long the instance wants to be left alone")
    };
    assert!(after > Duration::from_secs(5) && after <= Duration::from_secs(9), "{after:?}");
}

#[tokio::test]
async fn a_script_may_catch_what_the_api_throws() {
    let stage = Stage::set().await;
    stage.sim.faults().next(1, When::path("/api/v1/config"), Fault::Status(502));
    let caught = "try { api.get(\"/api/v1/config\") } catch (why) { emit(\"custom.caught\", #{ why: why }) }";
    assert!(told(stage.run(caught).await)["why"].as_str().unwrap().contains("answered 502"));
}
