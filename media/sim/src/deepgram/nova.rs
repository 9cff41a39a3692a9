//! `/v1/listen`: interim and final results, ends of speech, and the client's messages. All times are audio time.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use serde_json::{Value, json};

use crate::recogniser::{Library, Recogniser, Word};

use super::{
    codec::Decoder,
    log::Message,
    protocol::{Outgoing, Protocol, millis},
    query::{NovaQuery, check_keyterms},
    wire::{self, Extent, Identity},
};

/// Samples between two looks at the recogniser: 10 ms.
const STEP: usize = 80;
/// Audio below this is not worth an answer to `Finalize`, in seconds.
const NOTICEABLE: f64 = 0.25;
/// The least silence that ends what `SpeechStarted` began, in seconds.
const SPEECH_GAP: f64 = 0.3;

const NET_0000: &str =
    "Deepgram did not provide a response message within the timeout window. See https://dpgr.am/net0000";
const NET_0001: &str =
    "Deepgram did not receive audio data or a text message within the timeout window. See https://dpgr.am/net0001";
const DATA_0000: &str = "The payload cannot be decoded as audio. See https://dpgr.am/data0000";

/// How often Nova speaks up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NovaTiming {
    /// Audio between interim results once an utterance has words; the first comes with the first word.
    pub interim_interval: Duration,
    /// Audio after which a result is final though speech goes on.
    pub final_interval: Duration,
}

impl Default for NovaTiming {
    fn default() -> Self {
        Self { interim_interval: Duration::from_secs(1), final_interval: Duration::from_secs(4) }
    }
}

/// One connection.
pub(super) struct Nova {
    query: NovaQuery,
    timing: NovaTiming,
    identity: Identity,
    library: Arc<Library>,
    decoder: Decoder,
    samples: Vec<Vec<i16>>,
    channels: Vec<Channel>,
    outgoing: VecDeque<Outgoing>,
    closed: bool,
}

/// One channel's transcription.
struct Channel {
    index: [usize; 2],
    recogniser: Recogniser,
    /// Where the part begins that is not final.
    start: f64,
    /// The words of that part.
    words: Vec<Word>,
    interim: Option<Interim>,
    /// Words since speech was last final.
    spoken: usize,
    /// End of the last word, until `UtteranceEnd` tells of it.
    last_word_end: Option<f64>,
    in_speech: bool,
}

/// The last interim result since a final one.
struct Interim {
    at: f64,
    words: usize,
}

impl Nova {
    pub(super) fn new(query: NovaQuery, timing: NovaTiming, identity: Identity, library: Arc<Library>) -> Self {
        let decoder = Decoder::new(query.format, query.channels);
        let (samples, channels, outgoing) = (Vec::new(), Vec::new(), VecDeque::new());
        Self { query, timing, identity, library, decoder, samples, channels, outgoing, closed: false }
    }

    fn send(&mut self, kind: Message, body: &Value) {
        self.outgoing.push_back(Outgoing::plain(kind, body));
    }

    fn close(&mut self, code: u16, reason: &str) {
        self.closed = true;
        self.outgoing.push_back(Outgoing::Close(Some((code, reason.to_owned()))));
    }

    fn hear(&mut self) {
        let count = if self.query.multichannel { self.samples.len() } else { 1 };
        if self.channels.len() < count {
            let library = &self.library;
            self.channels = (0..count).map(|index| Channel::new([index, count], library.clone())).collect();
        }
        if !self.query.multichannel && self.samples.len() > 1 {
            let length = self.samples[0].len();
            let mixed = (0..length).map(|at| {
                let sum: i64 = self.samples.iter().map(|channel| i64::from(channel[at])).sum();
                (sum / self.samples.len() as i64) as i16
            });
            self.samples = vec![mixed.collect()];
        }
        let view = View { query: &self.query, timing: self.timing, identity: &self.identity };
        for (channel, samples) in self.channels.iter_mut().zip(&mut self.samples) {
            for step in samples.chunks(STEP) {
                channel.recogniser.push(step);
                channel.step(view, &mut self.outgoing);
            }
            samples.clear();
        }
    }

