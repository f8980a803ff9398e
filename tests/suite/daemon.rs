//! The daemon as its users meet it, in this process or as the real program, against a
//! simulated instance that knows what really happened.

mod accounts;
mod crashes;
mod exit;
mod harness;
mod history;
mod moderation;
mod odd;
mod once;
mod online;
mod outage;
mod places;
mod recorded;
mod runners;
mod scrape;
mod secrets;
mod server;
mod service;
mod status;
mod stuck;
mod tokens;
mod truth;
mod upgrade;
