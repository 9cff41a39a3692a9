//! `trunkline call`: be a phone.

mod script;
mod sound;

pub use script::{CallerScript, CallerStep, ScriptError};
pub use sound::{SoundError, Sounds};
