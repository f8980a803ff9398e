//! tubewarden watches PeerTube instances from outside and tells every job and
//! every video exactly once. The modules, in reading order:
//!
//! - [`core`]: what is true of jobs, videos and events. Pure: no clock, no I/O.
//! - [`config`]: the TOML as written in, a configuration that cannot be wrong out.
//! - [`certificates`]: what the listener speaks TLS with, from its files.
//! - [`peertube`]: the only place that speaks HTTP with PeerTube.
//! - [`store`]: what was learnt and told, kept in one file.
//! - [`poll`]: fetch → core → one transaction → metrics and log.
//! - [`rules`]: what is done about events and at times.
//! - [`schedule`]: the clock that wakes the polls.
//! - [`metrics`]: all that Prometheus reads.
//! - [`http`]: the listener that serves it.
//! - [`log`]: every event of the program as one safe line.
//! - [`panics`]: defects at run time, caught, told and counted.
//! - [`service`]: what the service manager is told, and when the watchdog is fed.
//! - [`daemon`]: wiring, supervision, the order of starting and stopping.
//! - [`status`]: what the state says of all instances, for people and for scripts.
//! - [`cli`]: the command line.

pub mod certificates;
pub mod cli;
pub mod config;
pub mod core;
pub mod daemon;
pub mod http;
pub mod log;
pub mod metrics;
pub mod panics;
pub mod peertube;
pub mod poll;
pub mod rules;
pub mod schedule;
pub mod service;
pub mod status;
pub mod store;
