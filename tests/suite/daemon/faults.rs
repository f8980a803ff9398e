//! Every fault of an instance, in the middle of its work: what is seen of it, that its
//! neighbour is not touched, and that afterwards all that happened is told exactly once.

mod clocks;
mod front;
mod heavy;
mod replaced;
mod rows;

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use peertube_sim::jobs::{NewJob, Version};
use peertube_sim::limits::Limits;
use peertube_sim::videos::NewVideo;
use peertube_sim::{Fault, Mode, Proxy, Sim, When, World};
use tokio::task::{JoinSet, LocalSet};

use tubewarden::core::event::EventKind;
use tubewarden::core::poll::PollKind;

use self::front::{ENDLESS, Face, Front};
use super::harness::{Home, Log, ROOT, Watch, by_hand, eventually, instance};
use super::truth;

const MINUTE: Duration = Duration::from_secs(60);

/// What strikes.
enum Strike {
    /// The way to the instance.
    Way(Mode),
    /// What stands before it.
    Front(Face),
    /// Its replies.
    Reply(Fault),
}

struct Case {
    name: &'static str,
    strike: Strike,
    /// The `code` of the requests that failed.
    code: &'static str,
    /// `peertube_up` meanwhile.
    up: f64,
    /// What a person reads of it.
    words: &'static str,
}

fn case(name: &'static str, strike: Strike, code: &'static str, up: f64, words: &'static str) -> Case {
    Case { name, strike, code, up, words }
}

