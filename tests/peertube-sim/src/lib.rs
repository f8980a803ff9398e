//! A PeerTube to test against: worlds that know their own truth, and a face that
//! serves them over HTTP. It shares no code with what it tests.
//!
//! A [`World`] is one instance in virtual time: [`jobs`], [`videos`], [`accounts`].
//! [`Sim`] serves it as PeerTube would, [`Faults`] spoil replies, and a [`Proxy`] in
//! front spoils connections.

pub mod accounts;
mod face;
mod faults;
pub mod jobs;
pub mod limits;
mod proxy;
pub mod traffic;
pub mod videos;
mod world;

pub use face::{Clock, Logged, Options, Requests, Sim};
pub use faults::{Fault, Faults, When};
pub use proxy::{KeepAlive, Mode, Proxy};
pub use world::World;
