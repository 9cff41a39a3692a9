//! How the simulator behaves.

use std::{collections::BTreeMap, time::Duration};

use tokio::sync::mpsc::UnboundedSender;

use crate::{event::SimEvent, fault::Script, voice::Voice};

/// How the simulator behaves.
#[derive(Debug, Clone)]
pub struct ElevenLabsConfig {
    /// The key it accepts.
    pub api_key: String,
    /// What all its voices sound like.
    pub voice: Voice,
    /// The voices it has; with none listed it takes any id.
    pub voices: Vec<VoiceEntry>,
    /// From the moment text has to be spoken to its first audio.
    pub first_byte_delay: Duration,
    /// How much audio one message carries.
    pub fragment: Duration,
    /// From one message to the next of the same text. Shorter than `fragment`, audio comes faster than it plays.
    pub chunk_interval: Duration,
    /// How much delays vary, as a share of them: 0 to 1.
    pub jitter: f64,
    /// What the variation is drawn from.
    pub seed: u64,
    /// How keys are spelt.
    pub key_style: KeyStyle,
    /// How much alignment is sent.
    pub alignment: AlignmentMode,
    /// Cut 16-bit audio in the middle of a sample.
    pub odd_fragments: bool,
    /// How many contexts a socket may have.
    pub max_contexts: usize,
    /// The fate of each socket and each speech request. Times are of audio sent on it.
    pub script: Script,
    /// The fate of each request for voices, models or the user. Times count from its arrival; `ErrorAfter` is the vendor's error with
    /// that code: HTTP 401 for `missing_permissions` and `quota_exceeded`, else 400.
    pub account_script: Script,
    /// Where to report text and audio as they come and go.
    pub events: Option<UnboundedSender<SimEvent>>,
}

impl Default for ElevenLabsConfig {
    fn default() -> Self {
        Self {
            api_key: "xi-simulated".into(),
            voice: Voice::default(),
            voices: vec![
                VoiceEntry::new("21m00Tcm4TlvDq8ikWAM", "Rachel", "female"),
                VoiceEntry::new("JBFqnCBsd6RMkjVDRZzb", "George", "male"),
                VoiceEntry::new("EXAVITQu4vr4xnSDxMaL", "Sarah", "female"),
            ],
            first_byte_delay: Duration::from_millis(120),
            fragment: Duration::from_millis(100),
            chunk_interval: Duration::from_millis(10),
            jitter: 0.0,
            seed: 0,
            key_style: KeyStyle::default(),
            alignment: AlignmentMode::default(),
            odd_fragments: false,
            max_contexts: 5,
            script: Script::default(),
            account_script: Script::default(),
            events: None,
        }
    }
}

/// A voice in the lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VoiceEntry {
    /// Its id.
    pub voice_id: String,
    /// Its name.
    pub name: String,
    /// Such as `premade`, `cloned` or `professional`.
    pub category: String,
    /// Such as gender, accent and age.
    pub labels: BTreeMap<String, String>,
}

impl VoiceEntry {
    /// A premade voice.
    pub fn new(voice_id: &str, name: &str, gender: &str) -> Self {
        let labels = [("gender", gender), ("language", "en")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self { voice_id: voice_id.into(), name: name.into(), category: "premade".into(), labels: labels.into() }
    }
}

/// How keys of messages are spelt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KeyStyle {
    /// The key of a context's id.
    pub context: ContextKey,
    /// The keys of an alignment's times.
    pub alignment: AlignmentKeys,
}

/// The key of a context's id in answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ContextKey {
    /// `contextId`.
    Camel,
    /// `context_id`.
    Snake,
    /// Both.
    #[default]
    Both,
}

/// The keys of an alignment's times.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AlignmentKeys {
    /// `charStartTimesMs` and `charsDurationsMs`.
    #[default]
    Documented,
    /// `charStartTimesMs` and `charDurationsMs`.
    Singular,
    /// `charsStartTimesMs` and `charsDurationsMs`.
    Plural,
}

/// How much alignment is sent on sockets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AlignmentMode {
    /// With every fragment under `sync_alignment`; else every second fragment has none, and the one before it speaks for both.
    #[default]
    Vendor,
    /// Never.
    Null,
}
