//! The only place that speaks HTTP with PeerTube. A partial answer is an error,
//! never a finding, and no secret leaves this module but to the instance itself.
//!
//! Reading order: `client` (one function an endpoint), `auth` (the token),
//! `transport` (one request), then what these lean on.

mod answer;
mod auth;
mod cache;
mod client;
mod error;
mod host;
mod limits;
mod names;
mod one_time;
mod options;
mod pace;
mod target;
mod transport;
pub mod wire;

pub(crate) use answer::{http_date, retry_after};
pub use client::{Client, SignIn};
pub use error::{BuildError, Cause, Endpoint, Error, Pause, Refusal, Told};
pub use host::{Boxed, Grant, Host, HostError, MemoryHost, TokenPair};
pub use options::{Account, Options};
pub use pace::Backoff;
pub use wire::{Me, ServerConfig};