    fn each(&mut self, mut act: impl FnMut(&mut Channel, View<'_>, &mut VecDeque<Outgoing>)) {
        let view = View { query: &self.query, timing: self.timing, identity: &self.identity };
        for channel in &mut self.channels {
            act(channel, view, &mut self.outgoing);
        }
    }

    fn configure(&mut self, message: &Value) {
        let request_id = self.identity.request;
        let terms: Option<Vec<String>> = match message.get("keyterms") {
            None | Some(Value::Null) => None,
            Some(terms) => match serde_json::from_value(terms.clone()) {
                Ok(terms) => Some(terms),
                Err(_) => return self.schema_error("keyterms must be a list of strings", &message.to_string()),
            },
        };
        let failure = match &terms {
            Some(_) if !self.query.model.starts_with("nova-3") => {
                Some(("CONFIGURE_KEYTERMS_NOT_SUPPORTED", "Keyterms are only supported for Nova-3.".to_owned()))
            }
            Some(terms) => check_keyterms(terms).err().map(|reason| ("CONFIGURE_KEYTERM_LIMIT_EXCEEDED", reason)),
            None => None,
        };
        if let Some((code, description)) = failure {
            let body = json!({ "type": "ConfigureFailure", "request_id": request_id, "code": code, "description": description });
            return self.send(Message::ConfigureFailure, &body);
        }
        let mut body = json!({ "type": "ConfigureSuccess", "request_id": request_id });
        if let Some(terms) = terms {
            body["keyterms"] = json!(terms);
        }
        self.send(Message::ConfigureSuccess, &body);
    }

    fn schema_error(&mut self, description: &str, message: &str) {
        let body = json!({ "type": "Error", "variant": "SchemaError", "description": description, "message": message });
        self.send(Message::Error, &body);
    }
}

impl Protocol for Nova {
    fn handle_audio(&mut self, bytes: &[u8]) {
        if self.closed {
            return;
        }
        if self.decoder.decode(bytes, &mut self.samples).is_err() {
            return self.close(1008, DATA_0000);
        }
        if self.samples.iter().any(|channel| !channel.is_empty()) {
            self.hear();
        }
    }

    fn handle_text(&mut self, text: &str) {
        let message: Value = match serde_json::from_str(text) {
            Ok(message) => message,
            Err(error) => return self.schema_error(&error.to_string(), text),
        };
        match message.get("type").and_then(Value::as_str) {
            Some("KeepAlive") => {}
            Some("Finalize") => {
                let only = message.get("channel").and_then(Value::as_u64);
                self.each(|channel, view, out| {
                    if only.is_none_or(|only| only == channel.index[0] as u64) {
                        channel.finalize(view, out);
                    }
                });
            }
            Some("CloseStream") => self.handle_close_stream(),
            Some("Configure") => self.configure(&message),
            _ => self.schema_error("unknown message type", text),
        }
    }

    fn handle_close_stream(&mut self) {
        if self.closed {
            return;
        }
        self.each(Channel::finish);
        let mut body = wire::metadata(&self.identity, self.decoder.seconds(), self.decoder.channels());
        body["type"] = "Metadata".into();
        self.send(Message::Metadata, &body);
        self.close(1000, "");
    }

    fn handle_idle(&mut self) {
        self.close(1011, NET_0001);
    }

    fn handle_failure(&mut self, code: &str) {
        match code {
            "NET-0000" => self.close(1011, NET_0000),
            "NET-0001" => self.close(1011, NET_0001),
            "DATA-0000" => self.close(1008, DATA_0000),
            other => self.close(1011, other),
        }
    }

    fn poll_outgoing(&mut self) -> Option<Outgoing> {
        self.outgoing.pop_front()
    }

    fn audio_s(&self) -> f64 {
        self.decoder.seconds()
    }

    fn unrecognised(&self) -> u64 {
        self.channels.iter().map(|channel| channel.recogniser.unrecognised()).sum()
    }
}

/// What a channel needs to know of its connection.
#[derive(Clone, Copy)]
struct View<'a> {
    query: &'a NovaQuery,
    timing: NovaTiming,
    identity: &'a Identity,
}

/// Why a result is final.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reason {
    Interval,
    SpeechFinal,
    Finalize,
    Close,
}

impl Channel {
    fn new(index: [usize; 2], library: Arc<Library>) -> Self {
        Self {
            index,
            recogniser: Recogniser::new(library),
            start: 0.0,
            words: Vec::new(),
            interim: None,
            spoken: 0,
            last_word_end: None,
            in_speech: false,
        }
    }

