//! A voice for human ears: CMU Flite (Debian package `flite`), run as a program.

use std::{
    collections::VecDeque,
    io,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{process::Command, sync::Semaphore};

use super::{Speech, VoiceError, align, resample::resample};
use crate::audio::{Clip, parse_wav};

/// How long Flite may take for one text. It speaks a minute in a second or two.
const LIMIT: Duration = Duration::from_secs(30);
/// How many texts are spoken at a time.
const AT_ONCE: usize = 2;
/// How many texts are remembered, and how many samples of them together (about half an hour at 16 kHz).
const CACHED_TEXTS: usize = 256;
const CACHED_SAMPLES: usize = 30_000_000;

/// Flite with one of its voices. Clones share what they have said already.
#[derive(Debug, Clone)]
pub struct FliteVoice(Arc<Shared>);

/// A voice that comes with Flite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FliteModel {
    /// A woman's voice at 16 kHz, the better one.
    #[default]
    Slt,
    /// A man's voice at 8 kHz, the faster one.
    Kal,
}

#[derive(Debug)]
struct Shared {
    program: PathBuf,
    model: FliteModel,
    said: Mutex<VecDeque<Said>>,
    running: Semaphore,
}

#[derive(Debug)]
struct Said {
    text: String,
    speech: Speech,
}

impl FliteVoice {
    /// Flite as it is found in `PATH`.
    pub fn new(model: FliteModel) -> Self {
        Self::with_program("flite", model)
    }

    /// Flite as `program`.
    pub fn with_program(program: impl Into<PathBuf>, model: FliteModel) -> Self {
        Self(Arc::new(Shared {
            program: program.into(),
            model,
            said: Mutex::new(VecDeque::new()),
            running: Semaphore::new(AT_ONCE),
        }))
    }

    /// Says `text` at `rate` samples a second.
    ///
    /// # Errors
    /// When Flite is not installed, fails, or takes too long.
    pub async fn speak(&self, text: &str, rate: u32) -> Result<Speech, VoiceError> {
        if let Some(speech) = self.remembered(text, rate) {
            return Ok(speech);
        }
        let clip = {
            let _turn = self.0.running.acquire().await.map_err(|_| VoiceError::Flite("no longer running".into()))?;
            self.run(text).await?
        };
        let owned = text.to_owned();
        let speech = tokio::task::spawn_blocking(move || {
            let samples = resample(&clip.samples, clip.rate, rate);
            let chars = align::spread(&owned, &samples, rate);
            Speech { samples, rate, chars }
        });
        let speech = speech.await.map_err(|error| VoiceError::Flite(error.to_string()))?;
        self.remember(text, &speech);
        Ok(speech)
    }

    async fn run(&self, text: &str) -> Result<Clip, VoiceError> {
        let files = Files::new()?;
        tokio::fs::write(files.text(), text).await?;
        let mut command = Command::new(&self.0.program);
        command.args(["-voice", self.0.model.name(), "-f"]).arg(files.text()).arg("-o").arg(files.wav());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        let output =
            tokio::time::timeout(LIMIT, command.output()).await.map_err(|_| VoiceError::FliteTooSlow(LIMIT))?;
        let output = output.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => VoiceError::FliteMissing,
            _ => VoiceError::Io(error),
        })?;
        if !output.status.success() {
            let complaint = String::from_utf8_lossy(&output.stderr);
            return Err(VoiceError::Flite(format!("{}: {}", output.status, complaint.trim())));
        }
        let mut wav = tokio::fs::read(files.wav()).await?;
        correct_byte_rate(&mut wav);
        Ok(parse_wav(&wav)?)
    }

    fn remembered(&self, text: &str, rate: u32) -> Option<Speech> {
        let said = self.0.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.iter().find(|said| said.speech.rate == rate && said.text == text).map(|said| said.speech.clone())
    }

    fn remember(&self, text: &str, speech: &Speech) {
        let mut said = self.0.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.push_back(Said { text: text.into(), speech: speech.clone() });
        let mut samples: usize = said.iter().map(|said| said.speech.samples.len()).sum();
        while said.len() > CACHED_TEXTS || samples > CACHED_SAMPLES {
            samples -= said.pop_front().map_or(samples, |oldest| oldest.speech.samples.len());
        }
    }
}

impl FliteModel {
    fn name(self) -> &'static str {
        match self {
            Self::Slt => "slt",
            Self::Kal => "kal",
        }
    }
}

/// Flite appends sentences to a file whose header keeps 16 kHz's bytes a second; a strict reader refuses that in an 8 kHz file.
fn correct_byte_rate(wav: &mut [u8]) {
    if wav.len() >= 36 && &wav[12..16] == b"fmt " {
        let rate = u32::from_le_bytes([wav[24], wav[25], wav[26], wav[27]]);
        let block = u32::from(u16::from_le_bytes([wav[32], wav[33]]));
        wav[28..32].copy_from_slice(&rate.wrapping_mul(block).to_le_bytes());
    }
}

/// A folder for one run's text and sound, deleted with this.
struct Files(PathBuf);

impl Files {
    fn new() -> io::Result<Self> {
        let folder = std::env::temp_dir().join(format!("trunkline-sim-{}", uuid::Uuid::new_v4().simple()));
        std::fs::create_dir(&folder)?;
        Ok(Self(folder))
    }

    fn text(&self) -> PathBuf {
        self.0.join("text.txt")
    }

    fn wav(&self) -> PathBuf {
        self.0.join("speech.wav")
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(Path::new(&self.0));
    }
}
