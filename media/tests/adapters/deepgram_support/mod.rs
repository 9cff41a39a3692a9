//! A vendor made for the tests of the Deepgram driver, and a caller who talks to it.
//!
//! Its "speech" is exact, so that a lost or doubled word shows: every sample of the caller's word number `n` is the byte `n`, and
//! `0xFF` is silence. It speaks the vendor's protocols as far as the driver depends on them.
#![allow(dead_code, unreachable_pub, reason = "two test programs share it")]

pub mod peer;
pub mod recogniser;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use trunkline_base::{Secret, SystemClock};
use trunkline_media::{
    audio::AudioFormat,
    net::{BaseUrl, Net},
    stt::{SttAudio, SttCommand, SttConfig, SttEvent, SttLimits, SttSession, deepgram},
    time::MediaTime,
};

pub const KEY: &str = "dg-key-that-nobody-may-see";
/// Longer than anything here takes, even on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(20);
const FRAME: u64 = 160;

pub fn config(base_url: &str, model: &str) -> SttConfig {
    SttConfig {
        base_url: BaseUrl::operator(base_url),
        api_key: Secret::new(KEY),
        model: model.into(),
        language: None,
        keyterms: vec![],
        redact_numbers: false,
        format: AudioFormat::MULAW_8K,
        eager: true,
        endpointing: Duration::from_millis(300),
        tag: "call-1".into(),
        limits: SttLimits::default(),
    }
}

/// A caller with a session.
pub struct Call {
    pub session: SttSession,
    /// When the next audio is said.
    pub at: MediaTime,
    /// What the session told, so far.
    pub events: Vec<SttEvent>,
    /// How long to wait between frames of 20 ms: less, and the caller talks faster than people do.
    pub pace: Duration,
}

impl Call {
    pub fn open(config: SttConfig) -> Self {
        Self::open_over(Net::new(&[]).unwrap(), config)
    }

    pub fn open_over(net: Net, config: SttConfig) -> Self {
        let session = deepgram::open(config, net, Arc::new(SystemClock));
        let at = MediaTime::from_millis(30_000);
        Self { session, at, events: vec![], pace: Duration::from_millis(4) }
    }

    /// Sends frames that hold this byte.
    pub async fn send(&mut self, byte: u8, frames: u64) {
        for _ in 0..frames {
            let _ = self.session.audio.send(SttAudio { at: self.at, data: Bytes::from(vec![byte; FRAME as usize]) });
            self.at += Duration::from_millis(20);
            tokio::time::sleep(self.pace).await;
        }
    }

    /// Says words: each is 300 ms, and 100 ms of silence.
    pub async fn say(&mut self, words: std::ops::RangeInclusive<u8>) {
        for word in words {
            self.send(word, 15).await;
            self.send(0xFF, 5).await;
        }
    }

    pub async fn command(&self, command: SttCommand) {
        self.session.commands.send(command).await.unwrap();
    }

    /// Takes events until one is as wanted; that is the last of `events`. Fails when the session ends, or after [`PATIENCE`].
    pub async fn until(&mut self, wanted: impl Fn(&SttEvent) -> bool) -> SttEvent {
        let deadline = tokio::time::sleep(PATIENCE);
        tokio::pin!(deadline);
        loop {
            let event = tokio::select! {
                event = self.session.events.recv() => event,
                () = &mut deadline => panic!("nothing more came after {}", self.log()),
            };
            let event = event.unwrap_or_else(|| panic!("the session ended after {}", self.log()));
            self.events.push(event.clone());
            if wanted(&event) {
                return event;
            }
        }
    }

    /// Says what follows the last word until the vendor has told an end: the caller's microphone stays open.
    pub async fn until_while_silent(&mut self, wanted: impl Fn(&SttEvent) -> bool) -> SttEvent {
        for _ in 0..2_000 {
            self.send(0xFF, 5).await;
            while let Ok(event) = self.session.events.try_recv() {
                self.events.push(event.clone());
                if wanted(&event) {
                    return event;
                }
            }
        }
        panic!("nothing more came after {}", self.log())
    }

    /// Takes all events to the end of the session.
    pub async fn finish(&mut self) {
        let all = async {
            while let Some(event) = self.session.events.recv().await {
                self.events.push(event);
            }
        };
        tokio::time::timeout(PATIENCE, all).await.expect("the session ends");
    }

    /// The words of all finals or ended turns, in order.
    pub fn words(&self) -> Vec<String> {
        let done = self.events.iter().filter_map(|event| match event {
            SttEvent::Final { text, .. } | SttEvent::EndOfTurn { text, .. } => Some(text.expose()),
            _ => None,
        });
        done.flat_map(|text| text.split_whitespace().map(String::from)).collect()
    }

    /// The losses and mendings, in order.
    pub fn faults(&self) -> Vec<bool> {
        let faults = self.events.iter().filter_map(|event| match event {
            SttEvent::Fault { recovered, .. } => Some(*recovered),
            _ => None,
        });
        faults.collect()
    }

    /// All events, as a row of the call's journal would show them.
    pub fn log(&self) -> String {
        format!("{} and {:?}", serde_json::to_string(&self.events).unwrap(), self.events)
    }
}

pub fn expected(words: std::ops::RangeInclusive<u8>) -> Vec<String> {
    words.map(|word| format!("w{word}")).collect()
}

pub fn is_final_with(event: &SttEvent, word: &str) -> bool {
    let (SttEvent::Final { text, .. } | SttEvent::EndOfTurn { text, .. }) = event else { return false };
    text.expose().split_whitespace().any(|known| known == word)
}
