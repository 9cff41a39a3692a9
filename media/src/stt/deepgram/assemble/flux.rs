//! Flux: turns, whose text is cumulative.

use std::time::Duration;

use trunkline_base::Personal;

use super::{Place, TimeMap, span};
use crate::{
    audio::{SampleRate, Samples},
    stt::{
        SttEvent,
        deepgram::wire::{TurnEvent, TurnInfo},
    },
    time::MediaTime,
};

/// Outside a turn, this much of the latest audio may hold the begin of one that the vendor has not reported.
const ONSET: Duration = Duration::from_secs(2);
/// A turn that the next connection doesn't hear is over when so much audio followed what was known.
const ORPHANED: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(super) struct Flux {
    onset: Samples,
    turn: Option<Turn>,
    /// Last word's end of the last turn.
    last_end: MediaTime,
}

#[derive(Debug, Default)]
struct Turn {
    /// Text whose audio is not going to be heard again, because it was too long ago when the connection was lost.
    carried: String,
    /// When the carried text was begun.
    carried_start: Option<MediaTime>,
    /// The last text, the carried part included.
    text: String,
    /// The text of the last event.
    told: String,
    start: MediaTime,
    end: MediaTime,
    /// The last words of this connection, for carrying.
    words: Vec<(String, Place, Place)>,
    /// The text of an eager end of turn that was neither confirmed nor withdrawn.
    eager: Option<String>,
    /// How far the vendor transcribed.
    reached: MediaTime,
    /// Below this, updates tell what is known.
    known: MediaTime,
    /// The connection that heard it is gone, and the new one has not heard it yet.
    orphaned: bool,
}

impl Flux {
    pub(super) const fn new(rate: SampleRate) -> Self {
        Self { onset: rate.samples_in(ONSET), turn: None, last_end: MediaTime::ZERO }
    }

    pub(super) const fn is_open(&self) -> bool {
        self.turn.is_some()
    }

    /// Keeps the words of the running turn that begin before `front`; returns the end of the last one, so that no word is cut.
    pub(super) fn restart(&mut self, front: Place) -> Samples {
        let Some(turn) = &mut self.turn else { return front.position };
        turn.known = turn.reached;
        turn.orphaned = true;
        let mut begin = front.position;
        for (word, start, end) in turn.words.drain(..).take_while(|(_, start, _)| start.position < front.position) {
            turn.carried_start.get_or_insert(start.at);
            append(&mut turn.carried, &word);
            begin = begin.max(end.position);
        }
        begin
    }

    /// Returns the end of the audio that is done with, if any more is.
    pub(super) fn turn_info(&mut self, info: TurnInfo, map: &TimeMap, out: &mut Vec<SttEvent>) -> Option<Samples> {
        let window_end = map.locate(info.audio_window_end);
        let heard = !info.transcript.trim().is_empty();
        match info.event {
            TurnEvent::Unknown => return None,
            TurnEvent::StartOfTurn if self.turn.is_none() => {
                let (start, _) = span(&info.words, window(&info), map, self.last_end);
                out.push(SttEvent::SpeechStarted { at: start });
            }
            TurnEvent::StartOfTurn => {}
            // Outside a turn, updates have no text, and nothing can end or resume.
            _ if self.turn.is_none() && !heard => {
                return Some(window_end.position.saturating_sub(self.onset));
            }
            _ => {}
        }
        let last_end = self.last_end;
        let turn = self.turn.get_or_insert_default();
        turn.orphaned &= info.event != TurnEvent::StartOfTurn && !heard;
        if !turn.orphaned {
            turn.take(&info, map, last_end);
        } else if info.event != TurnEvent::EndOfTurn && window_end.at < turn.known + ORPHANED {
            return None;
        }
        turn.reached = turn.reached.max(window_end.at);
        let over = turn.orphaned || info.event == TurnEvent::EndOfTurn;
        turn.tell(info.event, window_end.at, over, out);
        if !over {
            return None;
        }
        self.last_end = turn.end;
        self.turn = None;
        Some(window_end.position)
    }
}

impl Turn {
    /// Takes over the message's text and times.
    fn take(&mut self, info: &TurnInfo, map: &TimeMap, last_end: MediaTime) {
        let (start, end) = span(&info.words, window(info), map, last_end);
        let mut text = self.carried.clone();
        append(&mut text, info.transcript.trim());
        self.start = self.carried_start.map_or(start, |carried| carried.max(last_end));
        self.end = end.max(self.start);
        let tokens: Vec<&str> = info.transcript.split_whitespace().collect();
        self.words = info
            .words
            .iter()
            .enumerate()
            .map_while(|(n, word)| {
                let written = if tokens.len() == info.words.len() { tokens[n] } else { &word.word };
                Some((written.to_owned(), map.locate(word.start?), map.locate(word.end?)))
            })
            .collect();
        self.text = text;
    }

    /// Says what changed, so that an eager end is always withdrawn before its text changes.
    fn tell(&mut self, event: TurnEvent, reached: MediaTime, over: bool, out: &mut Vec<SttEvent>) {
        let (start, end) = (self.start, self.end);
        let is_eager = event == TurnEvent::EagerEndOfTurn && !over;
        let is_news = self.text != self.told && reached >= self.known;
        let withdrawn = match &self.eager {
            None => false,
            Some(_) if event == TurnEvent::TurnResumed => true,
            Some(eager) => *eager != self.text && (over || is_eager || is_news),
        };
        if withdrawn {
            self.eager = None;
            out.push(SttEvent::TurnResumed);
        }
        if over {
            out.push(SttEvent::EndOfTurn { text: Personal::new(self.text.clone()), start, end });
        } else if is_eager && self.eager.is_none() && !self.text.is_empty() {
            self.eager = Some(self.text.clone());
            self.told.clone_from(&self.text);
            out.push(SttEvent::EagerEndOfTurn { text: Personal::new(self.text.clone()), start, end });
        } else if is_news && !is_eager && !self.text.is_empty() {
            self.told.clone_from(&self.text);
            out.push(SttEvent::Interim { text: Personal::new(self.text.clone()), start, end });
        }
    }
}

fn window(info: &TurnInfo) -> (f64, f64) {
    (info.audio_window_start, info.audio_window_end)
}

fn append(text: &mut String, more: &str) {
    if !text.is_empty() && !more.is_empty() {
        text.push(' ');
    }
    text.push_str(more);
}
