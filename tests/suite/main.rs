//! What tubewarden does, seen from outside.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails at once")]

mod exposition;
mod metrics;
mod prometheus;
mod tools;
