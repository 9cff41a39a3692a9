//! A carrier that speaks 16-bit samples at 8, 16 or 24 kHz, without time stamps, and gives no mark back when it clears, is a carrier like
//! any other: its frames have its size, the recogniser hears what it listens to, and an interruption is one.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::{
    sync::{broadcast::error::TryRecvError, mpsc},
    task::JoinHandle,
    time::{Instant, sleep_until},
};
use trunkline_base::{CallId, Clock, SystemClock};
use trunkline_media::{
    audio::{AudioFormat, Encoding, SampleRate, g711, pacer::DEFAULT_LEAD, resample::Resampler, vad::VadConfig},
    call::{self, Attachment, CallChannels, CallCommand, CallConfig, CallLimits, CallPeers, CallSummary},
    event::{CallEvent, CallEventKind, EndReason},
    telephony::{Inbound, MediaCodec, SocketMessage, vonage::VonageCodec},
    testing::{
        FakeCarrier, FakeLlm, FakeReply, FakeSocket, FakeStt, FakeTools, FakeTts, FakeTtsScript, SocketEnd, pair,
    },
    time::MediaTime,
    turn::{Greeting, TurnConfig},
};

use crate::world::{PER_CHAR, ms, voice};

const GREETING: &str = "Hello, this is the clinic, and it is open from eight to five on every day of the week.";

#[derive(Default)]
struct Seen {
    sizes: Vec<usize>,
    clears: usize,
    /// Frames and notifications that are not played yet.
    queue: VecDeque<Option<Value>>,
    cleared: Vec<Value>,
    played: usize,
    voiced: u32,
}

/// The carrier: plays a frame every 20 ms, and sends one.
struct Carrier {
    seen: Arc<Mutex<Seen>>,
    to_engine: mpsc::UnboundedSender<SocketMessage>,
    task: JoinHandle<()>,
}

