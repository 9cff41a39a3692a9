//! The turn machine: who speaks when, what was heard, what is asked of the model and what is said.
//!
//! **The contract: hand in one input (or a timeout) with the time, then take outputs until there are none, then sleep until the
//! deadline that [`TurnMachine::poll_timeout`] gives.** No async, no clock, no socket, no lock; the same inputs give the same outputs.
//!
//! ```text
//! loop {
//!     while let Some(output) = machine.poll_output() { perform(output) }
//!     select! { input => machine.handle_input(now, input), at deadline => machine.handle_timeout(now) }
//! }
//! ```
//!
//! `handle_*` is what happened outside, `poll_*` takes what is to be done, plain nouns look. Time must not run backwards.
//!
//! Of two shapes — one central state enum with a transition table, or sub-machines with one decider — this is the second: each
//! of [`endpointing`], [`interruption`], [`playout`] and [`reply`] answers one question purely, and the machine alone acts.

mod agent;
mod answered;
mod caller;
mod clauses;
mod config;
mod endpointing;
mod history;
mod holding;
mod interruption;
mod io;
mod playout;
mod reply;
mod resuming;
mod speaking;
mod stopping;
mod thinking;
mod timers;
mod transferring;

use std::collections::VecDeque;

use trunkline_base::Personal;

pub use config::{
    AgentState, Greeting, IdleConfig, Profile, TransferTool, TurnConfig, Voicemail, VoicemailAction,
    default_backchannels,
};
pub use io::{Input, Output};
pub use resuming::{PastTurn, Resumed};
pub use timers::Timer;

use self::{
    agent::Speculation,
    answered::Machine,
    endpointing::{CallerTurn, Endpointing},
    history::History,
    interruption::Interruption,
    reply::{Answering, Reply, Then},
    timers::Timers,
    transferring::Transferring,
};
use crate::{
    event::{CallEvent, CallEventKind, Direction, EndReason, Speaker, TurnSource},
    ids::{Epoch, GenerationId, MarkId, ReplyId, TurnId},
    time::MediaTime,
};

/// The name under which the built-in tool that ends the call is offered to the model.
pub const END_CALL: &str = "end_call";

/// How long the end of a call waits for something that must not be cut and ends soon.
const LATER: std::time::Duration = std::time::Duration::from_secs(5);

/// Whether the call lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// No media stream has been attached yet, or none in this process.
    Waiting,
    /// Caller and agent can speak.
    Live,
    /// The carrier is being told to hang up.
    Ending(EndReason),
    /// Over.
    Ended,
}

/// Decides one call. See the module for the contract.
#[derive(Debug)]
pub struct TurnMachine {
    config: TurnConfig,
    phase: Phase,
    attached: bool,
    timers: Timers,
    outputs: VecDeque<Output>,
    history: History,

    // The caller's side.
    endpointing: Endpointing,
    caller: Option<CallerTurn>,
    /// Up to where the caller's words have been dealt with: what comes later about them is late.
    committed_until: MediaTime,
    keys: String,
    keys_since: MediaTime,
    idle_prompts: u32,

    // The agent's side.
    interruption: Interruption,
    reply: Option<Reply>,
    speculation: Option<Speculation>,
    /// The caller's turn that waits for the reply under way to be over.
    unanswered: Option<Answering>,
    says: VecDeque<(String, bool)>,
    /// Whether the call was answered in another process.
    is_resumed: bool,
    /// The caller's turn that had no answer when that process died.
    left_open: Option<String>,
    /// Failures in a row of what makes the agent speak.
    failures: u32,

    // What the outside has done with the call.
    /// Whether the greeting follows what is said before it.
    greets_next: bool,
    held: bool,
    /// Whether something that the caller said waits for when the agent listens again.
    owed: bool,
    transfer: Option<Transferring>,
    /// Transfers in a row that came to nothing without a word of the caller between them.
    failed_transfers: u32,
    /// Whether the carrier has taken the stream away for us.
    away: bool,
    machine: Option<Machine>,
    /// When the caller last heard a reply to its end, and whether they have answered one.
    heard_whole_at: Option<MediaTime>,
    conversed: bool,
    /// Whether the recogniser has failed for good.
    deaf: bool,

