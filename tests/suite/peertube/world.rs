//! What the stories below are made of: a PeerTube whose tokens are real, and a
//! host that remembers what it was told.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::json;
use tubewarden::core::event::Origin;
use tubewarden::core::job::{JobList, JobsQuery, Order};
use tubewarden::peertube::{
    Account, Backoff, Boxed, Client, Endpoint, Grant, Host, HostError, MemoryHost, Options, Refusal, TokenPair,
};
use url::Url;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

pub(super) const PASSWORD: &str = "correct-horse-battery";
/// Base32 of "12345678901234567890".
pub(super) const TOTP_SECRET: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

pub(super) fn account() -> Account {
    Account { username: "monitor".into(), password: PASSWORD.to_owned().into(), totp_secret: None }
}

/// Options that lose no time: failures are forgotten after a moment.
pub(super) fn options(url: &str) -> Options {
    let origin = Origin { name: "main".into(), url: url.to_owned() };
    let blink = Duration::from_millis(1);
    Options {
        timeout: Duration::from_secs(5),
        backoff: Backoff { first: blink, most: blink },
        ..Options::new(origin, url.parse().unwrap())
    }
}

pub(super) fn anonymous(url: &str) -> Client {
    Client::new(options(url), Arc::new(MemoryHost::default())).unwrap()
}

pub(super) fn failed_jobs() -> JobsQuery {
    jobs_in(JobList::Failed)
}

pub(super) fn jobs_in(list: JobList) -> JobsQuery {
    JobsQuery { list, job_type: None, start: 0, count: 100, order: Order::NewestFirst }
}

/// A pair that was kept by a process before.
pub(super) fn pair(url: &str, access: &str, refresh: &str) -> TokenPair {
    TokenPair {
        access_token: access.to_owned().into(),
        refresh_token: refresh.to_owned().into(),
        access_expires_at: Timestamp::now() + Duration::from_secs(3600),
        refresh_expires_at: None,
        username: "monitor".into(),
        url: url.parse::<Url>().unwrap().to_string(),
    }
}

/// A PeerTube that hands out tokens and believes only the newest one.
#[derive(Clone)]
pub(super) struct World(Arc<Mutex<State>>);

pub(super) struct State {
    /// How long access tokens live, in seconds.
    pub(super) life: u64,
    pub(super) password: String,
    /// Answered to a sign-in by password instead of tokens.
    pub(super) refusal: Option<(u16, &'static str)>,
    pub(super) needs_code: bool,
    /// How far the server's clock is ahead.
    pub(super) ahead: i64,
    /// How long replies to refreshes take.
    pub(super) refresh_takes: Duration,
    /// Calls every access token invalid.
    pub(super) believes_nobody: bool,
    /// Forgets the client after it was asked for so many times.
    pub(super) client: u64,
    pub(super) token_limit: bool,
    pub(super) access: Option<(String, Instant)>,
    pub(super) refresh: Option<String>,
    made: u64,
    pub(super) sign_ins: u64,
    pub(super) refreshes: Vec<Instant>,
    pub(super) clients_asked: u64,
    /// Every other request: path and bearer token.
    pub(super) asked: Vec<(String, Option<String>)>,
    /// Answered to every other request whose token is good.
    pub(super) answer: Option<ResponseTemplate>,
}

impl World {
    pub(super) async fn start() -> (MockServer, Self) {
        let world = Self(Arc::new(Mutex::new(State {
            life: 3600,
            password: PASSWORD.to_owned(),
            refusal: None,
            needs_code: false,
            ahead: 0,
            refresh_takes: Duration::ZERO,
            believes_nobody: false,
            client: 1,
            token_limit: false,
            access: None,
            refresh: None,
            made: 0,
            sign_ins: 0,
            refreshes: Vec::new(),
            clients_asked: 0,
            asked: Vec::new(),
            answer: None,
        })));
        let server = MockServer::start().await;
        Mock::given(any()).respond_with(world.clone()).mount(&server).await;
        (server, world)
    }

    pub(super) fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
    }

    /// Locked while it is held: hold one at a time.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

impl Respond for World {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let mut state = self.state();
        match request.url.path() {
            "/api/v1/oauth-clients/local" => {
                state.clients_asked += 1;
                let date = Timestamp::now() + Duration::from_secs(u64::try_from(state.ahead).unwrap());
                ResponseTemplate::new(200)
                    .insert_header("date", date.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string().as_str())
                    .set_body_json(json!({"client_id": format!("client-{}", state.client), "client_secret": "shared"}))
            }
            "/api/v1/users/token" => state.token(request),
            path => {
                let token = request.headers.get("authorization").map(|value| value.to_str().unwrap().to_owned());
                state.asked.push((path.to_owned(), token.clone()));
                let is_good = match (&token, &state.access) {
                    (None, _) => true,
                    (Some(token), Some((access, until))) => {
                        *token == format!("Bearer {access}") && Instant::now() < *until
                    }
                    (Some(_), None) => false,
                };
                if !is_good || (state.believes_nobody && token.is_some()) {
                    problem(401, Some("invalid_token"))
                } else {
                    state.answer.clone().unwrap_or_else(|| empty_page().insert_header("retry-after", "9"))
                }
            }
        }
    }
}

