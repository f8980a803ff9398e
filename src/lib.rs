//! tubewarden watches PeerTube instances from outside and tells every job and
//! every video exactly once. The modules, in reading order:
//!
//! - [`core`]: what is true of jobs, videos and events. Pure: no clock, no I/O.
//! - [`config`]: the TOML as written in, a configuration that cannot be wrong out.
//! - [`schedule`]: when things recur; wakes the polls.
//! - [`store`]: what was learnt and told, kept in one file.
//! - [`log`]: every event of the program as one safe line.

pub mod config;
pub mod core;
pub mod log;
pub mod schedule;
pub mod store;
