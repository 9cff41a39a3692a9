//! What is around a turn machine: a model, a voice, a pacer and a carrier, each as simple as can be, all on virtual time and all fallible
//! on demand. They hand the machine's outputs to the reference, and keep a log of what went in.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use trunkline_base::Personal;
use trunkline_media::{
    audio::Samples,
    event::{EndReason, ToolOutcome},
    ids::{Epoch, GenerationId, MarkId, ReplyId},
    llm::{LlmEvent, ToolCall},
    time::MediaTime,
    tts::AlignedChar,
    turn::{Input, Output, Resumed, TurnConfig, TurnMachine},
};

use super::reference::{Reference, SAMPLES_PER_CHAR};

const FRAME: u64 = 160;
/// How far ahead of playing the pacer sends.
const LEAD: Duration = Duration::from_millis(120);
/// The most often that a machine may ask to be woken without time going on.
const WAKES: u32 = 50;

/// What the model does in one generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plan {
    Words(u8),
    WordsAndTool(u8),
    Tool,
    WordsAndGoodbye(u8),
    /// Hands over, to somebody that there is or not.
    WordsAndTransfer(u8, bool),
    Keys,
    Nothing,
    Fails,
    WordsAndFails(u8),
    FallsBack(u8),
    /// Never says anything.
    Hangs,
}

/// The tools that the machine sees to itself.
pub(crate) const HAND_OVER: &str = "hand_over";
pub(crate) const PRESS: &str = "press";

/// What becomes of the marks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Marks {
    OnTime,
    Late,
    Lost,
}

#[derive(Debug, Default)]
struct Voice {
    /// Characters that it was given and has not spoken.
    text: VecDeque<char>,
    finished: bool,
    aligned: bool,
}

/// The audio on its way.
#[derive(Debug, Default)]
struct Queue {
    epoch: Option<Epoch>,
    queued: u64,
    position: u64,
    finished: bool,
    held: bool,
    marks: Vec<(u64, MarkId)>,
}

pub(crate) struct Surroundings {
    pub(crate) machine: TurnMachine,
    pub(crate) reference: Reference,
    pub(crate) now: MediaTime,
    /// All that went in; `None` is a timeout.
    pub(crate) log: Vec<(MediaTime, Option<Input>)>,
    pub(crate) outputs: Vec<Output>,
    pub(crate) attached: bool,
    /// Whether voice activity hears the caller.
    pub(crate) voiced: bool,
    pub(crate) marks: Marks,
    pub(crate) aligned: bool,
    pub(crate) voice_works: bool,
    plans: VecDeque<Plan>,
    /// What the model is about to say.
    thinking: Option<(GenerationId, VecDeque<LlmEvent>)>,
    pub(crate) last_generation: GenerationId,
    pub(crate) last_reply: ReplyId,
    words: u32,
    calls: u32,
    voices: BTreeMap<ReplyId, Voice>,
    queue: Queue,
    /// When the carrier will have played what it got.
    dry_at: MediaTime,
    /// Marks at the carrier, and when they are passed.
    at_carrier: VecDeque<(MediaTime, MarkId)>,
    pub(crate) returned: Vec<MarkId>,
    tools: VecDeque<(MediaTime, String)>,
    keys: VecDeque<(MediaTime, Option<String>)>,
    closing: Option<MediaTime>,
}

/// A machine of a call that begins, or is taken up again.
pub(crate) fn machine(config: TurnConfig, resumed: Option<Resumed>) -> TurnMachine {
    match resumed {
        None => TurnMachine::new(config),
        Some(resumed) => TurnMachine::resumed(config, resumed),
    }
}

impl Surroundings {
    pub(crate) fn new(config: TurnConfig, resumed: Option<Resumed>, plans: Vec<Plan>) -> Self {
        Self {
            now: resumed.as_ref().map_or(MediaTime::ZERO, |resumed| resumed.clock),
            reference: Reference::of(resumed.clone()),
            machine: machine(config, resumed),
            log: Vec::new(),
            outputs: Vec::new(),
            attached: false,
            voiced: false,
            marks: Marks::OnTime,
            aligned: true,
            voice_works: true,
            plans: plans.into(),
            thinking: None,
            last_generation: GenerationId(0),
            last_reply: ReplyId(0),
            words: 0,
            calls: 0,
            voices: BTreeMap::new(),
            queue: Queue::default(),
            dry_at: MediaTime::ZERO,
            at_carrier: VecDeque::new(),
            returned: Vec::new(),
            tools: VecDeque::new(),
            keys: VecDeque::new(),
            closing: None,
        }
    }

