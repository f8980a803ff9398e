//! A daemon under test, its files, and what a person sees of it. Whatever is started
//! here ends with its value, also when a test fails.

use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use tracing::Dispatch;
use tracing::subscriber::NoSubscriber;

use tubewarden::config::{Config, Secrets};
use tubewarden::core::event::{Event, EventKind};
use tubewarden::core::poll::PollKind;
use tubewarden::daemon::{Daemon, Options};
use tubewarden::service;
use tubewarden::store::{Access, EventFilter, Store};

use crate::exposition::Exposition;

/// Whatever must come true does so within this, even on a busy machine.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// Polls that run at the start and then by hand alone.
pub(super) fn by_hand() -> String {
    // The clock wakes each poll of an interval at the same seconds of the day, which may lie
    // in the middle of a test.
    polls("{ cron = '0 0 0 29 2 *' }")
}

/// Polls as often as they may be.
pub(super) fn each_second() -> String {
    every("1s")
}

/// Polls of each kind at the same interval.
pub(super) fn every(interval: &str) -> String {
    polls(&format!("\"{interval}\""))
}

fn polls(when: &str) -> String {
    PollKind::ALL.iter().fold("[poll]\n".to_owned(), |all, kind| format!("{all}{kind} = {when}\n"))
}

/// Waits until something is to be seen.
pub(crate) async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(start.elapsed() < PATIENCE, "{what}: not in time");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// An instance watched in the name of an account, as the configuration has it.
pub(super) fn instance(name: &str, url: &str, more: &str) -> String {
    format!("[[instance]]\nname = \"{name}\"\nurl = \"{url}\"\n{more}\n")
}

pub(super) const ROOT: &str = "username = \"root\"\npassword = \"root-password\"\n";

/// A directory with a configuration and a state.
pub(super) struct Home {
    directory: TempDir,
    /// What the environment says of `${NAME}`.
    variables: BTreeMap<String, String>,
}

impl Home {
    /// On a free port, logging JSON, with `more` besides.
    pub(super) fn new(more: &str) -> Self {
        let home = Self { directory: tempfile::tempdir().unwrap(), variables: BTreeMap::new() };
        // As a place with secrets should be.
        fs::set_permissions(home.directory.path(), Permissions::from_mode(0o700)).unwrap();
        home.configure("127.0.0.1:0", more);
        home
    }

    /// With a variable of the environment more.
    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    pub(super) fn configure(&self, listen: &str, more: &str) {
        self.serve(&format!("listen = \"{listen}\""), more);
    }

    /// With these lines of `[server]`.
    pub(super) fn serve(&self, server: &str, more: &str) {
        let common = format!("[server]\n{server}\n[state]\nurl = \"sqlite://state.db\"\n[log]\nformat = \"json\"\n");
        fs::write(self.file("config.toml"), common + more).unwrap();
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(super) fn config(&self) -> Config {
        Config::load(&self.file("config.toml"), Secrets::Read, &|name| self.variables.get(name).cloned()).unwrap()
    }

    /// The history, read beside whoever writes it.
    pub(super) async fn events(&self) -> Vec<Event> {
        let store = Store::open(&self.file("state.db"), Access::Beside).await.unwrap();
        all_events(&store).await
    }

    /// The program with its arguments.
    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tubewarden"));
        command.args(args).env("TUBEWARDEN_CONFIG", self.file("config.toml")).env_remove("CREDENTIALS_DIRECTORY");
        // Whoever runs the tests may be a service.
        for name in service::VARIABLES {
            command.env_remove(name);
        }
        // What it leaves behind there is seen.
        command.env("TMPDIR", self.directory.path()).envs(&self.variables);
        command.stdin(Stdio::null());
        command
    }

