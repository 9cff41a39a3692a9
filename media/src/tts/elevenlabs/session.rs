//! What is sent when: the replies of a call, their contexts, and what is left of both when a socket fails. No socket, no clock.
//!
//! **Every `handle_*` may leave messages, events and a hang-up behind: take all of them with `poll_*` before the next one.** Time is
//! given, never read, and never goes back.

mod contexts;
mod outbox;
mod replies;
#[cfg(test)]
mod tests;

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

use self::{contexts::Contexts, outbox::Outbox};
use super::{
    endpoint::Mode,
    fault::{LinkFault, Remedy},
    reply::Reply,
    wire::{ClientMessage, ServerMessage},
};
use crate::{
    audio::AudioFormat,
    ids::ReplyId,
    tts::{TtsCommand, TtsConfig, TtsEvent, TtsLimits, VoiceSettings},
};

/// A socket that was silent for so long gets a message: under the vendor's default of 20 s, should it ignore the 180 s we ask for.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How long a reply waits for a closing context to end before the socket is replaced to be rid of them all.
const SLOT: Duration = Duration::from_millis(300);
/// How many replies that are over are remembered, so that what comes late for one of them doesn't open it again.
const ENDED: usize = 32;

/// What a deadline is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Timer {
    /// The first audio of a reply's context is late.
    FirstByte(ReplyId),
    /// More audio of a reply's context, or its end, is late.
    Idle(ReplyId),
    /// A reply waits for a context that closing ones don't give back.
    Slot,
    /// Nothing was sent for long.
    KeepAlive,
}

pub(super) struct Session {
    mode: Mode,
    tag: String,
    settings: VoiceSettings,
    format: AudioFormat,
    limits: TtsLimits,
    /// In the order in which they were begun.
    replies: Vec<Reply>,
    ended: VecDeque<ReplyId>,
    /// Open or closing on the socket; empty while there is none.
    contexts: Contexts,
    connected: bool,
    last_sent: Option<Instant>,
    /// Since when a reply has been waiting for a context.
    blocked: Option<Instant>,
    /// The reply whose wait ended the socket: the others lose it without fault of theirs.
    stalled: Option<ReplyId>,
    /// Whether this socket's kind has ever given audio.
    proven: bool,
    /// What was last reported as failed and isn't mended.
    trouble: Option<(&'static str, String)>,
    /// Why it would be useless to connect again.
    refused: Option<String>,
    hang_up: bool,
    transmits: VecDeque<String>,
    outbox: Outbox,
}

impl Session {
    pub(super) fn new(config: &TtsConfig) -> Self {
        Self {
            mode: Mode::Multi,
            tag: config.tag.clone(),
            settings: config.settings.clone(),
            format: config.format,
            limits: config.limits,
            replies: Vec::new(),
            ended: VecDeque::with_capacity(ENDED),
            contexts: Contexts::default(),
            connected: false,
            last_sent: None,
            blocked: None,
            stalled: None,
            proven: false,
            trouble: None,
            refused: None,
            hang_up: false,
            transmits: VecDeque::new(),
            outbox: Outbox::default(),
        }
    }

    /// The socket to connect to.
    pub(super) fn mode(&self) -> Mode {
        self.mode
    }

    /// Returns whether it began a reply, for which a connection shouldn't be put off.
    pub(super) fn handle_command(&mut self, command: TtsCommand, now: Instant) -> bool {
        let began = match command {
            TtsCommand::Speak { reply, text } => self.speak(reply, &text),
            TtsCommand::Finish { reply } => self.finish(reply),
            TtsCommand::Cancel { reply } => {
                self.cancel(reply);
                false
            }
            TtsCommand::Close => {
                self.bill_all();
                self.transmits.push_back(match self.mode {
                    Mode::Multi => ClientMessage::CloseSocket.to_json(),
                    Mode::Single => ClientMessage::EndOfStream.to_json(),
                });
                false
            }
        };
        self.pump(now);
        began
    }

    /// There is a socket of [`Self::mode`].
    pub(super) fn handle_connected(&mut self, now: Instant) {
        self.connected = true;
        self.last_sent = Some(now);
        if let Some((phase, cause)) = self.trouble.take() {
            self.outbox.push(TtsEvent::Fault { phase, cause, recovered: true });
        }
        if self.mode == Mode::Single {
            self.transmits.push_back(ClientMessage::Open { context: None, settings: &self.settings }.to_json());
        }
        self.pump(now);
    }

    /// The vendor said something. An error is for [`Self::handle_lost`].
    pub(super) fn handle_message(&mut self, message: &ServerMessage<'_>, now: Instant) -> Result<(), LinkFault> {
        if let Some(error) = &message.error {
            return Err(LinkFault::vendor(error));
        }
        let Some(name) = self.contexts.name_of(message.context.as_deref(), self.mode) else { return Ok(()) };
        if let Some(reply) = self.replies.iter_mut().find(|reply| reply.is_spoken_by(&name)) {
            let mut pieces = Vec::new();
            if reply.hear(message, now, &mut pieces) {
                self.proven = true;
            }
            if !reply.text.is_owed() {
                self.outbox.usage(std::mem::take(&mut reply.unbilled), false);
            }
            let id = reply.id;
            self.outbox.extend(pieces.into_iter().map(|piece| TtsEvent::Audio {
                reply: id,
                audio: piece.audio,
                alignment: piece.alignment,
            }));
        }
        if message.is_final {
            self.contexts.remove(&name);
            self.end_context(&name);
            if self.mode == Mode::Single {
                self.hang_up();
            }
            self.pump(now);
        }
        Ok(())
    }

