//! `/v2/listen`: turns. The simulator's turn model knows which recording is heard, so it knows whether words remain: a pause looks
//! like an end (`EagerEndOfTurn`) and turns out to be none (`TurnResumed`); a turn ends after its last word.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use serde_json::{Value, json};

use crate::recogniser::{Library, Recogniser, Word};

use super::{
    codec::Decoder,
    log::Message,
    protocol::{Outgoing, Protocol},
    query::{FluxQuery, Thresholds, check_keyterms},
    wire::{self, FluxConfigure, Identity, Turn},
};

/// Samples between two looks at the recogniser: 10 ms.
const STEP: usize = 80;

/// How the simulated turn model behaves. All of it is audio time, but for `idle_timeout`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FluxTiming {
    /// Audio between two `Update`s.
    pub update_interval: Duration,
    /// Silence in a pause after which the model guesses that the turn is over.
    pub eager_delay: Duration,
    /// Silence after the last word at which the turn ends.
    pub end_of_turn_delay: Duration,
    /// How much earlier than the turn's end `EagerEndOfTurn` comes there.
    pub eager_lead: Duration,
    /// Wall-clock time without any message or ping after which the connection fails with `INACTIVE_CLIENT`.
    pub idle_timeout: Duration,
}

impl Default for FluxTiming {
    fn default() -> Self {
        Self {
            update_interval: Duration::from_millis(250),
            eager_delay: Duration::from_millis(300),
            end_of_turn_delay: Duration::from_millis(260),
            eager_lead: Duration::from_millis(100),
            idle_timeout: Duration::from_secs(60),
        }
    }
}

/// One connection.
pub(super) struct Flux {
    query: FluxQuery,
    thresholds: Thresholds,
    timing: FluxTiming,
    identity: Identity,
    decoder: Decoder,
    samples: Vec<Vec<i16>>,
    recogniser: Recogniser,
    words: Vec<Word>,
    phase: Phase,
    turn_index: u64,
    turn_start: f64,
    last_update: f64,
    sequence: u64,
    outgoing: VecDeque<Outgoing>,
    closed: bool,
}

/// Where in a turn the stream is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Between,
    Speaking,
    /// `EagerEndOfTurn` was sent when the turn had this many words.
    Eager(usize),
}

impl Flux {
    pub(super) fn new(query: FluxQuery, timing: FluxTiming, identity: Identity, library: Arc<Library>) -> Self {
        let mut flux = Self {
            thresholds: query.thresholds,
            decoder: Decoder::new(query.format, 1),
            query,
            timing,
            identity,
            samples: Vec::new(),
            recogniser: Recogniser::new(library),
            words: Vec::new(),
            phase: Phase::Between,
            turn_index: 0,
            turn_start: 0.0,
            last_update: 0.0,
            sequence: 0,
            outgoing: VecDeque::new(),
            closed: false,
        };
        flux.send(Message::Connected, json!({ "type": "Connected", "request_id": flux.identity.request }));
        flux
    }

    /// Numbers a message and queues it.
    fn send(&mut self, kind: Message, mut body: Value) {
        body["sequence_id"] = self.sequence.into();
        self.sequence += 1;
        self.outgoing.push_back(Outgoing::plain(kind, &body));
    }

    fn send_turn(&mut self, kind: Message, event: &'static str, confidence: f64, trigger: Option<&'static str>) {
        let turn = Turn {
            sequence: self.sequence,
            event,
            index: self.turn_index,
            window: [self.turn_start, self.recogniser.now_s()],
            words: &self.words,
            confidence,
            trigger,
            languages: self.query.multilingual.then_some(self.query.language_hints.as_slice()),
        };
        let body = wire::turn_info(&self.identity, turn).to_string();
        self.sequence += 1;
        self.last_update = self.recogniser.now_s();
        self.outgoing.push_back(Outgoing::Text { kind, transcript: wire::transcript(&self.words).into(), body });
    }

    fn take_words(&mut self) -> bool {
        let before = self.words.len();
        self.words.extend(std::iter::from_fn(|| self.recogniser.poll_word()));
        self.words.len() > before
    }

    /// Looks at what 10 ms more of audio brought.
    fn step(&mut self) {
        let new_words = self.take_words();
        let now = self.recogniser.now_s();
        let activity = self.recogniser.activity();
        let silence = activity.last_voice_s.map_or(0.0, |voice| now - voice);
        if self.phase == Phase::Between && new_words {
            self.phase = Phase::Speaking;
            self.send_turn(Message::StartOfTurn, "StartOfTurn", 0.05, None);
        }
        if matches!(self.phase, Phase::Eager(_)) && (activity.speaking || new_words) {
            self.resume();
        }
        if self.phase != Phase::Between && !activity.speaking && !activity.undecided {
            let over = !activity.words_remain && self.thresholds.eot_threshold < 1.0;
            let end_of_turn = self.timing.end_of_turn_delay.as_secs_f64();
            let eager = self.timing.eager_delay.as_secs_f64();
            let eager = if over { eager.min(end_of_turn - self.timing.eager_lead.as_secs_f64()) } else { eager };
            if self.phase == Phase::Speaking && silence >= eager {
                self.guess();
            }
            if over && silence >= end_of_turn {
                self.end_turn("model", self.thresholds.eot_threshold.max(0.75) + 0.05);
            } else if silence * 1e3 >= self.thresholds.eot_timeout_ms as f64 {
                self.end_turn("timeout", 0.3);
            }
        }
        if now - self.last_update >= self.timing.update_interval.as_secs_f64() - 1e-6 {
            let confidence = if activity.speaking { 0.05 } else { (silence * 0.5).clamp(0.05, 0.4) };
            self.send_turn(Message::Update, "Update", confidence, None);
        }
    }

