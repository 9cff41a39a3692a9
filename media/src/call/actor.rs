//! The task.

use std::{panic::AssertUnwindSafe, sync::Arc};

use futures_util::FutureExt;
use tokio::{
    task::JoinSet,
    time::{Instant, Sleep, sleep_until},
};
use trunkline_base::Clock;

use super::{
    Attachment, BoxFuture, CallChannels, CallCommand, CallConfig, CallPeers, CallSummary, Carrier,
    asked::{Asked, pressing, transferring},
    recorder::Recorder,
    socket::{self, MediaSocket},
};
use crate::{
    audio::{AudioFormat, Samples, convert::Converter, outbound::Outbound, pacer::Pacer, vad::Vad},
    event::{CallEventKind, EndReason, ToolOutcome},
    llm::{Llm, LlmEvent, LlmStream},
    stt::{SttCommand, SttEvent, SttSession},
    telephony::{BadMessageLimit, CLOSE_NORMAL, MediaCodec, SocketMessage, Transfer},
    time::MediaTime,
    tools::ToolRunner,
    tts::{TtsCommand, TtsEvent, TtsSession},
    turn::{Input, Output, TurnMachine},
};

/// Audio of a reply that is waiting to be sent; above it the voice is not read, and its socket fills up instead of our memory.
const QUEUE_FULL_SECONDS: u64 = 20;

/// How long the recogniser may take, when the call is over, to say how much it heard.
const LAST_BILL: std::time::Duration = std::time::Duration::from_millis(500);

/// The socket that a call has at the moment.
pub(super) struct Line<S> {
    pub(super) socket: S,
    pub(super) codec: Box<dyn MediaCodec>,
    pub(super) format: AudioFormat,
    pub(super) attached_at: MediaTime,
    /// Where the next audio belongs if the carrier does not say.
    pub(super) next_audio: MediaTime,
}

pub(super) struct Call<S> {
    pub(super) config: CallConfig,
    clock: Arc<dyn Clock>,
    /// When this process took the call.
    origin: Instant,
    /// What the call's clock said then.
    begin: MediaTime,
    pub(super) machine: TurnMachine,
    pub(super) summary: CallSummary,

    // The line.
    pub(super) line: Option<Line<S>>,
    pub(super) reattach_by: Option<MediaTime>,
    /// Whether the call has had a socket.
    answered: bool,
    pub(super) bad_messages: BadMessageLimit,
    channels: CallChannels<S>,
    commands_open: bool,

    // Audio.
    pub(super) queue: Outbound,
    pub(super) pacer: Pacer,
    pub(super) converter: Converter,
    /// From what the carrier sends to what the recogniser listens to.
    pub(super) ear: Converter,
    pub(super) vad: Vad,
    /// The caller's frame at hand, decoded.
    pub(super) pcm: Vec<i16>,
    pub(super) recorder: Option<Recorder>,

