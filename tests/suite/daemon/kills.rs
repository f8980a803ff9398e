//! Killed at random instants, again and again, with polls and deliveries going on, and
//! copied at random instants, as a power cut leaves it: each state opens, nothing in it
//! is lost or doubled, and what it owes arrives. A kill for want of memory is the same.
//!
//! `TUBEWARDEN_KILLS=200` makes so many rounds, `TUBEWARDEN_KILLS_SEED` other ones. Each
//! looks at all that was stored before, so a thousand are made sooner as five times 200.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use peertube_sim::Sim;
use peertube_sim::jobs::NewJob;
use peertube_sim::traffic::Traffic;
use peertube_sim::videos::NewVideo;

use tubewarden::core::poll::PollKind;
use tubewarden::core::rule::delivery_id;

use super::harness::{Home, ROOT, Watch, by_hand, each_second, eventually, instance};
use super::rules::receiver::Receiver;
use super::truth;
use super::wreck::Wreck;

const ROUNDS: u64 = 50;
const COPIES: u64 = 30;
/// No round is longer, on a machine that is not busy: polls are each second.
const LONGEST: Duration = Duration::from_millis(1_200);

/// Without a poll of jobs that was stored, the instance goes on for so long and no longer:
/// it throws failures beyond ten of a type away, which nobody can tell then.
const UNSEEN: Duration = Duration::from_secs(60);

const RULE: &str = "chat";
const ON: [&str; 5] = ["job.completed", "job.failed", "job.cascaded", "job.cancelled", "video.published"];

/// A busy instance, who receives what is told of it, and a daemon's home.
struct Scene {
    sim: Arc<Sim>,
    receiver: Receiver,
    home: Home,
    first_poll: Timestamp,
    /// How far the instance may go on, in milliseconds.
    until: Arc<AtomicI64>,
    course: Mutex<Option<String>>,
    traffic: tokio::task::JoinHandle<()>,
}

impl Scene {
    async fn set(seed: u64) -> Self {
        // A rule acts on what happens after it was added, by the instance's clock.
        let world = truth::busy_from(seed, Timestamp::now() - Duration::from_secs(580));
        let sim = Arc::new(Sim::serve(world).await.unwrap());
        let receiver = Receiver::refusing(|number| number % 5 == 0).await;
        let home = Home::new("");
        let first_poll = sim.with(|world| world.now());
        let until = Arc::new(AtomicI64::new((first_poll + UNSEEN).as_millisecond()));
        let (traffic, course) = (tokio::spawn(async {}), Mutex::default());
        let scene = Self { traffic, sim, receiver, home, first_poll, until, course };
        scene.configure(by_hand());
        Watch::ready(&scene.home).await.stop().await;
        scene.configure(each_second());
        let traffic = tokio::spawn(keep_busy(Arc::clone(&scene.sim), seed, Arc::clone(&scene.until)));
        Self { traffic, ..scene }
    }

    fn configure(&self, polls: String) {
        let watched = instance("main", &self.sim.url(), ROOT);
        let rule = format!(
            "[[rule]]\nname = \"{RULE}\"\non = {ON:?}\nwebhook.url = \"{}\"\nwebhook.backoff = \"1s\"\n",
            self.receiver.url()
        );
        self.home.configure("127.0.0.1:0", &[polls, watched, rule].concat());
    }

    /// How long a daemon takes from its start to its first question.
    async fn start_takes(&self) -> Duration {
        let (begun, before) = (Instant::now(), self.sim.requests().total);
        let program = self.home.program("first", &["run"]);
        eventually("it asks", async || (self.sim.requests().total > before).then_some(())).await;
        program.kill();
        begun.elapsed()
    }

    fn to_tell(&self) -> std::collections::BTreeMap<truth::Job, usize> {
        self.sim.with(|world| truth::jobs_to_tell(world, self.first_poll))
    }

    /// What arrives was stored before, and nothing that was stored goes.
    async fn look(&self, known: &mut BTreeSet<String>) -> Wreck {
        let arrived = self.receiver.ids();
        let wreck = Wreck::of(&self.home).await;
        wreck.assert_whole(&self.to_tell(), RULE);
        let ids = wreck.ids();
        assert!(known.is_subset(&ids), "an event is lost");
        let stored: BTreeSet<String> = ids.iter().map(|id| delivery_id(id, RULE)).collect();
        assert!(arrived.is_subset(&stored), "what arrived is unknown to the state");
        *known = ids;
        let mut course = self.course.lock().unwrap();
        if *course != wreck.course {
            course.clone_from(&wreck.course);
            let until = self.sim.with(|world| world.now()) + UNSEEN;
            self.until.store(until.as_millisecond(), Ordering::Relaxed);
        }
        wreck
    }

