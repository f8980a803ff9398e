//! Sole owner of the token. At most one refresh or sign-in is in flight, and a new
//! pair is stored before it is used.
//!
//! A refresh spends the old pair at once. If its reply is lost, or the caller is
//! dropped while it waits, the pair here may be spent: the next need tries it once
//! more, is told `invalid_grant`, and signs in by password. If a new pair can't be
//! stored it is used all the same, for the old one is worth nothing any more; until
//! it is stored, a restart costs one sign-in.

use std::sync::{Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use tokio::time::Instant;

use super::error::{BuildError, Cause, Endpoint, Error, Pause, Refusal, Told};
use super::host::{Grant, TokenPair};
use super::limits::SignIns;
use super::one_time::{self, OneTime};
use super::options::{Account, Options};
use super::transport::{Ask, Transport};
use super::wire::{self, Granted, OauthClient};

/// A token is renewed when this share of its life is left, or this long before.
const SHARE_LEFT: i32 = 5;
const LONGEST_LEFT: SignedDuration = SignedDuration::from_mins(5);

/// A token may seem to end so much later here than it does there.
const CLOCKS_DIFFER: SignedDuration = SignedDuration::from_secs(5);

/// How far a client is signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignIn {
    /// There is no account.
    Anonymous,
    SignedOut,
    SignedIn {
        access_expires: Timestamp,
        refresh_expires: Option<Timestamp>,
    },
    Refused(Refusal),
}

/// An access token to send, and which one it is.
pub(super) struct Bearer {
    pub(super) token: SecretString,
    pub(super) generation: u64,
    /// It is newer than the one that was refused because we asked for it.
    pub(super) renewed: bool,
}

/// The signed-in state of one account.
pub(super) struct Session {
    account: Account,
    url: String,
    is_visit: bool,
    one_time: Option<OneTime>,
    inner: tokio::sync::Mutex<Inner>,
    shown: Mutex<SignIn>,
}

#[derive(Default)]
struct Inner {
    loaded: bool,
    held: Option<Held>,
    generation: u64,
    sign_ins: SignIns,
    client: Option<OauthClient>,
    /// How far the server's clock is ahead of ours.
    ahead: SignedDuration,
}

struct Held {
    pair: TokenPair,
    renew_at: Timestamp,
    saved: bool,
}

impl Inner {
    /// The pair, unless it is time to renew it.
    fn fresh(&mut self) -> Option<&mut Held> {
        self.held.as_mut().filter(|held| Timestamp::now() < held.renew_at)
    }

    /// Whether the server has no reason to refuse the pair.
    fn should_live(&self) -> bool {
        let left = |held: &Held| held.pair.access_expires_at.duration_since(Timestamp::now());
        self.held.as_ref().is_some_and(|held| left(held) > CLOCKS_DIFFER)
    }
}

impl Session {
    pub(super) fn new(account: &Account, options: &Options) -> Result<Self, BuildError> {
        let one_time = account.totp_secret.as_ref().map(|secret| OneTime::parse(secret).ok_or(BuildError::TotpSecret));
        Ok(Self {
            account: account.clone(),
            url: options.url.to_string(),
            is_visit: options.is_visit,
            one_time: one_time.transpose()?,
            inner: tokio::sync::Mutex::default(),
            shown: Mutex::new(SignIn::SignedOut),
        })
    }