    // Vendors.
    pub(super) stt: SttSession,
    stt_open: bool,
    tts: TtsSession,
    tts_open: bool,
    llm: Arc<dyn Llm>,
    generation: Option<LlmStream>,
    tools: Arc<dyn ToolRunner>,
    running_tools: JoinSet<(String, ToolOutcome)>,
    pub(super) carrier: Arc<dyn Carrier>,
    hanging_up: Option<(EndReason, BoxFuture<'static, Result<(), String>>)>,
    pub(super) asked: Asked,
}

/// Runs a call from its first media stream to its end, or, if it is taken up again, from its first stream in this process.
pub async fn run<S: MediaSocket>(
    config: CallConfig,
    peers: CallPeers,
    first: Attachment<S>,
    channels: CallChannels<S>,
) -> CallSummary {
    let mut call = Call::new(config, peers, &first, channels);
    call.attach(first).await;
    call.run().await;
    call.finish().await
}

impl<S: MediaSocket> Call<S> {
    fn new(config: CallConfig, peers: CallPeers, first: &Attachment<S>, channels: CallChannels<S>) -> Self {
        let format = first.started.format;
        let turn = crate::turn::TurnConfig { format, ..config.turn.clone() };
        let begin = config.resumed.as_ref().map_or(MediaTime::ZERO, |resumed| resumed.clock);
        let answered = config.resumed.is_some();
        let machine = match config.resumed.clone() {
            None => TurnMachine::new(turn),
            Some(resumed) => TurnMachine::resumed(turn, resumed),
        };
        Self {
            origin: peers.clock.now(),
            begin,
            clock: peers.clock,
            machine,
            summary: CallSummary::default(),
            line: None,
            reattach_by: None,
            answered,
            bad_messages: BadMessageLimit::default(),
            channels,
            commands_open: true,
            queue: Outbound::new(format),
            pacer: Pacer::new(config.lead),
            converter: Converter::new(config.voice_format, format),
            ear: Converter::new(format, peers.stt.format),
            vad: Vad::new(config.vad, format.rate),
            pcm: Vec::with_capacity(format.rate.samples_in(crate::audio::FRAME).0 as usize),
            recorder: config.recording.clone().map(|path| Recorder::start(path, format, begin)),
            stt: peers.stt,
            stt_open: true,
            tts: peers.tts,
            tts_open: true,
            llm: peers.llm,
            generation: None,
            tools: peers.tools,
            running_tools: JoinSet::new(),
            carrier: peers.carrier,
            hanging_up: None,
            asked: Asked::default(),
            config,
        }
    }

    pub(super) fn now(&self) -> MediaTime {
        self.begin + self.clock.now().saturating_duration_since(self.origin)
    }

    async fn run(&mut self) {
        let wake = sleep_until(self.origin);
        tokio::pin!(wake);
        loop {
            self.perform().await;
            if self.machine.is_ended() {
                return;
            }
            self.arm(wake.as_mut());
            let room = self.queue.queued() < Samples(u64::from(self.config_format().rate.hz()) * QUEUE_FULL_SECONDS);
            tokio::select! {
                biased;
                Some(attachment) = self.channels.attachments.recv() => self.attach(attachment).await,
                message = socket::next(self.line.as_mut().map(|line| &mut line.socket)) => {
                    let now = self.now();
                    self.on_socket_message(now, message).await;
                }
                event = self.stt.events.recv(), if self.stt_open => {
                    let now = self.now();
                    match event {
                        Some(event) => {
                            self.stt_open = !matches!(event, SttEvent::Failed { .. });
                            self.machine.handle_input(now, Input::Stt { event });
                        }
                        None => {
                            self.stt_open = false;
                            let event = SttEvent::Failed { cause: "the recogniser's session is over".into() };
                            self.machine.handle_input(now, Input::Stt { event });
                        }
                    }
                }
                event = next_event(&mut self.generation) => self.on_llm_event(event),
                event = self.tts.events.recv(), if self.tts_open && room => self.on_tts_event(event),
                Some(done) = self.running_tools.join_next(), if !self.running_tools.is_empty() => {
                    if let Ok((call, outcome)) = done {
                        let now = self.now();
                        self.machine.handle_input(now, Input::ToolFinished { call, outcome });
                    }
                }
                command = self.channels.commands.recv(), if self.commands_open => self.on_command(command),
                result = hung_up(&mut self.hanging_up) => self.on_hung_up(result).await,
                step = transferring(&mut self.asked.transfer) => self.on_transfer_step(step),
                (call, result) = pressing(&mut self.asked.pressing) => self.on_keys_pressed(call, result),
                () = wake.as_mut() => {}
            }
            let now = self.now();
            self.machine.handle_timeout(now);
            if self.reattach_by.is_some_and(|by| by <= now) {
                self.reattach_by = None;
                // The caller may be on the line still, which only the carrier can end.
                self.machine.handle_input(now, Input::HangUp { reason: EndReason::MediaLost });
            }
        }
    }

