//! A voice's session against the simulated vendor, and ears that read what the coded voice says.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each test uses its part; in a test, a panic is the report"
)]

use std::{sync::Arc, time::Duration};

use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use trunkline_base::{Secret, SystemClock};
use trunkline_media::{
    audio::{AudioFormat, Encoding},
    ids::ReplyId,
    net::{BaseUrl, Net},
    tts::{TtsCommand, TtsConfig, TtsEvent, TtsLimits, TtsSession, VoiceSettings, elevenlabs},
};
use trunkline_sim::{
    audio::{linear16_decode, mulaw_decode},
    elevenlabs::{ElevenLabsConfig, ElevenLabsSim, Happened, LogEntry},
    fault::{Fault, Script},
    server::TlsIdentity,
    voice::{CodedVoice, normalise},
};

pub const KEY: &str = "sk_0123456789abcdef";
pub const ONE: ReplyId = ReplyId(1);
pub const TWO: ReplyId = ReplyId(2);
/// How long a test waits for what must come.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub struct Rig {
    pub sim: ElevenLabsSim,
    pub session: TtsSession,
    format: AudioFormat,
    pub events: Vec<TtsEvent>,
}

/// The vendor, quick and without jitter.
pub fn vendor(faults: impl IntoIterator<Item = Option<Fault>>) -> ElevenLabsConfig {
    ElevenLabsConfig {
        api_key: KEY.into(),
        voices: Vec::new(),
        first_byte_delay: Duration::from_millis(20),
        chunk_interval: Duration::from_millis(2),
        script: Script::new(faults),
        ..ElevenLabsConfig::default()
    }
}

pub fn config(base_url: &str) -> TtsConfig {
    TtsConfig {
        base_url: BaseUrl::operator(base_url),
        api_key: Secret::new(KEY),
        voice_id: "21m00Tcm4TlvDq8ikWAM".into(),
        model: "eleven_flash_v2_5".into(),
        language: Some("en".into()),
        settings: VoiceSettings { stability: Some(0.5), ..VoiceSettings::default() },
        format: AudioFormat::MULAW_8K,
        tag: "call".into(),
        limits: TtsLimits::default(),
    }
}

pub fn open(config: TtsConfig) -> TtsSession {
    open_trusting(config, &[])
}