impl Carrier {
    fn connect(rate: SampleRate) -> (Self, Attachment<FakeSocket>) {
        let (socket, SocketEnd { to_engine, mut from_engine }) = pair(4096);
        let mut codec = VonageCodec::default();
        let connected = json!({
            "event": "websocket:connected", "content-type": format!("audio/l16;rate={}", rate.hz()),
            "call_uuid": "63f61863-4a51-4f6b-86e1-46edebcf9356", "account": "a1b2c3d4",
        });
        let Ok(Inbound::Started(started)) = codec.decode(&SocketMessage::Text(connected.to_string())) else {
            panic!("the first message begins a stream");
        };
        let seen = Arc::<Mutex<Seen>>::default();
        let (shared, line) = (seen.clone(), to_engine.clone());
        let task = tokio::spawn(async move {
            let sound = sound(rate);
            let mut tick = SystemClock.now();
            let mut frame = 0;
            loop {
                tokio::select! {
                    biased;
                    message = from_engine.recv() => match message {
                        Some(message) => hear(&shared, &line, message),
                        None => return,
                    },
                    () = sleep_until(tick) => {
                        tick += ms(20);
                        play(&shared, &line);
                        let mut seen = lock(&shared);
                        let voiced = seen.voiced > 0;
                        seen.voiced = seen.voiced.saturating_sub(1);
                        let data = if voiced { sound[frame % sound.len()].clone() } else { Bytes::from(vec![0; sound[0].len()]) };
                        frame += 1;
                        let _ = line.send(SocketMessage::Binary(data));
                    }
                }
            }
        });
        (Self { seen, to_engine, task }, Attachment { socket, codec: Box::new(codec), started: *started })
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        lock(&self.seen)
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

fn hear(seen: &Mutex<Seen>, line: &mpsc::UnboundedSender<SocketMessage>, message: SocketMessage) {
    let mut seen = lock(seen);
    match message {
        SocketMessage::Binary(frame) => {
            seen.sizes.push(frame.len());
            seen.queue.push_back(None);
        }
        SocketMessage::Text(text) => {
            let text: Value = serde_json::from_str(&text).unwrap();
            if text["action"] == "notify" {
                seen.queue.push_back(Some(text["payload"].clone()));
            } else {
                assert_eq!(text, json!({ "action": "clear" }));
                seen.clears += 1;
                let dropped: Vec<Value> = seen.queue.drain(..).flatten().collect();
                seen.cleared.extend(dropped);
                let _ = line.send(SocketMessage::Text(r#"{"event":"websocket:cleared"}"#.into()));
            }
        }
        SocketMessage::Close { .. } => {}
    }
}

fn play(seen: &Mutex<Seen>, line: &mpsc::UnboundedSender<SocketMessage>) {
    let mut seen = lock(seen);
    while let Some(Some(payload)) = seen.queue.front() {
        let _ = line.send(notify(payload));
        seen.queue.pop_front();
    }
    if seen.queue.pop_front().is_some() {
        seen.played += 1;
    }
}

fn notify(payload: &Value) -> SocketMessage {
    SocketMessage::Text(json!({ "event": "websocket:notify", "payload": payload }).to_string())
}

/// A second of a voice, in frames.
fn sound(rate: SampleRate) -> Vec<Bytes> {
    let mut samples = Vec::new();
    for frame in voice() {
        g711::mulaw_decode(&frame, &mut samples);
    }
    let mut resampled = Vec::new();
    let mut resampler = Resampler::new(SampleRate::HZ_8000, rate);
    resampler.process(&samples, &mut resampled);
    resampler.flush(&mut resampled);
    let bytes: Vec<u8> = resampled.iter().flat_map(|sample| sample.to_le_bytes()).collect();
    bytes.chunks_exact(rate.hz() as usize / 25).map(Bytes::copy_from_slice).collect()
}

struct Live {
    carrier: Carrier,
    stt: FakeStt,
    llm: FakeLlm,
    command: mpsc::Sender<CallCommand>,
    events: mpsc::UnboundedReceiver<CallEvent>,
    log: Vec<CallEventKind>,
    call: JoinHandle<CallSummary>,
    origin: Instant,
    _attach: mpsc::Sender<Attachment<FakeSocket>>,
    _tts: FakeTts,
}

impl Live {
    fn start(rate: SampleRate, listens_to: AudioFormat, speaks: AudioFormat) -> Self {
        let (stt, stt_end) = FakeStt::open_for(listens_to);
        let (tts, tts_end) =
            FakeTts::open(FakeTtsScript { format: speaks, per_char: PER_CHAR, ..FakeTtsScript::default() });
        let llm = FakeLlm::new(vec![FakeReply::text("Then tell me."), FakeReply::text("Good.")]);
        let clock = Arc::new(SystemClock);
        let peers = CallPeers {
            stt,
            tts,
            llm: Arc::new(llm.clone()),
            tools: Arc::new(FakeTools::default()),
            carrier: Arc::new(FakeCarrier::default()),
            clock: clock.clone(),
        };
        let turn = TurnConfig {
            greeting: Some(Greeting { text: GREETING.into(), interruptible: true }),
            ..TurnConfig::default()
        };
        let config = CallConfig {
            id: CallId::generate(),
            turn,
            vad: VadConfig::default(),
            lead: DEFAULT_LEAD,
            voice_format: speaks,
            recording: None,
            resumed: None,
            limits: CallLimits::default(),
        };
        let (carrier, attachment) = Carrier::connect(rate);
        let (attach, attachments) = mpsc::channel(4);
        let (command, commands) = mpsc::channel(16);
        let (events_in, events) = mpsc::unbounded_channel();
        let channels = CallChannels { attachments, commands, events: events_in };
        let origin = clock.now();
        let call = tokio::spawn(async move { Box::pin(call::run(config, peers, attachment, channels)).await });
        Self {
            carrier,
            stt: stt_end,
            llm,
            command,
            events,
            log: Vec::new(),
            call,
            origin,
            _attach: attach,
            _tts: tts_end,
        }
    }

    fn now(&self) -> MediaTime {
        MediaTime::new(SystemClock.now().saturating_duration_since(self.origin))
    }

    async fn run_for(&mut self, duration: Duration) {
        tokio::time::sleep(duration).await;
        while let Ok(event) = self.events.try_recv() {
            self.log.push(event.kind);
        }
    }

    /// What was heard of each reply that is over, and whether it was cut.
    fn replies(&self) -> Vec<(String, bool)> {
        let ended = |kind: &CallEventKind| match kind {
            CallEventKind::ReplyEnded { heard, interrupted, .. } => Some((heard.text.expose().clone(), *interrupted)),
            _ => None,
        };
        self.log.iter().filter_map(ended).collect()
    }
}

const fn linear(rate: SampleRate) -> AudioFormat {
    AudioFormat { encoding: Encoding::Linear16, rate }
}

const RATES: [SampleRate; 3] = [SampleRate::HZ_8000, SampleRate::HZ_16000, SampleRate::HZ_24000];

#[tokio::test(start_paused = true)]
async fn linear_audio_of_each_rate_goes_both_ways() {
    for rate in RATES {
        for vendors in [AudioFormat::MULAW_8K, linear(SampleRate::HZ_16000), linear(rate)] {
            let mut live = Live::start(rate, vendors, vendors);
            // The greeting, to its end.
            live.run_for(PER_CHAR * GREETING.len() as u32 + ms(1_500)).await;
            assert_eq!(live.replies(), [(GREETING.to_owned(), false)], "{rate:?} and {vendors:?}");
            let frame = rate.hz() as usize / 25;
            assert!(live.carrier.seen().sizes.iter().all(|size| *size == frame), "{rate:?}");
            let spoken = PER_CHAR * GREETING.len() as u32;
            let played = ms(20) * live.carrier.seen().played as u32;
            assert!(played >= spoken && played <= spoken + ms(20), "{played:?} of {spoken:?}");

            // The recogniser heard all of the time, at its own rate, without a gap.
            let mut heard = Duration::ZERO;
            let mut next: Option<MediaTime> = None;
            loop {
                let audio = match live.stt.audio.try_recv() {
                    Ok(audio) => audio,
                    // The oldest of what nobody took is dropped.
                    Err(TryRecvError::Lagged(_)) => continue,
                    Err(_) => break,
                };
                if let Some(next) = next {
                    let apart = audio.at.saturating_since(next).max(next.saturating_since(audio.at));
                    assert!(apart < ms(1), "{rate:?} and {vendors:?}: {} after {next}", audio.at);
                }
                let length = vendors.samples_in_bytes(audio.data.len()).duration(vendors.rate);
                next = Some(audio.at + length);
                heard += length;
            }
            assert!(heard > ms(4_900), "{heard:?}");
            live.call.abort();
            live.carrier.task.abort();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_interruption_of_linear_audio_clears_it_and_late_marks_prove_nothing() {
    for rate in RATES {
        let mut live = Live::start(rate, AudioFormat::MULAW_8K, AudioFormat::MULAW_8K);
        live.run_for(ms(1_500)).await;
        let start = live.now();
        live.carrier.seen().voiced = 60;
        live.run_for(ms(800)).await;
        live.stt.says_interim("No, I want", start, start + ms(700)).await;
        live.run_for(ms(600)).await;
        live.stt.says_final("No, I want to ask something.", start, start + ms(1_200)).await;
        live.run_for(ms(100)).await;
        assert_eq!(live.carrier.seen().clears, 1, "{rate:?}");
        let (heard, interrupted) = live.replies()[0].clone();
        assert!(interrupted && heard.len() < GREETING.len() / 2 && heard.len() > 10, "{rate:?}: {heard:?}");
        // The marks that were on their way come back after all.
        let cleared = live.carrier.seen().cleared.clone();
        for payload in cleared {
            live.carrier.to_engine.send(notify(&payload)).unwrap();
        }
        live.run_for(ms(6_000)).await;
        assert_eq!(live.replies()[0].0, heard);
        assert_eq!(live.replies()[1], ("Then tell me.".to_owned(), false), "{rate:?}");
        assert_eq!(live.llm.requests().len(), 1);
        live.command.send(CallCommand::HangUp { reason: EndReason::ApiHangup }).await.unwrap();
        let summary = tokio::time::timeout(ms(5_000), live.call).await.expect("the call ends").unwrap();
        assert_eq!((summary.bad_messages, summary.underruns), (0, 0), "{rate:?}");
    }
}
