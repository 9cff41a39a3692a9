//! The messages as JSON, with every field that the vendor's own clients require.

use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::recogniser::Word;

use super::{protocol::millis, query::Thresholds};

#[derive(Debug, Serialize)]
pub(super) struct NovaWord<'a> {
    word: &'a str,
    start: f64,
    end: f64,
    confidence: f64,
    punctuated_word: &'a str,
}

#[derive(Debug, Serialize)]
struct FluxWord<'a> {
    word: &'a str,
    confidence: f64,
    start: f64,
    end: f64,
}

/// Who answers: the request's id and the model's name and id.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    pub(super) request: Uuid,
    pub(super) model_uuid: Uuid,
    pub(super) model: String,
}

/// The numbers of one `Results` message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Extent {
    pub(super) channel: [usize; 2],
    pub(super) start: f64,
    pub(super) end: f64,
    pub(super) is_final: bool,
    pub(super) speech_final: bool,
    pub(super) from_finalize: bool,
}

/// The numbers of one `TurnInfo` message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Turn<'a> {
    pub(super) sequence: u64,
    pub(super) event: &'static str,
    pub(super) index: u64,
    pub(super) window: [f64; 2],
    pub(super) words: &'a [Word],
    pub(super) confidence: f64,
    pub(super) trigger: Option<&'static str>,
    /// The hints, for the multilingual model.
    pub(super) languages: Option<&'a [String]>,
}

/// The words' texts with single spaces.
pub(super) fn transcript(words: &[Word]) -> String {
    let texts: Vec<&str> = words.iter().map(|word| &*word.text).collect();
    texts.join(" ")
}

/// `{"transcript", "confidence", "words"}`.
pub(super) fn alternative(words: &[Word]) -> Value {
    json!({ "transcript": transcript(words), "confidence": mean_confidence(words), "words": nova_words(words) })
}

pub(super) fn nova_words(words: &[Word]) -> Vec<NovaWord<'_>> {
    words
        .iter()
        .map(|word| NovaWord {
            word: &word.text,
            start: millis(word.start_s),
            end: millis(word.end_s),
            confidence: millis(f64::from(word.confidence)),
            punctuated_word: &word.text,
        })
        .collect()
}

pub(super) fn mean_confidence(words: &[Word]) -> f64 {
    let sum: f64 = words.iter().map(|word| f64::from(word.confidence)).sum();
    millis(sum / words.len().max(1) as f64)
}

pub(super) fn results(identity: &Identity, extent: Extent, words: &[Word]) -> Value {
    json!({
        "type": "Results",
        "channel_index": extent.channel,
        "duration": millis(extent.end - extent.start),
        "start": millis(extent.start),
        "is_final": extent.is_final,
        "speech_final": extent.speech_final,
        "channel": { "alternatives": [alternative(words)] },
        "metadata": {
            "request_id": identity.request,
            "model_uuid": identity.model_uuid,
            "model_info": model_info(identity),
        },
        "from_finalize": extent.from_finalize,
    })
}

pub(super) fn model_info(identity: &Identity) -> Value {
    json!({ "name": identity.model, "version": "2026-01-01.0", "arch": identity.model })
}

/// The summary of a stream or a file. Its `sha256` is made up.
pub(super) fn metadata(identity: &Identity, duration: f64, channels: usize) -> Value {
    json!({
        "transaction_key": "deprecated",
        "request_id": identity.request,
        "sha256": format!("{}{}", identity.request.simple(), identity.model_uuid.simple()),
        "created": timestamp(std::time::SystemTime::now()),
        "duration": millis(duration),
        "channels": channels,
        "models": [identity.model_uuid],
        "model_info": { identity.model_uuid.to_string(): model_info(identity) },
    })
}

pub(super) fn turn_info(identity: &Identity, turn: Turn<'_>) -> Value {
    let words: Vec<FluxWord<'_>> = turn
        .words
        .iter()
        .map(|word| FluxWord {
            word: &word.text,
            confidence: millis(f64::from(word.confidence)),
            start: millis(word.start_s),
            end: millis(word.end_s),
        })
        .collect();
    let mut message = json!({
        "type": "TurnInfo",
        "request_id": identity.request,
        "sequence_id": turn.sequence,
        "event": turn.event,
        "turn_index": turn.index,
        "audio_window_start": millis(turn.window[0]),
        "audio_window_end": millis(turn.window[1]),
        "transcript": transcript(turn.words),
        "words": words,
        "end_of_turn_confidence": millis(turn.confidence),
    });
    if let Some(trigger) = turn.trigger {
        message["trigger"] = trigger.into();
    }
    if let Some(hints) = turn.languages {
        message["languages"] = json!(["en"]);
        message["languages_hinted"] = json!(hints);
    }
    message
}

/// A `Configure` of Flux; what is absent stays as it is.
#[derive(Debug, Default, serde::Deserialize)]
pub(super) struct FluxConfigure {
    #[serde(default)]
    pub(super) thresholds: FluxThresholds,
    pub(super) keyterms: Option<Vec<String>>,
    pub(super) language_hints: Option<Vec<String>>,
    pub(super) numerals: Option<bool>,
}

/// The thresholds to be changed.
#[derive(Debug, Default, serde::Deserialize)]
pub(super) struct FluxThresholds {
    pub(super) eot_threshold: Option<f64>,
    pub(super) eager_eot_threshold: Option<f64>,
    pub(super) eot_timeout_ms: Option<u64>,
}

impl FluxThresholds {
    pub(super) fn over(&self, old: Thresholds) -> Thresholds {
        Thresholds {
            eot_threshold: self.eot_threshold.unwrap_or(old.eot_threshold),
            eager_eot_threshold: self.eager_eot_threshold.or(old.eager_eot_threshold),
            eot_timeout_ms: self.eot_timeout_ms.unwrap_or(old.eot_timeout_ms),
        }
    }
}

/// ISO 8601 in UTC with milliseconds. Civil date from a day count: Howard Hinnant's `civil_from_days`.
fn timestamp(at: std::time::SystemTime) -> String {
    let since = at.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let (days, of_day) = ((since.as_secs() / 86_400) as i64, since.as_secs() % 86_400);
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", since.subsec_millis())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn timestamps_are_civil() {
        assert_eq!(timestamp(UNIX_EPOCH), "1970-01-01T00:00:00.000Z");
        assert_eq!(timestamp(UNIX_EPOCH + Duration::from_millis(951_782_400_250)), "2000-02-29T00:00:00.250Z");
        assert_eq!(timestamp(UNIX_EPOCH + Duration::from_secs(1_795_390_645)), "2026-11-22T23:37:25.000Z");
    }
}
