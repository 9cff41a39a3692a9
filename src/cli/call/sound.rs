//! What a caller says: WAV files, or the built-in recordings.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use trunkline_media::audio::{SampleRate, resample::Resampler};
use trunkline_sim::{
    audio::{TELEPHONE_RATE, load_wav},
    recogniser::{Library, LibraryError, Recording},
};

use crate::cli::simulate::library;

/// The rates that are brought to the telephone's.
const RATES: [SampleRate; 3] = [SampleRate::HZ_16000, SampleRate::HZ_24000, SampleRate::HZ_48000];

/// Where sounds come from.
#[derive(Debug, Clone)]
pub struct Sounds {
    folder: PathBuf,
    built_in: Arc<Library>,
}

/// Why a sound cannot be said.
#[derive(Debug, thiserror::Error)]
pub enum SoundError {
    #[error("there is no file {path}; built-in recordings are {built_in}")]
    Missing { path: PathBuf, built_in: String },
    #[error("cannot read {path} as a WAV file of 16-bit samples: {cause}")]
    Wav { path: PathBuf, cause: hound::Error },
    #[error("{path} has {rate} samples a second; 8000, 16000, 24000 and 48000 can be said")]
    Rate { path: PathBuf, rate: u32 },
    #[error("the built-in recordings cannot be loaded: {0}")]
    Library(#[from] LibraryError),
}

impl Sounds {
    /// Files relative to the working directory, and the built-in recordings.
    pub fn built_in() -> Result<Self, SoundError> {
        Ok(Self { folder: PathBuf::new(), built_in: library()? })
    }

    /// The same, with files relative to `folder`.
    #[must_use]
    pub fn relative_to(self, folder: &Path) -> Self {
        Self { folder: folder.to_owned(), ..self }
    }

    /// The built-in recording of this name.
    pub fn recording(&self, name: &str) -> Option<&Recording> {
        self.built_in.get(name)
    }

    /// All built-in recordings.
    pub const fn library(&self) -> &Arc<Library> {
        &self.built_in
    }

    /// A sound at the telephone's rate.
    pub fn load(&self, name: &str) -> Result<Vec<i16>, SoundError> {
        let path = self.folder.join(name);
        if !path.is_file() {
            let built_in = || self.built_in.recordings().iter().map(Recording::short_name).collect::<Vec<_>>();
            return match self.recording(name) {
                Some(recording) => Ok(recording.samples().to_vec()),
                None => Err(SoundError::Missing { path, built_in: built_in().join(", ") }),
            };
        }
        let clip = load_wav(&path).map_err(|cause| SoundError::Wav { path: path.clone(), cause })?;
        if clip.rate == TELEPHONE_RATE {
            return Ok(clip.samples);
        }
        let from = RATES.into_iter().find(|rate| rate.hz() == clip.rate);
        let mut resampler =
            Resampler::new(from.ok_or(SoundError::Rate { path, rate: clip.rate })?, SampleRate::HZ_8000);
        let mut samples = Vec::new();
        resampler.process(&clip.samples, &mut samples);
        resampler.flush(&mut samples);
        Ok(samples)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wav(folder: &Path, name: &str, rate: u32, bits: u16) {
        let spec = hound::WavSpec {
            channels: 1,
            sample_rate: rate,
            bits_per_sample: bits,
            sample_format: hound::SampleFormat::Int,
        };
        let mut writer = hound::WavWriter::create(folder.join(name), spec).unwrap();
        for n in 0..rate {
            let sample = (f64::from(n) * 440.0 * std::f64::consts::TAU / f64::from(rate)).sin() * 100.0;
            writer.write_sample(sample as i16).unwrap();
        }
        writer.finalize().unwrap();
    }

    #[test]
    fn files_are_brought_to_the_telephones_rate_or_refused() {
        let folder = std::env::temp_dir().join(format!("trunkline-sounds-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        for rate in [8_000, 16_000, 48_000, 44_100] {
            wav(&folder, &format!("{rate}.wav"), rate, 16);
        }
        wav(&folder, "8bit.wav", 8_000, 8);
        std::fs::write(folder.join("noise.wav"), "not a sound").unwrap();
        let sounds = Sounds::built_in().unwrap().relative_to(&folder);
        assert_eq!(sounds.load("8000.wav").unwrap().len(), 8_000);
        for rate in [16_000, 48_000] {
            let length = sounds.load(&format!("{rate}.wav")).unwrap().len();
            assert!((7_900..8_500).contains(&length), "{rate}: {length}");
        }
        assert!(sounds.load("44100.wav").unwrap_err().to_string().contains("44100 samples a second"));
        assert!(matches!(sounds.load("8bit.wav"), Err(SoundError::Wav { .. })));
        assert!(matches!(sounds.load("noise.wav"), Err(SoundError::Wav { .. })));
        assert!(!sounds.load("goforward").unwrap().is_empty());
        std::fs::remove_dir_all(folder).unwrap();
    }
}