    pub(super) fn state(&self) -> SignIn {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A token to send.
    pub(super) async fn token(&self, transport: &Transport) -> Result<Bearer, Error> {
        let mut inner = self.inner.lock().await;
        self.load(&mut inner, transport).await?;
        self.current_or_new(&mut inner, transport).await
    }

    /// A token to send instead of one that the server called invalid. If that is
    /// still the current one it is renewed, but only if `may_renew`; else `None`.
    pub(super) async fn another(
        &self,
        transport: &Transport,
        refused: &Bearer,
        may_renew: bool,
    ) -> Result<Option<Bearer>, Error> {
        let mut inner = self.inner.lock().await;
        let is_current = inner.generation == refused.generation;
        if is_current && !may_renew && inner.fresh().is_some() {
            return Ok(None);
        }
        if is_current && inner.should_live() {
            inner.sign_ins.gate_forced(Instant::now()).map_err(|cause| transport.error(Endpoint::UsersToken, cause))?;
        }
        if let Some(held) = inner.held.as_mut().filter(|_| is_current) {
            held.renew_at = Timestamp::MIN;
        }
        let bearer = self.current_or_new(&mut inner, transport).await?;
        Ok(Some(Bearer { renewed: is_current, ..bearer }))
    }

    async fn current_or_new(&self, inner: &mut Inner, transport: &Transport) -> Result<Bearer, Error> {
        let token = match inner.fresh() {
            Some(held) => {
                save(held, transport).await;
                held.pair.access_token.clone()
            }
            None => self.renew(inner, transport).await?,
        };
        Ok(Bearer { token, generation: inner.generation, renewed: false })
    }

    /// What was kept by the process before, if it belongs to this account of this
    /// instance: a token must never go to another.
    async fn load(&self, inner: &mut Inner, transport: &Transport) -> Result<(), Error> {
        if inner.loaded {
            return Ok(());
        }
        let pair = transport.host().load_tokens().await;
        let pair = pair.map_err(|source| transport.error(Endpoint::UsersToken, Cause::Tokens { source }))?;
        inner.loaded = true;
        match pair.filter(|pair| pair.username == self.account.username && pair.url == self.url) {
            Some(pair) => self.hold(inner, pair, true, transport),
            None => transport.host().signed_in(false),
        }
        Ok(())
    }

    async fn renew(&self, inner: &mut Inner, transport: &Transport) -> Result<SecretString, Error> {
        let held = inner.held.as_ref().filter(|_| !self.is_visit);
        if let Some(refresh) = held.map(|held| held.pair.refresh_token.clone()) {
            let fields = [("refresh_token", refresh)];
            match self.grant(inner, transport, Grant::RefreshToken, &fields).await {
                Ok(pair) => return Ok(self.keep(inner, pair, transport).await),
                Err(error) if verdict(&error) == Some("invalid_grant") => {
                    tracing::info!(
                        peertube_instance = transport.instance(),
                        "the refresh token is spent: signing in anew"
                    );
                    self.forget(inner, transport).await;
                }
                Err(error) => return Err(self.judge(inner, transport, error).await),
            }
        }
        let fields = [("username", self.account.username.clone().into()), ("password", self.account.password.clone())];
        match self.grant(inner, transport, Grant::Password, &fields).await {
            Ok(pair) => {
                inner.sign_ins.succeeded();
                Ok(self.keep(inner, pair, transport).await)
            }
            Err(error) => Err(self.judge(inner, transport, error).await),
        }
    }

    /// Asks for a pair. If the server does not know the client (any more) that is
    /// asked for again, once.
    async fn grant(
        &self,
        inner: &mut Inner,
        transport: &Transport,
        grant: Grant,
        fields: &[(&'static str, SecretString)],
    ) -> Result<TokenPair, Error> {
        let first = self.grant_once(inner, transport, grant, fields).await;
        if first.as_ref().is_err_and(|error| verdict(error) == Some("invalid_client")) {
            inner.client = None;
            return self.grant_once(inner, transport, grant, fields).await;
        }
        first
    }

    async fn grant_once(
        &self,
        inner: &mut Inner,
        transport: &Transport,
        grant: Grant,
        fields: &[(&'static str, SecretString)],
    ) -> Result<TokenPair, Error> {
        let here = |cause| transport.error(Endpoint::UsersToken, cause);
        let is_sign_in = grant == Grant::Password;
        inner.sign_ins.gate(Instant::now(), is_sign_in, self.is_visit).map_err(here)?;
        let client = self.oauth_client(inner, transport).await?;
        let mut form = vec![
            ("client_id", client.id),
            ("client_secret", client.secret),
            ("grant_type", grant.as_str().to_owned().into()),
            ("response_type", "code".to_owned().into()),
        ];
        form.extend_from_slice(fields);
        let one_time = self.one_time.as_ref().filter(|_| is_sign_in);
        let asked_at = Timestamp::now();
        let ask = Ask {
            endpoint: Endpoint::UsersToken,
            path: &["users", "token"],
            query: Vec::new(),
            form: Some(&form),
            one_time_code: one_time.map(|one_time| one_time.code(asked_at + inner.ahead)),
            free: None,
        };
        transport.gate(ask.endpoint)?;
        if is_sign_in {
            inner.sign_ins.spent(Instant::now());
        }
        let result = transport.ask(&ask, None, |reply| wire::decode::<Granted>(&reply.body)).await;
        transport.host().granted(grant, result.is_ok());
        result.map(|granted| self.pair(granted, asked_at))
    }

    async fn oauth_client(&self, inner: &mut Inner, transport: &Transport) -> Result<OauthClient, Error> {
        if let Some(client) = &inner.client {
            return Ok(client.clone());
        }
        let ask = Ask::get(Endpoint::OauthClientsLocal, &["oauth-clients", "local"]);
        let (client, date) = transport
            .ask(&ask, None, |reply| Ok((wire::decode::<OauthClient>(&reply.body)?, reply.date().ok())))
            .await?;
        inner.ahead = date.map_or(SignedDuration::ZERO, |date| one_time::ahead(date, Timestamp::now()));
        inner.client = Some(client.clone());
        Ok(client)
    }

    fn pair(&self, granted: Granted, asked_at: Timestamp) -> TokenPair {
        TokenPair {
            access_token: granted.access_token,
            refresh_token: granted.refresh_token,
            access_expires_at: later(asked_at, granted.access_lives),
            refresh_expires_at: granted.refresh_lives.map(|lives| later(asked_at, lives)),
            username: self.account.username.clone(),
            url: self.url.clone(),
        }
    }

    async fn keep(&self, inner: &mut Inner, pair: TokenPair, transport: &Transport) -> SecretString {
        let token = pair.access_token.clone();
        self.hold(inner, pair, false, transport);
        if let Some(held) = &mut inner.held {
            save(held, transport).await;
        }
        token
    }

    fn hold(&self, inner: &mut Inner, pair: TokenPair, saved: bool, transport: &Transport) {
        let (access_expires, refresh_expires) = (pair.access_expires_at, pair.refresh_expires_at);
        let left = access_expires.duration_since(Timestamp::now());
        let renew_at = access_expires.saturating_sub((left / SHARE_LEFT).min(LONGEST_LEFT)).unwrap_or(access_expires);
        inner.held = Some(Held { pair, renew_at, saved });
        inner.generation += 1;
        self.show(SignIn::SignedIn { access_expires, refresh_expires });
        transport.host().token_expiries(access_expires, refresh_expires);
        transport.host().signed_in(true);
    }

    async fn forget(&self, inner: &mut Inner, transport: &Transport) {
        inner.held = None;
        self.show(SignIn::SignedOut);
        transport.host().signed_in(false);
        if let Err(error) = transport.host().forget_tokens().await {
            tracing::warn!(peertube_instance = transport.instance(), %error, "the spent tokens could not be removed");
        }
    }

    /// What an error of signing in means: PeerTube's own no is final until a person
    /// acts, all else passes.
    async fn judge(&self, inner: &mut Inner, transport: &Transport, error: Error) -> Error {
        let code = match &error.cause {
            Cause::Status { status: 403, told: Told::Problem { .. } }
                if error.endpoint == Endpoint::OauthClientsLocal =>
            {
                "forbidden_host"
            }
            Cause::Status { status: 400..=499, told: Told::Problem { code } }
                if error.endpoint == Endpoint::UsersToken && !error.is_transient() =>
            {
                code.as_deref().unwrap_or("unknown")
            }
            _ => return error,
        };
        let now = Instant::now();
        if code == "invalid_two_factor" && self.one_time.is_some() {
            // The server's clock is asked for again, in case ours has drifted since.
            inner.client = None;
            let left = one_time::until_next(Timestamp::now() + inner.ahead);
            if inner.sign_ins.may_try_next_code(now, left) {
                return transport.error(error.endpoint, Cause::Paused { left, why: Pause::OneTimeCode });
            }
        }
        let refusal = Refusal::new(code, self.one_time.is_some());
        if inner.held.is_some() && error.endpoint == Endpoint::UsersToken {
            self.forget(inner, transport).await;
        }
        if inner.sign_ins.refused(&refusal, now) {
            transport.host().refused(&refusal);
        }
        self.show(SignIn::Refused(refusal.clone()));
        transport.error(error.endpoint, Cause::SignInRefused { refusal, asked: true })
    }

    fn show(&self, state: SignIn) {
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }
}

/// Stores a pair that isn't yet; tried again at each need, told the first time.
async fn save(held: &mut Held, transport: &Transport) {
    if held.saved {
        return;
    }
    match transport.host().save_tokens(&held.pair).await {
        Ok(()) => held.saved = true,
        Err(error) => {
            tracing::warn!(
                peertube_instance = transport.instance(),
                %error,
                "the new tokens could not be stored: a restart would sign in anew"
            );
        }
    }
}

/// The code of PeerTube's own refusal.
fn verdict(error: &Error) -> Option<&str> {
    match &error.cause {
        Cause::Status { status: 400..=499, told } => told.code(),
        _ => None,
    }
}

fn later(than: Timestamp, seconds: i64) -> Timestamp {
    than.saturating_add(SignedDuration::from_secs(seconds)).unwrap_or(than)
}
