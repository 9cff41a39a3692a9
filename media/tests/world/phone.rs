//! A simulated carrier at the other end of a call's socket, on virtual time. It speaks Twilio's JSON: a caller's frame every 20 ms, what
//! the agent sent into a playback buffer, marks back.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use tokio::{
    sync::{Notify, mpsc},
    task::JoinHandle,
    time::{Instant, sleep_until},
};
use trunkline_base::{Clock, SystemClock};
use trunkline_media::{
    call::Attachment,
    telephony::{Inbound, MediaCodec, SocketMessage, twilio::TwilioCodec},
    testing::{FakeSocket, SocketEnd, pair},
    time::MediaTime,
};

use super::{
    playback::Playback,
    speech::{FRAME_BYTES, SILENCE},
};

const FRAME: Duration = Duration::from_millis(20);

/// What the engine sent, and when it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Sent {
    /// Audio: how many bytes, and the first of them, which names its reply.
    Audio {
        bytes: usize,
        value: u8,
    },
    Mark(String),
    Clear,
    Close(Option<u16>),
}

#[derive(Debug, Default)]
pub(crate) struct PhoneState {
    pub(crate) sent: Vec<(MediaTime, Sent)>,
    pub(crate) playback: Playback,
    /// Marks given back because they were passed or cleared.
    pub(crate) marks_returned: u64,
    /// Marks that this carrier shall lose.
    pub(crate) lose_marks: bool,
    pub(crate) closed: bool,
    stalled: bool,
    sound: Vec<[u8; FRAME_BYTES]>,
    /// Frames of the sound that are still to be made; then silence.
    frames_left: u64,
    frames_sent: u64,
    /// How much later than it was said a frame is sent at the most; 0: in time. They stay in order.
    pub(crate) jitter: Duration,
    /// When each stretch of sound was said, and until when.
    pub(crate) said: Vec<(MediaTime, MediaTime)>,
}

/// One media stream of the caller's call.
pub(crate) struct Phone {
    pub(crate) stream: String,
    state: Arc<Mutex<PhoneState>>,
    changed: Arc<Notify>,
    to_engine: mpsc::UnboundedSender<SocketMessage>,
    origin: Instant,
    task: JoinHandle<()>,
}

impl Phone {
    /// Opens a stream; its sound begins as soon as time goes on. `origin`: when the call began. `room`: how many messages the carrier
    /// leaves unread at the most.
    pub(crate) fn connect(stream: &str, origin: Instant, room: usize) -> (Self, Attachment<FakeSocket>) {
        let (socket, SocketEnd { to_engine, from_engine }) = pair(room);
        let mut codec = TwilioCodec::default();
        let start = json!({
            "event": "start", "sequenceNumber": "1", "streamSid": stream,
            "start": {
                "accountSid": "AC1", "streamSid": stream, "callSid": "CA1", "tracks": ["inbound"], "customParameters": {},
                "mediaFormat": { "encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1 },
            },
        });
        let Ok(Inbound::Started(started)) = codec.decode(&SocketMessage::Text(start.to_string())) else {
            panic!("a start message begins a stream");
        };
        let state = Arc::<Mutex<PhoneState>>::default();
        let changed = Arc::<Notify>::default();
        let line = Line {
            stream: stream.to_owned(),
            origin,
            started: SystemClock.now(),
            state: state.clone(),
            changed: changed.clone(),
            to_engine: to_engine.clone(),
        };
        let task = tokio::spawn(line.run(from_engine));
        let phone = Self { stream: stream.to_owned(), state, changed, to_engine, origin, task };
        (phone, Attachment { socket, codec: Box::new(codec), started: *started })
    }

    /// What it has seen and played, up to now.
    pub(crate) fn state(&self) -> MutexGuard<'_, PhoneState> {
        let now = MediaTime::new(SystemClock.now().saturating_duration_since(self.origin));
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // Marks that are due at this very moment are left to the task that sends them.
        if state.playback.next_mark().is_none_or(|at| at > now) {
            state.playback.advance(now);
        }
        state
    }

    /// The caller makes this sound, again and again, for so long.
    pub(crate) fn sound(&self, sound: Vec<[u8; FRAME_BYTES]>, duration: Duration) {
        let mut state = self.state();
        state.sound = sound;
        state.frames_left = (duration.as_millis() / FRAME.as_millis()) as u64;
    }

    /// Sends a message of the stream: `event` and the field of its name.
    pub(crate) fn send(&self, event: &str, body: Value) {
        send(&self.to_engine, &self.stream, event, body);
    }

    /// Sends any text.
    pub(crate) fn send_text(&self, text: &str) {
        let _ = self.to_engine.send(SocketMessage::Text(text.to_owned()));
    }

    /// The caller hangs up.
    pub(crate) fn hang_up(&self) {
        self.send("stop", json!({ "callSid": "CA1", "accountSid": "AC1" }));
        self.task.abort();
    }

