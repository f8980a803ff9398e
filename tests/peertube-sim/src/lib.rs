//! A PeerTube to test against: worlds that know their own truth, and a face that
//! serves them over HTTP. It shares no code with what it tests.
//!
//! A [`World`] is one instance in virtual time: [`jobs`], [`videos`], [`runners`],
//! [`accounts`], [`moderation`], [`news`].
//! [`Sim`] serves it as PeerTube would, [`Faults`] spoil replies, and a [`Proxy`] in
//! front spoils connections.
//!
//! ```no_run
//! # async fn story() -> std::io::Result<()> {
//! use peertube_sim::jobs::Version;
//! use peertube_sim::videos::{NewVideo, What};
//! use peertube_sim::{Fault, Sim, When, World};
//!
//! let sim = Sim::serve(World::new(1, jiff::Timestamp::now(), Version::V8_2)).await?;
//! sim.with(|world| world.upload(NewVideo::named("holidays")));
//! sim.faults().next(1, When::path("/api/v1/jobs"), Fault::CutShort);
//! sim.advance(std::time::Duration::from_secs(120));
//! // … something watches `sim.url()` …
//! let published = |world: &mut World| world.videos.truth().iter().any(|told| told.what == What::Published);
//! assert!(sim.with(published));
//! # Ok(())
//! # }
//! ```

pub mod accounts;
mod face;
mod faults;
pub mod jobs;
pub mod limits;
pub mod moderation;
pub mod news;
mod proxy;
pub mod runners;
pub mod traffic;
pub mod videos;
mod world;

pub use face::{Clock, Logged, Options, Requests, Sim};
pub use faults::{Fault, Faults, When};
pub use proxy::{KeepAlive, Mode, Proxy};
pub use world::World;
