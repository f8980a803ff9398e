//! The daemon as its users meet it, in this process or as the real program, against a
//! simulated instance that knows what really happened.

mod access;
mod accounts;
mod crashes;
mod exit;
pub(crate) mod harness;
mod history;
mod hostile;
mod moderation;
mod odd;
mod once;
mod online;
mod outage;
mod places;
mod recipes;
mod recorded;
mod reload;
mod rules;
mod runners;
mod schedules;
mod scrape;
mod secrets;
mod server;
mod service;
mod status;
mod stuck;
mod tokens;
mod truth;
mod try_rule;
mod upgrade;
