//! The pure heart: what jobs, videos and events are, and how they are told
//! exactly once. Nothing here does I/O, reads a clock or draws a random number.

pub mod call;
pub mod cron;
pub mod event;
pub mod fault;
pub mod glob;
pub mod histogram;
pub mod job;
pub mod job_sync;
pub mod job_told;
pub mod lang;
pub mod memory;
pub mod moderation;
pub mod near;
pub mod poll;
pub mod rights;
pub mod rule;
pub mod rule_told;
pub mod runner;
pub mod runner_sync;
pub mod samples;
pub mod server_told;
pub mod signing;
pub mod stats;
pub mod tell;
pub mod text;
pub mod updates;
pub mod version;
pub mod video;
pub mod video_facts;
pub mod video_sync;
pub mod view;
pub mod work;