    /// The instance stands still; the daemon catches up with it. The sum: each job and
    /// video told once, and each delivery of theirs arrives.
    async fn add_up(self) -> [usize; 3] {
        self.traffic.abort();
        assert!(self.traffic.await.unwrap_err().is_cancelled());
        let Self { sim, receiver, home, first_poll, .. } = self;
        let (jobs, counts, videos) = sim.with(|world| {
            let jobs = truth::jobs_to_tell(world, first_poll);
            (jobs, truth::jobs_to_count(world, first_poll), truth::videos_to_tell(world, first_poll))
        });
        let watch = Watch::ready(&home).await;
        truth::poll_until_known(&watch, &jobs, &counts).await;
        watch.poll("main", PollKind::Videos).await;
        let events = watch.events().await;
        assert_eq!(truth::videos_told(&events), videos);
        eventually("nothing is owed", async || watch.store().owes().await.unwrap().is_empty().then_some(())).await;
        let told = events.iter().filter(|event| ON.contains(&event.type_name()));
        let owed: BTreeSet<String> = told.map(|event| delivery_id(&event.id, RULE)).collect();
        assert_eq!(receiver.ids(), owed, "each arrives at least once, and none that is unknown");
        watch.stop().await;
        [jobs.len(), videos.len(), receiver.accepted().len() - owed.len()]
    }
}

/// Twenty seconds of the instance in each of ours: traffic, short jobs, uploads.
async fn keep_busy(sim: Arc<Sim>, seed: u64, until: Arc<AtomicI64>) {
    const PERIOD: Duration = Duration::from_secs(3_600);
    let mut filled = sim.with(|world| world.now());
    for turn in 0.. {
        while sim.with(|world| world.now()).as_millisecond() >= until.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        sim.with(|world| {
            if world.now() >= filled {
                filled = world.now();
                Traffic::Mixed.fill(&mut world.jobs, filled, PERIOD, seed + turn);
                filled += PERIOD;
            }
            if turn % 8 == 0 {
                world.jobs.add(NewJob::new("video-import").run(Duration::from_millis(10)));
            }
            if turn % 60 == 0 {
                world.upload(NewVideo::named(&format!("video {turn}")));
            }
        });
        sim.advance(Duration::from_millis(500));
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap())
}

#[expect(clippy::print_stderr, reason = "who makes many rounds by hand wants the figures")]
fn report(figures: &str) {
    eprintln!("{figures}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_random_instants_each_state_opens_and_nothing_is_lost_or_doubled() {
    let rounds = number("TUBEWARDEN_KILLS", ROUNDS);
    let seed = number("TUBEWARDEN_KILLS_SEED", 9);
    let scene = Scene::set(seed).await;
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut known = BTreeSet::new();
    // On a busy one a start takes longer, and would be all that is killed.
    let longest = LONGEST.max(scene.start_takes().await * 4);
    let begun = Instant::now();
    let (mut asked, mut tried, mut learnt, mut owing, mut with_log) = (0, 0, 0, 0, 0);
    for _ in 0..rounds {
        let before = (scene.sim.requests().total, scene.receiver.tries(), known.len());
        let program = scene.home.program("killed", &["run"]);
        // The instant is what is tried here: nothing is waited for.
        tokio::time::sleep(longest.mul_f64(rng.f64())).await;
        program.kill();
        let wreck = scene.look(&mut known).await;
        asked += u64::from(scene.sim.requests().total > before.0);
        tried += u64::from(scene.receiver.tries() > before.1);
        learnt += u64::from(known.len() > before.2);
        owing += u64::from(!wreck.owed.is_empty());
        with_log += u64::from(wreck.log_bytes > 0);
    }
    let took = begun.elapsed();
    let [jobs, videos, again] = scene.add_up().await;
    assert!(jobs > 2 * usize::try_from(rounds).unwrap() && videos > 0, "a busy instance");
    assert!(asked > rounds / 4 && tried > rounds / 10 && learnt > rounds / 10, "{asked}, {tried}, {learnt}");
    report(&format!(
        "{rounds} kills in {took:.0?}, while polls asked {asked}, while it delivered {tried}, after events were stored \
         {learnt}, with deliveries owed {owing}, with an unwritten log {with_log}; all states whole; {jobs} jobs and \
         {videos} videos told once, {again} deliveries arrived again, none lost, none unknown"
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copied_at_random_instants_each_copy_opens_and_is_whole() {
    let scene = Scene::set(4).await;
    let mut rng = fastrand::Rng::with_seed(4);
    let mut known = BTreeSet::new();
    let program = scene.home.program("run", &["run"]);
    let stored = known.len();
    for _ in 0..COPIES {
        tokio::time::sleep(Duration::from_millis(rng.u64(0..300))).await;
        // Stopped, or the two files would be of two instants.
        program.signal("STOP");
        eventually("all of it stands", async || program.stands().then_some(())).await;
        scene.look(&mut known).await;
        program.signal("CONT");
    }
    assert!(known.len() > stored, "it went on writing");
    program.kill();
    scene.add_up().await;
}
