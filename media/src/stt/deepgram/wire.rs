//! Deepgram's wire format: the one place that knows its URLs and its JSON.
//!
//! Reading is tolerant: an unknown `type` is [`ServerMessage::Unknown`], unknown fields are skipped, missing or null ones get a
//! default. Only what is no JSON object, or holds a value of the wrong kind, is an error.

use std::time::Duration;

use serde::{Deserialize, Deserializer};
use url::Url;

use crate::{
    audio::Encoding,
    stt::{SttConfig, TurnDetection},
};

/// How long a gap between words makes Nova send `UtteranceEnd`. Less brings nothing: interims come about once a second.
pub const UTTERANCE_END: Duration = Duration::from_millis(1000);

/// The two protocols that share the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// `/v1/listen`: segments and endpoints.
    Nova,
    /// `/v2/listen`: turns.
    Flux,
}

impl Family {
    /// Which protocol the configured model speaks.
    pub fn of(config: &SttConfig) -> Self {
        match config.turn_detection() {
            TurnDetection::Recogniser => Self::Flux,
            TurnDetection::Endpointing => Self::Nova,
        }
    }
}

/// The base URL cannot be made into a WebSocket's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the recogniser's base URL is not http(s)://host[:port]")]
pub struct BadBaseUrl;

/// The URL of the streaming socket, with every parameter that the model's protocol takes and no other.
///
/// `keywords` is never sent (Nova-3 refuses the upgrade), nor `smart_format` (it holds results back while it formats).
pub fn listen_url(config: &SttConfig) -> Result<Url, BadBaseUrl> {
    let mut url = Url::parse(&config.base_url).map_err(|_| BadBaseUrl)?;
    let scheme = match url.scheme() {
        "http" | "ws" => "ws",
        "https" | "wss" => "wss",
        _ => return Err(BadBaseUrl),
    };
    url.set_scheme(scheme).map_err(|()| BadBaseUrl)?;
    let family = Family::of(config);
    let version = match family {
        Family::Nova => "v1",
        Family::Flux => "v2",
    };
    url.path_segments_mut().map_err(|()| BadBaseUrl)?.pop_if_empty().extend([version, "listen"]);
    url.set_fragment(None);
    let mut query = url.query_pairs_mut();
    query.clear().append_pair("model", &config.model).append_pair("encoding", encoding(config.format.encoding));
    query.append_pair("sample_rate", &config.format.rate.hz().to_string());
    match family {
        Family::Nova => {
            query.append_pair("channels", "1").append_pair("interim_results", "true");
            query.append_pair("endpointing", &config.endpointing.as_millis().to_string());
            query.append_pair("utterance_end_ms", &UTTERANCE_END.as_millis().to_string());
            query.append_pair("vad_events", "true").append_pair("punctuate", "true");
            if let Some(language) = &config.language {
                query.append_pair("language", language);
            }
        }
        Family::Flux => {
            if config.eager {
                query.append_pair("eager_eot_threshold", EAGER_EOT_THRESHOLD);
            }
            if let Some(language) = config.language.as_ref().filter(|_| config.model.ends_with("-multi")) {
                query.append_pair("language_hint", language);
            }
        }
    }
    for keyterm in config.keyterms.iter().filter(|keyterm| !keyterm.trim().is_empty()) {
        query.append_pair("keyterm", keyterm.trim());
    }
    if config.redact_numbers {
        query.append_pair("redact", "numbers");
    }
    if !config.tag.is_empty() {
        query.append_pair("tag", &config.tag);
    }
    drop(query);
    Ok(url)
}

/// Confidence at which Flux guesses that the turn is over; it allows 0.3 to 0.9, and its own end of turn is at 0.7.
const EAGER_EOT_THRESHOLD: &str = "0.5";

const fn encoding(encoding: Encoding) -> &'static str {
    match encoding {
        Encoding::Mulaw => "mulaw",
        Encoding::Linear16 => "linear16",
    }
}

/// What a client says beside audio. Always a text frame: JSON in a binary one is taken for audio.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientMessage {
    /// Nova: the socket is in use although no audio flows. Flux closes on it.
    KeepAlive,
    /// Nova: transcribe what is buffered.
    Finalize,
    /// Flux: end the turn.
    ForceEndTurn,
    /// Transcribe the rest, then close.
    CloseStream,
}

impl ClientMessage {
    /// The message as JSON.
    pub const fn json(self) -> &'static str {
        match self {
            Self::KeepAlive => r#"{"type":"KeepAlive"}"#,
            Self::Finalize => r#"{"type":"Finalize"}"#,
            Self::ForceEndTurn => r#"{"type":"ForceEndTurn"}"#,
            Self::CloseStream => r#"{"type":"CloseStream"}"#,
        }
    }
}

