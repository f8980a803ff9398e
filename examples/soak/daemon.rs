//! The daemon, in a process of its own, and its configuration, which changes each minute.

use std::fmt::Write;
use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use clap::Parser;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tubewarden::cli::Cli;
use tubewarden::config::{Config, JobsPolicy, Secrets};
use tubewarden::core::event::EventKind;

use crate::KINDS;
use crate::process::Usage;
use crate::scrape::Scrape;
use crate::trouble::ROOT;

/// The rule that sends every video and every end of a job.
pub(crate) const RULE: &str = "everything";
const TOKEN: &str = "a-token-that-nobody-guesses";
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) async fn be_the_daemon(config: &Path) -> ExitCode {
    let args = ["tubewarden".as_ref(), "--config".as_ref(), config.as_os_str(), "run".as_ref()];
    Cli::parse_from(args).execute().await
}

/// What a reload brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// All instances, as often as by default.
    All,
    /// Polls of jobs are more seldom.
    Seldom,
    /// One rule and one schedule more.
    More,
    /// The last instance is left out.
    Without,
    /// A file that is wrong.
    Wrong,
}

impl Change {
    /// In turn.
    pub(crate) fn of(minute: u32) -> Self {
        match minute % 6 {
            0 => Self::All,
            1 => Self::Seldom,
            2 => Self::More,
            3 => Self::Without,
            4 => Self::More,
            _ => Self::Wrong,
        }
    }
}

pub(crate) struct Daemon {
    home: PathBuf,
    /// Name, address, and where to connect to instead.
    instances: Vec<(String, String, String)>,
    receiver: String,
    address: SocketAddr,
    client: reqwest::Client,
    child: Child,
    policy: JobsPolicy,
    reloads: u32,
    refused: u32,
}

impl Daemon {
    /// Starts it, and waits until it has looked at everything.
    pub(crate) async fn start(
        home: &Path,
        instances: Vec<(String, String, String)>,
        receiver: &str,
    ) -> anyhow::Result<Self> {
        fs::create_dir_all(home).context("create the directory for the state")?;
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).context("find a free port")?;
        let text = config(Change::All, port, &instances, receiver);
        let path = home.join("config.toml");
        fs::write(&path, text).context("write the configuration")?;
        let script = "log.info(\"still alive\");\n";
        fs::write(home.join("alive.rhai"), script).context("write the schedule's script")?;
        let policy = Config::load(&path, Secrets::Read, &|_| None)?.jobs;
        // Nothing here speaks TLS, but the client wants a provider all the same; it may have one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {TOKEN}"))?);
        let client = reqwest::Client::builder().timeout(PATIENCE).default_headers(headers).build()?;
        let log = File::create(home.join("daemon.log")).context("create the daemon's log")?;
        let child = Command::new(std::env::current_exe().context("find this program")?)
            .arg("--daemon")
            .arg(&path)
            // As the unit has it.
            .env("MALLOC_ARENA_MAX", "1")
            .stdin(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .context("start the daemon")?;
        let receiver = receiver.to_owned();
        let home = home.to_owned();
        let mut daemon =
            Self { home, instances, receiver, address: port, client, child, policy, reloads: 0, refused: 0 };
        daemon.is_ready().await?;
        Ok(daemon)
    }

