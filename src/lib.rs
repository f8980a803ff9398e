//! tubewarden watches PeerTube instances from outside and tells every job and
//! every video exactly once. The modules, in reading order:
//!
//! - [`core`]: what is true of jobs, videos and events. Pure: no clock, no I/O.
//! - [`peertube`]: the only place that speaks HTTP with PeerTube.

pub mod core;
pub mod peertube;
