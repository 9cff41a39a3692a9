//! From the events of a call to its rows.
#![allow(clippy::unwrap_used, reason = "a test's helpers may panic")]

#[path = "../../media/tests/world/mod.rs"]
mod world;

mod rows;
mod takes;