    // Numbers.
    seq: u64,
    next_turn: TurnId,
    next_reply: ReplyId,
    next_generation: GenerationId,
    next_mark: u32,
}

impl TurnMachine {
    /// A call that nobody has answered yet.
    pub fn new(config: TurnConfig) -> Self {
        Self {
            config,
            phase: Phase::Waiting,
            attached: false,
            timers: Timers::default(),
            outputs: VecDeque::new(),
            history: History::default(),
            endpointing: Endpointing::default(),
            caller: None,
            committed_until: MediaTime::ZERO,
            keys: String::new(),
            keys_since: MediaTime::ZERO,
            idle_prompts: 0,
            interruption: Interruption::None,
            reply: None,
            speculation: None,
            unanswered: None,
            says: VecDeque::new(),
            is_resumed: false,
            left_open: None,
            failures: 0,
            greets_next: false,
            held: false,
            owed: false,
            transfer: None,
            failed_transfers: 0,
            away: false,
            machine: None,
            heard_whole_at: None,
            conversed: false,
            deaf: false,
            seq: 0,
            next_turn: TurnId(1),
            next_reply: ReplyId(1),
            next_generation: GenerationId(1),
            next_mark: 1,
        }
    }

    /// Something happened outside.
    pub fn handle_input(&mut self, now: MediaTime, input: Input) {
        if self.phase == Phase::Ended {
            return;
        }
        match input {
            Input::Attached { stream } => self.on_attached(now, stream),
            Input::Detached => self.on_detached(now),
            Input::Moved => {
                self.away |= self.attached;
                self.on_detached(now);
            }
            Input::Mark { mark } => self.on_mark(now, mark),
            Input::AudioSent { epoch, samples } => self.on_audio_sent(now, epoch, samples),
            Input::SpeechStarted { at } => self.on_voice_started(now, at),
            Input::SpeechStopped { at } => self.on_voice_stopped(now, at),
            Input::Stt { event } => self.on_stt(now, event),
            Input::Llm { generation, event } => self.on_llm(now, generation, event),
            Input::SpeechAudio { reply, samples, alignment } => self.on_speech_audio(now, reply, samples, &alignment),
            Input::SpeechDone { reply } => self.on_speech_done(now, reply),
            Input::SpeechFailed { reply, cause } => self.on_speech_failed(now, reply, cause),
            Input::VendorFault { provider, phase, cause, recovered } => {
                self.emit(now, CallEventKind::VendorFault { provider, phase, cause, recovered });
            }
            Input::Usage { provider, unit, quantity, wasted } => {
                self.emit(now, CallEventKind::Usage { provider, unit, quantity, wasted });
            }
            Input::Recording { state } => self.emit(now, CallEventKind::Recording { state }),
            Input::ToolFinished { call, outcome } => self.on_tool_finished(now, &call, outcome),
            Input::Dtmf { digit } => self.on_dtmf(now, digit),
            Input::Say { text, interruptible } => self.on_say(now, text.into_inner(), interruptible),
            Input::HangUp { reason } => self.hang_up_now(now, reason),
            Input::Hold { on } => self.on_hold(now, on),
            Input::SendKeys { keys } => self.on_send_keys(now, keys),
            Input::KeysSent { call, error } => self.on_keys_sent(now, call, error),
            Input::Transfer { transfer } => self.on_transfer(now, transfer),
            Input::TransferOver { outcome } => self.on_transfer_over(now, outcome),
            Input::AnsweredBy { by } => self.on_answered_by(now, by),
            Input::Closed { reason } => self.on_closed(now, reason),
        }
    }

    /// The deadline of [`Self::poll_timeout`] has come.
    pub fn handle_timeout(&mut self, now: MediaTime) {
        while let Some(timer) = self.timers.expire(now) {
            match timer {
                Timer::EndOfTurn => self.commit_caller_turn(now, TurnSource::Speech),
                Timer::Finalize => self.ask_finalize(),
                Timer::FalseInterruption => self.reject_interruption(now, false),
                Timer::HoldTooLong => self.reject_interruption(now, true),
                Timer::MarkMissing => self.complete_reply(now),
                Timer::ReplyStalled => self.on_reply_stalled(now),
                Timer::Idle => self.on_idle(now),
                Timer::DtmfCollect => self.commit_keys(now),
                Timer::TransferTooLong => self.on_transfer_too_long(now),
                Timer::NoBeep => self.on_no_beep(now),
                Timer::MaxDuration => self.say_goodbye(now, EndReason::MaxDuration),
            }
        }
    }

