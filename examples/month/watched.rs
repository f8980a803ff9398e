//! The daemon, in a process of its own so that what it costs can be seen. It is woken
//! by lines on its standard input, since its own clock is not the instance's.

use std::fmt;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use jiff::Timestamp;
use peertube_sim::Requests;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tubewarden::config::{Config, JobsPolicy, Secrets};
use tubewarden::core::poll::PollKind;
use tubewarden::daemon::Daemon;
use tubewarden::log::{self, Format, LogOptions};

use crate::instance::{Instance, MONITOR};
use crate::process::Usage;

pub(crate) const NAME: &str = "month";
/// How long one round of polls may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// The daemon's process: polls, prunes and ends when it is told to.
pub(crate) async fn be_the_daemon(path: &Path) -> anyhow::Result<()> {
    let config = Config::load(path, Secrets::Read, &|_| None)?;
    log::init(&LogOptions { format: Format::Text, filter: config.log.filter.clone(), ansi: false })?;
    let daemon = Daemon::start(&config).await?;
    say(&daemon.address().to_string()).await?;
    let mut orders = BufReader::new(tokio::io::stdin()).lines();
    while let Some(order) = orders.next_line().await? {
        let words: Vec<&str> = order.split(' ').collect();
        match words.as_slice() {
            ["poll", kinds @ ..] => {
                for kind in PollKind::ALL.into_iter().filter(|kind| kinds.contains(&kind.as_str())) {
                    daemon.wake(NAME, kind);
                }
            }
            ["prune", events, settled] => {
                daemon.store().prune(events.parse()?, settled.parse()?).await?;
                say("pruned").await?;
            }
            _ => bail!("an order that nobody knows: {order}"),
        }
    }
    daemon.run_until(async {}).await
}

async fn say(word: &str) -> anyhow::Result<()> {
    let mut out = tokio::io::stdout();
    out.write_all(format!("{word}\n").as_bytes()).await?;
    Ok(out.flush().await?)
}

/// What a day cost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    pub(crate) usage: Usage,
    /// Bytes of the state.
    pub(crate) state: u64,
    pub(crate) questions: u64,
    /// Of the replies.
    pub(crate) bytes: u64,
    pub(crate) questions_a_poll: f64,
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |kib: u64| kib as f64 / 1024.0;
        write!(
            f,
            "{:>5.1} MiB  {:>5.1} MiB  {:>5}  {:>4.1} MiB  {:>9}  {:>4.1} MB  {:.1}",
            mib(self.usage.memory),
            mib(self.usage.highest_memory),
            self.usage.files,
            mib(self.state / 1024),
            self.questions,
            self.bytes as f64 / 1e6,
            self.questions_a_poll,
        )
    }
}

/// The process as we hold it.
pub(crate) struct Watched {
    config: PathBuf,
    state: PathBuf,
    policy: JobsPolicy,
    client: reqwest::Client,
    running: Running,
    polls_of_jobs: u64,
    before: Requests,
}

struct Running {
    child: Child,
    /// Closed to end it.
    orders: Option<ChildStdin>,
    answers: Lines<BufReader<ChildStdout>>,
    address: SocketAddr,
}