    /// A command that ends by itself.
    pub(super) fn done(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// The same beside a daemon of this process, which goes on meanwhile: one that held
    /// the state amid a write would never give it back.
    pub(super) async fn done_beside(&self, args: &[&str]) -> Output {
        tokio::process::Command::from(self.command(args)).output().await.unwrap()
    }

    /// The same, which reads this.
    pub(super) fn done_with(&self, args: &[&str], input: &str) -> Output {
        let mut command = self.command(args);
        let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = pipes.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }

    /// A command that goes on. Each has a name for its files.
    pub(super) fn program(&self, name: &str, args: &[&str]) -> Program {
        self.program_with(name, args, &[])
    }

    /// The same, started by another program that becomes it.
    pub(super) fn program_by(&self, by: &[&str], name: &str, args: &[&str]) -> Program {
        let program = self.command(args);
        let mut command = Command::new(by[0]);
        command.args(&by[1..]).arg(program.get_program()).args(program.get_args()).stdin(Stdio::null());
        for (name, value) in program.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        self.started(name, command)
    }

    /// The same with more variables in its environment.
    pub(super) fn program_with(&self, name: &str, args: &[&str], variables: &[(&str, String)]) -> Program {
        let mut command = self.command(args);
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        self.started(name, command)
    }

    fn started(&self, name: &str, mut command: Command) -> Program {
        let [out, log] = ["out", "log"].map(|kind| self.file(&format!("{name}.{kind}")));
        command.stdout(File::create(&out).unwrap()).stderr(File::create(&log).unwrap());
        Program { child: command.spawn().unwrap(), out, log }
    }
}

async fn all_events(store: &Store) -> Vec<Event> {
    let mut filter = EventFilter::default();
    let mut all = Vec::new();
    loop {
        let page = store.events(&filter).await.unwrap();
        let Some(last) = page.last() else { return all };
        filter.after_seq = last.seq;
        all.extend(page.into_iter().map(|stored| stored.event));
    }
}

/// The real program, running.
pub(super) struct Program {
    child: Child,
    out: PathBuf,
    log: PathBuf,
}

impl Program {
    /// Where a daemon listens, as its log says.
    pub(super) async fn address(&self) -> SocketAddr {
        eventually("the daemon listens", async || {
            // Whether the log is for people or for machines.
            let words = self.words();
            let (_, rest) = words.split_once("listen=").or_else(|| words.split_once("\"listen\":\""))?;
            let (address, _) = rest.split_once(|c: char| c == '"' || c.is_whitespace())?;
            Some(address.parse().unwrap())
        })
        .await
    }

    /// The whole lines of its log so far; each is an object.
    pub(super) fn log(&self) -> Vec<Value> {
        let text = fs::read_to_string(&self.log).unwrap();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
    }

    /// What it said to people who read.
    pub(super) fn words(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// Whether its log has a line with these words.
    pub(super) fn says(&self, words: &str) -> bool {
        self.words().contains(words)
    }

    /// The whole lines of its results so far.
    pub(super) fn results(&self) -> Vec<String> {
        let lines = BufReader::new(File::open(&self.out).unwrap()).split(b'\n');
        lines.map(|line| String::from_utf8(line.unwrap()).unwrap()).collect()
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn terminate(&self) {
        self.signal("TERM");
    }

    pub(super) fn signal(&self, name: &str) {
        let order = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &order]).status().unwrap().success());
    }

    /// Whether it was stopped by a signal, with each of its threads.
    pub(super) fn stands(&self) -> bool {
        let threads = fs::read_dir(format!("/proc/{}/task", self.id())).unwrap();
        let mut states = threads.map(|thread| fs::read_to_string(thread.unwrap().path().join("stat")).unwrap());
        // The state stands behind the name, which may hold anything.
        states.all(|stat| stat.rsplit(") ").next().unwrap().starts_with('T'))
    }

    /// As `kill -9` does.
    pub(super) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(super) async fn ends(&mut self) -> ExitStatus {
        eventually("the program ends", async || self.child.try_wait().unwrap()).await
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// As long as there is one subscriber only, the thread that comes to a line first is asked
/// whether it is wanted: one that has none would silence the line for all others.
static NOBODY: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(NoSubscriber::new()));

/// All that is logged on this thread.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// Begins to write down what this thread logs, until the guard is dropped. A test on
    /// a runtime of one thread has all of its daemon there.
    pub(crate) fn of_this_thread() -> (Self, tracing::subscriber::DefaultGuard) {
        LazyLock::force(&NOBODY);
        let log = Self::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::DEBUG)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    pub(crate) fn lines_with(&self, text: &str) -> Vec<String> {
        let log = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        log.lines().filter(|line| line.contains(text)).map(str::to_owned).collect()
    }
}

/// A daemon in this process.
pub(super) struct Watch {
    daemon: Daemon,
    scraper: Scraper,
}

impl Watch {
    pub(super) async fn start(home: &Home) -> Self {
        Self::start_with(home, Options::default()).await
    }

    pub(super) async fn start_with(home: &Home, options: Options) -> Self {
        let daemon = Daemon::start_with(&home.config(), options).await.unwrap();
        let scraper = Scraper::new(daemon.address());
        Self { daemon, scraper }
    }

    /// Starts it and waits for the end of the first round of polls.
    pub(super) async fn ready(home: &Home) -> Self {
        Self::start(home).await.once_ready().await
    }

    /// Waits for the end of the first round of polls.
    pub(super) async fn once_ready(self) -> Self {
        self.scraper.ready().await;
        self
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.daemon.address()
    }

