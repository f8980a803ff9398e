//! One run of a command: no shell, the event on its standard input, a clean environment.
//! It has a process group of its own, of which nothing is left when the run has ended,
//! however that came about. What leaves the group by `setsid` is the service manager's.

mod environment;
mod output;

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use self::output::Output;
use super::{Delivery, Outcome};
use crate::config::Exec;
use crate::core::text::clean;

pub use environment::environment;

/// The target of the lines that commands print.
pub const OUTPUT_TARGET: &str = "tubewarden::exec";

/// By this status a command says that another try is of no use.
const DEAD: i32 = 100;

/// How long a command that is to end may tidy up.
const TERM_TO_KILL: Duration = Duration::from_secs(5);
/// How long what was printed is read on after the end. It is there at once; only what
/// left the group can keep the pipes open.
const GRACE: Duration = Duration::from_secs(1);
/// How long to wait for the end of what was killed: at once, if the system is well.
const KILLED: Duration = Duration::from_secs(5);

/// Runs the command once, to its end, its time limit, or the daemon's stop.
pub async fn run(
    exec: &Exec,
    limit: Duration,
    delivery: &Delivery<'_>,
    mut stopping: watch::Receiver<bool>,
) -> Outcome {
    let Some((program, arguments)) = exec.command.split_first() else {
        return Outcome::Dead { why: "the rule has no command".to_owned() };
    };
    let name = clean(program, 100);
    if *stopping.borrow() {
        return again(format!("{name} was not started, for tubewarden stops"));
    }
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .envs(environment(delivery))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    let mut group = match command.spawn() {
        Ok(child) => Group::of(child),
        Err(error) => return again(not_started(&name, &error)),
    };

    let mut input = delivery.body();
    input.push(b'\n');
    let mut output = Output::new(delivery.rule, delivery.id);
    let (stdin, stdout, stderr) = (group.child.stdin.take(), group.child.stdout.take(), group.child.stderr.take());
    let mut pipes = Pipes::new(async {
        tokio::join!(feed(stdin, &input), output.read(stdout, stderr));
    });
    let end = tokio::select! {
        end = group.ends(&mut pipes) => End::Itself(end),
        () = sleep(limit) => End::Limit,
        // Its sender is gone only when the daemon is.
        _ = stopping.wait_for(|stopping| *stopping) => End::Stop,
    };
    if !matches!(end, End::Itself(_)) {
        group.signal(Signal::TERM);
        // How it ends now says nothing of whether it was done.
        let _ = timeout(TERM_TO_KILL, group.ends(&mut pipes)).await;
    }
    group.signal(Signal::KILL);
    let _ = timeout(KILLED, group.ends(&mut pipes)).await;
    let _ = timeout(GRACE, pipes.end()).await;
    drop(pipes);
    output.finish();
    match end {
        End::Itself(Ok(status)) => judge(&name, status),
        End::Itself(Err(error)) => again(format!("how {name} ended could not be learnt: {}", error.kind())),
        End::Limit => again(format!("{name} did not end within {limit:?}, so it was ended")),
        End::Stop => again(format!("{name} was ended, for tubewarden stops")),
    }
}

enum End {
    Itself(io::Result<ExitStatus>),
    Limit,
    Stop,
}

fn again(why: String) -> Outcome {
    Outcome::Again { why, after: None }
}

fn judge(name: &str, status: ExitStatus) -> Outcome {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(0), _) => Outcome::Done,
        (Some(DEAD), _) => {
            Outcome::Dead { why: format!("{name} ended with status {DEAD}, which asks for no other try") }
        }
        (Some(code), _) => again(format!("{name} ended with status {code}")),
        (None, Some(signal)) => again(format!("{name} was ended by signal {signal}")),
        (None, None) => again(format!("{name} ended in an unknown way")),
    }
}

fn not_started(name: &str, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => {
            format!("{name} could not be started: it, or the interpreter that its first line names, is not there")
        }
        io::ErrorKind::PermissionDenied => {
            format!("{name} could not be started: the user that tubewarden runs as may not execute it")
        }
        _ => format!("{name} could not be started: {}", clean(&error.to_string(), 200)),
    }
}

/// A command need not read what it is given.
async fn feed(stdin: Option<ChildStdin>, input: &[u8]) {
    if let Some(mut stdin) = stdin {
        let _ = stdin.write_all(input).await;
    }
}

/// What goes in and out, served while the end is waited for.
struct Pipes<'a> {
    all: Pin<Box<dyn Future<Output = ()> + Send + 'a>>,
    has_ended: bool,
}

impl<'a> Pipes<'a> {
    fn new(all: impl Future<Output = ()> + Send + 'a) -> Self {
        Self { all: Box::pin(all), has_ended: false }
    }

    async fn end(&mut self) {
        if !self.has_ended {
            self.all.as_mut().await;
            self.has_ended = true;
        }
    }
}

/// A command with all that it started. It is killed when nobody waits for it any more.
struct Group {
    child: Child,
    /// `None` once the leader was waited for and the rest killed: from then on the
    /// number may be another's.
    id: Option<Pid>,
}

impl Group {
    fn of(child: Child) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        Self { child, id }
    }

    /// Waits for the leader's end, and kills what it leaves behind.
    async fn ends(&mut self, pipes: &mut Pipes<'_>) -> io::Result<ExitStatus> {
        let end = loop {
            tokio::select! {
                end = self.child.wait() => break end,
                () = pipes.end(), if !pipes.has_ended => {}
            }
        };
        if end.is_ok() {
            self.signal(Signal::KILL);
            self.id = None;
        }
        end
    }

    fn signal(&self, signal: Signal) {
        if let Some(id) = self.id {
            // All of it may have ended already.
            let _ = kill_process_group(id, signal);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}