/// What the vendor says, of either protocol. Times are seconds of audio since the socket was opened.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "type")]
pub enum ServerMessage {
    /// Nova: text of a stretch of audio.
    Results(Results),
    /// Nova: something voiced began.
    SpeechStarted {
        /// When.
        #[serde(default, deserialize_with = "or_default")]
        timestamp: f64,
    },
    /// Nova: no word followed for [`UTTERANCE_END`].
    UtteranceEnd {
        /// End of the last word; negative when there was none.
        #[serde(default = "never", deserialize_with = "or_never")]
        last_word_end: f64,
    },
    /// Nova: the answer to `CloseStream`.
    Metadata {},
    /// Flux: the first message.
    Connected {},
    /// Flux: the state of the turn.
    TurnInfo(TurnInfo),
    /// Either: a new configuration was taken.
    ConfigureSuccess {},
    /// Either: a new configuration was refused; the stream goes on.
    ConfigureFailure {},
    /// Flux: something to know; the stream goes on.
    Warning(Problem),
    /// Nova: a text frame was not understood, the stream goes on. Flux: fatal, the socket is closed.
    Error(Problem),
    /// Anything newer than this program.
    #[serde(other)]
    Unknown,
}

/// Nova's transcript of `[start, start + duration]`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Results {
    /// Where it begins.
    #[serde(default, deserialize_with = "or_default")]
    pub start: f64,
    /// How long it is.
    #[serde(default, deserialize_with = "or_default")]
    pub duration: f64,
    /// The text will not change any more.
    #[serde(default, deserialize_with = "or_default")]
    pub is_final: bool,
    /// A pause as long as `endpointing` followed.
    #[serde(default, deserialize_with = "or_default")]
    pub speech_final: bool,
    /// It answers `Finalize`.
    #[serde(default, deserialize_with = "or_default")]
    pub from_finalize: bool,
    /// The text.
    #[serde(default, deserialize_with = "or_default")]
    pub channel: Channel,
}

/// One audio channel's text.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Channel {
    /// The best guess first.
    #[serde(default, deserialize_with = "or_default")]
    pub alternatives: Vec<Alternative>,
}

/// A guess.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Alternative {
    /// Its text.
    #[serde(default, deserialize_with = "or_default")]
    pub transcript: String,
    /// Its words.
    #[serde(default, deserialize_with = "or_default")]
    pub words: Vec<Word>,
}

/// A word of either protocol. Flux may leave its times out.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Word {
    /// The word as it was heard.
    #[serde(default, deserialize_with = "or_default")]
    pub word: String,
    /// Its begin.
    #[serde(default)]
    pub start: Option<f64>,
    /// Its end.
    #[serde(default)]
    pub end: Option<f64>,
}

/// What happened to Flux's turn.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum TurnEvent {
    /// A turn began.
    StartOfTurn,
    /// Its text may have changed; sent about four times a second of audio even if it has not.
    Update,
    /// It may be over.
    EagerEndOfTurn,
    /// It was not.
    TurnResumed,
    /// It is over.
    EndOfTurn,
    /// Anything newer than this program.
    #[default]
    #[serde(other)]
    Unknown,
}

/// Flux's turn so far.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct TurnInfo {
    /// What happened.
    #[serde(default, deserialize_with = "or_default")]
    pub event: TurnEvent,
    /// Where the turn's audio begins.
    #[serde(default, deserialize_with = "or_default")]
    pub audio_window_start: f64,
    /// How far the audio was transcribed.
    #[serde(default, deserialize_with = "or_default")]
    pub audio_window_end: f64,
    /// The whole turn's text.
    #[serde(default, deserialize_with = "or_default")]
    pub transcript: String,
    /// The whole turn's words.
    #[serde(default, deserialize_with = "or_default")]
    pub words: Vec<Word>,
}

/// A complaint. Nova calls its machine code `variant`, Flux `code`; what Nova adds in `message` is our own text and is not read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Problem {
    /// Machine code.
    #[serde(default, alias = "variant", deserialize_with = "or_default")]
    pub code: String,
    /// For people.
    #[serde(default, deserialize_with = "or_default")]
    pub description: String,
}

/// The vendor's error body at a refused upgrade, in its older and its newer shape.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Refusal {
    /// Machine code.
    #[serde(default, alias = "category", deserialize_with = "or_default")]
    pub err_code: String,
    /// For people.
    #[serde(default, alias = "message", deserialize_with = "or_default")]
    pub err_msg: String,
}

/// Reads one text frame.
pub fn parse(text: &str) -> Result<ServerMessage, serde_json::Error> {
    serde_json::from_str(text)
}

fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

const fn never() -> f64 {
    -1.0
}

fn or_never<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Option::deserialize(deserializer).map(|end| end.unwrap_or_else(never))
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
