//! The command line: one file a subcommand. Results go to standard output, errors and
//! the log to standard error.

mod check;
mod deliveries;
mod events;
mod online;
mod poll;
mod run;
mod schedules;
mod status;
mod try_rule;
mod visit;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};

use crate::config::{Config, ConfigErrors, DEFAULT_PATH, LogFormat, Secrets};
use crate::log::{self, Format, LogOptions};
use crate::panics;

/// The configuration is wrong: the service is not restarted on it (`EX_CONFIG`).
const EXIT_CONFIG: u8 = 78;

/// Watches PeerTube instances and tells every job and every video exactly once.
#[derive(Debug, Parser)]
#[command(name = "tubewarden", version, arg_required_else_help = true)]
pub struct Cli {
    /// The configuration file.
    #[arg(short, long, global = true, env = "TUBEWARDEN_CONFIG", default_value = DEFAULT_PATH, value_name = "FILE")]
    config: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the daemon.
    Run,
    /// Validates the whole configuration.
    Check(check::Args),
    /// Makes one round of every poll, prints the events found as JSON lines, and ends.
    Poll(poll::Args),
    /// Shows the instances, their polls and queues, as the state knows them.
    Status(status::Args),
    /// Prints the history kept in the state.
    Events(events::Args),
    /// Shows, retries or drops what rules and schedules owe.
    Deliveries(deliveries::Args),
    /// Shows what a rule or a schedule would do with an event, and does nothing.
    Try(try_rule::Args),
    /// Shows the schedules and when they run next.
    Schedules(schedules::Args),
}

/// Why a command failed.
enum Failure {
    Config(ConfigErrors),
    Running(anyhow::Error),
    /// Told in the log already.
    Logged,
}

impl From<ConfigErrors> for Failure {
    fn from(errors: ConfigErrors) -> Self {
        Self::Config(errors)
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Running(error)
    }
}

impl Cli {
    /// Does what was asked; the exit status says how it went.
    pub async fn execute(self) -> ExitCode {
        let done = match self.command {
            Command::Run => run::run(&self.config).await,
            Command::Check(args) => check::check(&self.config, args).await,
            Command::Poll(args) => poll::poll(&self.config, args).await,
            Command::Status(args) => status::status(&self.config, args).await,
            Command::Events(args) => events::events(&self.config, args).await,
            Command::Deliveries(args) => deliveries::deliveries(&self.config, args).await,
            Command::Try(args) => try_rule::try_rule(&self.config, args).await,
            Command::Schedules(args) => schedules::schedules(&self.config, &args),
        };
        match done {
            Ok(()) => ExitCode::SUCCESS,
            Err(Failure::Config(errors)) => {
                complain(&errors.to_string());
                ExitCode::from(EXIT_CONFIG)
            }
            Err(Failure::Running(error)) => {
                complain(&format!("tubewarden: {error:#}"));
                ExitCode::FAILURE
            }
            Err(Failure::Logged) => ExitCode::FAILURE,
        }
    }
}

fn load(path: &std::path::Path, secrets: Secrets) -> Result<Config, ConfigErrors> {
    Config::load(path, secrets, &|name| std::env::var(name).ok())
}

/// Starts the log on standard error; a panic is a line of it from now on.
fn start_log(config: &Config, filter: &str) -> anyhow::Result<()> {
    let format = match config.log.format {
        LogFormat::Text => Format::Text,
        LogFormat::Json => Format::Json,
    };
    let ansi = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    log::init(&LogOptions { format, filter: filter.to_owned(), ansi }).context("start the log")?;
    panics::tell_all();
    Ok(())
}

/// What is worth a warning in a configuration that is right.
fn warnings(config: &Config) -> impl Iterator<Item = String> {
    config.exposed.iter().map(|path| {
        format!("{} holds a secret and can be read by everybody: take that right away (chmod o-r)", path.display())
    })
}

#[expect(clippy::print_stderr, reason = "this is where a command line tool says why it failed")]
fn complain(text: &str) {
    eprintln!("{text}");
}