    /// Does all that the machine wants done, then sends what is due, until neither leaves anything.
    async fn perform(&mut self) {
        loop {
            while let Some(output) = self.machine.poll_output() {
                self.perform_one(output).await;
            }
            let now = self.now();
            self.press_keys();
            self.pump(now).await;
            self.drain_recording(now).await;
            match self.machine.poll_output() {
                Some(output) => self.perform_one(output).await,
                None => return,
            }
        }
    }

    fn arm(&self, mut wake: std::pin::Pin<&mut Sleep>) {
        let deadline = [self.machine.poll_timeout().map(|(at, _)| at), self.pacer.deadline(), self.reattach_by]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(self.now() + std::time::Duration::from_secs(3600));
        let at = self.origin + deadline.saturating_since(self.begin);
        if wake.deadline() != at || wake.is_elapsed() {
            wake.as_mut().reset(at);
        }
    }

    async fn perform_one(&mut self, output: Output) {
        let now = self.now();
        match output {
            Output::Generate(request) => self.generation = Some(self.llm.start(request)),
            Output::CancelGeneration { generation } => {
                if self.generation.as_ref().is_some_and(|current| current.generation == generation) {
                    self.generation = None;
                }
            }
            Output::Speak { reply, epoch, text } => {
                if self.queue.epoch() != Some(epoch) {
                    self.queue.begin(epoch);
                    self.converter.reset();
                }
                self.tell_voice(now, TtsCommand::Speak { reply, text: text.into_inner() });
            }
            Output::FinishSpeech { reply } => self.tell_voice(now, TtsCommand::Finish { reply }),
            Output::CancelSpeech { reply } => self.tell_voice(now, TtsCommand::Cancel { reply }),
            Output::PlaceMark { epoch, at, mark } => {
                let _ = self.queue.place_mark(epoch, at, mark);
            }
            Output::FinishAudio { epoch, mark } => {
                let _ = self.queue.place_mark(epoch, Samples(u64::MAX), mark);
                self.queue.finish(epoch);
            }
            Output::Hold => self.queue.hold(),
            Output::Release => self.queue.release(),
            Output::Rewind { samples } => {
                // The carrier's buffer is gone with its socket, and so are its marks: they keep their numbers.
                self.queue.rewind(samples + self.queue.trailing_silence(), |mark| mark);
            }
            Output::Clear { epoch } => self.clear(now, epoch).await,
            Output::RunTool { call, .. } => {
                let limit = self.tools.limit(&call.name).unwrap_or(self.config.limits.tool);
                let id = call.id.clone();
                let run = AssertUnwindSafe(self.tools.run(call)).catch_unwind();
                self.running_tools.spawn(async move {
                    let outcome = match tokio::time::timeout(limit, run).await {
                        Ok(Ok(outcome)) => outcome,
                        // The reply waits for every tool that was started.
                        Ok(Err(_)) => ToolOutcome::Error("the tool broke down".into()),
                        Err(_) => ToolOutcome::Error("the tool did not answer in time".into()),
                    };
                    (id, outcome)
                });
            }
            Output::FinalizeStt => {
                let _ = self.stt.commands.try_send(SttCommand::Finalize);
            }
            Output::HangUp { reason } => {
                if self.hanging_up.is_none() {
                    let (hang_up, limit) = (self.carrier.hang_up(reason), self.config.limits.hang_up);
                    let bounded = async move {
                        tokio::time::timeout(limit, hang_up).await.unwrap_or_else(|_| Err("no answer in time".into()))
                    };
                    self.hanging_up = Some((reason, Box::pin(bounded)));
                }
            }
            Output::SendKeys { keys, call } => self.asked.keys.push_back((keys, call)),
            Output::Transfer { transfer } => self.asked.transfer = Some(self.carrier.transfer(transfer)),
            Output::CancelTransfer => self.give_up_transfer(now),
            Output::Leave { reason } => {
                self.close_socket().await;
                self.close(now, reason).await;
            }
            Output::Event(event) => {
                if let CallEventKind::Ended { reason } = event.kind {
                    self.summary.reason = Some(reason);
                }
                let _ = self.channels.events.send(event);
            }
        }
    }