fn open_trusting(config: TtsConfig, authorities: &[CertificateDer<'static>]) -> TtsSession {
    elevenlabs::open(config, Net::new(authorities).unwrap(), Arc::new(SystemClock))
}

impl Rig {
    pub async fn new(vendor: ElevenLabsConfig) -> Self {
        Self::with(vendor, |_| {}).await
    }

    pub async fn with(vendor: ElevenLabsConfig, change: impl FnOnce(&mut TtsConfig)) -> Self {
        let sim = ElevenLabsSim::start("127.0.0.1:0".parse().unwrap(), vendor, None).await.unwrap();
        let mut config = config(&sim.server().http_url());
        change(&mut config);
        let format = config.format;
        Self { session: open(config), sim, format, events: Vec::new() }
    }

    /// The vendor behind TLS, with an authority of its own.
    pub async fn over_tls(vendor: ElevenLabsConfig) -> Self {
        let identity = TlsIdentity::generate().unwrap();
        let sim = ElevenLabsSim::start("127.0.0.1:0".parse().unwrap(), vendor, Some(&identity)).await.unwrap();
        let config = config(&sim.server().http_url());
        let authority = CertificateDer::from_pem_slice(identity.ca_pem().as_bytes()).unwrap();
        let format = config.format;
        Self { session: open_trusting(config, &[authority]), sim, format, events: Vec::new() }
    }

    pub async fn command(&self, command: TtsCommand) {
        self.session.commands.send(command).await.unwrap();
    }

    pub async fn speak(&self, reply: ReplyId, text: &str) {
        self.command(TtsCommand::Speak { reply, text: text.into() }).await;
    }

    pub async fn finish(&self, reply: ReplyId) {
        self.command(TtsCommand::Finish { reply }).await;
    }

    pub async fn cancel(&self, reply: ReplyId) {
        self.command(TtsCommand::Cancel { reply }).await;
    }

    /// Takes events until one is found.
    pub async fn until(&mut self, mut found: impl FnMut(&TtsEvent) -> bool) -> TtsEvent {
        loop {
            let next = tokio::time::timeout(PATIENCE, self.session.events.recv()).await;
            let event = next.unwrap_or_else(|_| panic!("not in {:?}", self.summary())).expect("the session lives");
            self.events.push(event.clone());
            if found(&event) {
                return event;
            }
        }
    }

    pub async fn until_done(&mut self, reply: ReplyId) {
        self.until(|event| *event == TtsEvent::Done { reply }).await;
    }

    /// Waits for the cause with which a reply fails.
    pub async fn until_failed(&mut self, reply: ReplyId) -> String {
        let failed = |event: &TtsEvent| matches!(event, TtsEvent::Failed { reply: failed, .. } if *failed == reply);
        let TtsEvent::Failed { cause, .. } = self.until(failed).await else { unreachable!() };
        cause
    }

    /// Waits until the vendor's log has something.
    pub async fn vendor_saw(&self, mut found: impl FnMut(&[LogEntry]) -> bool) {
        let seen = self.sim.log().wait_for(PATIENCE, |entries| found(entries).then_some(())).await;
        assert!(seen.is_some(), "{:#?}", self.sim.log().entries());
    }

    /// What was heard of a reply, read back from its sound.
    pub fn heard(&self, reply: ReplyId) -> String {
        let bytes: Vec<u8> = self.pieces(reply).flat_map(|(audio, _)| audio).copied().collect();
        let samples = match self.format.encoding {
            Encoding::Mulaw => bytes.iter().map(|byte| mulaw_decode(*byte)).collect(),
            Encoding::Linear16 => linear16_decode(&bytes),
        };
        CodedVoice::default().read(&samples, self.format.rate.hz())
    }

    /// What the alignments of a reply spell.
    pub fn spelled(&self, reply: ReplyId) -> String {
        self.pieces(reply).flat_map(|(_, alignment)| alignment).map(|one| one.ch).collect()
    }

    pub fn pieces(
        &self,
        reply: ReplyId,
    ) -> impl Iterator<Item = (&bytes::Bytes, &Vec<trunkline_media::tts::AlignedChar>)> {
        self.events.iter().filter_map(move |event| match event {
            TtsEvent::Audio { reply: of, audio, alignment } if *of == reply => Some((audio, alignment)),
            _ => None,
        })
    }

    /// Faults so far: phase, cause, whether it was mended.
    pub fn faults(&self) -> Vec<(&str, &str, bool)> {
        let fault = |event| match event {
            &TtsEvent::Fault { phase, ref cause, recovered } => Some((phase, cause.as_str(), recovered)),
            _ => None,
        };
        self.events.iter().filter_map(fault).collect()
    }

    /// Characters that were sent and not wasted, and those that were.
    pub fn usage(&self) -> (u64, u64) {
        let of = |cancelled| {
            let counted = |event: &TtsEvent| match event {
                TtsEvent::Usage { characters, wasted } if *wasted == cancelled => *characters,
                _ => 0,
            };
            self.events.iter().map(counted).sum()
        };
        (of(false), of(true))
    }

    /// The texts that the vendor got, with the contexts that they came in.
    pub fn texts(&self) -> Vec<(String, String)> {
        let text = |entry: LogEntry| match entry.what {
            Happened::Text { text, .. } if !text.trim().is_empty() => Some((entry.context, text)),
            _ => None,
        };
        self.sim.log().entries().into_iter().filter_map(text).collect()
    }

    fn summary(&self) -> Vec<String> {
        self.events
            .iter()
            .map(|event| match event {
                TtsEvent::Audio { reply, audio, .. } => format!("{} bytes of {reply}", audio.len()),
                event => format!("{event:?}"),
            })
            .collect()
    }
}

/// What the coded voice is heard to say for a text, without the silence around it.
pub fn said(text: &str) -> String {
    normalise(text)
}
