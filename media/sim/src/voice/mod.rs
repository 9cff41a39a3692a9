//! Voices of the speech simulators: one that can be read back exactly, and one that people can listen to.

mod align;
mod alphabet;
pub mod coded;
mod decode;
mod flite;
mod resample;

use std::{io, time::Duration};

pub use alphabet::{FALLBACK, normalise, spoken};
pub use coded::{CodedVoice, DecodedChar};
pub use flite::{FliteModel, FliteVoice};

/// A voice a simulator speaks with.
#[derive(Debug, Clone)]
pub enum Voice {
    /// Tones that can be read back.
    Coded(CodedVoice),
    /// A human-like voice.
    Flite(FliteVoice),
}

impl Default for Voice {
    fn default() -> Self {
        Self::Coded(CodedVoice::default())
    }
}

impl Voice {
    /// Says `text` at `rate` samples a second.
    ///
    /// # Errors
    /// When the program that speaks can't; the coded voice never fails.
    pub async fn speak(&self, text: &str, rate: u32) -> Result<Speech, VoiceError> {
        match self {
            Self::Coded(voice) => Ok(voice.encode(text, rate)),
            Self::Flite(voice) => voice.speak(text, rate).await,
        }
    }
}

/// Why nothing is said.
#[derive(Debug, thiserror::Error)]
pub enum VoiceError {
    /// There is no such program.
    #[error("flite is not installed: apt-get install flite")]
    FliteMissing,
    /// The program failed.
    #[error("flite failed: {0}")]
    Flite(String),
    /// The program was stopped.
    #[error("flite took longer than {0:?}")]
    FliteTooSlow(Duration),
    /// The program could not be given the text.
    #[error("cannot run flite: {0}")]
    Io(#[from] io::Error),
    /// The program wrote something else than sound.
    #[error("flite wrote no sound: {0}")]
    Wav(#[from] hound::Error),
}

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