    /// One input, then all that follows from it at once.
    pub(crate) fn input(&mut self, input: Input) {
        match &input {
            Input::Attached { .. } => {
                self.attached = true;
                self.reference.on_attached();
            }
            Input::Detached => {
                self.attached = false;
                // Voice activity is gone with the stream, and says nothing more.
                self.voiced = false;
                self.dry_at = self.now;
                self.at_carrier.clear();
                self.reference.on_detached();
            }
            Input::Moved => {
                self.attached = false;
                self.voiced = false;
                self.dry_at = self.now;
                self.at_carrier.clear();
                self.reference.on_moved();
            }
            Input::SpeechStarted { .. } => self.voiced = true,
            Input::SpeechStopped { .. } => self.voiced = false,
            Input::AudioSent { epoch, samples } => self.reference.on_sent(self.now, *epoch, *samples),
            Input::SpeechAudio { reply, samples, .. } => self.reference.on_delivered(*reply, *samples),
            Input::Llm { generation, event } => match event {
                LlmEvent::ToolCall { call } => self.reference.on_called(*generation, &call.id),
                LlmEvent::Done | LlmEvent::Failed { .. } => self.reference.on_generation_over(*generation),
                _ => {}
            },
            _ => {}
        }
        self.log.push((self.now, Some(input.clone())));
        self.machine.handle_input(self.now, input);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.machine.poll_output() {
            self.reference.on_output(self.now, &output);
            self.perform(&output);
            self.outputs.push(output);
        }
        if let Some((at, timer)) = self.machine.poll_timeout() {
            assert!(!self.reference.ended, "{timer:?} at {at} after the end");
        }
        assert_eq!(self.machine.is_ended(), self.reference.ended);
    }

    /// Lets time pass: the machine is woken when it wants to be, and everything around it goes on.
    pub(crate) fn pass(&mut self, duration: Duration) {
        let until = self.now + duration;
        while self.now < until {
            let tick = MediaTime::from_millis((self.now.as_millis() / 20 + 1) * 20);
            let mut next = tick.min(until);
            if let Some((at, _)) = self.machine.poll_timeout() {
                // Timers fire at whole milliseconds, as tokio's do.
                let at = MediaTime::from_millis(at.since_start().as_micros().div_ceil(1000) as u64);
                next = next.min(at.max(self.now));
            }
            if let Some((at, _)) = self.at_carrier.front() {
                next = next.min((*at).max(self.now));
            }
            self.now = next;
            self.wake();
            self.give_marks_back();
            if self.now == tick {
                self.tick();
            }
        }
    }

    fn wake(&mut self) {
        for _ in 0..WAKES {
            let Some((at, _)) = self.machine.poll_timeout().filter(|(at, _)| *at <= self.now) else { return };
            self.log.push((self.now, None));
            self.machine.handle_timeout(self.now);
            self.drain();
            if self.machine.poll_timeout().is_some_and(|(next, timer)| {
                assert!(next > at || next > self.now, "{timer:?} is not done with at {next}");
                next <= self.now
            }) {
                continue;
            }
        }
        panic!("the machine does not let go: {:?} at {}", self.machine.poll_timeout(), self.now);
    }

    /// 20 ms in the life of a model, a voice, a tool, a pacer and a carrier.
    fn tick(&mut self) {
        if self.closing.is_some_and(|at| at <= self.now) {
            self.closing = None;
            self.input(Input::Closed { reason: EndReason::CallerHangup });
        }
        if let Some((generation, events)) = &mut self.thinking {
            let generation = *generation;
            match events.pop_front() {
                Some(event) => self.input(Input::Llm { generation, event }),
                None => self.thinking = None,
            }
        }
        if self.voice_works {
            self.speak(10);
        }
        while self.keys.front().is_some_and(|(at, _)| *at <= self.now) {
            let (_, call) = self.keys.pop_front().expect("it was there");
            self.input(Input::KeysSent { call, error: None });
        }
        while self.tools.front().is_some_and(|(at, _)| *at <= self.now) {
            let (_, call) = self.tools.pop_front().expect("it was there");
            self.input(Input::ToolFinished { call, outcome: ToolOutcome::Result(serde_json::json!({ "ok": true })) });
        }
        self.pump();
    }