impl State {
    fn token(&mut self, request: &Request) -> ResponseTemplate {
        let form: Vec<(String, String)> = url::form_urlencoded::parse(&request.body).into_owned().collect();
        let field = |name: &str| form.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        if self.token_limit {
            return ResponseTemplate::new(429)
                .insert_header("retry-after", "297")
                .set_body_raw("Too many requests", "text/html; charset=utf-8");
        }
        if field("client_id") != Some(&format!("client-{}", self.client)) {
            return problem(400, Some("invalid_client"));
        }
        match field("grant_type") {
            Some("password") => {
                self.sign_ins += 1;
                if let Some((status, code)) = self.refusal {
                    return problem(status, Some(code));
                }
                if field("password") != Some(&self.password) || field("username") != Some("monitor") {
                    return problem(400, Some("invalid_grant"));
                }
                if self.needs_code {
                    match request.headers.get("x-peertube-otp") {
                        None => return problem(401, Some("missing_two_factor")),
                        Some(code) if !self.is_code(code.to_str().unwrap()) => {
                            return problem(400, Some("invalid_two_factor"));
                        }
                        Some(_) => {}
                    }
                }
                self.grant()
            }
            Some("refresh_token") => {
                self.refreshes.push(Instant::now());
                if self.refresh.is_none() || field("refresh_token") != self.refresh.as_deref() {
                    return problem(400, Some("invalid_grant"));
                }
                self.grant().set_delay(self.refresh_takes)
            }
            _ => problem(400, Some("invalid_request")),
        }
    }

    fn grant(&mut self) -> ResponseTemplate {
        self.made += 1;
        let (access, refresh) = (format!("access-{}", self.made), format!("refresh-{}", self.made));
        self.access = Some((access.clone(), Instant::now() + Duration::from_secs(self.life)));
        self.refresh = Some(refresh.clone());
        ResponseTemplate::new(200).set_body_json(json!({
            "token_type": "Bearer", "access_token": access, "refresh_token": refresh,
            "expires_in": self.life, "refresh_token_expires_in": 1_209_599,
        }))
    }

    /// As PeerTube judges codes: by its own clock, and by no other step's.
    fn is_code(&self, code: &str) -> bool {
        let secret = totp_rs::Secret::try_from_base32(TOTP_SECRET).unwrap();
        let totp = totp_rs::Builder::new().with_secret(secret).build().unwrap();
        let now = u64::try_from(Timestamp::now().as_second() + self.ahead).unwrap();
        // A second to each side, for the time that the request was under way.
        [now - 1, now, now + 1].iter().any(|at| totp.generate(*at).to_string() == code)
    }
}

pub(super) fn empty_page() -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(json!({"total": 0, "data": []}))
}

pub(super) fn problem(status: u16, code: Option<&str>) -> ResponseTemplate {
    let mut body =
        json!({"type": "about:blank", "title": "An error", "detail": "Something is wrong", "status": status});
    if let Some(code) = code {
        body["code"] = code.into();
    }
    ResponseTemplate::new(status).set_body_raw(body.to_string(), "application/problem+json; charset=utf-8")
}

/// A host that keeps what it is told.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    memory: MemoryHost,
    pub(super) cannot_save: AtomicBool,
    pub(super) saved: Mutex<u64>,
    pub(super) requested: Mutex<Vec<(Endpoint, String)>>,
    pub(super) granted: Mutex<Vec<(Grant, bool)>>,
    pub(super) refused: Mutex<Vec<Refusal>>,
    pub(super) signed_in: Mutex<Option<bool>>,
}

impl Recorder {
    pub(super) fn codes(&self) -> Vec<String> {
        self.requested.lock().unwrap().iter().map(|(_, code)| code.clone()).collect()
    }
}

impl Host for Recorder {
    fn load_tokens(&self) -> Boxed<'_, Result<Option<TokenPair>, HostError>> {
        self.memory.load_tokens()
    }

    fn save_tokens<'a>(&'a self, pair: &'a TokenPair) -> Boxed<'a, Result<(), HostError>> {
        if self.cannot_save.load(Ordering::Relaxed) {
            return Box::pin(async { Err("the disk is full".into()) });
        }
        *self.saved.lock().unwrap() += 1;
        self.memory.save_tokens(pair)
    }

    fn forget_tokens(&self) -> Boxed<'_, Result<(), HostError>> {
        self.memory.forget_tokens()
    }

    fn requested(&self, endpoint: Endpoint, code: &str, _: Duration) {
        self.requested.lock().unwrap().push((endpoint, code.to_owned()));
    }

    fn passed_over(&self, _: Endpoint, _: u64, _: &str) {}

    fn granted(&self, grant: Grant, ok: bool) {
        self.granted.lock().unwrap().push((grant, ok));
    }

    fn token_expiries(&self, _: Timestamp, _: Option<Timestamp>) {}

    fn signed_in(&self, yes: bool) {
        *self.signed_in.lock().unwrap() = Some(yes);
    }

    fn refused(&self, refusal: &Refusal) {
        self.refused.lock().unwrap().push(refusal.clone());
    }
}

/// A client with the account of the world, and the host that watches it.
pub(super) fn client(url: &str) -> (Client, Arc<Recorder>) {
    let host = Arc::new(Recorder::default());
    let options = Options { account: Some(account()), ..options(url) };
    (Client::new(options, host.clone()).unwrap(), host)
}