    /// What is to be done next.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Self::handle_timeout`] wants to be called, and for what.
    pub fn poll_timeout(&self) -> Option<(MediaTime, Timer)> {
        self.timers.next()
    }

    /// The reply whose audio is wanted. Everything else that a voice delivers is stale.
    pub fn current_reply(&self) -> Option<(ReplyId, Epoch)> {
        self.reply.as_ref().map(|reply| (reply.id, reply.epoch))
    }

    /// Whether the call is over.
    pub fn is_ended(&self) -> bool {
        self.phase == Phase::Ended
    }

    /// What the agent is doing.
    pub fn state(&self) -> AgentState {
        match &self.reply {
            None => AgentState::Listening,
            Some(reply) if reply.first_frame.is_some() => AgentState::Speaking,
            Some(reply) if reply.tools_running() => AgentState::ToolRunning,
            Some(_) => AgentState::Thinking,
        }
    }

    fn on_attached(&mut self, now: MediaTime, stream: String) {
        let first = self.phase == Phase::Waiting;
        self.attached = true;
        if first {
            self.phase = Phase::Live;
        }
        let answered = first && !self.is_resumed;
        if answered {
            self.emit(now, CallEventKind::Answered);
        }
        let away = std::mem::take(&mut self.away);
        self.emit(now, CallEventKind::StreamAttached { stream, reattached: !answered && !away });
        if !first {
            if self.reply.is_none() && self.phase == Phase::Live {
                self.restart_idle(now);
            }
            // If everything had been heard, the mark that says so was lost with the old stream.
            self.await_last_mark();
            return;
        }
        if self.is_resumed {
            return self.go_on(now);
        }
        self.timers.set(Timer::MaxDuration, now + self.config.max_duration);
        if let Some(consent) = self.config.consent.clone() {
            self.greets_next = true;
            self.say(now, TurnSource::Consent, &consent, false, None);
        } else {
            self.greet(now);
        }
    }

    fn greet(&mut self, now: MediaTime) {
        self.greets_next = false;
        if let Some(greeting) = self.config.greeting.clone() {
            self.say(now, TurnSource::Greeting, &greeting.text, greeting.interruptible, None);
        } else {
            self.restart_idle(now);
        }
    }

    fn on_detached(&mut self, now: MediaTime) {
        if !std::mem::take(&mut self.attached) {
            return;
        }
        self.endpointing.handle_speech_stopped(now);
        // Nobody will say that the caller has stopped speaking.
        self.update_endpoint(now);
        self.timers.stop(Timer::Idle);
        self.timers.stop(Timer::MarkMissing);
        if let Some(reply) = &mut self.reply {
            let samples = reply.playout.handle_lost(now);
            if samples.0 > 0 {
                self.outputs.push_back(Output::Rewind { samples });
            }
        }
        if matches!(self.interruption, Interruption::Held { .. }) {
            self.reject_interruption(now, false);
        }
    }

    fn on_dtmf(&mut self, now: MediaTime, digit: char) {
        self.emit(now, CallEventKind::Dtmf { digit: Personal::new(digit), direction: Direction::Inbound });
        if !self.listens() || self.phase != Phase::Live {
            return;
        }
        // Whoever presses a key has heard enough; what the keys say is known when they are all there.
        let cut = |reply: &Reply| reply.interruptible && reply.first_frame.is_some();
        if self.config.profile(self.state()).interruptions && self.reply.as_ref().is_some_and(cut) {
            self.accept_interruption(now);
        }
        self.timers.stop(Timer::Idle);
        if self.keys.is_empty() {
            self.keys_since = now;
        }
        self.keys.push(digit);
        if self.config.dtmf_terminator == Some(digit) || self.keys.len() >= 64 {
            self.commit_keys(now);
        } else {
            self.timers.set(Timer::DtmfCollect, now + self.config.dtmf_collect);
        }
    }

