//! Exact recognition: audio in, the vendor's messages out. One for each connection; its times count from the connection's first sample.

use serde_json::{Value, json};

const RATE: usize = 8_000;
const SILENCE: u8 = 0xFF;

/// A word: its number, its first sample, and the one after its last.
type Word = (u8, usize, usize);

pub enum Recogniser {
    Nova { audio: Vec<u8>, done: usize, told: usize },
    Flux { audio: Vec<u8>, done: usize, told: usize, started: bool, eager: bool, sequence: u32 },
}

fn words(audio: &[u8], from: usize) -> Vec<Word> {
    let mut words: Vec<Word> = Vec::new();
    for (n, sample) in audio.iter().enumerate().skip(from).filter(|(_, sample)| **sample != SILENCE) {
        match words.last_mut() {
            Some((word, _, end)) if word == sample && *end == n => *end = n + 1,
            _ => words.push((*sample, n, n + 1)),
        }
    }
    words
}

fn text(words: &[Word]) -> String {
    words.iter().map(|(word, ..)| format!("w{word}")).collect::<Vec<_>>().join(" ")
}

fn seconds(sample: usize) -> f64 {
    sample as f64 / RATE as f64
}

fn json_words(words: &[Word]) -> Vec<Value> {
    words
        .iter()
        .map(|(word, start, end)| {
            json!({"word": format!("w{word}"), "start": seconds(*start), "end": seconds(*end), "confidence": 0.9})
        })
        .collect()
}

fn results(words: &[Word], start: usize, end: usize, is_final: bool, speech_final: bool, from_finalize: bool) -> Value {
    json!({"type": "Results", "channel_index": [0, 1], "start": seconds(start), "duration": seconds(end - start),
        "is_final": is_final, "speech_final": speech_final, "from_finalize": from_finalize,
        "channel": {"alternatives": [{"transcript": text(words), "confidence": 0.9, "words": json_words(words)}]},
        "metadata": {"request_id": "r", "model_uuid": "m", "model_info": {"name": "n", "version": "v", "arch": "nova-3"}}})
}

impl Recogniser {
    pub fn new(path: &str) -> Self {
        if path.starts_with("/v1") {
            Self::Nova { audio: vec![], done: 0, told: 0 }
        } else {
            Self::Flux { audio: vec![], done: 0, told: 0, started: false, eager: false, sequence: 0 }
        }
    }

    /// What is said before any audio.
    pub fn greeting(&self) -> Option<Value> {
        matches!(self, Self::Flux { .. }).then(|| json!({"type": "Connected", "request_id": "r", "sequence_id": 0}))
    }

    pub fn heard(&mut self, data: &[u8]) -> Vec<Value> {
        let mut out = Vec::new();
        // A tenth of a second at a time: what is recognised must not depend on the sizes of messages.
        for piece in data.chunks(160) {
            match self {
                Self::Nova { audio, done, told } => {
                    audio.extend_from_slice(piece);
                    nova(audio, done, told, &mut out);
                }
                Self::Flux { audio, .. } => {
                    audio.extend_from_slice(piece);
                    self.flux(&mut out);
                }
            }
        }
        out
    }

    pub fn command(&mut self, kind: &str) -> Vec<Value> {
        match (self, kind) {
            (Self::Nova { audio, done, .. }, "Finalize" | "CloseStream") => {
                let heard = words(audio, *done);
                let mut out = vec![results(&heard, *done, audio.len(), true, true, kind == "Finalize")];
                *done = audio.len();
                if kind == "CloseStream" {
                    out.push(
                        json!({"type": "Metadata", "request_id": "r", "duration": seconds(audio.len()), "channels": 1}),
                    );
                }
                out
            }
            (flux @ Self::Flux { .. }, "ForceEndTurn") => flux.turn("EndOfTurn").into_iter().collect(),
            (Self::Flux { .. }, "KeepAlive") => {
                vec![
                    json!({"type": "Error", "sequence_id": 9, "code": "UNPARSABLE_CLIENT_MESSAGE", "description": "x"}),
                ]
            }
            _ => vec![],
        }
    }

    fn turn(&mut self, event: &str) -> Option<Value> {
        let Self::Flux { audio, done, started, eager, sequence, .. } = self else { return None };
        let heard = words(audio, *done);
        *sequence += 1;
        let message = json!({"type": "TurnInfo", "request_id": "r", "sequence_id": sequence, "event": event, "turn_index": 0,
            "audio_window_start": seconds(*done), "audio_window_end": seconds(audio.len()), "transcript": text(&heard),
            "words": json_words(&heard), "end_of_turn_confidence": 0.8});
        match event {
            "StartOfTurn" => *started = true,
            "EagerEndOfTurn" => *eager = true,
            "TurnResumed" => *eager = false,
            "EndOfTurn" => (*started, *eager, *done) = (false, false, audio.len()),
            _ => {}
        }
        Some(message)
    }

    fn flux(&mut self, out: &mut Vec<Value>) {
        let Self::Flux { audio, done, told, started, eager, .. } = self else { return };
        let heard = words(audio, *done);
        let quiet = heard.last().map(|(.., end)| audio.len() - end);
        let event = match quiet {
            Some(_) if !*started => "StartOfTurn",
            Some(0) if *eager => "TurnResumed",
            Some(quiet) if quiet >= RATE * 8 / 10 => "EndOfTurn",
            Some(quiet) if quiet >= RATE * 3 / 10 && !*eager => "EagerEndOfTurn",
            _ if audio.len() - *told >= RATE / 4 && !*eager => "Update",
            _ => return,
        };
        *told = audio.len();
        out.extend(self.turn(event));
    }
}

/// An endpoint after 300 ms of silence, a final at a gap between words after 2 s, an interim each 0.5 s.
fn nova(audio: &[u8], done: &mut usize, told: &mut usize, out: &mut Vec<Value>) {
    let heard = words(audio, *done);
    let now = audio.len();
    let quiet = heard.last().map_or(0, |(.., end)| now - end);
    if heard.len() == 1 && heard[0].2 == now && now - heard[0].1 <= 160 {
        out.push(json!({"type": "SpeechStarted", "channel": [0, 1], "timestamp": seconds(heard[0].1)}));
    }
    if quiet >= RATE * 3 / 10 {
        out.push(results(&heard, *done, now, true, true, false));
        (*done, *told) = (now, now);
    } else if now - *done >= 2 * RATE && (heard.is_empty() || quiet > 0) {
        out.push(results(&heard, *done, now, true, false, false));
        (*done, *told) = (now, now);
    } else if now - *told >= RATE / 2 {
        out.push(results(&heard, *done, now, false, false, false));
        *told = now;
    }
}
