//! The client against recorded replies, and against servers that misbehave.
#![expect(clippy::expect_used, clippy::unwrap_used, reason = "helpers of tests: a surprise must end them")]

mod call;
mod names;
mod raw;
mod recorded;
mod sign_in;
mod tokens;
mod transport;
mod world;
