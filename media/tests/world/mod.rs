//! A whole call on virtual time: the engine's actor with scripted fakes behind it and a simulated carrier in front of it.
//!
//! Nothing here waits for real time; a call of ten minutes takes about a second. A message at error level fails the test.
#![allow(dead_code, reason = "not every test that shares this uses all of it")]

mod builder;
mod errors;
mod phone;
mod playback;
mod speech;

use std::time::Duration;

use tokio::{sync::mpsc, task::JoinHandle, time::Instant};
use trunkline_base::{Clock, Personal, SystemClock};
use trunkline_media::{
    call::{Attachment, CallCommand, CallSummary},
    event::{CallEvent, CallEventKind, EndReason, Speaker, TurnSource},
    stt::SttEvent,
    testing::{FakeCarrier, FakeLlm, FakeSocket, FakeStt, FakeTools, FakeTts},
    time::MediaTime,
};

#[allow(unused_imports, reason = "each program that shares this module uses a part of it")]
pub(crate) use self::speech::crackle;
use self::{builder::Builder, errors::Errors};
#[allow(unused_imports, reason = "not every test that shares this makes noise")]
pub(crate) use self::{
    phone::{Phone, Sent},
    speech::voice,
};

/// How long the recogniser takes from the end of speech to its transcript.
pub(crate) const STT_DELAY: Duration = Duration::from_millis(300);
/// How long a character takes to be said, by either side.
pub(crate) const PER_CHAR: Duration = Duration::from_millis(50);

/// So many milliseconds.
pub(crate) const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A call that is being made.
pub(crate) struct World {
    origin: Instant,
    /// The streams, the newest last.
    pub(crate) phones: Vec<Phone>,
    pub(crate) stt: FakeStt,
    pub(crate) tts: FakeTts,
    pub(crate) llm: FakeLlm,
    pub(crate) tools: FakeTools,
    pub(crate) carrier: FakeCarrier,
    attach: mpsc::Sender<Attachment<FakeSocket>>,
    command: mpsc::Sender<CallCommand>,
    first_seq: u64,
    log: Vec<CallEvent>,
    events: mpsc::UnboundedReceiver<CallEvent>,
    call: Option<JoinHandle<CallSummary>>,
    room: usize,
    errors: Errors,
}

impl World {
    pub(crate) fn builder() -> Builder {
        Builder::default()
    }

    // Time.

    pub(crate) fn now(&self) -> MediaTime {
        MediaTime::new(SystemClock.now().saturating_duration_since(self.origin))
    }

    pub(crate) async fn run_for(&mut self, duration: Duration) {
        tokio::time::sleep(duration).await;
        self.collect();
    }

    /// Until something is so, for half a virtual minute at the most.
    pub(crate) async fn run_until(&mut self, what: &str, mut so: impl FnMut(&mut Self) -> bool) {
        let limit = self.now() + ms(30_000);
        loop {
            self.collect();
            if so(self) {
                return;
            }
            assert!(self.now() < limit, "it never came to: {what}\n{:#?}", self.log);
            tokio::time::sleep(ms(5)).await;
        }
    }

    /// Until an event of this kind has happened.
    pub(crate) async fn until(&mut self, what: &str, mut is: impl FnMut(&CallEventKind) -> bool) {
        self.run_until(what, |world| world.log.iter().any(|event| is(&event.kind))).await;
    }

    /// Until so many replies are over.
    pub(crate) async fn until_replies_ended(&mut self, n: usize) {
        self.run_until("replies ended", |world| world.replies().len() >= n).await;
    }

    /// Until the agent's so-many-th turn is heard.
    pub(crate) async fn until_speaking(&mut self, n: usize) {
        let spoken =
            |event: &CallEvent| matches!(event.kind, CallEventKind::TurnStarted { speaker: Speaker::Agent, .. });
        self.run_until("the agent speaks", |world| world.log.iter().filter(|event| spoken(event)).count() >= n).await;
    }

