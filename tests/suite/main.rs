//! What the crate does as its users see it, a module for each capability.
#![expect(clippy::unwrap_used, reason = "a test that meets the unexpected is to fail at once")]

mod accounting;
mod config;
mod daemon;
mod exposition;
mod metrics;
mod peertube;
mod prometheus;
mod rules;
mod runners;
mod store;
mod systemd;
mod tools;