    /// A new socket: the newest takes over, for a carrier that opens a second one means that one.
    async fn attach(&mut self, attachment: Attachment<S>) {
        let now = self.now();
        if let Some(mut old) = self.line.take() {
            let close = SocketMessage::close(CLOSE_NORMAL, "another stream of this call took over");
            let limit = self.config.limits.socket_write;
            if socket::feed(&mut old.socket, close, limit).await.is_ok() {
                let _ = socket::flush(&mut old.socket, limit).await;
            }
            self.line = Some(old);
            self.detach(now);
        }
        self.reattach_by = None;
        let away = std::mem::take(&mut self.asked.away);
        self.summary.reattached += u32::from(self.answered && !away);
        self.answered = true;
        let Attachment { socket, codec, started } = attachment;
        self.line = Some(Line { socket, codec, format: started.format, attached_at: now, next_audio: now });
        self.machine.handle_input(now, Input::Attached { stream: started.stream.as_str().to_owned() });
    }

    fn on_llm_event(&mut self, event: Option<LlmEvent>) {
        let now = self.now();
        let Some(stream) = &self.generation else { return };
        let generation = stream.generation;
        let event = event.unwrap_or(LlmEvent::Failed { cause: "the generation's task ended early".into() });
        if matches!(event, LlmEvent::Done | LlmEvent::Failed { .. }) {
            self.generation = None;
        }
        self.machine.handle_input(now, Input::Llm { generation, event });
    }

    fn on_tts_event(&mut self, event: Option<TtsEvent>) {
        let now = self.now();
        let Some(event) = event else {
            self.tts_open = false;
            if let Some((reply, _)) = self.machine.current_reply() {
                self.machine
                    .handle_input(now, Input::SpeechFailed { reply, cause: "the voice's session is over".into() });
            }
            return;
        };
        match event {
            TtsEvent::Audio { reply, audio, alignment } => {
                let Some((_, epoch)) = self.machine.current_reply().filter(|(current, _)| *current == reply) else {
                    return;
                };
                let audio = self.converter.convert(audio);
                let samples = self.config_format().samples_in_bytes(audio.len());
                match self.queue.push(epoch, audio) {
                    Ok(()) => self.machine.handle_input(now, Input::SpeechAudio { reply, samples, alignment }),
                    Err(error) => {
                        self.machine.handle_input(now, Input::SpeechFailed { reply, cause: error.to_string() });
                    }
                }
            }
            TtsEvent::Done { reply } => {
                let Some((_, epoch)) = self.machine.current_reply().filter(|(current, _)| *current == reply) else {
                    return;
                };
                let tail = self.converter.flush();
                let samples = self.config_format().samples_in_bytes(tail.len());
                if samples.0 > 0 && self.queue.push(epoch, tail).is_ok() {
                    self.machine.handle_input(now, Input::SpeechAudio { reply, samples, alignment: Vec::new() });
                }
                self.machine.handle_input(now, Input::SpeechDone { reply });
            }
            TtsEvent::Failed { reply, cause } => self.machine.handle_input(now, Input::SpeechFailed { reply, cause }),
            TtsEvent::Fault { phase, cause, recovered } => {
                let fault = Input::VendorFault { provider: "tts".into(), phase: phase.into(), cause, recovered };
                self.machine.handle_input(now, fault);
            }
            TtsEvent::Usage { characters, wasted } => {
                let usage =
                    Input::Usage { provider: "tts".into(), unit: "characters".into(), quantity: characters, wasted };
                self.machine.handle_input(now, usage);
            }
        }
    }

    const fn config_format(&self) -> AudioFormat {
        self.queue.format()
    }

    fn tell_voice(&mut self, now: MediaTime, command: TtsCommand) {
        let reply = match &command {
            TtsCommand::Speak { reply, .. } | TtsCommand::Finish { reply } | TtsCommand::Cancel { reply } => *reply,
            TtsCommand::Close => return,
        };
        let cancelling = matches!(command, TtsCommand::Cancel { .. });
        // The session's queue is deep enough for any reply: a full one is a voice that is not being served.
        if self.tts.commands.try_send(command).is_err() && !cancelling {
            let cause = "the voice's session takes no more".to_owned();
            self.machine.handle_input(now, Input::SpeechFailed { reply, cause });
        }
    }