    /// Until the call is over; gives its summary. The call must be over within half a virtual minute.
    pub(crate) async fn until_ended(&mut self) -> CallSummary {
        self.until("the call ends", |kind| matches!(kind, CallEventKind::Ended { .. })).await;
        let call = self.call.take().expect("a call ends once");
        let summary = tokio::time::timeout(ms(5_000), call).await.expect("the task ends with its call").unwrap();
        self.collect();
        assert!(
            matches!(self.log.last().map(|event| &event.kind), Some(CallEventKind::Ended { .. })),
            "nothing follows"
        );
        summary
    }

    fn collect(&mut self) {
        while let Ok(event) = self.events.try_recv() {
            assert_eq!(event.seq, self.first_seq + self.log.len() as u64, "events are numbered without a gap");
            self.log.push(event);
        }
    }

    // The caller.

    pub(crate) fn phone(&self) -> &Phone {
        self.phones.last().expect("a call has a stream")
    }

    /// The caller makes voiced sound for so long, from now; does not wait.
    pub(crate) fn voice(&self, duration: Duration) {
        self.phone().sound(voice(), duration);
    }

    /// The caller says something. It takes time to say it and for its transcript to come; both are over when this returns.
    pub(crate) async fn caller_says(&mut self, text: &str) {
        let (start, length) = (self.now(), PER_CHAR * text.chars().count() as u32);
        self.voice(length);
        self.run_for(length + STT_DELAY).await;
        self.stt.says_final(text, start, start + length).await;
        self.run_for(ms(1)).await;
    }

    /// The caller says something that the recogniser reports as it is being said: half of it in the middle, all of it at its end.
    pub(crate) async fn caller_says_slowly(&mut self, text: &str) {
        let (start, length) = (self.now(), PER_CHAR * text.chars().count() as u32);
        let half: String = text.split_inclusive(' ').take(text.split(' ').count().div_ceil(2)).collect();
        self.voice(length);
        self.run_for(length / 2 + STT_DELAY).await;
        self.stt.says_interim(half.trim(), start, start + length / 2).await;
        self.run_for(length / 2).await;
        self.stt.says_final(text, start, start + length).await;
        self.run_for(ms(1)).await;
    }

    /// The recogniser heard a pause.
    pub(crate) async fn hint(&mut self, last_word_end: Option<MediaTime>) {
        self.stt.say(SttEvent::EndpointHint { last_word_end }).await;
        self.run_for(ms(1)).await;
    }

    // The line.

    /// Another stream of the same call.
    pub(crate) async fn connect_again(&mut self) {
        let (phone, attachment) = Phone::connect(&format!("MZ{}", self.phones.len() + 1), self.origin, self.room);
        self.phones.push(phone);
        self.attach.send(attachment).await.expect("the call takes streams as long as it lives");
        self.run_for(ms(1)).await;
    }

    pub(crate) async fn command(&mut self, command: CallCommand) {
        self.command.send(command).await.expect("the call takes commands as long as it lives");
        self.run_for(ms(1)).await;
    }

    pub(crate) async fn say(&mut self, text: &str, interruptible: bool) {
        self.command(CallCommand::Say { text: Personal::new(text.into()), interruptible }).await;
    }

    // What happened.

    pub(crate) fn log(&self) -> &[CallEvent] {
        &self.log
    }

    pub(crate) fn count(&self, is: impl Fn(&CallEventKind) -> bool) -> usize {
        self.log.iter().filter(|event| is(&event.kind)).count()
    }

    pub(crate) fn at(&self, is: impl Fn(&CallEventKind) -> bool) -> Option<MediaTime> {
        self.log.iter().find(|event| is(&event.kind)).map(|event| event.at)
    }

    pub(crate) fn end_reason(&self) -> Option<EndReason> {
        self.log.iter().find_map(|event| match event.kind {
            CallEventKind::Ended { reason } => Some(reason),
            _ => None,
        })
    }

