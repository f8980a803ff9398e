//! Signing in: the client of the instance, and pairs of tokens for forms.

use jiff::Timestamp;
use serde_json::json;

use super::ask::Ask;
use super::problem::Problem;
use super::reply::Reply;
use crate::accounts::{GrantRequest, Refusal};
use crate::jobs::Version;
use crate::world::World;

/// Given under the configured name only.
pub(super) fn client(world: &World, ask: &Ask<'_>) -> Reply {
    let host = ask.header("host").unwrap_or_default();
    if world.host.as_deref() != Some(host) {
        return Problem::new(403, format!("Getting client tokens for host {host} is forbidden"))
            .docs("getOAuthClient")
            .reply(world.version());
    }
    Reply::json(&json!({ "client_id": world.accounts.client_id, "client_secret": world.accounts.client_secret }))
}

pub(super) fn token(world: &mut World, ask: &Ask<'_>) -> Reply {
    let form = ask.form();
    let request = GrantRequest {
        client_id: form.get("client_id"),
        client_secret: form.get("client_secret"),
        grant_type: form.get("grant_type"),
        username: form.get("username"),
        password: form.get("password"),
        refresh_token: form.get("refresh_token"),
        otp: ask.header("x-peertube-otp"),
    };
    let (now, version) = (world.now(), world.version());
    let outcome =
        if ask.is_form() { world.accounts.grant(now, Timestamp::now(), &request) } else { Err(Refusal::NotAForm) };
    let issued = match outcome {
        Ok(issued) => issued,
        Err(refusal) => {
            let problem = Problem::new(refusal.status(), refusal.detail()).code(refusal.code()).docs("getOAuthToken");
            let reply = problem.reply(version);
            return match refusal {
                Refusal::MissingOtp => reply.header("x-peertube-otp", "required; app"),
                _ => reply,
            };
        }
    };
    // The seconds are counted when the reply is written, a moment after the token was.
    let left = |lifetime: std::time::Duration| lifetime.as_secs().saturating_sub(u64::from(lifetime.as_secs() > 60));
    let mut body = json!({
        "token_type": "Bearer",
        "access_token": issued.access_token,
        "refresh_token": issued.refresh_token,
        "expires_in": left(issued.lifetimes.access),
    });
    if version != Version::QuickStart {
        body["refresh_token_expires_in"] = json!(left(issued.lifetimes.refresh));
    }
    Reply::json(&body)
}