    async fn is_ready(&mut self) -> anyhow::Result<()> {
        let began = Instant::now();
        while !Scrape::is_ready(&self.client, self.address).await.is_ok_and(|ready| ready) {
            if let Some(ended) = self.child.try_wait()? {
                bail!("the daemon ended with {ended}: {}", fs::read_to_string(self.home.join("daemon.log"))?);
            }
            ensure!(began.elapsed() < PATIENCE, "the daemon's first look did not end");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// One that the daemon lets in.
    pub(crate) fn client(&self) -> &reqwest::Client {
        &self.client
    }

    pub(crate) fn policy(&self) -> &JobsPolicy {
        &self.policy
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.home.join("state.db")
    }

    /// In bytes.
    pub(crate) fn state_size(&self) -> u64 {
        let size = |name| fs::metadata(self.home.join(name)).map_or(0, |file| file.len());
        size("state.db") + size("state.db-wal")
    }

    pub(crate) fn reloads(&self) -> u32 {
        self.reloads
    }

    pub(crate) fn refused(&self) -> u32 {
        self.refused
    }

    fn process(&self) -> anyhow::Result<u32> {
        self.child.id().context("the daemon is gone")
    }

    pub(crate) fn usage(&self) -> anyhow::Result<Usage> {
        Usage::of(self.process()?)
    }

    pub(crate) async fn scrape(&self) -> anyhow::Result<Scrape> {
        Scrape::of(&self.client, self.address).await
    }

    /// Writes another configuration and has it read, by a request and by a signal in turn.
    pub(crate) async fn change(&mut self, change: Change) -> anyhow::Result<()> {
        let text = config(change, self.address, &self.instances, &self.receiver);
        fs::write(self.home.join("config.toml"), text).context("write the configuration")?;
        let is_right = change != Change::Wrong;
        self.reloads += 1;
        self.refused += u32::from(!is_right);
        if self.reloads.is_multiple_of(2) {
            let reply = self.client.post(format!("http://{}/-/reload", self.address)).send().await?;
            ensure!(reply.status().is_success() == is_right, "{change:?} was answered with {}", reply.status());
        } else {
            self.signal(Signal::HUP)?;
        }
        let began = Instant::now();
        while self.last_reload_was_right().await? != is_right {
            ensure!(began.elapsed() < PATIENCE, "{change:?} was not told by the metrics");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    async fn last_reload_was_right(&self) -> anyhow::Result<bool> {
        let Scrape(text) = self.scrape().await?;
        Ok(text.lines().any(|line| line == "tubewarden_config_last_reload_successful 1"))
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let process = Pid::from_raw(self.process()?.try_into()?).context("the daemon is gone")?;
        kill_process(process, signal).context("send the daemon a signal")
    }

    pub(crate) async fn stop(&mut self) -> anyhow::Result<()> {
        self.signal(Signal::TERM)?;
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await.context("the daemon does not end")??;
        ensure!(ended.success(), "the daemon ended with {ended}");
        Ok(())
    }
}

fn config(change: Change, listen: SocketAddr, instances: &[(String, String, String)], receiver: &str) -> String {
    let every = if change == Change::Seldom { "[poll]\njobs = \"25s\"\n" } else { "" };
    let mut text = format!(
        "[server]\nlisten = \"{listen}\"\nbearer_token = \"{TOKEN}\"\nreload = true\n\
         [state]\nurl = \"sqlite://state.db\"\n[log]\nformat = \"json\"\n{every}"
    );
    let left_out = usize::from(change == Change::Without);
    let (username, password) = ROOT;
    for (name, url, way) in &instances[..instances.len() - left_out] {
        let _ = write!(
            text,
            "[[instance]]\nname = \"{name}\"\nurl = \"{url}\"\nconnect = \"{way}\"\n\
             username = \"{username}\"\npassword = \"{password}\"\n"
        );
    }
    let kinds = KINDS.map(EventKind::as_str);
    let _ = write!(text, "[[rule]]\nname = \"{RULE}\"\non = {kinds:?}\nwebhook.url = \"{receiver}\"\n");
    if change == Change::More {
        let _ = write!(
            text,
            "[[rule]]\nname = \"trouble\"\non = [\"instance.*\"]\nwebhook.url = \"{receiver}\"\n\
             [[schedule]]\nname = \"still alive\"\ncron = \"*/5 * * * * *\"\nscript.file = \"alive.rhai\"\n"
        );
    }
    if change == Change::Wrong {
        text += "[[rule]]\nname = \"wrong\"\non = [\"job.compelted\"]\n";
    }
    text
}
