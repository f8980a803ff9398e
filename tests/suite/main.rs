//! What tubewarden does as a whole, one module a capability.
#![expect(clippy::unwrap_used, reason = "a test that can't go on should say where")]

mod store;
