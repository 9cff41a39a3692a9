//! Campaigns, dialled for by real processes at a simulated carrier: what it has seen is what counts.
#![expect(clippy::unwrap_used, reason = "a test that cannot set its scene has failed")]

mod carrier;
mod dialling;
mod kill;
mod program;
mod scene;