impl Watched {
    /// Starts it, and waits until it has looked at everything.
    pub(crate) async fn start(home: &Path, url: &str) -> anyhow::Result<Self> {
        let config = home.join("config.toml");
        let polls: String = PollKind::ALL.into_iter().map(|kind| format!("{kind} = \"30d\"\n")).collect();
        let (username, password) = MONITOR;
        let text = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\n[state]\nurl = \"sqlite://state.db\"\n[log]\nlevel = \"warn\"\n\
             [poll]\n{polls}[[instance]]\nname = \"{NAME}\"\nurl = \"{url}\"\n\
             username = \"{username}\"\npassword = \"{password}\"\n"
        );
        fs::write(&config, text).context("write the configuration")?;
        let policy = Config::load(&config, Secrets::Read, &|_| None)?.jobs;
        // Nothing here speaks TLS, but the client wants a provider all the same; it may have one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().timeout(PATIENCE).build().context("build an HTTP client")?;
        let running = Running::start(&config).await?;
        let mut watched = Self {
            config,
            state: home.join("state.db"),
            policy,
            client,
            running,
            polls_of_jobs: 0,
            before: Requests::default(),
        };
        watched.is_ready().await?;
        Ok(watched)
    }

    pub(crate) fn state(&self) -> &Path {
        &self.state
    }

    /// What it tells one by one.
    pub(crate) fn policy(&self) -> &JobsPolicy {
        &self.policy
    }

    pub(crate) async fn restart(&mut self) -> anyhow::Result<()> {
        self.running.stop().await?;
        self.running = Running::start(&self.config).await?;
        self.is_ready().await
    }

    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        self.running.stop().await
    }

    /// Makes polls of these kinds, and waits for their ends.
    pub(crate) async fn poll(&mut self, kinds: &[PollKind]) -> anyhow::Result<()> {
        let before = self.last_ends(kinds).await?;
        let names: Vec<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
        self.running.order(&format!("poll {}", names.join(" "))).await?;
        let began = Instant::now();
        loop {
            let now = self.last_ends(kinds).await?;
            if before.iter().zip(&now).all(|(before, now)| before < now || now.is_infinite()) {
                self.polls_of_jobs += u64::from(kinds.contains(&PollKind::Jobs));
                return Ok(());
            }
            ensure!(began.elapsed() < PATIENCE, "a round of polls did not end: {before:?} {now:?}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    pub(crate) async fn prune(&mut self, events: Timestamp, settled: Timestamp) -> anyhow::Result<()> {
        self.running.order(&format!("prune {events} {settled}")).await?;
        let answer = self.running.answers.next_line().await?;
        ensure!(answer.as_deref() == Some("pruned"), "the daemon did not prune: {answer:?}");
        Ok(())
    }

    /// From here on costs are counted anew.
    pub(crate) fn forget_cost(&mut self, instance: &Instance) {
        self.before = instance.requests();
        self.polls_of_jobs = 0;
    }

    pub(crate) async fn cost(&self, instance: &Instance) -> anyhow::Result<Cost> {
        let usage = Usage::of(self.running.child.id().context("the daemon is gone")?)?;
        let size = |path: &Path| fs::metadata(path).map_or(0, |file| file.len());
        let requests = instance.requests();
        Ok(Cost {
            usage,
            state: size(&self.state) + size(&self.state.with_extension("db-wal")),
            questions: requests.total - self.before.total,
            bytes: requests.bytes_sent - self.before.bytes_sent,
            questions_a_poll: (requests.of_jobs() - self.before.of_jobs()) as f64 / self.polls_of_jobs.max(1) as f64,
        })
    }

    async fn is_ready(&mut self) -> anyhow::Result<()> {
        let began = Instant::now();
        let url = format!("http://{}/-/ready", self.running.address);
        while !self.client.get(&url).send().await.is_ok_and(|reply| reply.status().is_success()) {
            ensure!(began.elapsed() < PATIENCE, "the daemon's first look did not end");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// How many polls of each kind have ended: how they ended is no matter.
    async fn last_ends(&self, kinds: &[PollKind]) -> anyhow::Result<Vec<f64>> {
        let url = format!("http://{}/metrics", self.running.address);
        let text = self.client.get(&url).send().await?.text().await?;
        let ends = |kind: &PollKind| -> f64 {
            let is_of = |line: &&str| line.contains(&format!("poll=\"{kind}\""));
            let value = |metric: &str| {
                let line = text.lines().filter(|line| line.starts_with(metric)).find(is_of);
                line.and_then(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
            };
            // Of one that is off there is no end to wait for.
            if value("tubewarden_poll_enabled") == Some(0.0) {
                return f64::INFINITY;
            }
            value("tubewarden_poll_duration_seconds_count").unwrap_or(0.0)
        };
        Ok(kinds.iter().map(ends).collect())
    }
}

impl Running {
    async fn start(config: &Path) -> anyhow::Result<Self> {
        let log = File::options().create(true).append(true).open(config.with_extension("log"))?;
        let program = std::env::current_exe().context("find this program")?;
        let mut child = Command::new(program)
            .arg("--daemon")
            .arg(config)
            // As the unit has it.
            .env("MALLOC_ARENA_MAX", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .context("start the daemon")?;
        let orders = child.stdin.take();
        let mut answers = BufReader::new(child.stdout.take().context("no answers")?).lines();
        let Some(address) = answers.next_line().await? else {
            bail!("the daemon did not start: {}", fs::read_to_string(config.with_extension("log"))?)
        };
        Ok(Self { child, orders, answers, address: address.parse()? })
    }

    async fn order(&mut self, order: &str) -> anyhow::Result<()> {
        let orders = self.orders.as_mut().context("the daemon was told to end")?;
        orders.write_all(format!("{order}\n").as_bytes()).await.context("the daemon takes no orders")
    }

    async fn stop(&mut self) -> anyhow::Result<()> {
        self.orders = None;
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await.context("the daemon does not end")??;
        ensure!(ended.success(), "the daemon ended with {ended}");
        Ok(())
    }
}
