//! The face: a world served over HTTP as PeerTube would. Requests are answered one
//! after the other, each at the world's own time; nothing waits while the world is
//! held.

mod access;
mod ask;
mod jobs;
mod moderation;
mod page;
mod problem;
mod record;
mod reply;
mod route;
mod runners;
mod server;
mod token;
mod videos;

use std::net::TcpListener;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{fmt, io};

use jiff::{SignedDuration, Timestamp};
use wiremock::{Match, Mock, MockServer, Request, Respond, ResponseTemplate};

use crate::faults::{Fault, Faults};
use crate::world::World;
use ask::Ask;
pub use record::{Logged, Requests};
use reply::Reply;
use route::Route;

/// How the world's time passes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Clock {
    /// When a test says so.
    Manual,
    /// By itself: so many seconds of the world in each of ours.
    Real { speed: f64 },
}

#[derive(Debug, Clone)]
pub struct Options {
    pub clock: Clock,
    /// A free one by default.
    pub port: Option<u16>,
    /// The path that the instance lies below, like `/tube`: all else belongs to another
    /// application, which has nothing there.
    pub base: String,
    /// How long `POST /users/token` takes, in our time: long enough for refreshes that
    /// a client sends at once to be seen in flight together.
    pub token_latency: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { clock: Clock::Manual, port: None, base: String::new(), token_latency: Duration::from_millis(5) }
    }
}

/// A world that is being served. It ends when this is dropped.
pub struct Sim {
    server: MockServer,
    shared: Arc<Shared>,
}

impl fmt::Debug for Sim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sim").field("url", &self.url()).finish_non_exhaustive()
    }
}

impl Sim {
    pub async fn start(mut world: World, options: Options) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", options.port.unwrap_or(0)))?;
        let address = listener.local_addr()?;
        world.host.get_or_insert_with(|| address.to_string());
        let shared = Arc::new(Shared {
            started: Instant::now(),
            start: world.now(),
            options,
            faults: Faults::default(),
            state: Mutex::new(State { world, requests: Requests::default(), log: None, refreshing: Vec::new() }),
        });
        let server = MockServer::builder().listener(listener).disable_request_recording().start().await;
        Mock::given(Anything).respond_with(Face(Arc::clone(&shared))).mount(&server).await;
        Ok(Self { server, shared })
    }

    /// A manual clock, a free port.
    pub async fn serve(world: World) -> io::Result<Self> {
        Self::start(world, Options::default()).await
    }

    pub fn url(&self) -> String {
        self.server.uri() + &self.shared.options.base
    }

    pub fn address(&self) -> std::net::SocketAddr {
        *self.server.address()
    }

    /// Looks at the world or changes it, at its time of now. Requests wait meanwhile,
    /// and so would another call from within.
    pub fn with<T>(&self, look: impl FnOnce(&mut World) -> T) -> T {
        look(&mut self.shared.now().world)
    }

    /// Lets the world's time pass.
    pub fn advance(&self, by: Duration) {
        self.with(|world| world.advance(by));
    }

    pub fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    /// What was asked so far, or since [`Sim::forget_requests`].
    pub fn requests(&self) -> Requests {
        self.shared.lock().requests.clone()
    }

    pub fn forget_requests(&self) {
        self.shared.lock().requests = Requests::default();
    }

    /// From now on each request is written down.
    pub fn keep_log(&self) {
        self.shared.lock().log.get_or_insert_default();
    }

    /// What was written down since the last time.
    pub fn take_log(&self) -> Vec<Logged> {
        self.shared.lock().log.as_mut().map(std::mem::take).unwrap_or_default()
    }
}

struct Shared {
    started: Instant,
    start: Timestamp,
    options: Options,
    faults: Faults,
    state: Mutex<State>,
}

struct State {
    world: World,
    requests: Requests,
    log: Option<Vec<Logged>>,
    /// When the replies to refreshes are let go.
    refreshing: Vec<Instant>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The world at its time of now.
    fn now(&self) -> MutexGuard<'_, State> {
        let mut state = self.lock();
        if let Clock::Real { speed } = self.options.clock {
            let passed = self.started.elapsed().mul_f64(speed.max(0.0));
            state.world.advance_to(self.start + passed);
        }
        state
    }
}

struct Face(Arc<Shared>);

impl Respond for Face {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let shared = &self.0;
        let ask = Ask::of(request);
        let path = route::below(&shared.options.base, ask.path());
        let route = path.map_or(Route::Outside, |path| Route::of(ask.method(), path));
        let form = if route == Route::Token { Some(ask.form()) } else { None };
        let grant = form.as_ref().and_then(|form| form.get("grant_type"));
        let fault = shared.faults.strike(ask.method(), path.unwrap_or_default(), grant);

        let mut state = shared.now();
        let State { world, requests, log, refreshing } = &mut *state;
        requests.asked(&route.name(), grant);
        let reply = match &fault {
            Some(fault) if !fault.lets_through() => Reply::nothing().spoilt(fault),
            // Another application lives on.
            _ if route != Route::Outside && world.jobs.down_until().is_some() => Reply::of_proxy(503),
            _ => {
                let reply = route::answer(world, &ask, route, requests).tagged(&ask);
                match &fault {
                    Some(fault) => reply.spoilt(fault),
                    None => reply,
                }
            }
        };
        requests.answered(reply.status, reply.bytes());
        if let Some(log) = log {
            log.push(Logged {
                at: world.now(),
                method: ask.method().to_owned(),
                target: ask.target(),
                status: reply.status,
                user_agent: ask.header("user-agent").map(str::to_owned),
                authorized: ask.header("authorization").is_some(),
            });
        }
        let delay = delay(&shared.options, route, fault.as_ref());
        if grant == Some("refresh_token") {
            let now = Instant::now();
            refreshing.retain(|until| *until > now);
            refreshing.push(now + delay.unwrap_or_default());
            world.accounts.saw_refreshes_in_flight(refreshing.len());
        }
        let off = match fault {
            Some(Fault::DateOff(seconds)) => SignedDuration::from_secs(seconds),
            _ => SignedDuration::ZERO,
        };
        reply.into_template(world.now().saturating_add(off).unwrap_or(world.now()), delay)
    }
}

fn delay(options: &Options, route: Route<'_>, fault: Option<&Fault>) -> Option<Duration> {
    let late = match fault {
        Some(Fault::Late(late)) => *late,
        _ => Duration::ZERO,
    };
    let latency = if route == Route::Token { options.token_latency } else { Duration::ZERO };
    Some(late + latency).filter(|delay| !delay.is_zero())
}

struct Anything;

impl Match for Anything {
    fn matches(&self, _: &Request) -> bool {
        true
    }
}
