//! Whole calls on virtual time, one behaviour a file. Each file is named after what must be so, and says why.
#![allow(clippy::unwrap_used, reason = "a test's helpers may panic")]

#[path = "../world/mod.rs"]
mod world;

mod an_interruption_clears_what_the_carrier_has_buffered;
mod barge_in_depends_on_playout_and_not_on_generation;
mod line_noise_does_not_wipe_the_greeting;
mod marks_after_a_clear_prove_nothing;