    fn on_idle(&mut self, now: MediaTime) {
        if self.reply.is_some() || self.caller.is_some() || self.phase != Phase::Live || !self.attached {
            return;
        }
        self.idle_prompts += 1;
        self.emit(now, CallEventKind::CallerIdle { n: self.idle_prompts });
        let prompts = &self.config.idle.prompts;
        if self.idle_prompts > self.config.idle.hang_up_after {
            self.say_goodbye(now, EndReason::Idle);
        } else if prompts.is_empty() {
            self.restart_idle(now);
        } else {
            let prompt = prompts[(self.idle_prompts as usize - 1) % prompts.len()].clone();
            self.say(now, TurnSource::Idle, &prompt, true, None);
        }
    }

    fn restart_idle(&mut self, now: MediaTime) {
        if self.phase == Phase::Live && self.attached && self.listens() {
            self.timers.set(Timer::Idle, now + self.config.idle.after);
        }
    }

    /// Ends the call as soon as the configured goodbye, if there is one, has been heard.
    fn say_goodbye(&mut self, now: MediaTime, reason: EndReason) {
        if self.transfer.is_some() || self.machine.is_some() {
            // What is under way has a limit of its own.
            self.timers.set(Timer::MaxDuration, now + LATER);
            return;
        }
        if self.reply.as_ref().is_some_and(|reply| reply.then.is_some()) {
            // These are last words already.
            return;
        }
        self.held = false;
        self.cut_reply(now, crate::event::InterruptionCause::Command);
        match self.config.goodbye.clone() {
            Some(goodbye) if self.attached => {
                self.say(now, TurnSource::Goodbye, &goodbye, false, Some(Then::HangUp(reason)));
            }
            _ => self.hang_up(now, reason),
        }
    }

    /// Ends the call without another word.
    fn hang_up_now(&mut self, now: MediaTime, reason: EndReason) {
        self.cut_reply(now, crate::event::InterruptionCause::Command);
        self.hang_up(now, reason);
    }

    /// Tells the carrier, once: ending a call is a command, not a state to be waited for.
    fn hang_up(&mut self, now: MediaTime, reason: EndReason) {
        if self.phase != Phase::Live && self.phase != Phase::Waiting {
            return;
        }
        self.flush_caller(now);
        self.discard_speculation(now);
        self.abandon_transfer(now, reason);
        self.phase = Phase::Ending(reason);
        self.timers.stop_all();
        self.outputs.push_back(Output::HangUp { reason });
    }

    fn on_closed(&mut self, now: MediaTime, reason: EndReason) {
        self.discard_speculation(now);
        self.flush_caller(now);
        self.cut_reply(now, crate::event::InterruptionCause::Command);
        self.abandon_transfer(now, reason);
        let reason = if let Phase::Ending(ours) = self.phase { ours } else { reason };
        self.timers.stop_all();
        self.emit(now, CallEventKind::Ended { reason });
        self.phase = Phase::Ended;
    }

    /// Words and keys that were not answered get their entry even if the call ends before the turn does.
    fn flush_caller(&mut self, now: MediaTime) {
        self.end_keys(now);
        if let Some(turn) = self.caller.take() {
            self.end_caller_turn(now, &turn, TurnSource::Speech);
        }
    }

    fn end_caller_turn(&mut self, now: MediaTime, turn: &CallerTurn, source: TurnSource) {
        let text = Personal::new(turn.text());
        let kind = CallEventKind::TurnEnded {
            turn: turn.turn,
            speaker: Speaker::Caller,
            text,
            started: turn.started,
            ended: turn.ended,
            source,
        };
        self.committed_until = self.committed_until.max(turn.ended);
        self.emit(now, kind);
    }

    fn emit(&mut self, now: MediaTime, kind: CallEventKind) {
        let seq = self.seq;
        self.seq += 1;
        self.outputs.push_back(Output::Event(CallEvent { seq, at: now, kind }));
    }

    const fn take_turn_id(&mut self) -> TurnId {
        let id = self.next_turn;
        self.next_turn = id.next();
        id
    }

    const fn take_mark(&mut self, epoch: Epoch) -> MarkId {
        let n = self.next_mark;
        self.next_mark += 1;
        MarkId { epoch, n }
    }
}
