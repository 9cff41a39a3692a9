//! The vendor's messages as [`SttEvent`]s on the call's clock, over any number of connections. No clock, no socket.

mod flux;
mod nova;
#[cfg(test)]
#[path = "tests.rs"]
mod tests;

use super::{
    time_map::{Place, TimeMap},
    wire::{Family, Problem, ServerMessage, Word},
};
use crate::{
    audio::{SampleRate, Samples},
    stt::SttEvent,
    time::MediaTime,
};

/// Turns messages into events, and knows which audio the vendor will not have to hear again.
#[derive(Debug)]
pub struct Assembler {
    map: TimeMap,
    acknowledged: Samples,
    family: State,
}

#[derive(Debug)]
enum State {
    Nova(nova::Nova),
    Flux(flux::Flux),
}

/// What a message means for the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on.
    Fine,
    /// It goes on, but the vendor didn't understand something, or said something that this program doesn't know.
    Odd(Problem),
    /// The vendor is about to close.
    Fatal(Problem),
}

impl Assembler {
    /// For one session.
    pub fn new(family: Family, rate: SampleRate) -> Self {
        let family = match family {
            Family::Nova => State::Nova(nova::Nova::default()),
            Family::Flux => State::Flux(flux::Flux::new(rate)),
        };
        Self { map: TimeMap::new(rate), acknowledged: Samples(0), family }
    }

    /// A connection was opened, and `front` is the oldest audio that can still be sent. Returns where to begin: there, or where
    /// the words end that are not going to be heard again.
    pub fn restart(&mut self, front: Place) -> Samples {
        if let State::Flux(flux) = &mut self.family {
            self.acknowledged = self.acknowledged.max(flux.restart(front));
        } else if let State::Nova(nova) = &mut self.family {
            nova.restart();
        }
        self.acknowledged = self.acknowledged.max(front.position);
        self.map.restart(Place { position: self.acknowledged, at: front.at });
        self.acknowledged
    }

    /// The caller's audio was sent.
    pub fn sent_audio(&mut self, place: Place, length: Samples) {
        self.map.audio(place, length);
    }

    /// Silence of ours was sent.
    pub fn sent_silence(&mut self, length: Samples) {
        self.map.silence(length);
    }

    /// How much was sent on this connection, silence included.
    pub const fn sent(&self) -> Samples {
        self.map.sent()
    }

    /// The end of the audio that the vendor will not have to hear again.
    pub const fn acknowledged(&self) -> Samples {
        self.acknowledged
    }

    /// Whether words were heard whose end, or whose turn's end, the vendor has not told.
    pub fn is_open(&self) -> bool {
        match &self.family {
            State::Nova(nova) => nova.is_open(),
            State::Flux(flux) => flux.is_open(),
        }
    }

    /// Takes a message; events are added to `out`. Messages of the other protocol are odd.
    pub fn handle(&mut self, message: ServerMessage, out: &mut Vec<SttEvent>) -> Verdict {
        match (message, &mut self.family) {
            (ServerMessage::Results(results), State::Nova(nova)) => {
                if let Some(position) = nova.results(&results, &self.map, out) {
                    self.acknowledged = self.acknowledged.max(position);
                }
            }
            (ServerMessage::SpeechStarted { timestamp }, State::Nova(nova)) => {
                nova.speech_started(timestamp, &self.map, out);
            }
            (ServerMessage::UtteranceEnd { last_word_end }, State::Nova(nova)) => {
                nova.utterance_end(last_word_end, &self.map, out);
            }
            (ServerMessage::TurnInfo(info), State::Flux(flux)) => {
                if let Some(position) = flux.turn_info(info, &self.map, out) {
                    self.acknowledged = self.acknowledged.max(position);
                }
            }
            (ServerMessage::Error(problem), State::Flux(_)) => return Verdict::Fatal(problem),
            (ServerMessage::Error(problem) | ServerMessage::Warning(problem), _) => return Verdict::Odd(problem),
            (ServerMessage::Unknown | ServerMessage::ConfigureFailure {}, _)
            | (
                ServerMessage::Results(_) | ServerMessage::SpeechStarted { .. } | ServerMessage::UtteranceEnd { .. },
                State::Flux(_),
            )
            | (ServerMessage::TurnInfo(_), State::Nova(_)) => return Verdict::Odd(Problem::default()),
            (ServerMessage::Connected {} | ServerMessage::Metadata {} | ServerMessage::ConfigureSuccess {}, _) => {}
        }
        Verdict::Fine
    }
}

/// From the first word to the last, or the whole window if its words have no times; in order, and not before `earliest`.
fn span(words: &[Word], window: (f64, f64), map: &TimeMap, earliest: MediaTime) -> (MediaTime, MediaTime) {
    let start = words.first().and_then(|word| word.start).unwrap_or(window.0);
    let end = words.last().and_then(|word| word.end).unwrap_or(window.1);
    let start = map.locate(start).at.max(earliest);
    (start, map.locate(end).at.max(start))
}
