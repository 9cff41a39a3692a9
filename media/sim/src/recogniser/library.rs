//! The recordings a recogniser knows.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::audio::{Clip, TELEPHONE_RATE, load_wav};

use super::{
    features::{BANDS, FRAME, FRAMES_PER_S, frames},
    timing::{Span, spans},
};

/// Frames of silence kept before and behind every recording, so that a caller's audio may overlap its ends.
pub(super) const PAD: usize = 20;
/// A recording is kept at this many phases of the 10 ms grid, 5 ms apart: the caller's grid lies anywhere.
pub(super) const PHASES: usize = 2;

/// Why a library can't be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LibraryError {
    /// `manifest.tsv` is missing or unreadable.
    #[error("the manifest {path} can't be read")]
    Manifest {
        /// The manifest's path.
        path: PathBuf,
        /// What reading it said.
        source: std::io::Error,
    },
    /// A line of the manifest has no transcript.
    #[error("line {line} of the manifest has no transcript")]
    NoTranscript {
        /// The line, from 1.
        line: usize,
    },
    /// A recording can't be read.
    #[error("the recording {file} can't be read")]
    Recording {
        /// Its name in the manifest.
        file: String,
        /// What reading it said.
        source: hound::Error,
    },
    /// A recording is not at 8 kHz.
    #[error("the recording {file} has {rate} samples a second, not 8000")]
    Rate {
        /// Its name in the manifest.
        file: String,
        /// Its samples a second.
        rate: u32,
    },
}

/// Recordings with their transcripts, prepared for comparison. Loaded once and shared by all recognisers.
#[derive(Debug)]
pub struct Library {
    clips: Vec<Recording>,
}

/// One recording of a [`Library`].
#[derive(Debug)]
pub struct Recording {
    name: String,
    transcript: String,
    samples: Vec<i16>,
    words: Vec<(Arc<str>, Span)>,
    pub(super) shapes: [Shape; PHASES],
    /// Frames, counted with the padding, before the first word is over.
    pub(super) opening: usize,
}

/// A recording's bands at one phase, with the running sums that a correlation needs.
#[derive(Debug)]
pub(super) struct Shape {
    pub(super) bands: [Vec<f32>; BANDS],
    /// `sums[b][n]` is the sum, `squares[b][n]` the sum of squares, of the first `n` values of band `b`.
    pub(super) sums: [Vec<f64>; BANDS],
    pub(super) squares: [Vec<f64>; BANDS],
}

impl Library {
    /// Loads `manifest.tsv` of `dir` (a header line; then file and transcript, further columns ignored) and its recordings.
    ///
    /// # Errors
    /// When the manifest or a recording can't be read, or a recording is not at 8 kHz.
    pub fn load(dir: impl AsRef<Path>) -> Result<Self, LibraryError> {
        let dir = dir.as_ref();
        let path = dir.join("manifest.tsv");
        let manifest =
            std::fs::read_to_string(&path).map_err(|source| LibraryError::Manifest { path: path.clone(), source })?;
        let mut clips = Vec::new();
        for (number, line) in manifest.lines().enumerate().skip(1).filter(|(_, line)| !line.trim().is_empty()) {
            let mut columns = line.split('\t');
            let (Some(file), Some(transcript)) = (columns.next(), columns.next()) else {
                return Err(LibraryError::NoTranscript { line: number + 1 });
            };
            let clip =
                load_wav(dir.join(file)).map_err(|source| LibraryError::Recording { file: file.to_owned(), source })?;
            clips.push(Recording::new(file, transcript, clip)?);
        }
        Ok(Self { clips })
    }

    /// A library of recordings in memory: name, transcript, sound at 8 kHz.
    ///
    /// # Errors
    /// When a recording is not at 8 kHz.
    pub fn from_clips<'a>(clips: impl IntoIterator<Item = (&'a str, &'a str, Clip)>) -> Result<Self, LibraryError> {
        let clips = clips.into_iter().map(|(name, transcript, clip)| Recording::new(name, transcript, clip));
        Ok(Self { clips: clips.collect::<Result<_, _>>()? })
    }

    /// The recordings, in the manifest's order.
    pub fn recordings(&self) -> &[Recording] {
        &self.clips
    }

    /// The recording of this name: its path in the manifest, or the file's name without folder, `_8k` and `.wav`.
    pub fn get(&self, name: &str) -> Option<&Recording> {
        self.clips.iter().find(|clip| clip.name == name || clip.short_name() == name)
    }
}

impl Recording {
    fn new(name: &str, transcript: &str, clip: Clip) -> Result<Self, LibraryError> {
        if clip.rate != TELEPHONE_RATE {
            return Err(LibraryError::Rate { file: name.to_owned(), rate: clip.rate });
        }
        let texts: Vec<&str> = transcript.split_whitespace().collect();
        let spans = spans(&texts, &frames(clip.samples.iter().copied()));
        let opening = PAD + spans.first().map_or(0, |span| (span.end * FRAMES_PER_S) as usize);
        Ok(Self {
            name: name.to_owned(),
            transcript: texts.join(" "),
            words: texts.into_iter().map(Arc::from).zip(spans).collect(),
            shapes: std::array::from_fn(|phase| Shape::new(&clip.samples, phase)),
            samples: clip.samples,
            opening,
        })
    }

    /// Its path in the manifest.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file's name without folder, `_8k` and `.wav`.
    pub fn short_name(&self) -> &str {
        let file = self.name.rsplit('/').next().unwrap_or(&self.name);
        let file = file.strip_suffix(".wav").unwrap_or(file);
        file.strip_suffix("_8k").unwrap_or(file)
    }

    /// Its words, separated by single spaces.
    pub fn transcript(&self) -> &str {
        &self.transcript
    }

    /// Its sound, at 8 kHz.
    pub fn samples(&self) -> &[i16] {
        &self.samples
    }

    /// How long it plays, in seconds.
    pub fn seconds(&self) -> f64 {
        self.samples.len() as f64 / f64::from(TELEPHONE_RATE)
    }

    /// Its words with start and end, in seconds from its beginning.
    pub fn words(&self) -> impl ExactSizeIterator<Item = (&str, f64, f64)> {
        self.words.iter().map(|(text, span)| (&**text, span.start, span.end))
    }

    pub(super) fn word(&self, index: usize) -> Option<(&Arc<str>, Span)> {
        self.words.get(index).map(|(text, span)| (text, *span))
    }
}

impl Shape {
    fn new(samples: &[i16], phase: usize) -> Self {
        let before = std::iter::repeat_n(0, PAD * FRAME);
        let behind = std::iter::repeat_n(0, PAD * FRAME);
        let padded = before.chain(samples.iter().copied()).chain(behind).skip(phase * FRAME / PHASES);
        let frames = frames(padded);
        let bands: [Vec<f32>; BANDS] =
            std::array::from_fn(|band| frames.iter().map(|frame| frame.bands[band]).collect());
        let sums = std::array::from_fn(|band| running(&bands[band], |value| value));
        let squares = std::array::from_fn(|band| running(&bands[band], |value| value * value));
        Self { bands, sums, squares }
    }

    pub(super) fn len(&self) -> usize {
        self.bands[0].len()
    }

    pub(super) fn frame(&self, at: usize) -> [f32; BANDS] {
        std::array::from_fn(|band| self.bands[band][at])
    }
}

fn running(values: &[f32], of: impl Fn(f64) -> f64) -> Vec<f64> {
    let mut sum = 0.0;
    std::iter::once(0.0)
        .chain(values.iter().map(|&value| {
            sum += of(f64::from(value));
            sum
        }))
        .collect()
}
