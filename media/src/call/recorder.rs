//! The call's recording: placed by the mixer on the call's clock, written beside the runtime. A recording that fails costs the call
//! nothing but the recording.

use std::{path::PathBuf, time::Duration};

use tokio::task::JoinHandle;

use super::{actor::Call, socket::MediaSocket};
use crate::{
    audio::{
        AudioFormat, Encoding, g711,
        recording::{
            RATE,
            mixer::{DEFAULT_SETTLE, RecordingMixer},
            writer::{RecordingError, RecordingWriter},
        },
        resample::Resampler,
    },
    event::RecordingState,
    time::MediaTime,
    turn::Input,
};

/// How often settled audio is handed to the writer.
const DRAIN_EVERY: Duration = Duration::from_millis(250);

/// One call's recording.
pub(super) struct Recorder {
    mixer: RecordingMixer,
    writer: Writer,
    format: AudioFormat,
    /// Where the recording begins on the call's clock.
    begin: MediaTime,
    /// Only where the carrier's rate is not the recording's.
    resamplers: Option<(Resampler, Resampler)>,
    pcm: Vec<i16>,
    resampled: Vec<i16>,
    block: Vec<i16>,
    next_drain: MediaTime,
    /// The most memory that it has held, in bytes.
    most_held: usize,
}

enum Writer {
    /// The file is being created: the first audio settles later than that.
    Opening(JoinHandle<Result<RecordingWriter, RecordingError>>),
    Open(RecordingWriter),
    Failed,
}

impl Recorder {
    /// Begins to create the file, and the folder that it is in.
    pub(super) fn start(path: PathBuf, format: AudioFormat, begin: MediaTime) -> Self {
        let opening = tokio::spawn(async move {
            if let Some(folder) = path.parent() {
                // If this fails, creating the file says so.
                let _ = tokio::fs::create_dir_all(folder).await;
            }
            RecordingWriter::create(path).await
        });
        let resamplers =
            (format.rate != RATE).then(|| (Resampler::new(format.rate, RATE), Resampler::new(format.rate, RATE)));
        Self {
            mixer: RecordingMixer::new(DEFAULT_SETTLE),
            writer: Writer::Opening(opening),
            format,
            begin,
            resamplers,
            pcm: Vec::new(),
            resampled: Vec::new(),
            block: Vec::new(),
            next_drain: MediaTime::ZERO,
            most_held: 0,
        }
    }

    /// A time of the call in the recording.
    const fn place(&self, at: MediaTime) -> MediaTime {
        MediaTime::new(at.saturating_since(self.begin))
    }

    fn caller(&mut self, at: MediaTime, samples: &[i16]) {
        let at = self.place(at);
        match &mut self.resamplers {
            None => self.mixer.caller(at, samples),
            Some((caller, _)) => {
                let at = at.saturating_sub(caller.withheld());
                self.resampled.clear();
                caller.process(samples, &mut self.resampled);
                self.mixer.caller(at, &self.resampled);
            }
        }
    }

    fn agent(&mut self, at: MediaTime, frame: &[u8]) {
        let at = self.place(at);
        self.pcm.clear();
        match self.format.encoding {
            Encoding::Mulaw => g711::mulaw_decode(frame, &mut self.pcm),
            Encoding::Linear16 => {
                self.pcm.extend(frame.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])));
            }
        }
        match &mut self.resamplers {
            None => self.mixer.agent(at, &self.pcm),
            Some((_, agent)) => {
                let at = at.saturating_sub(agent.withheld());
                self.resampled.clear();
                agent.process(&self.pcm, &mut self.resampled);
                self.mixer.agent(at, &self.resampled);
            }
        }
    }

    /// Hands on what has settled. Says whether the recording began or failed just now.
    async fn drain(&mut self, now: MediaTime) -> Option<Result<RecordingState, RecordingError>> {
        if now < self.next_drain {
            return None;
        }
        self.next_drain = now + DRAIN_EVERY;
        if let Writer::Opening(opening) = &mut self.writer {
            if !opening.is_finished() {
                return None;
            }
            return Some(match opening.await {
                Ok(Ok(writer)) => {
                    self.writer = Writer::Open(writer);
                    Ok(RecordingState::Started)
                }
                Ok(Err(error)) => self.fail(error),
                Err(_) => self.fail(RecordingError::Failed),
            });
        }
        self.block.clear();
        self.mixer.drain(self.place(now), &mut self.block);
        if let Writer::Open(writer) = &mut self.writer
            && let Err(error) = writer.write(&self.block)
        {
            return Some(self.fail(error));
        }
        self.note_held();
        None
    }

    fn note_held(&mut self) {
        let buffers = self.pcm.capacity() + self.resampled.capacity() + self.block.capacity();
        let writer = if let Writer::Open(writer) = &self.writer { writer.held() } else { 0 };
        self.most_held = self.most_held.max(self.mixer.held() + writer + buffers * size_of::<i16>());
    }

    fn fail<T>(&mut self, error: RecordingError) -> Result<T, RecordingError> {
        self.writer = Writer::Failed;
        Err(error)
    }

    async fn finish(mut self, now: MediaTime) -> Result<(), RecordingError> {
        let end = self.place(now);
        let mut writer = match self.writer {
            Writer::Open(writer) => writer,
            Writer::Opening(opening) => opening.await.map_err(|_| RecordingError::Failed)??,
            Writer::Failed => return Err(RecordingError::Failed),
        };
        self.block.clear();
        self.mixer.finish(end, &mut self.block);
        writer.write(&self.block)?;
        writer.finish().await.map(|_| ())
    }
}