    fn guess(&mut self) {
        if let Some(threshold) = self.thresholds.eager_eot_threshold {
            self.phase = Phase::Eager(self.words.len());
            self.send_turn(Message::EagerEndOfTurn, "EagerEndOfTurn", threshold.max(0.5) + 0.02, None);
        }
    }

    fn resume(&mut self) {
        self.phase = Phase::Speaking;
        self.send_turn(Message::TurnResumed, "TurnResumed", 0.05, None);
    }

    /// Ends the turn; the last `EagerEndOfTurn`, if those are wanted, has the same words.
    fn end_turn(&mut self, trigger: &'static str, confidence: f64) {
        if matches!(self.phase, Phase::Eager(count) if count != self.words.len()) {
            self.resume();
        }
        if self.phase == Phase::Speaking {
            self.guess();
        }
        self.send_turn(Message::EndOfTurn, "EndOfTurn", confidence, Some(trigger));
        self.phase = Phase::Between;
        self.words.clear();
        self.turn_index += 1;
        self.turn_start = self.recogniser.now_s();
    }

    fn force_end_turn(&mut self) {
        self.recogniser.flush();
        let new_words = self.take_words();
        if self.phase == Phase::Between && new_words {
            self.phase = Phase::Speaking;
            self.send_turn(Message::StartOfTurn, "StartOfTurn", 0.05, None);
        }
        if self.phase != Phase::Between {
            self.end_turn("manual", 0.3);
        }
    }

    fn configure(&mut self, message: Value) {
        let request_id = self.identity.request;
        let checked =
            serde_json::from_value::<FluxConfigure>(message).map_err(|error| error.to_string()).and_then(|wanted| {
                let thresholds = wanted.thresholds.over(self.thresholds);
                thresholds.check()?;
                check_keyterms(wanted.keyterms.as_deref().unwrap_or_default())?;
                if wanted.language_hints.is_some() && !self.query.multilingual {
                    return Err("language_hints require flux-general-multi.".to_owned());
                }
                Ok((wanted, thresholds))
            });
        match checked {
            Err(description) => self.send(
                Message::ConfigureFailure,
                json!({ "type": "ConfigureFailure", "request_id": request_id, "description": description }),
            ),
            Ok((wanted, thresholds)) => {
                self.thresholds = thresholds;
                self.query.keyterms = wanted.keyterms.unwrap_or(std::mem::take(&mut self.query.keyterms));
                self.query.language_hints =
                    wanted.language_hints.unwrap_or(std::mem::take(&mut self.query.language_hints));
                let mut body = json!({
                    "type": "ConfigureSuccess",
                    "request_id": request_id,
                    "thresholds": thresholds,
                    "keyterms": self.query.keyterms,
                });
                if self.query.multilingual {
                    body["language_hints"] = json!(self.query.language_hints);
                }
                if let Some(numerals) = wanted.numerals {
                    body["numerals"] = numerals.into();
                }
                self.send(Message::ConfigureSuccess, body);
            }
        }
    }

    fn fail(&mut self, code: &str, description: &str) {
        if self.closed {
            return;
        }
        self.send(Message::Error, json!({ "type": "Error", "code": code, "description": description }));
        self.closed = true;
        self.outgoing.push_back(Outgoing::Close(Some((1011, code.to_owned()))));
    }
}

impl Protocol for Flux {
    fn handle_audio(&mut self, bytes: &[u8]) {
        if self.closed {
            return;
        }
        if self.decoder.decode(bytes, &mut self.samples).is_err() {
            return self.fail("UNDECODABLE_AUDIO", "The payload cannot be decoded as audio.");
        }
        let mut samples = std::mem::take(&mut self.samples);
        if let Some(channel) = samples.first_mut() {
            for step in channel.chunks(STEP) {
                self.recogniser.push(step);
                self.step();
            }
        }
        samples.iter_mut().for_each(Vec::clear);
        self.samples = samples;
    }

    fn handle_text(&mut self, text: &str) {
        let message: Value = serde_json::from_str(text).unwrap_or_default();
        match message.get("type").and_then(Value::as_str) {
            Some("CloseStream") => self.handle_close_stream(),
            Some("ForceEndTurn") => self.force_end_turn(),
            Some("Configure") => self.configure(message),
            _ => self.fail("UNPARSABLE_CLIENT_MESSAGE", "The client's message could not be parsed."),
        }
    }

    /// Sends what is pending. There is no `EndOfTurn`, no metadata, and no close status.
    fn handle_close_stream(&mut self) {
        if self.closed {
            return;
        }
        self.recogniser.flush();
        if self.take_words() {
            if self.phase == Phase::Between {
                self.phase = Phase::Speaking;
                self.send_turn(Message::StartOfTurn, "StartOfTurn", 0.05, None);
            } else {
                self.send_turn(Message::Update, "Update", 0.3, None);
            }
        }
        self.closed = true;
        self.outgoing.push_back(Outgoing::Close(None));
    }

    fn handle_idle(&mut self) {
        self.fail("INACTIVE_CLIENT", "The client sent no message within the timeout window.");
    }

    fn handle_failure(&mut self, code: &str) {
        self.fail(code, "An unexpected error occurred.");
    }

    fn poll_outgoing(&mut self) -> Option<Outgoing> {
        self.outgoing.pop_front()
    }

    fn audio_s(&self) -> f64 {
        self.decoder.seconds()
    }

    fn unrecognised(&self) -> u64 {
        self.recogniser.unrecognised()
    }
}
