//! What a call on virtual time is made of, before it is answered.

use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio::sync::mpsc;
use trunkline_base::{CallId, Clock, SystemClock};
use trunkline_media::{
    audio::{pacer::DEFAULT_LEAD, vad::VadConfig},
    call::{self, CallChannels, CallConfig, CallLimits, CallPeers, Carrier},
    testing::{FakeCarrier, FakeLlm, FakeReply, FakeStt, FakeTools, FakeTts, FakeTtsScript},
    tools::ToolRunner,
    turn::{Greeting, Resumed, TurnConfig},
};

use super::{PER_CHAR, World, errors::Errors, phone::Phone};

/// A call to be made.
pub(crate) struct Builder {
    pub(crate) turn: TurnConfig,
    pub(crate) limits: CallLimits,
    pub(crate) lead: Duration,
    pub(crate) recording: Option<PathBuf>,
    resumed: Option<Resumed>,
    pub(crate) tts: FakeTtsScript,
    llm: Vec<FakeReply>,
    tools: FakeTools,
    runner: Option<Arc<dyn ToolRunner>>,
    carrier: Option<Arc<dyn Carrier>>,
    clock: Arc<dyn Clock>,
    room: usize,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            turn: TurnConfig { instructions: "Be brief.".into(), ..TurnConfig::default() },
            limits: CallLimits::default(),
            lead: DEFAULT_LEAD,
            recording: None,
            resumed: None,
            tts: FakeTtsScript { per_char: PER_CHAR, ..FakeTtsScript::default() },
            llm: Vec::new(),
            tools: FakeTools::default(),
            runner: None,
            carrier: None,
            clock: Arc::new(SystemClock),
            room: 4096,
        }
    }
}

impl Builder {
    pub(crate) fn greeting(mut self, text: &str) -> Self {
        self.turn.greeting = Some(Greeting { text: text.into(), interruptible: true });
        self
    }

    pub(crate) fn turn(mut self, change: impl FnOnce(&mut TurnConfig)) -> Self {
        change(&mut self.turn);
        self
    }

    pub(crate) fn tts(mut self, change: impl FnOnce(&mut FakeTtsScript)) -> Self {
        change(&mut self.tts);
        self
    }

    /// How far ahead audio is sent.
    pub(crate) fn lead(mut self, lead: Duration) -> Self {
        self.lead = lead;
        self
    }

    pub(crate) fn limits(mut self, change: impl FnOnce(&mut CallLimits)) -> Self {
        change(&mut self.limits);
        self
    }

    /// The model's next answer.
    pub(crate) fn answer(mut self, reply: FakeReply) -> Self {
        self.llm.push(reply);
        self
    }

    /// The model's next answer, in words.
    pub(crate) fn says(self, text: &str) -> Self {
        self.answer(FakeReply::text(text))
    }

    pub(crate) fn tools(mut self, tools: FakeTools) -> Self {
        self.tools = tools;
        self
    }

    pub(crate) fn tool_runner(mut self, runner: impl ToolRunner + 'static) -> Self {
        self.runner = Some(Arc::new(runner));
        self
    }

    pub(crate) fn carrier(mut self, carrier: Arc<dyn Carrier>) -> Self {
        self.carrier = Some(carrier);
        self
    }

    pub(crate) fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    pub(crate) fn recording(mut self, path: PathBuf) -> Self {
        self.recording = Some(path);
        self
    }

    /// The call was answered in another process, which has died.
    pub(crate) fn resumed(mut self, resumed: Resumed) -> Self {
        self.resumed = Some(resumed);
        self
    }

    /// How many messages the carrier leaves unread at the most.
    pub(crate) fn room(mut self, room: usize) -> Self {
        self.room = room;
        self
    }

    /// Answers the call.
    pub(crate) fn start(self) -> World {
        let errors = Errors::watch();
        let (stt, stt_end) = FakeStt::open();
        let (tts, tts_end) = FakeTts::open(self.tts.clone());
        let llm = FakeLlm::new(self.llm);
        let carrier = FakeCarrier::default();
        let peers = CallPeers {
            stt,
            tts,
            llm: Arc::new(llm.clone()),
            tools: self.runner.unwrap_or_else(|| Arc::new(self.tools.clone())),
            carrier: self.carrier.unwrap_or_else(|| Arc::new(carrier.clone())),
            clock: self.clock.clone(),
        };
        let config = CallConfig {
            id: CallId::generate(),
            turn: self.turn.clone(),
            vad: VadConfig::default(),
            lead: self.lead,
            voice_format: self.tts.format,
            recording: self.recording,
            resumed: self.resumed.clone(),
            limits: self.limits,
        };
        let resumed = self.resumed.unwrap_or_default();
        // The call was answered so long ago.
        let origin = self.clock.now() - resumed.clock.since_start();
        let (phone, attachment) = Phone::connect("MZ1", origin, self.room);
        let (attach, attachments) = mpsc::channel(4);
        let (command, commands) = mpsc::channel(16);
        let (events_in, events) = mpsc::unbounded_channel();
        let channels = CallChannels { attachments, commands, events: events_in };
        let call = tokio::spawn(async move { Box::pin(call::run(config, peers, attachment, channels)).await });
        World {
            origin,
            phones: vec![phone],
            stt: stt_end,
            tts: tts_end,
            llm,
            tools: self.tools,
            carrier,
            attach,
            command,
            first_seq: resumed.next_seq,
            log: Vec::new(),
            events,
            call: Some(call),
            room: self.room,
            errors,
        }
    }
}
