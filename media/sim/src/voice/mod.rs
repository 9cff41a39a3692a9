//! Voices of the speech simulators: one that can be read back exactly, and one that people can listen to.

mod alphabet;
pub mod coded;
mod decode;

pub use alphabet::{FALLBACK, normalise, spoken};
pub use coded::{CodedVoice, DecodedChar};

/// Speech and when each character of its text is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Speech {
    /// The sound, mono.
    pub samples: Vec<i16>,
    /// Samples a second.
    pub rate: u32,
    /// Every character of the text, in order.
    pub chars: Vec<CharTime>,
}

/// When one character is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CharTime {
    /// The character as it was written.
    pub ch: char,
    /// From the beginning of the speech.
    pub start_ms: u32,
    /// Until the next character, or silence.
    pub duration_ms: u32,
}
