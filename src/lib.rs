//! tubewarden watches PeerTube instances from outside and tells every job and
//! every video exactly once. The modules, in reading order:
//!
//! - [`core`]: what is true of jobs, videos and events. Pure: no clock, no I/O.
//! - [`store`]: what was learnt and told, kept in one file.

pub mod core;
pub mod store;
