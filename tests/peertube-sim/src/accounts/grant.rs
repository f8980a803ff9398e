//! `POST /users/token`: who gets a pair of tokens, and why the others do not. The
//! checks are made in PeerTube's order.

use jiff::Timestamp;
use totp_rs::{Builder, Secret};

use super::tokens::Spent;
use super::{Account, Accounts, Issued, Standing};

/// The form as it was sent; what is missing is `None`.
#[derive(Debug, Default)]
pub(crate) struct GrantRequest<'a> {
    pub(crate) client_id: Option<&'a str>,
    pub(crate) client_secret: Option<&'a str>,
    pub(crate) grant_type: Option<&'a str>,
    pub(crate) username: Option<&'a str>,
    pub(crate) password: Option<&'a str>,
    pub(crate) refresh_token: Option<&'a str>,
    /// The header `x-peertube-otp`.
    pub(crate) otp: Option<&'a str>,
}

/// Why no token was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    NotAForm,
    MissingClient,
    WrongClient,
    Missing(&'static str),
    UnsupportedGrant,
    WrongCredentials,
    WaitingForApproval,
    Blocked,
    MissingOtp,
    WrongOtp,
    UnknownRefreshToken,
    ExpiredRefreshToken,
}

impl Refusal {
    pub(crate) fn status(&self) -> u16 {
        match self {
            Self::MissingOtp => 401,
            _ => 400,
        }
    }

    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::NotAForm | Self::Missing(_) => "invalid_request",
            Self::MissingClient | Self::WrongClient => "invalid_client",
            Self::UnsupportedGrant => "unsupported_grant_type",
            Self::WrongCredentials | Self::UnknownRefreshToken | Self::ExpiredRefreshToken => "invalid_grant",
            Self::WaitingForApproval => "account_waiting_for_approval",
            Self::Blocked => "access_denied",
            Self::MissingOtp => "missing_two_factor",
            Self::WrongOtp => "invalid_two_factor",
        }
    }

    pub(crate) fn detail(&self) -> String {
        let text = match self {
            Self::NotAForm => "Invalid request: content must be application/x-www-form-urlencoded",
            Self::MissingClient => "Invalid client: cannot retrieve client credentials",
            Self::WrongClient => "Invalid client: client is invalid",
            Self::Missing(name) => return format!("Missing parameter: `{name}`"),
            Self::UnsupportedGrant => "Unsupported grant type: `grant_type` is invalid",
            Self::WrongCredentials => "Invalid grant: user credentials are invalid",
            Self::WaitingForApproval => "Registration for this account is awaiting approval",
            Self::Blocked => "User is blocked.",
            Self::MissingOtp => "Missing two factor header",
            Self::WrongOtp => "Invalid two factor header",
            Self::UnknownRefreshToken => "Invalid grant: refresh token is invalid",
            Self::ExpiredRefreshToken => "Invalid grant: refresh token has expired",
        };
        text.to_owned()
    }
}

impl Accounts {
    /// Answers a request for a token, and counts it. One-time passwords are good at
    /// `now` and at `wall`: an authenticator knows no time but that of the wall.
    pub(crate) fn grant(
        &mut self,
        now: Timestamp,
        wall: Timestamp,
        request: &GrantRequest<'_>,
    ) -> Result<Issued, Refusal> {
        let outcome = self.holder_of_grant(now, wall, request);
        let counted = match request.grant_type {
            Some("password") => Some(&mut self.truth.password),
            Some("refresh_token") => Some(&mut self.truth.refresh_token),
            _ => None,
        };
        if let Some(grants) = counted {
            match outcome {
                Ok(_) => grants.granted += 1,
                Err(_) => grants.refused += 1,
            }
        }
        outcome.map(|username| self.tokens.issue(now, &username, self.lifetimes))
    }

    fn holder_of_grant(
        &mut self,
        now: Timestamp,
        wall: Timestamp,
        request: &GrantRequest<'_>,
    ) -> Result<String, Refusal> {
        let (Some(id), Some(secret)) = (request.client_id, request.client_secret) else {
            return Err(Refusal::MissingClient);
        };
        if (id, secret) != (&self.client_id, &self.client_secret) {
            return Err(Refusal::WrongClient);
        }
        match request.grant_type {
            None => Err(Refusal::Missing("grant_type")),
            Some("password") => self.by_password(now, wall, request),
            Some("refresh_token") => self.by_refresh_token(now, request),
            Some(_) => Err(Refusal::UnsupportedGrant),
        }
    }

    fn by_password(&self, now: Timestamp, wall: Timestamp, request: &GrantRequest<'_>) -> Result<String, Refusal> {
        let username = request.username.ok_or(Refusal::Missing("username"))?;
        let password = request.password.ok_or(Refusal::Missing("password"))?;
        let account = self.get(username).ok_or(Refusal::WrongCredentials)?;
        if account.standing == Standing::WaitingForApproval {
            return Err(Refusal::WaitingForApproval);
        }
        if account.password != password {
            return Err(Refusal::WrongCredentials);
        }
        if account.standing == Standing::Blocked {
            return Err(Refusal::Blocked);
        }
        if account.totp_secret.is_some() {
            let otp = request.otp.ok_or(Refusal::MissingOtp)?;
            if ![now, wall].into_iter().any(|at| account.accepts_otp(otp, at)) {
                return Err(Refusal::WrongOtp);
            }
        }
        Ok(username.to_owned())
    }

    fn by_refresh_token(&mut self, now: Timestamp, request: &GrantRequest<'_>) -> Result<String, Refusal> {
        let refresh_token = request.refresh_token.ok_or(Refusal::Missing("refresh_token"))?;
        self.tokens.spend(now, refresh_token).map_err(|spent| match spent {
            Spent::Unknown => Refusal::UnknownRefreshToken,
            Spent::Expired => Refusal::ExpiredRefreshToken,
        })
    }
}

impl Account {
    /// The one-time password of a moment, for an account that needs one.
    pub fn otp_at(&self, at: Timestamp) -> Option<String> {
        let secret = Secret::try_from_base32(self.totp_secret.as_deref()?).ok()?;
        let totp = Builder::new().with_secret(secret).build_noncompliant();
        Some(totp.generate(u64::try_from(at.as_second()).ok()?).to_string())
    }

    fn accepts_otp(&self, otp: &str, at: Timestamp) -> bool {
        // One step before and after, as PeerTube does.
        [-30, 0, 30].into_iter().any(|seconds| {
            let at = Timestamp::from_second(at.as_second() + seconds).ok();
            at.and_then(|at| self.otp_at(at)).is_some_and(|expected| expected == otp)
        })
    }
}
