//! From the events of a call to its rows.

#[path = "../../media/tests/world/mod.rs"]
mod world;

mod rows;
mod takes;