    /// The voice says so many more characters of the reply under way.
    pub(crate) fn speak(&mut self, chars: usize) {
        let Some((reply, epoch)) = self.machine.current_reply() else { return };
        let Some(voice) = self.voices.get_mut(&reply) else { return };
        let count = chars.min(voice.text.len());
        let spoken: Vec<char> = voice.text.drain(..count).collect();
        let done = voice.text.is_empty() && std::mem::take(&mut voice.finished);
        if count > 0 {
            let per_char = Duration::from_millis(SAMPLES_PER_CHAR / 8);
            let aligned =
                |(i, ch): (usize, &char)| AlignedChar { ch: *ch, start: per_char * i as u32, duration: per_char };
            let alignment = if voice.aligned { spoken.iter().enumerate().map(aligned).collect() } else { Vec::new() };
            let samples = Samples(count as u64 * SAMPLES_PER_CHAR);
            assert_eq!(self.queue.epoch, Some(epoch), "the first words of a reply open it in the queue");
            self.queue.queued += samples.0;
            self.input(Input::SpeechAudio { reply, samples, alignment });
        }
        if done {
            self.input(Input::SpeechDone { reply });
        }
    }

    /// The voice fails at what it is saying.
    pub(crate) fn fail_voice(&mut self) {
        if let Some((reply, _)) = self.machine.current_reply()
            && self.voices.remove(&reply).is_some()
        {
            self.input(Input::SpeechFailed { reply, cause: "scripted".into() });
        }
    }

    /// The pacer sends what is due.
    fn pump(&mut self) {
        while self.attached && !self.queue.held && self.dry_at <= self.now + LEAD {
            let whole = self.queue.queued >= FRAME;
            let samples = if whole {
                FRAME
            } else if self.queue.finished {
                self.queue.queued
            } else {
                0
            };
            let Some(epoch) = self.queue.epoch.filter(|_| samples > 0) else { break };
            if self.machine.current_reply().is_none_or(|(_, current)| epoch < current) {
                // The last hop.
                self.queue = Queue { held: self.queue.held, ..Queue::default() };
                break;
            }
            self.queue.queued -= samples;
            self.queue.position += samples;
            // Silence that fills a frame is not the reply's.
            self.dry_at =
                self.dry_at.max(self.now) + Samples(samples).duration(trunkline_media::audio::SampleRate::HZ_8000);
            self.input(Input::AudioSent { epoch, samples: Samples(samples) });
            self.send_marks();
        }
        self.send_marks();
    }

    fn send_marks(&mut self) {
        if !self.attached || self.queue.held {
            return;
        }
        let position = if self.queue.finished && self.queue.queued == 0 { u64::MAX } else { self.queue.position };
        let (due, wait) = std::mem::take(&mut self.queue.marks).into_iter().partition(|(at, _)| *at <= position);
        self.queue.marks = wait;
        let late = if self.marks == Marks::Late { Duration::from_millis(700) } else { Duration::ZERO };
        let due: Vec<(u64, MarkId)> = due;
        self.at_carrier.extend(due.into_iter().map(|(_, mark)| (self.dry_at.max(self.now) + late, mark)));
    }

    fn give_marks_back(&mut self) {
        while self.at_carrier.front().is_some_and(|(at, _)| *at <= self.now) {
            let (_, mark) = self.at_carrier.pop_front().expect("it was there");
            self.give_back(mark);
        }
    }

    fn give_back(&mut self, mark: MarkId) {
        if self.marks != Marks::Lost {
            self.returned.push(mark);
            self.input(Input::Mark { mark });
        }
    }

