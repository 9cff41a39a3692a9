//! A recogniser that says what a test tells it to.

use tokio::sync::{broadcast, mpsc};
use trunkline_base::Personal;

use crate::{
    audio::AudioFormat,
    stt::{AUDIO_BACKLOG, SttAudio, SttCommand, SttEvent, SttSession},
    time::MediaTime,
};

/// The test's ends of a recogniser's channels.
#[derive(Debug)]
pub struct FakeStt {
    /// What the recogniser says.
    pub says: mpsc::Sender<SttEvent>,
    /// What it was asked.
    pub commands: mpsc::Receiver<SttCommand>,
    /// What it heard.
    pub audio: broadcast::Receiver<SttAudio>,
}

impl FakeStt {
    /// A session that listens to what most telephones say, and the strings that it hangs on.
    pub fn open() -> (SttSession, Self) {
        Self::open_for(AudioFormat::MULAW_8K)
    }

    /// A session that listens to this.
    pub fn open_for(format: AudioFormat) -> (SttSession, Self) {
        let (audio, heard) = broadcast::channel(AUDIO_BACKLOG);
        let (commands, asked) = mpsc::channel(16);
        let (says, events) = mpsc::channel(64);
        (SttSession { format, audio, commands, events, task: None }, Self { says, commands: asked, audio: heard })
    }

    /// A final segment.
    pub async fn says_final(&self, text: &str, start: MediaTime, end: MediaTime) {
        self.say(SttEvent::Final { text: Personal::new(text.into()), start, end }).await;
    }

    /// Words that may still change.
    pub async fn says_interim(&self, text: &str, start: MediaTime, end: MediaTime) {
        self.say(SttEvent::Interim { text: Personal::new(text.into()), start, end }).await;
    }

    /// A whole turn, decided by the recogniser.
    pub async fn says_end_of_turn(&self, text: &str, start: MediaTime, end: MediaTime) {
        self.say(SttEvent::EndOfTurn { text: Personal::new(text.into()), start, end }).await;
    }

    /// Its session is over, without a word.
    pub fn vanish(&mut self) {
        let (nobody, _) = mpsc::channel(1);
        self.says = nobody;
    }

    /// Anything.
    pub async fn say(&self, event: SttEvent) {
        // The call may be over already, which its test will notice.
        let _ = self.says.send(event).await;
    }
}
