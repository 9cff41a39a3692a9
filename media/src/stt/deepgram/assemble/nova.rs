//! Nova: segments, endpoints, utterances.

use trunkline_base::Personal;

use super::{TimeMap, span};
use crate::{
    audio::Samples,
    stt::{
        SttEvent,
        deepgram::wire::{Results, UTTERANCE_END},
    },
    time::MediaTime,
};

/// What was heard and not yet followed by an endpoint.
#[derive(Debug, Default)]
pub(super) struct Nova {
    /// When speech started last: replayed audio starts it again.
    started: Option<MediaTime>,
    /// Last word's end of the finals that no endpoint followed.
    unhinted: Option<MediaTime>,
    /// Last word's end of all finals.
    final_end: MediaTime,
    /// Text of the last interim since the last final.
    interim: String,
    /// How far interims reached; while audio is replayed, those that reach less far are withheld.
    reached: MediaTime,
    /// Below this, interims tell what is known.
    known: MediaTime,
}

impl Nova {
    pub(super) fn restart(&mut self) {
        self.known = self.reached;
        self.interim.clear();
    }

    pub(super) fn is_open(&self) -> bool {
        self.unhinted.is_some() || !self.interim.is_empty()
    }

    pub(super) fn speech_started(&mut self, timestamp: f64, map: &TimeMap, out: &mut Vec<SttEvent>) {
        let at = map.locate(timestamp).at;
        if self.started.is_none_or(|started| started < at) {
            self.started = Some(at);
            out.push(SttEvent::SpeechStarted { at });
        }
    }

    /// Returns the end of the audio whose text is final, if it is.
    pub(super) fn results(&mut self, results: &Results, map: &TimeMap, out: &mut Vec<SttEvent>) -> Option<Samples> {
        let window = (results.start, results.start + results.duration.max(0.0));
        let window_end = map.locate(window.1);
        let best = results.channel.alternatives.first();
        let text = best.map_or("", |best| best.transcript.trim());
        let (start, end) = span(best.map_or(&[], |best| &best.words), window, map, self.final_end);
        if !results.is_final && !results.speech_final && !results.from_finalize {
            let news = !text.is_empty() && text != self.interim && window_end.at >= self.known;
            if news {
                self.reached = self.reached.max(window_end.at);
                text.clone_into(&mut self.interim);
                out.push(SttEvent::Interim { text: Personal::new(text.to_owned()), start, end });
            }
            return None;
        }
        self.interim.clear();
        if !text.is_empty() {
            self.final_end = end;
            self.unhinted = Some(end);
            out.push(SttEvent::Final { text: Personal::new(text.to_owned()), start, end });
        }
        // A connection that replays audio after the last final hears no word and so reports no endpoint; and noise can keep one
        // from being reported. Audio without words that is as long as the utterance's end is one.
        let silent =
            text.is_empty() && self.unhinted.is_some_and(|last| window_end.at.saturating_since(last) >= UTTERANCE_END);
        // The answer to `Finalize` is told even if nothing was left to say: somebody waits for it.
        if results.from_finalize || (self.unhinted.is_some() && (results.speech_final || silent)) {
            out.push(SttEvent::EndpointHint { last_word_end: self.unhinted.take() });
        }
        Some(window_end.position)
    }

    /// It is stale if an endpoint was told already, or if a later word was heard.
    pub(super) fn utterance_end(&mut self, last_word_end: f64, map: &TimeMap, out: &mut Vec<SttEvent>) {
        let stale = last_word_end < 0.0
            || self.unhinted.is_none_or(|last| last.saturating_since(map.locate(last_word_end).at) > ROUNDING);
        if !stale {
            out.push(SttEvent::EndpointHint { last_word_end: self.unhinted.take() });
        }
    }
}

/// How far the vendor's two times for the same word's end may differ.
const ROUNDING: std::time::Duration = std::time::Duration::from_millis(50);
