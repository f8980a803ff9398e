//! The simulator against what was recorded of real servers, and against its own truth.

#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod client;
mod faults;
mod lists;
mod moderation;
mod proxy;
mod rights;
mod runners;
mod token;
mod videos;
mod ways;

use jiff::Timestamp;
use peertube_sim::World;
use peertube_sim::accounts::{Role, Standing};
use peertube_sim::jobs::Version;
use serde_json::Value;

const TOTP_SECRET: &str = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP";

fn start() -> Timestamp {
    "2026-11-24T03:00:00Z".parse().unwrap()
}

/// An instance with an account of each kind, under the name of the recordings.
fn world(version: Version) -> World {
    let mut world = World::new(1, start(), version);
    world.host = Some("peertube.example.com".to_owned());
    world.accounts.add("bob", "bob-password", Role::User);
    world.accounts.add("moderator", "moderator-password", Role::Moderator);
    world.accounts.add("guarded", "guarded-password", Role::Administrator).totp_secret = Some(TOTP_SECRET.to_owned());
    world.accounts.add("carol", "carol-password", Role::User).standing = Standing::WaitingForApproval;
    world
}

/// A recorded reply: status, content type, body.
fn recorded(name: &str) -> (u16, String, Value) {
    let path = format!("{}/captures/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let capture: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let response = &capture["response"];
    let status = u16::try_from(response["status"].as_u64().unwrap()).unwrap();
    let content_type = response["headers"]["Content-Type"].as_str().unwrap_or_default().to_owned();
    (status, content_type, response["body"].clone())
}

fn keys(object: &Value) -> Vec<&str> {
    object.as_object().unwrap().keys().map(String::as_str).collect()
}