    fn take_words(&mut self) {
        while let Some(word) = self.recogniser.poll_word() {
            self.spoken += 1;
            self.last_word_end = Some(word.end_s);
            self.words.push(word);
        }
    }

    /// Looks at what 10 ms more of audio brought.
    fn step(&mut self, view: View<'_>, out: &mut VecDeque<Outgoing>) {
        self.take_words();
        let now = self.recogniser.now_s();
        let activity = self.recogniser.activity();
        let silence = activity.last_voice_s.map_or(now, |voice| now - voice);
        let settled = !activity.speaking && !activity.undecided;
        if activity.speaking && !self.in_speech {
            self.in_speech = true;
            if view.query.vad_events {
                let body = json!({ "type": "SpeechStarted", "channel": self.index, "timestamp": millis(now) });
                out.push_back(Outgoing::plain(Message::SpeechStarted, &body));
            }
        }
        if settled && silence >= view.query.endpointing.unwrap_or(1.0).max(SPEECH_GAP) {
            self.in_speech = false;
        }
        if settled && self.spoken > 0 && view.query.endpointing.is_some_and(|endpointing| silence >= endpointing) {
            self.end_part(view, out, now, Reason::SpeechFinal);
        }
        if let (Some(gap), Some(end)) = (view.query.utterance_end, self.last_word_end)
            && settled
            && now - end >= gap
        {
            if !self.words.is_empty() {
                self.end_part(view, out, now, Reason::Interval);
            }
            self.last_word_end = None;
            let body = json!({ "type": "UtteranceEnd", "channel": self.index, "last_word_end": millis(end) });
            out.push_back(Outgoing::plain(Message::UtteranceEnd, &body));
        }
        if now - self.start >= view.timing.final_interval.as_secs_f64() {
            // A part ends between words.
            let boundary = if settled { Some(now) } else { self.words.last().map(|word| word.end_s) };
            if let Some(boundary) = boundary {
                self.end_part(view, out, boundary, Reason::Interval);
            }
        }
        if view.query.interim_results {
            let due = match &self.interim {
                None => !self.words.is_empty() || now - self.start >= view.timing.interim_interval.as_secs_f64(),
                Some(last) => {
                    (last.words == 0 && !self.words.is_empty())
                        || now - last.at >= view.timing.interim_interval.as_secs_f64()
                }
            };
            if due {
                self.interim = Some(Interim { at: now, words: self.words.len() });
                self.push_results(view, out, now, None);
            }
        }
    }

    fn finalize(&mut self, view: View<'_>, out: &mut VecDeque<Outgoing>) {
        self.recogniser.flush();
        self.take_words();
        let now = self.recogniser.now_s();
        if !self.words.is_empty() || now - self.start >= NOTICEABLE {
            self.end_part(view, out, now, Reason::Finalize);
        }
    }

    fn finish(&mut self, view: View<'_>, out: &mut VecDeque<Outgoing>) {
        self.recogniser.flush();
        self.take_words();
        if !self.words.is_empty() {
            self.end_part(view, out, self.recogniser.now_s(), Reason::Close);
        }
    }

    fn end_part(&mut self, view: View<'_>, out: &mut VecDeque<Outgoing>, end: f64, reason: Reason) {
        self.push_results(view, out, end, Some(reason));
        if matches!(reason, Reason::SpeechFinal | Reason::Finalize) {
            self.spoken = 0;
        }
        self.words.clear();
        self.interim = None;
        self.start = end;
    }

    fn push_results(&self, view: View<'_>, out: &mut VecDeque<Outgoing>, end: f64, reason: Option<Reason>) {
        let speech_final = matches!(reason, Some(Reason::SpeechFinal | Reason::Finalize));
        let extent = Extent {
            channel: self.index,
            start: self.start,
            end,
            is_final: reason.is_some(),
            speech_final,
            from_finalize: reason == Some(Reason::Finalize),
        };
        let kind = match reason {
            None => Message::Interim,
            Some(_) if speech_final => Message::SpeechFinal,
            Some(_) => Message::Final,
        };
        let body = wire::results(view.identity, extent, &self.words).to_string();
        out.push_back(Outgoing::Text { kind, transcript: wire::transcript(&self.words).into(), body });
    }
}