    /// The connection breaks; the carrier's buffer is lost with it.
    pub(crate) fn break_connection(&mut self) {
        // What is audible up to this moment was heard.
        self.state().playback.clear(MediaTime::new(SystemClock.now().saturating_duration_since(self.origin)));
        self.task.abort();
        let (closed, _) = mpsc::unbounded_channel();
        self.to_engine = closed;
    }

    /// The carrier stops reading, or goes on; it still sends.
    pub(crate) fn stop_reading(&self, stop: bool) {
        self.state().stalled = stop;
        self.changed.notify_one();
    }
}

impl Drop for Phone {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn send(to_engine: &mpsc::UnboundedSender<SocketMessage>, stream: &str, event: &str, body: Value) {
    let mut message = json!({ "event": event, "streamSid": stream });
    message[event] = body;
    let _ = to_engine.send(SocketMessage::Text(message.to_string()));
}

/// The task's side of a [`Phone`].
struct Line {
    stream: String,
    origin: Instant,
    started: Instant,
    state: Arc<Mutex<PhoneState>>,
    changed: Arc<Notify>,
    to_engine: mpsc::UnboundedSender<SocketMessage>,
}

impl Line {
    async fn run(self, mut from_engine: mpsc::Receiver<SocketMessage>) {
        loop {
            let (frame_at, mark_at, reading) = {
                let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                // A frame is sent when its last sample has been said, or a while later.
                let said = self.started + FRAME * (state.frames_sent as u32 + 1);
                let frame_at = said + state.jitter.mul_f64(late(state.frames_sent));
                (frame_at, state.playback.next_mark(), !state.stalled)
            };
            let mark_at = mark_at.map(|at| self.origin + at.since_start());
            tokio::select! {
                biased;
                message = from_engine.recv(), if reading => match message {
                    Some(message) => self.on_message(&message),
                    None => return,
                },
                () = sleep_until(mark_at.unwrap_or(frame_at)), if mark_at.is_some() => {
                    let marks = self.state.lock().unwrap_or_else(PoisonError::into_inner).playback.advance(self.now());
                    self.give_back(marks);
                }
                () = sleep_until(frame_at) => self.send_frame(),
                () = self.changed.notified() => {}
            }
        }
    }

    fn now(&self) -> MediaTime {
        MediaTime::new(SystemClock.now().saturating_duration_since(self.origin))
    }

    fn on_message(&self, message: &SocketMessage) {
        let now = self.now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let text = match message {
            SocketMessage::Text(text) => text,
            SocketMessage::Close { code, .. } => {
                state.sent.push((now, Sent::Close(*code)));
                state.closed = true;
                return;
            }
            SocketMessage::Binary(_) => panic!("this carrier is sent text"),
        };
        let message: Value = serde_json::from_str(text).unwrap();
        assert_eq!(message["streamSid"], self.stream, "every message names its stream");
        let marks = match message["event"].as_str() {
            Some("media") => {
                let bytes = BASE64_STANDARD.decode(message["media"]["payload"].as_str().unwrap()).unwrap();
                state.sent.push((now, Sent::Audio { bytes: bytes.len(), value: bytes[0] }));
                state.playback.audio(now, bytes)
            }
            Some("mark") => {
                let name = message["mark"]["name"].as_str().unwrap().to_owned();
                state.sent.push((now, Sent::Mark(name.clone())));
                state.playback.mark(now, name)
            }
            Some("clear") => {
                state.sent.push((now, Sent::Clear));
                state.playback.clear(now)
            }
            other => panic!("the carrier was sent {other:?}"),
        };
        drop(state);
        self.give_back(marks);
    }

    fn give_back(&self, marks: Vec<String>) {
        for name in marks {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.marks_returned += 1;
            if !state.lose_marks {
                drop(state);
                send(&self.to_engine, &self.stream, "mark", json!({ "name": name }));
            }
        }
    }

    fn send_frame(&self) {
        let (frame, n) = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let n = state.frames_sent;
            state.frames_sent += 1;
            let frame = if state.frames_left > 0 && !state.sound.is_empty() {
                state.frames_left -= 1;
                let from = MediaTime::new(self.started.saturating_duration_since(self.origin) + FRAME * n as u32);
                match state.said.last_mut() {
                    Some((_, until)) if *until == from => *until = from + FRAME,
                    _ => state.said.push((from, from + FRAME)),
                }
                state.sound[n as usize % state.sound.len()]
            } else {
                SILENCE
            };
            (frame, n)
        };
        let payload = BASE64_STANDARD.encode(frame);
        let body = json!({ "track": "inbound", "chunk": (n + 1).to_string(), "timestamp": (n * 20).to_string(), "payload": payload });
        send(&self.to_engine, &self.stream, "media", body);
    }
}

/// How late a frame is, between 0 and 1: the same in each run.
fn late(frame: u64) -> f64 {
    let mut mixed = frame.wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((mixed ^ (mixed >> 31)) >> 40) as f64 / (1_u64 << 24) as f64
}