    fn on_command(&mut self, command: Option<CallCommand>) {
        let now = self.now();
        let Some(command) = command else {
            self.commands_open = false;
            return;
        };
        // A call that the carrier says is over may have been handed over before.
        self.take_transfer_steps();
        let input = match command {
            CallCommand::Say { text, interruptible } => Input::Say { text, interruptible },
            CallCommand::HangUp { reason } => Input::HangUp { reason },
            CallCommand::Hold { on } => Input::Hold { on },
            CallCommand::SendKeys { keys } => Input::SendKeys { keys },
            CallCommand::Transfer { target, mode } => Input::Transfer { transfer: Transfer { target, mode } },
            CallCommand::AnsweredBy { by } => Input::AnsweredBy { by },
        };
        self.machine.handle_input(now, input);
    }

    /// The carrier knows; now the socket may go.
    async fn on_hung_up(&mut self, (reason, result): (EndReason, Result<(), String>)) {
        self.hanging_up = None;
        if let Err(cause) = result {
            tracing::warn!(call = %self.config.id, cause, "the carrier did not confirm the hang-up");
            metrics::counter!("trunkline_hang_up_errors_total").increment(1);
        }
        self.close_socket().await;
        let now = self.now();
        self.close(now, reason).await;
    }

    /// The call is over. Its recording is whole, and its bill, before it is said to have ended.
    pub(super) async fn close(&mut self, now: MediaTime, reason: EndReason) {
        self.finish_recording(now).await;
        self.collect_usage(now).await;
        self.machine.handle_input(now, Input::Closed { reason });
    }

    /// The recogniser says at its end how much it heard, and the voice may have said what was not read yet.
    async fn collect_usage(&mut self, now: MediaTime) {
        while let Ok(event) = self.tts.events.try_recv() {
            if let TtsEvent::Usage { .. } = event {
                self.on_tts_event(Some(event));
            }
        }
        if !std::mem::take(&mut self.stt_open) || self.stt.commands.try_send(SttCommand::Close).is_err() {
            return;
        }
        let events = &mut self.stt.events;
        let usage = async {
            while let Some(event) = events.recv().await {
                if matches!(event, SttEvent::Usage { .. }) {
                    return Some(event);
                }
            }
            None
        };
        if let Ok(Some(event)) = tokio::time::timeout(LAST_BILL, usage).await {
            self.machine.handle_input(now, Input::Stt { event });
        }
    }

    async fn close_socket(&mut self) {
        if let Some(mut line) = self.line.take() {
            let limit = self.config.limits.socket_write;
            let close = SocketMessage::close(CLOSE_NORMAL, "");
            if socket::feed(&mut line.socket, close, limit).await.is_ok() {
                let _ = socket::flush(&mut line.socket, limit).await;
            }
        }
    }

    async fn finish(mut self) -> CallSummary {
        self.close_socket().await;
        let _ = self.stt.commands.try_send(SttCommand::Close);
        let _ = self.tts.commands.try_send(TtsCommand::Close);
        // What has effects outside is not torn off in the middle; it has its own limit.
        self.running_tools.detach_all();
        self.summary.underruns = self.pacer.underruns();
        self.summary.stale_frames += self.queue.stale();
        self.summary
    }
}

async fn next_event(generation: &mut Option<LlmStream>) -> Option<LlmEvent> {
    match generation {
        Some(stream) => stream.events.recv().await,
        None => std::future::pending().await,
    }
}

async fn hung_up(
    hanging_up: &mut Option<(EndReason, BoxFuture<'static, Result<(), String>>)>,
) -> (EndReason, Result<(), String>) {
    match hanging_up {
        Some((reason, future)) => (*reason, future.as_mut().await),
        None => std::future::pending().await,
    }
}
