//! A systemd in namespaces of its own, with the unit as it is delivered.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::daemon::harness::eventually;
use crate::tools;

const UNIT: &str = include_str!("../../../../systemd/tubewarden.service");
const COMMANDS: &str = include_str!("../../../../systemd/commands.conf.example");
const BOOT: &str = include_str!("boot.sh");
/// What the unit refers to, and what each unit implies.
const TARGETS: [&str; 6] = ["boot", "sysinit", "basic", "shutdown", "network-online", "nss-lookup"];
/// A machine that is no place for a systemd.
const NOT_HERE: i32 = 77;

/// Ends with all that runs in it.
pub(super) struct System {
    home: TempDir,
    unshare: Child,
    /// Its first process, as we see it.
    first: String,
}

impl System {
    /// `None` where this can't be done.
    #[expect(clippy::print_stderr, reason = "who runs the tests must see what was skipped")]
    pub(super) async fn boot(config: &str) -> Option<Self> {
        tools::require("systemd-analyze")?;
        let home = tempfile::tempdir().unwrap();
        let at = |name: &str| home.path().join(name);
        for directory in ["units/tubewarden.service.d", "tubewarden", "lib"] {
            fs::create_dir_all(at(directory)).unwrap();
        }
        fs::write(at("boot.sh"), BOOT).unwrap();
        fs::write(at("units/tubewarden.service"), UNIT).unwrap();
        for target in TARGETS {
            fs::write(at(&format!("units/{target}.target")), "[Unit]\nDefaultDependencies=no\n").unwrap();
        }
        let log = at("log").display().to_string();
        let ours = format!("[Service]\nStandardOutput=append:{log}\nStandardError=append:{log}\nRestartSec=1\n");
        fs::write(at("units/tubewarden.service.d/test.conf"), ours).unwrap();
        fs::write(at("tubewarden/config.toml"), config).unwrap();
        fs::write(at("tubewarden/password"), "root-password").unwrap();
        fs::write(at("tubewarden/smtp-password"), "four").unwrap();
        let mut unshare = Command::new("bash")
            .arg(at("boot.sh"))
            .args([home.path(), Path::new(env!("CARGO_BIN_EXE_tubewarden"))])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let children = format!("/proc/{0}/task/{0}/children", unshare.id());
        let booted = eventually("systemd begins", async || {
            if let Some(ended) = unshare.try_wait().unwrap() {
                assert_eq!(ended.code(), Some(NOT_HERE));
                return Some(None);
            }
            let all = fs::read_to_string(&children).unwrap_or_default();
            let first = all.split_whitespace().next()?.to_owned();
            (fs::read_to_string(format!("/proc/{first}/comm")).ok()? == "systemd\n").then_some(Some(first))
        });
        let Some(first) = booted.await else {
            eprintln!("SKIPPED: a systemd of one's own needs root and cgroups");
            return None;
        };
        let system = Self { home, unshare, first };
        eventually("systemd answers", async || {
            let asked = system.systemctl(&["is-active", "boot.target"]).await;
            (asked.stdout == b"active\n").then_some(())
        })
        .await;
        Some(system)
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// The configuration of the daemon.
    pub(super) fn configure(&self, config: &str) {
        fs::write(self.file("etc/tubewarden/config.toml"), config).unwrap();
    }

    /// Another file in the place of one, or of a link to one.
    pub(super) fn replace(&self, name: &str, text: &str) {
        let _ = fs::remove_file(self.file(name));
        fs::write(self.file(name), text).unwrap();
    }

    /// Takes these lines of the example for commands.
    pub(super) fn let_out(&self, directives: &[&str]) {
        let mut drop_in = "[Service]\n".to_owned();
        for directive in directives {
            assert!(COMMANDS.lines().any(|line| line.strip_prefix('#') == Some(directive)), "{directive}");
            writeln!(drop_in, "{directive}").unwrap();
        }
        fs::write(self.file("units/tubewarden.service.d/commands.conf"), drop_in).unwrap();
    }

    pub(super) async fn systemctl(&self, args: &[&str]) -> Output {
        self.inside("systemctl", args).await
    }

    async fn inside(&self, program: &str, args: &[&str]) -> Output {
        let mut command = tokio::process::Command::new("nsenter");
        command.args(["--target", &self.first, "--mount", "--pid", "--uts", "--ipc", "--cgroup", program]);
        command.args(args).output().await.unwrap()
    }

    pub(super) async fn kill_daemon(&self) {
        let daemon = self.property("MainPID").await;
        assert!(self.inside("kill", &["-9", &daemon]).await.status.success());
    }

    /// What systemd says of the service.
    pub(super) async fn property(&self, name: &str) -> String {
        let shown = self.systemctl(&["show", "tubewarden", "--value", "--property", name]).await;
        String::from_utf8(shown.stdout).unwrap().trim_end().to_owned()
    }

    pub(super) async fn until(&self, property: &str, value: &str) {
        let what = format!("{property}={value}");
        eventually(&what, async || (self.property(property).await == value).then_some(())).await;
    }

    /// What the service has told so far.
    pub(super) fn log(&self) -> Vec<Value> {
        let log = fs::read_to_string(self.file("log")).unwrap_or_default();
        let as_text = |line: &str| json!({ "message": line, "target": "", "rule": "" });
        log.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| as_text(line))).collect()
    }
}

impl Drop for System {
    fn drop(&mut self) {
        // The first process of a namespace takes all others with it.
        let _ = Command::new("kill").args(["-9", &self.first]).status();
        let _ = self.unshare.wait();
        if let Ok(groups) = fs::read_to_string(self.file("cgroup")) {
            // A group is busy for some moments after its last process has ended.
            for _ in 0..100 {
                let _ = Command::new("find")
                    .arg(groups.trim_end())
                    .args(["-depth", "-type", "d", "-delete"])
                    .stderr(Stdio::null())
                    .status();
                if !Path::new(groups.trim_end()).exists() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
}
