//! A PeerTube to test against: worlds that know their own truth.

pub mod jobs;
pub mod traffic;