    /// There is no socket any more, or none could be had. Says what to do next.
    pub(super) fn handle_lost(&mut self, fault: &LinkFault, now: Instant) -> Remedy {
        let remedy = fault.remedy(self.mode, self.proven);
        let phase = if self.connected { "stream" } else { "connect" };
        let cause = fault.to_string();
        self.outbox.push(TtsEvent::Fault { phase, cause: cause.clone(), recovered: false });
        self.drop_contexts();
        let stalled = self.stalled.take();
        match remedy {
            Remedy::Retry => {
                self.trouble = Some((phase, cause.clone()));
                for reply in &mut self.replies {
                    if stalled.is_none_or(|id| id == reply.id) && reply.text.unsent().is_some() {
                        reply.failures += 1;
                    }
                }
                self.fail_where(&cause, |reply, limits| reply.failures > limits.retries);
            }
            Remedy::StreamInput => {
                self.trouble = Some((phase, cause));
                self.mode = Mode::Single;
            }
            Remedy::GiveUp => self.refused = Some(cause),
        }
        self.pump(now);
        remedy
    }

    /// A deadline of [`Self::poll_timeout`] has passed. An error is for [`Self::handle_lost`].
    pub(super) fn handle_timeout(&mut self, timer: Timer, now: Instant) -> Result<(), LinkFault> {
        match timer {
            Timer::FirstByte(reply) => {
                self.stalled = Some(reply);
                return Err(LinkFault::FirstByteLimit(self.limits.first_byte));
            }
            Timer::Idle(reply) => {
                self.stalled = Some(reply);
                return Err(LinkFault::IdleLimit(self.limits.idle));
            }
            Timer::Slot => {
                self.hang_up();
                self.pump(now);
            }
            Timer::KeepAlive => self.keep_alive(now),
        }
        Ok(())
    }

    /// The vendor wasn't listened to for a while, because the call had no room: every wait begins anew.
    pub(super) fn handle_resumed(&mut self, now: Instant) {
        for reply in &mut self.replies {
            reply.restart_wait(now);
        }
    }

    /// The next message to send.
    pub(super) fn poll_transmit(&mut self) -> Option<String> {
        self.transmits.pop_front()
    }

    /// The next event for the call.
    pub(super) fn poll_event(&mut self) -> Option<TtsEvent> {
        self.outbox.pop()
    }

    /// Whether the call has to take events before more may be read.
    pub(super) fn has_events(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// Whether the socket is to be dropped and replaced at once, without anything having failed. Told once.
    pub(super) fn poll_hang_up(&mut self) -> bool {
        std::mem::take(&mut self.hang_up)
    }

    /// The next deadline and what it is for. While the vendor is not `listened` to, nothing of it can be late.
    pub(super) fn poll_timeout(&self, listened: bool) -> Option<(Instant, Timer)> {
        if !self.connected {
            return None;
        }
        let keep_alive = self.last_sent.map(|sent| (sent + KEEP_ALIVE, Timer::KeepAlive));
        let slot = self.blocked.filter(|_| self.contexts.any_closing()).map(|since| (since + SLOT, Timer::Slot));
        let waits = self.replies.iter().filter(|_| listened).filter_map(|reply| {
            let opened = reply.context.as_ref()?;
            let since = opened.waiting?;
            Some(if opened.voiced {
                (since + self.limits.idle, Timer::Idle(reply.id))
            } else {
                (since + self.limits.first_byte, Timer::FirstByte(reply.id))
            })
        });
        waits.chain(keep_alive).chain(slot).min_by_key(|(at, _)| *at)
    }

    fn hang_up(&mut self) {
        self.drop_contexts();
        self.hang_up = true;
    }

    fn drop_contexts(&mut self) {
        self.connected = false;
        self.contexts.clear();
        self.transmits.clear();
        self.bill_all();
        for reply in &mut self.replies {
            reply.lose_context();
        }
    }

    /// Puts on the bill what was sent. A character is billed once for each time it was sent, when it is known whether it was in vain.
    fn bill_all(&mut self) {
        for reply in &mut self.replies {
            self.outbox.usage(std::mem::take(&mut reply.unbilled), false);
        }
    }

    fn keep_alive(&mut self, now: Instant) {
        match self.mode {
            // Nothing may follow the end of a stream.
            Mode::Single if self.replies.iter().any(|reply| reply.context.as_ref().is_some_and(|one| one.closed)) => {
                self.last_sent = Some(now);
            }
            Mode::Single => self.transmit(&ClientMessage::KeepStreamAlive, now),
            Mode::Multi => {
                let open: Vec<String> = self.contexts.open_ones().map(str::to_owned).collect();
                for context in &open {
                    self.transmit(&ClientMessage::KeepAlive { context: Some(context) }, now);
                }
                if open.is_empty() {
                    self.transmit(&ClientMessage::KeepAlive { context: None }, now);
                }
            }
        }
    }

    fn transmit(&mut self, message: &ClientMessage<'_>, now: Instant) {
        self.transmits.push_back(message.to_json());
        self.last_sent = Some(now);
    }
}