    pub(super) fn wake(&self, instance: &str, kind: PollKind) {
        assert!(self.daemon.wake(instance, kind), "{instance} has no poll {kind}");
    }

    pub(super) async fn scrape(&self) -> Scrape {
        self.scraper.scrape().await
    }

    /// Wakes a poll of an idle daemon and waits until it has ended, well or badly.
    pub(super) async fn poll(&self, instance: &str, kind: PollKind) {
        self.poll_each(&[instance], &[kind]).await;
    }

    /// Wakes polls of several instances and waits until all of them have ended.
    pub(super) async fn poll_each(&self, instances: &[&str], kinds: &[PollKind]) {
        let polls = || instances.iter().flat_map(|instance| kinds.iter().map(move |kind| (*instance, *kind)));
        let before = self.ended_polls().await;
        polls().for_each(|(instance, kind)| self.wake(instance, kind));
        eventually("the polls end", async || {
            let now = self.ended_polls().await;
            let has_ended = |(instance, kind)| now.polls(instance, kind) > before.polls(instance, kind);
            polls().all(has_ended).then_some(())
        })
        .await;
    }

    /// How many polls have ended. Whoever waits looks often, so nothing else is read.
    async fn ended_polls(&self) -> Scrape {
        let text = self.scraper.text().await;
        let of_polls = text.split_inclusive('\n').filter(|line| line.contains("tubewarden_polls_total"));
        Scrape(Exposition::parse(&of_polls.collect::<String>()).unwrap())
    }

    /// The state, to look at what is owed.
    pub(super) fn store(&self) -> &Store {
        self.daemon.store()
    }

    pub(super) async fn events(&self) -> Vec<Event> {
        all_events(self.daemon.store()).await
    }

    pub(super) async fn count(&self, kind: EventKind) -> usize {
        self.events().await.iter().filter(|event| event.kind == kind).count()
    }

    /// Runs until something ends it by itself.
    pub(super) async fn fails(self) -> anyhow::Error {
        tokio::time::timeout(PATIENCE, self.daemon.run_until(std::future::pending())).await.unwrap().unwrap_err()
    }

    /// Stops in good order.
    pub(super) async fn stop(self) {
        self.daemon.run_until(async {}).await.unwrap();
    }
}

/// Reads what a daemon serves.
pub(super) struct Scraper {
    client: reqwest::Client,
    address: SocketAddr,
}

impl Scraper {
    pub(super) fn new(address: SocketAddr) -> Self {
        // An error says that another test has installed it already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
        Self { client, address }
    }

    pub(super) async fn ready(&self) {
        let url = format!("http://{}/-/ready", self.address);
        let is_ready = async || self.client.get(&url).send().await.is_ok_and(|reply| reply.status() == 200);
        eventually("the first round of polls ends", async || is_ready().await.then_some(())).await;
    }

    /// The status of an address, if it is answered at all.
    pub(super) async fn status(&self, path: &str) -> Option<u16> {
        let reply = self.client.get(format!("http://{}{path}", self.address)).send().await;
        reply.ok().map(|reply| reply.status().as_u16())
    }

    /// The exposition as Prometheus text.
    pub(super) async fn text(&self) -> String {
        let asked = self.client.get(format!("http://{}/metrics", self.address));
        let reply = asked.header("Accept", "text/plain;version=0.0.4").send().await.unwrap();
        assert_eq!(reply.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
        String::from_utf8(reply.bytes().await.unwrap().to_vec()).unwrap()
    }

    pub(super) async fn scrape(&self) -> Scrape {
        Scrape(Exposition::parse(&self.text().await).unwrap())
    }
}

/// What a daemon measured.
pub(super) struct Scrape(pub(super) Exposition);

impl Scrape {
    /// The sum over all series of a metric that have these labels; `None` without any.
    pub(super) fn value(&self, metric: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let all = self
            .0
            .named(metric)
            .filter(|(of, _)| labels.iter().all(|(label, value)| of.get(*label).is_some_and(|is| is == value)));
        all.map(|(_, value)| value).reduce(|a, b| a + b)
    }

    /// Polls of one kind that ended.
    pub(super) fn polls(&self, instance: &str, kind: PollKind) -> f64 {
        self.polls_with(instance, kind, "ok") + self.polls_with(instance, kind, "error")
    }

    pub(super) fn polls_with(&self, instance: &str, kind: PollKind, result: &str) -> f64 {
        let labels = [("peertube_instance", instance), ("poll", kind.as_str()), ("result", result)];
        self.value("tubewarden_polls_total", &labels).unwrap()
    }
}