    /// The replies that are over, in order.
    pub(crate) fn replies(&self) -> Vec<EndedReply> {
        let ended = |event: &CallEvent| match &event.kind {
            CallEventKind::ReplyEnded { reply, generated, heard, interrupted, .. } => Some(EndedReply {
                n: reply.0,
                generated: generated.expose().clone(),
                heard: heard.text.expose().clone(),
                audio: heard.audio,
                interrupted: *interrupted,
            }),
            _ => None,
        };
        self.log.iter().filter_map(ended).collect()
    }

    /// The turns that are over, by when their speech began: who, what, why.
    pub(crate) fn transcript(&self) -> Vec<(Speaker, String, TurnSource)> {
        let mut turns: Vec<_> = self
            .log
            .iter()
            .filter_map(|event| match &event.kind {
                CallEventKind::TurnEnded { turn, speaker, text, started, source, .. } => {
                    Some((*started, *turn, *speaker, text.expose().clone(), *source))
                }
                _ => None,
            })
            .collect();
        turns.sort_by_key(|turn| (turn.0, turn.1));
        turns.into_iter().map(|(_, _, speaker, text, source)| (speaker, text, source)).collect()
    }

    /// All that the caller heard of one reply, over all streams, in samples.
    pub(crate) fn samples_heard(&self, reply: u32) -> u64 {
        let value = value_of(reply);
        self.phones
            .iter()
            .map(|phone| phone.state().playback.heard.iter().filter(|byte| **byte == value).count() as u64)
            .sum()
    }

    /// What the caller heard of a text that the voice spoke evenly, cut after the last whole word.
    pub(crate) fn words_in(&self, text: &str, samples: u64) -> String {
        let chars: Vec<char> = text.chars().collect();
        let mut count = ((samples / (PER_CHAR.as_millis() as u64 * 8)) as usize).min(chars.len());
        if count < chars.len() && chars[count].is_alphanumeric() {
            count = chars[..count].iter().rposition(|ch| !ch.is_alphanumeric()).map_or(0, |at| at + 1);
        }
        chars[..count].iter().collect::<String>().trim().to_owned()
    }

    /// What the newest stream was sent.
    pub(crate) fn sent(&self) -> Vec<(MediaTime, Sent)> {
        self.phone().state().sent.clone()
    }

    /// How many times the newest stream was told to clear.
    pub(crate) fn clears(&self) -> usize {
        self.sent().iter().filter(|(_, sent)| *sent == Sent::Clear).count()
    }

    /// Fails if a frame of a reply was sent after the `clear` that dropped it.
    pub(crate) fn assert_no_stale_frame(&self) {
        for phone in &self.phones {
            let mut over = 0;
            let mut last = 0;
            for (at, sent) in &phone.state().sent {
                match sent {
                    Sent::Clear => over = last,
                    Sent::Audio { value, .. } if *value <= 100 => {
                        assert!(*value > over, "{at}: a frame of reply {} after its clear", value - 1);
                        last = *value;
                    }
                    _ => {}
                }
            }
        }
    }

    /// Fails if the model was asked for two things at once.
    pub(crate) fn assert_one_generation_at_a_time(&self) {
        assert!(self.llm.most_in_flight() <= 1, "{} generations at once", self.llm.most_in_flight());
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(call) = &self.call {
            call.abort();
        }
        let errors = self.errors.take();
        if !std::thread::panicking() {
            assert!(errors.is_empty(), "messages at error level: {errors:?}");
        }
    }
}

/// A reply that is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EndedReply {
    pub(crate) n: u32,
    pub(crate) generated: String,
    pub(crate) heard: String,
    pub(crate) audio: Duration,
    pub(crate) interrupted: bool,
}

/// The byte that a [`FakeTts`] makes a reply's audio of.
pub(crate) const fn value_of(reply: u32) -> u8 {
    1 + (reply % 100) as u8
}