impl<S: MediaSocket> Call<S> {
    /// The caller's frame at hand.
    pub(super) fn record_caller(&mut self, at: MediaTime) {
        if let Some(recorder) = &mut self.recorder {
            recorder.caller(at, &self.pcm);
        }
    }

    /// The agent's frame that will be heard from `at` on.
    pub(super) fn record_agent(&mut self, at: MediaTime, frame: &[u8]) {
        if let Some(recorder) = &mut self.recorder {
            recorder.agent(at, frame);
        }
    }

    /// What the carrier had not played will not be heard.
    pub(super) fn cut_recording(&mut self, now: MediaTime) {
        if let Some(recorder) = &mut self.recorder {
            recorder.mixer.cut_agent(recorder.place(now));
        }
    }

    pub(super) async fn drain_recording(&mut self, now: MediaTime) {
        let Some(recorder) = &mut self.recorder else { return };
        let state = match recorder.drain(now).await {
            None => return,
            Some(Ok(state)) => state,
            Some(Err(error)) => {
                tracing::error!(call = %self.config.id, %error, "the recording failed");
                self.recorder = None;
                RecordingState::Failed
            }
        };
        self.machine.handle_input(now, Input::Recording { state });
    }

    pub(super) async fn finish_recording(&mut self, now: MediaTime) {
        let Some(recorder) = self.recorder.take() else { return };
        self.summary.recording_held = recorder.most_held;
        let state = match recorder.finish(now).await {
            Ok(()) => RecordingState::Finished,
            Err(error) => {
                tracing::error!(call = %self.config.id, %error, "the recording failed");
                RecordingState::Failed
            }
        };
        self.machine.handle_input(now, Input::Recording { state });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::SampleRate;

    #[tokio::test]
    async fn what_is_resampled_stays_where_it_was_heard() {
        for rate in [SampleRate::HZ_16000, SampleRate::HZ_24000] {
            let folder = std::env::temp_dir().join(format!("trunkline-recorder-{}-{}", std::process::id(), rate.hz()));
            let path = folder.join("call.wav");
            let format = AudioFormat { encoding: Encoding::Linear16, rate };
            let mut recorder = Recorder::start(path.clone(), format, MediaTime::ZERO);
            // Half a second of nothing, half a second of a tone, in frames of 20 ms.
            let frame = rate.hz() as usize / 50;
            for n in 0..50_u64 {
                let sample = |at: usize| if n < 25 || (at / (frame / 20)).is_multiple_of(2) { 0 } else { 8_000 };
                let samples: Vec<i16> = (0..frame).map(sample).collect();
                let at = MediaTime::from_millis(20 * n);
                recorder.caller(at, &samples);
                let bytes: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
                recorder.agent(at, &bytes);
            }
            recorder.finish(MediaTime::from_millis(1_000)).await.unwrap();
            let samples: Vec<i16> = hound::WavReader::open(&path).unwrap().samples().map(Result::unwrap).collect();
            std::fs::remove_dir_all(folder).unwrap();
            for side in [0, 1] {
                let begins = samples.chunks(2).position(|both| both[side].unsigned_abs() > 2_000).unwrap();
                // The tone's first half period is silent: a millisecond.
                assert!(begins.abs_diff(4_008) <= 8, "{rate:?}, side {side}: {begins}");
            }
        }
    }
}