fn cases(elsewhere: &str) -> Vec<Case> {
    use Strike::{Front as Before, Reply, Way};
    let drip = Mode::Drip { bytes: 1, every: Duration::from_millis(50) };
    let redirect = |status, to: &str| Reply(Fault::Redirect { status, to: to.to_owned() });
    let body = |body: &[u8]| Reply(Fault::Body { encoding: None, body: Arc::from(body) });
    let certificate = "no secure connection";
    let failed = "see its log";
    let mut all = vec![
        case("refused", Way(Mode::Refuse), "connect", 0.0, "connection"),
        case("reset at once", Way(Mode::Reset), "connect", 0.0, "connection"),
        case("reset in mid-body", Way(Mode::CutBody(40)), "connect", 0.0, "the connection broke"),
        case("never answering", Way(Mode::BlackHole), "timeout", 0.0, "no complete answer within"),
        case("dripping", Way(drip), "timeout", 0.0, "no complete answer within"),
        case("slow headers", Before(Face::SlowHeaders), "timeout", 0.0, "no complete answer within"),
        case("slow body", Before(Face::SlowBody), "timeout", 0.0, "no complete answer within"),
        case("answering late", Reply(Fault::Late(MINUTE)), "timeout", 0.0, "no complete answer within"),
        case("no HTTP", Before(Face::NoHttp), "connect", 0.0, "connection"),
        case("an expired certificate", Before(Face::Tls("expired.pem")), "tls", 0.0, certificate),
        case("a certificate of the future", Before(Face::Tls("early.pem")), "tls", 0.0, certificate),
        case("a certificate of another host", Before(Face::Tls("other-host.pem")), "tls", 0.0, certificate),
        case("plain HTTP where TLS was", Before(Face::Plain), "tls", 0.0, certificate),
        case("429", Reply(Fault::TooManyRequests { retry_after: 1 }), "429", 1.0, "asked too often"),
        case("503 for a while", Reply(Fault::Unavailable { retry_after: 1 }), "503", 0.0, failed),
        case("HTML with 200", Reply(Fault::Html), "decode", 0.0, "where JSON was expected"),
        case("another content type", Reply(Fault::ContentType("text/plain")), "decode", 0.0, "text/plain"),
        case("JSON cut short", Reply(Fault::CutShort), "decode", 1.0, "not what PeerTube is known to give"),
        case("JSON of another shape", Reply(Fault::WrongShape), "decode", 1.0, "missing field `data`"),
        case("no JSON at all", body(b"nothing of the kind"), "decode", 1.0, "unexpected at line 1"),
        case("an empty body", body(b""), "decode", 1.0, "unexpected at line 1"),
        case("a total that is text", body(br#"{"total":"many","data":[]}"#), "decode", 1.0, "unexpected at line 1"),
        case("rows of nothing", body(br#"{"total":3,"data":[1,null,[]]}"#), "decode", 1.0, "no row of the list"),
        case("10,000 nested arrays", body("[".repeat(10_000).as_bytes()), "decode", 1.0, "unexpected at line 1"),
        case("a gibibyte of JSON", Before(Face::Endless), "decode", 1.0, "is longer than"),
        case("a gzip bomb", Reply(gzip_bomb()), "decode", 1.0, "is longer than"),
        case("redirects without end", redirect(302, "/api/v1/jobs"), "302", 0.0, "a redirect (302) to"),
        case("a redirect elsewhere", redirect(307, elsewhere), "307", 0.0, "a redirect (307) to"),
    ];
    for (status, code) in [(500, "500"), (501, "501"), (502, "502"), (503, "503"), (504, "504")] {
        all.push(case(code, Reply(Fault::Status(status)), code, 0.0, failed));
    }
    all
}

/// JSON that is 64 MiB of spaces once it is unpacked, and 64 KiB before.
fn gzip_bomb() -> Fault {
    let mut gzip = Command::new("gzip").arg("-c").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = gzip.stdin.take().unwrap();
    let writer = std::thread::spawn(move || {
        let piece = vec![b' '; 1 << 20];
        (0..64).for_each(|_| input.write_all(&piece).unwrap());
    });
    let packed = gzip.wait_with_output().unwrap().stdout;
    writer.join().unwrap();
    assert!(packed.len() < 1 << 17, "{}", packed.len());
    Fault::Body { encoding: Some("gzip"), body: packed.into() }
}

fn quiet(seed: u64) -> World {
    let mut world = World::new(seed, Timestamp::now() - 10 * MINUTE, Version::V8_2);
    world.limits = Limits::none();
    world.advance(MINUTE);
    world
}

/// An instance behind all that can strike, and its neighbour, both watched.
pub(super) struct Stage {
    sim: Sim,
    neighbour: Sim,
    way: Proxy,
    front: Front,
    watch: Watch,
    looked: Timestamp,
    uses_tls: bool,
    _home: Home,
}

impl Stage {
    async fn open() -> Self {
        Self::with(false, "20s").await
    }

    async fn with(uses_tls: bool, timeout: &str) -> Self {
        let mut world = quiet(7);
        world.host = Some("localhost".to_owned());
        let (sim, neighbour) = (Sim::serve(world).await.unwrap(), Sim::serve(quiet(8)).await.unwrap());
        let way = Proxy::start(sim.address()).await.unwrap();
        let face = if uses_tls { Face::Tls("good.pem") } else { Face::Plain };
        let front = Front::start(way.address(), face).await;
        let scheme = if uses_tls { "https" } else { "http" };
        let more = format!(
            "connect = \"{scheme}://127.0.0.1:{}\"\nca_file = \"{}\"\ntimeout = \"{timeout}\"\ndown_after = 1\n{ROOT}",
            front.port(),
            front::tls_file("ca.pem").display()
        );
        let main = instance("main", &format!("{scheme}://localhost"), &more);
        let home = Home::new(&(by_hand() + &*main + &*instance("neighbour", &neighbour.url(), ROOT)));
        let looked = sim.with(|world| world.now());
        let watch = Watch::ready(&home).await;
        // So that it is clear what ended after the first look.
        sim.advance(Duration::from_secs(3));
        Self { sim, neighbour, way, front, watch, looked, uses_tls, _home: home }
    }

    /// Some work comes in, and some of it fails.
    fn work(&self) {
        for sim in [&self.sim, &self.neighbour] {
            sim.with(|world| {
                world.upload(NewVideo::named("holidays").run(Duration::from_secs(40)));
                for number in 0..8 {
                    let job = NewJob::new("video-import").run(Duration::from_secs(5 * number));
                    world.jobs.add(if number % 3 == 1 { job.failing() } else { job });
                    world.jobs.add(NewJob::new("activitypub-follow"));
                }
                world.advance(MINUTE);
            });
        }
    }

    async fn strike(&self, strike: &Strike) {
        match strike {
            Strike::Way(mode) => self.way.set(*mode).await,
            Strike::Front(face) => self.front.set(*face),
            Strike::Reply(fault) => self.sim.faults().always(When::always(), fault.clone()),
        }
    }

    async fn heal(&self) {
        self.way.set(Mode::Pass).await;
        self.front.set(if self.uses_tls { Face::Tls("good.pem") } else { Face::Plain });
        self.sim.faults().clear();
    }

    async fn poll(&self) {
        self.watch.poll_each(&["main"], &[PollKind::Jobs, PollKind::Videos]).await;
    }

    /// Polls until both polls succeed again: one that is down is left alone for seconds.
    async fn poll_until_well(&self) {
        let well = async || {
            let scrape = self.watch.scrape().await;
            [PollKind::Jobs, PollKind::Videos].map(|kind| scrape.polls_with("main", kind, "ok"))
        };
        let before = well().await;
        eventually("the polls succeed again", async || {
            self.poll().await;
            let now = well().await;
            let are_well = now.iter().zip(before).all(|(now, before)| *now > before);
            if !are_well {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            are_well.then_some(())
        })
        .await;
    }

    /// All that happened is told once, and nothing else.
    async fn all_is_told_once(&self) {
        let (jobs, counts, videos) = self.sim.with(|world| {
            let since = self.looked;
            (truth::jobs_to_tell(world, since), truth::jobs_to_count(world, since), truth::videos_to_tell(world, since))
        });
        assert!(jobs.len() >= 16, "{jobs:?}");
        truth::poll_until_known(&self.watch, &jobs, &counts).await;
        let events = self.watch.events().await;
        let of_main: Vec<_> = events.into_iter().filter(|event| event.instance() == "main").collect();
        assert_eq!(truth::videos_told(&of_main), videos);
        let wrong = of_main.iter().filter(|event| {
            matches!(event.kind, EventKind::JobUnaccounted | EventKind::VideoDeleted | EventKind::AuthFailed)
        });
        assert_eq!(wrong.count(), 0);
    }

    async fn told(&self, kind: EventKind) -> Vec<tubewarden::core::event::Event> {
        let mut events = self.watch.events().await;
        events.retain(|event| event.kind == kind && event.instance() == "main");
        events
    }
}

/// Plays them all on this thread, whose log is kept.
async fn at_once<T: 'static>(plays: impl Iterator<Item = impl Future<Output = T> + 'static>) -> Vec<T> {
    let mut playing = JoinSet::new();
    let here = LocalSet::new();
    for play in plays {
        playing.spawn_local_on(play, &here);
    }
    here.run_until(playing.join_all()).await
}

async fn play(case: Case) -> &'static str {
    let uses_tls = case.code == "tls";
    let timeout = if case.code == "timeout" { "3s" } else { "20s" };
    let stage = Stage::with(uses_tls, timeout).await;
    stage.work();
    stage.poll_until_well().await;
    let before = stage.watch.scrape().await;
    let known = truth::jobs_told(&stage.watch.events().await).len();
    assert_eq!(before.value("peertube_up", &[("peertube_instance", "main")]), Some(1.0), "{}", case.name);

    stage.strike(&case.strike).await;
    stage.work();
    stage.poll().await;
    let during = stage.watch.scrape().await;
    let context = case.name;
    for kind in [PollKind::Jobs, PollKind::Videos] {
        assert!(
            during.polls_with("main", kind, "error") > before.polls_with("main", kind, "error"),
            "{context} {kind}"
        );
    }
    let labels = [("peertube_instance", "main"), ("code", case.code)];
    assert!(during.value("tubewarden_api_requests_total", &labels) > Some(0.0), "{context}");
    assert_eq!(during.value("peertube_up", &[("peertube_instance", "main")]), Some(case.up), "{context}");
    assert_eq!(
        truth::jobs_told(&stage.watch.events().await).len(),
        known,
        "{context}: nothing is made of half an answer"
    );
    let down = stage.told(EventKind::InstanceDown).await;
    assert_eq!(down.len(), usize::from(case.up < 1.0), "{context}");
    if let [down] = &down[..] {
        let error = down.data["error"].as_str().unwrap();
        assert!(error.contains(case.words), "{context}: {error}");
    }
    assert!(stage.front.sent() < ENDLESS / 16, "{context}: {} bytes were taken", stage.front.sent());

    // The neighbour goes on.
    stage.watch.poll_each(&["neighbour"], &[PollKind::Runners, PollKind::Config]).await;
    let neighbour = stage.watch.scrape().await;
    assert_eq!(neighbour.value("peertube_up", &[("peertube_instance", "neighbour")]), Some(1.0), "{context}");
    for kind in [PollKind::Runners, PollKind::Config] {
        assert_eq!(neighbour.polls_with("neighbour", kind, "error"), 0.0, "{context} {kind}");
    }

    stage.work();
    stage.heal().await;
    stage.poll_until_well().await;
    stage.all_is_told_once().await;
    let up = stage.watch.scrape().await;
    assert_eq!(up.value("peertube_up", &[("peertube_instance", "main")]), Some(1.0), "{context}");
    assert_eq!(stage.told(EventKind::InstanceUp).await.len(), down.len(), "{context}");
    assert_eq!(stage.told(EventKind::InstanceDown).await.len(), down.len(), "{context}");
    stage.watch.stop().await;
    context
}

#[tokio::test]
async fn each_fault_is_told_and_healed_and_nothing_is_lost_by_it() {
    let (log, _logging) = Log::of_this_thread();
    let elsewhere = Sim::serve(quiet(9)).await.unwrap();
    elsewhere.keep_log();
    let mut cases = cases(&elsewhere.url());
    let words: Vec<_> = cases.iter().map(|case| (case.name, case.words)).collect();
    let count = cases.len();
    while !cases.is_empty() {
        // Some at a time: most of it is waiting until an instance is asked again.
        let some: Vec<Case> = cases.drain(..cases.len().min(6)).collect();
        at_once(some.into_iter().map(play)).await;
    }
    for (name, words) in words {
        let told = log.lines_with("the poll failed; it will be tried again");
        assert!(told.iter().any(|line| line.contains(words)), "{name}: {words}");
    }
    assert!(elsewhere.take_log().is_empty(), "a redirect was followed");
    println!("{count} faults, each in the middle of work; nothing lost, nothing told twice");
}
