//! The recording on disk.
//!
//! A file's writes may block, so they never run on the runtime's own threads. About once a second a block goes to the blocking pool,
//! and with it the file; no thread is kept for a call in between, so five hundred calls want five hundred short jobs a second.

use std::{
    fs::{File, OpenOptions},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use futures_util::FutureExt as _;
use hound::{SampleFormat, WavSpec, WavWriter};
use thiserror::Error;
use tokio::task::JoinHandle;

use super::{CHANNELS, RATE};
use crate::audio::Samples;

/// Values in a block: a second.
const BLOCK: usize = RATE.hz() as usize * CHANNELS;

/// The most that waits for a slow disk, in values: 8 s, 250 KiB.
const BACKLOG: usize = 8 * BLOCK;

/// What a WAV file can say that it holds, in values: 4 GiB less the header, which is 37 hours.
const LONGEST: u64 = (u32::MAX as u64 - 1024) / 2;

/// How long [`RecordingWriter::finish`] waits for the disk.
pub const FINISH_TIMEOUT: Duration = Duration::from_secs(30);

/// Why a recording was not written, or not to its end.
#[derive(Debug, Error)]
pub enum RecordingError {
    /// The file can't be created; an existing one is never overwritten.
    #[error("the recording's file can't be created")]
    Create(#[source] hound::Error),
    /// The file can't be locked.
    #[error("the recording's file can't be locked")]
    Lock(#[source] std::io::Error),
    /// The file can't be written.
    #[error("the recording can't be written")]
    Write(#[source] hound::Error),
    /// The disk is slower than the call. The recording ends there, because one with a hole would be wrong from the hole on.
    #[error("the disk is {} s behind the recording", BACKLOG / BLOCK)]
    Behind,
    /// The call is longer than a WAV file can be.
    #[error("the recording is longer than its file can be")]
    TooLong,
    /// The disk didn't take the rest in time.
    #[error("the disk didn't take the end of the recording within {FINISH_TIMEOUT:?}")]
    Timeout,
    /// The recording has failed before, for a reason that was given then.
    #[error("the recording has failed before")]
    Failed,
    /// The job that wrote was lost with the runtime.
    #[error("the job that wrote the recording was lost")]
    Lost,
}

/// A recording that is on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Its file.
    pub path: PathBuf,
    /// Its length, in samples of each side.
    pub samples: Samples,
}

type Wav = WavWriter<File>;

#[derive(Debug)]
enum Job {
    /// No block is on its way.
    Idle(Box<FileState>),
    /// The file is with the block that is being written.
    Writing(JoinHandle<Result<Box<FileState>, RecordingError>>),
    Failed,
}

/// Writes interleaved blocks to a WAV file, without ever waiting.
///
/// After each block the file says how long it is: whatever happens to the process, what was written can be played. For as long as it is
/// written it is locked (`flock`): whoever finds it can tell whether its writer is alive.
/// Must be used within a tokio runtime. If it is dropped unfinished, the last second is missing.
#[derive(Debug)]
pub struct RecordingWriter {
    path: PathBuf,
    job: Job,
    waiting: Vec<i16>,
    accepted: u64,
}

impl RecordingWriter {
    /// Creates the file, readable by its owner alone, in a folder that exists.
    ///
    /// # Errors
    /// [`RecordingError::Create`], also where the file exists.
    pub async fn create(path: PathBuf) -> Result<Self, RecordingError> {
        let created = path.clone();
        let file = tokio::task::spawn_blocking(move || FileState::create(&created));
        let file = file.await.map_err(|_| RecordingError::Lost)??;
        Ok(Self { path, job: Job::Idle(Box::new(file)), waiting: Vec::new(), accepted: 0 })
    }

    /// Takes the next samples, interleaved, caller first.
    ///
    /// # Errors
    /// What happened to an earlier block, once; then [`RecordingError::Failed`]. The file keeps what it has.
    pub fn write(&mut self, interleaved: &[i16]) -> Result<(), RecordingError> {
        self.try_write(interleaved).inspect_err(|_| {
            self.job = Job::Failed;
            self.waiting = Vec::new();
        })
    }

    /// The most that this may hold in memory at the moment, in bytes: what waits for the disk, and what is on its way to it.
    pub fn held(&self) -> usize {
        let on_its_way = if let Job::Writing(_) = self.job { BLOCK + BLOCK / 4 } else { 0 };
        (self.waiting.capacity() + on_its_way) * size_of::<i16>()
    }

    /// Writes what is left and closes the file.
    ///
    /// # Errors
    /// As [`RecordingWriter::write`], and [`RecordingError::Timeout`].
    pub async fn finish(mut self) -> Result<Recorded, RecordingError> {
        let path = self.path.clone();
        let samples = Samples(self.accepted / CHANNELS as u64);
        let rest = async {
            let mut file = match self.job {
                Job::Idle(file) => file,
                Job::Writing(handle) => handle.await.map_err(|_| RecordingError::Lost)??,
                Job::Failed => return Err(RecordingError::Failed),
            };
            let waiting = std::mem::take(&mut self.waiting);
            let job = tokio::task::spawn_blocking(move || {
                file.append(&waiting)?;
                file.wav.finalize().map_err(RecordingError::Write)
            });
            job.await.map_err(|_| RecordingError::Lost)?
        };
        tokio::time::timeout(FINISH_TIMEOUT, rest).await.map_err(|_| RecordingError::Timeout)??;
        Ok(Recorded { path, samples })
    }

    fn try_write(&mut self, interleaved: &[i16]) -> Result<(), RecordingError> {
        self.accepted += interleaved.len() as u64;
        if self.accepted > LONGEST {
            return Err(RecordingError::TooLong);
        }
        self.waiting.extend_from_slice(interleaved);
        self.job = match std::mem::replace(&mut self.job, Job::Failed) {
            Job::Failed => return Err(RecordingError::Failed),
            Job::Idle(file) => self.next_block(file),
            Job::Writing(mut handle) => match (&mut handle).now_or_never() {
                Some(done) => self.next_block(done.map_err(|_| RecordingError::Lost)??),
                None if self.waiting.len() > BACKLOG => return Err(RecordingError::Behind),
                None => Job::Writing(handle),
            },
        };
        Ok(())
    }

    fn next_block(&mut self, mut file: Box<FileState>) -> Job {
        if self.waiting.len() < BLOCK {
            return Job::Idle(file);
        }
        let block = std::mem::replace(&mut self.waiting, Vec::with_capacity(BLOCK + BLOCK / 4));
        Job::Writing(tokio::task::spawn_blocking(move || file.append(&block).map(|()| file)))
    }
}

struct FileState {
    wav: Wav,
}

impl std::fmt::Debug for FileState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileState").field("samples", &self.wav.duration()).finish()
    }
}

impl FileState {
    fn create(path: &Path) -> Result<Self, RecordingError> {
        let spec = WavSpec {
            channels: CHANNELS as u16,
            sample_rate: RATE.hz(),
            bits_per_sample: 16,
            sample_format: SampleFormat::Int,
        };
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let file = file.map_err(|error| RecordingError::Create(error.into()))?;
        // Whoever looks whether it is written holds it for a moment.
        file.lock().map_err(RecordingError::Lock)?;
        let wav = WavWriter::new(file, spec).map_err(RecordingError::Create)?;
        Ok(Self { wav })
    }

    /// Writes a block, and its length into the header.
    fn append(&mut self, block: &[i16]) -> Result<(), RecordingError> {
        // The writer keeps a buffer of the size of the largest part for as long as the file is open.
        for part in block.chunks(4096) {
            let mut writer = self.wav.get_i16_writer(part.len() as u32);
            for &sample in part {
                writer.write_sample(sample);
            }
            writer.flush().map_err(RecordingError::Write)?;
        }
        self.wav.flush().map_err(RecordingError::Write)
    }
}

#[cfg(test)]
mod tests;