    fn perform(&mut self, output: &Output) {
        match output {
            Output::Generate(request) => self.think(request.generation),
            Output::CancelGeneration { generation } => {
                self.thinking = self.thinking.take().filter(|(current, _)| current != generation);
            }
            Output::Speak { reply, epoch, text } => {
                if self.queue.epoch != Some(*epoch) {
                    self.queue = Queue { epoch: Some(*epoch), held: self.queue.held, ..Queue::default() };
                }
                self.last_reply = *reply;
                let aligned = self.aligned;
                let voice = self.voices.entry(*reply).or_insert_with(|| Voice { aligned, ..Voice::default() });
                voice.text.extend(text.expose().chars());
            }
            Output::FinishSpeech { reply } => {
                if let Some(voice) = self.voices.get_mut(reply) {
                    voice.finished = true;
                }
            }
            Output::CancelSpeech { reply } => {
                self.voices.remove(reply);
            }
            Output::PlaceMark { at, mark, .. } => self.queue.marks.push((at.0, *mark)),
            Output::FinishAudio { mark, .. } => {
                self.queue.finished = true;
                self.queue.marks.push((u64::MAX, *mark));
            }
            Output::Hold => self.queue.held = true,
            Output::Release => self.queue.held = false,
            Output::Rewind { samples } => {
                self.queue.position -= samples.0;
                self.queue.queued += samples.0;
            }
            Output::Clear { epoch } => {
                if self.queue.epoch == Some(*epoch) {
                    self.queue = Queue::default();
                    self.dry_at = self.now;
                    // They come back at once, whatever was heard; after what is being done now.
                    self.at_carrier = self.at_carrier.drain(..).map(|(_, mark)| (self.now, mark)).collect();
                }
            }
            Output::RunTool { call, .. } => {
                self.tools.push_back((self.now + Duration::from_millis(500), call.id.clone()));
            }
            Output::HangUp { .. } => self.closing = Some(self.now + Duration::from_millis(1_500)),
            Output::Leave { .. } => self.closing = Some(self.now + Duration::from_millis(1)),
            Output::SendKeys { call, .. } => self.keys.push_back((self.now + Duration::from_millis(300), call.clone())),
            // What becomes of it, the test says.
            Output::Transfer { .. } | Output::CancelTransfer | Output::FinalizeStt | Output::Event(_) => {}
        }
    }

    fn think(&mut self, generation: GenerationId) {
        self.last_generation = generation;
        let plan = self.plans.pop_front().unwrap_or(Plan::Words(2));
        self.plans.push_back(plan);
        let mut events = VecDeque::new();
        let (words, last) = match plan {
            Plan::Words(n) => (n, None),
            Plan::WordsAndTool(n) => (n, Some(self.call(generation, "look_up"))),
            Plan::Tool => (0, Some(self.call(generation, "look_up"))),
            Plan::WordsAndGoodbye(n) => (n, Some(self.call(generation, trunkline_media::turn::END_CALL))),
            Plan::WordsAndTransfer(n, known) => {
                let target = if known { "desk" } else { "moon" };
                (n, Some(self.call_with(HAND_OVER, serde_json::json!({ "target": target }))))
            }
            Plan::Keys => (0, Some(self.call_with(PRESS, serde_json::json!({ "keys": "1w2" })))),
            Plan::Nothing => (0, None),
            Plan::Fails => (0, Some(LlmEvent::Failed { cause: "scripted".into() })),
            Plan::WordsAndFails(n) => (n, Some(LlmEvent::Failed { cause: "scripted".into() })),
            Plan::FallsBack(n) => {
                events.push_back(LlmEvent::Fault { phase: "connect".into(), cause: "scripted".into() });
                (n, None)
            }
            Plan::Hangs => {
                self.thinking = None;
                return;
            }
        };
        for _ in 0..words {
            events.push_back(LlmEvent::Text { text: Personal::new(self.word(generation)) });
        }
        let failed = matches!(last, Some(LlmEvent::Failed { .. }));
        events.extend(last);
        if !failed {
            events.push_back(LlmEvent::Done);
        }
        self.thinking = Some((generation, events));
    }

    /// The number of the newest mark that was placed.
    pub(crate) fn newest_mark(&self) -> u32 {
        let marks = self.outputs.iter().rev();
        let number = |output: &Output| match output {
            Output::PlaceMark { mark, .. } | Output::FinishAudio { mark, .. } => Some(mark.n),
            _ => None,
        };
        marks.into_iter().find_map(number).unwrap_or(0)
    }

    /// A word that names its generation.
    pub(crate) fn word(&mut self, generation: GenerationId) -> String {
        self.words += 1;
        let end = if self.words.is_multiple_of(3) { ". " } else { " " };
        format!("g{generation}w{}{end}", self.words % 100)
    }

    pub(crate) fn call(&mut self, _: GenerationId, name: &str) -> LlmEvent {
        self.call_with(name, serde_json::json!({}))
    }

    fn call_with(&mut self, name: &str, arguments: serde_json::Value) -> LlmEvent {
        self.calls += 1;
        let id = format!("call-{}", self.calls);
        LlmEvent::ToolCall { call: ToolCall { id, name: name.into(), arguments: Personal::new(arguments) } }
    }
}
