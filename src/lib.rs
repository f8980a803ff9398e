//! tubewarden watches PeerTube instances from outside and tells every job and
//! every video exactly once. The modules, in reading order:
//!
//! - [`core`]: what is true of jobs, videos and events. Pure: no clock, no I/O.
//! - [`metrics`]: what is measured, and how it is written down for a scraper.
//! - [`http`]: the listener: metrics, health, readiness.

pub mod core;
pub mod http;
pub mod metrics;
