//! A PeerTube to try things against by hand. It lives on until it is interrupted.

mod life;

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use jiff::Timestamp;
use peertube_sim::accounts::{Role, Standing};
use peertube_sim::jobs::Version;
use peertube_sim::limits::Limits;
use peertube_sim::traffic::Traffic;
use peertube_sim::{Clock, Options, Sim, World};

use life::Life;

/// How often the world is moved on when nobody asks it anything, in our time.
const TICK: Duration = Duration::from_millis(200);

/// Serves a simulated PeerTube instance with its jobs, videos and accounts.
#[derive(Debug, Parser)]
struct Args {
    #[arg(long, default_value_t = 9000)]
    port: u16,
    /// The path that the instance lies below, like /tube.
    #[arg(long, default_value = "")]
    base: String,
    /// Which PeerTube to be.
    #[arg(long, value_enum, default_value = "8.2")]
    version: VersionName,
    /// What it is busy with.
    #[arg(long, value_enum, default_value = "mixed")]
    traffic: TrafficName,
    /// Seconds of the world in each of ours.
    #[arg(long, default_value_t = 1.0)]
    speed: f64,
    /// The same seed gives the same history.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Without PeerTube's limits on requests.
    #[arg(long)]
    no_limits: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum VersionName {
    #[value(name = "quick-start")]
    QuickStart,
    #[value(name = "6.3")]
    V6_3,
    #[value(name = "8.2")]
    V8_2,
}

impl From<VersionName> for Version {
    fn from(name: VersionName) -> Self {
        match name {
            VersionName::QuickStart => Self::QuickStart,
            VersionName::V6_3 => Self::V6_3,
            VersionName::V8_2 => Self::V8_2,
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum TrafficName {
    None,
    Quiet,
    Everyday,
    Mixed,
    FederationBursts,
    FederationSteady,
    TranscodeBacklog,
    HeavyTranscodes,
}

impl TrafficName {
    fn traffic(self) -> Option<Traffic> {
        match self {
            Self::None => None,
            Self::Quiet => Some(Traffic::Quiet),
            Self::Everyday => Some(Traffic::Everyday),
            Self::Mixed => Some(Traffic::Mixed),
            Self::FederationBursts => Some(Traffic::FederationBursts),
            Self::FederationSteady => Some(Traffic::FederationSteady),
            Self::TranscodeBacklog => Some(Traffic::TranscodeBacklog),
            Self::HeavyTranscodes => Some(Traffic::HeavyTranscodes),
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    match serve(&Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "peertube-sim: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(args: &Args) -> io::Result<()> {
    let mut world = World::new(args.seed, Timestamp::now(), args.version.into());
    if args.no_limits {
        world.limits = Limits::none();
    }
    add_accounts(&mut world);
    let mut life = Life::new(args.seed, &world, args.traffic.traffic());
    life.go_on(&mut world);

    let clock = Clock::Real { speed: args.speed };
    let base = args.base.trim_end_matches('/').to_owned();
    let options = Options { clock, port: Some(args.port), base, ..Options::default() };
    let sim = Sim::start(world, options).await?;
    sim.with(|world| tell(&sim.url(), world))?;

    let mut ticks = tokio::time::interval(TICK);
    loop {
        ticks.tick().await;
        sim.with(|world| life.go_on(world));
    }
}

/// One of each kind, besides `root`.
fn add_accounts(world: &mut World) {
    let accounts = &mut world.accounts;
    accounts.add("monitor", "monitor-password", Role::Administrator);
    accounts.add("guarded", "guarded-password", Role::Administrator).totp_secret =
        Some("JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP".to_owned());
    accounts.add("moderator", "moderator-password", Role::Moderator);
    accounts.add("bob", "bob-password", Role::User);
    accounts.add("blocked", "blocked-password", Role::User).standing = Standing::Blocked;
    accounts.add("pending", "pending-password", Role::User).standing = Standing::WaitingForApproval;
}

fn tell(url: &str, world: &World) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "PeerTube {} at {url}", world.server_version)?;
    writeln!(out, "  {url}/api/v1/config\n  {url}/api/v1/videos\n  {url}/api/v1/jobs (administrators)")?;
    writeln!(out, "accounts:")?;
    for account in world.accounts.iter() {
        let standing = match account.standing {
            Standing::Active => "",
            Standing::Blocked => ", blocked",
            Standing::WaitingForApproval => ", waits for approval",
        };
        let otp = account.totp_secret.as_ref().map(|secret| format!(", one-time passwords of {secret}"));
        writeln!(
            out,
            "  {} / {} ({}{standing}{})",
            account.username,
            account.password,
            account.role.label().to_lowercase(),
            otp.unwrap_or_default(),
        )?;
    }
    out.flush()
}
