//! What must hold of a turn machine's outputs, whatever goes in. It knows none of the machine's insides: it counts, and it plays the
//! carrier's part with a piece of paper.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use trunkline_media::{
    audio::Samples,
    event::{CallEvent, CallEventKind, Speaker, TurnSource},
    ids::{Epoch, GenerationId, MarkId, ReplyId, TurnId},
    llm::{LlmRequest, Message},
    telephony::AnsweredBy,
    time::MediaTime,
    turn::{END_CALL, Output, Resumed},
};

/// Samples a millisecond.
const RATE: u64 = 8;
/// How many samples the voice takes for a character.
pub(crate) const SAMPLES_PER_CHAR: u64 = 400;

/// What was heard of one reply, worked out from what was sent and when.
#[derive(Debug, Default)]
struct Heard {
    /// When each piece began to be played, and its samples.
    pieces: Vec<(MediaTime, u64)>,
    /// Heard before the socket was lost.
    before: u64,
    dry_at: MediaTime,
    /// Audio that the voice delivered.
    delivered: u64,
    /// A mark came that the carrier could not have sent: what it proves is not ours to judge.
    forged: bool,
}

impl Heard {
    fn sent(&mut self, now: MediaTime, samples: u64) {
        let start = self.dry_at.max(now);
        self.pieces.push((start, samples));
        self.dry_at = start + Duration::from_micros(samples * 1000 / RATE);
    }

    fn at(&self, now: MediaTime) -> u64 {
        let played = |(start, samples): &(MediaTime, u64)| {
            let elapsed = now.saturating_since(*start).as_micros() as u64 * RATE / 1000;
            elapsed.min(*samples)
        };
        self.before + self.pieces.iter().map(played).sum::<u64>()
    }

    fn all_sent(&self) -> u64 {
        self.before + self.pieces.iter().map(|piece| piece.1).sum::<u64>()
    }

    fn put_back(&mut self, now: MediaTime, samples: u64) {
        self.before = self.all_sent() - samples;
        self.pieces.clear();
        self.dry_at = now;
    }

    /// Says how much was lost.
    fn lost(&mut self, now: MediaTime) -> u64 {
        let (heard, sent) = (self.at(now), self.all_sent());
        self.pieces.clear();
        self.before = heard;
        self.dry_at = now;
        sent - heard
    }
}

#[derive(Debug)]
struct OpenReply {
    id: ReplyId,
    turn: TurnId,
    epoch: Option<Epoch>,
    /// The generations whose words it may speak.
    generations: BTreeSet<GenerationId>,
    finished_speech: bool,
    finished_audio: bool,
    cancelled: bool,
    spoken_chars: usize,
    heard: Heard,
}

/// Watches inputs and outputs. Every method fails the test if something is wrong.
#[derive(Debug, Default)]
pub(crate) struct Reference {
    next_seq: u64,
    last_at: MediaTime,
    reply: Option<OpenReply>,
    replies: u32,
    last_ended: Option<(TurnId, String)>,
    turns: BTreeMap<TurnId, (Speaker, bool)>,
    last_generation: GenerationId,
    /// Asked, and neither over nor cancelled.
    generation: Option<GenerationId>,
    /// Asked while no reply was under way.
    guess: Option<GenerationId>,
    cancelled: BTreeSet<GenerationId>,
    calls: BTreeMap<String, GenerationId>,
    run: BTreeSet<String>,
    finished_tools: BTreeSet<String>,
    cleared: BTreeSet<Epoch>,
    marks: BTreeSet<MarkId>,
    held: bool,
    hang_ups: u32,
    /// The carrier has taken the stream away for us.
    moved: bool,
    on_hold: bool,
    /// An assistant asks who calls.
    screened: bool,
    /// The carrier has been asked for a transfer, and has not said how it went.
    transferring: bool,
    /// What the model wants done that the machine sees to itself.
    own: BTreeSet<String>,
    pub(crate) ended: bool,
    attached: bool,
    /// How the call was taken up again, if it was.
    resumed: Option<Resumed>,
    first_turn: TurnId,
}

impl Reference {
    /// Of a call that was answered in another process, or not.
    pub(crate) fn of(resumed: Option<Resumed>) -> Self {
        let Some(resumed) = resumed else { return Self::default() };
        Self {
            next_seq: resumed.next_seq,
            last_at: resumed.clock,
            // A reply's number is never that of one before: each of those was a turn.
            replies: resumed.next_turn.0 - 1,
            first_turn: resumed.next_turn,
            resumed: Some(resumed),
            ..Self::default()
        }
    }

    // What went in.

    pub(crate) fn on_attached(&mut self) {
        self.attached = true;
    }

    pub(crate) fn on_detached(&mut self) {
        self.attached = false;
    }

    pub(crate) fn on_moved(&mut self) {
        self.moved |= self.attached;
        self.attached = false;
    }

    /// Calls of this tool are no runner's.
    pub(crate) fn sees_to(&mut self, tool: &str) {
        self.own.insert(tool.to_owned());
    }

    pub(crate) fn on_sent(&mut self, now: MediaTime, epoch: Epoch, samples: Samples) {
        if let Some(reply) = self.reply.as_mut().filter(|reply| reply.epoch == Some(epoch)) {
            reply.heard.sent(now, samples.0);
        }
    }

    pub(crate) fn on_delivered(&mut self, id: ReplyId, samples: Samples) {
        if let Some(reply) = self.reply.as_mut().filter(|reply| reply.id == id) {
            reply.heard.delivered += samples.0;
        }
    }

    pub(crate) fn on_forged_mark(&mut self) {
        if let Some(reply) = &mut self.reply {
            reply.heard.forged = true;
        }
    }

    pub(crate) fn on_called(&mut self, generation: GenerationId, call: &str) {
        self.calls.insert(call.to_owned(), generation);
    }

    pub(crate) fn on_generation_over(&mut self, generation: GenerationId) {
        if self.generation == Some(generation) {
            self.generation = None;
        }
    }

    // What came out.

    pub(crate) fn on_output(&mut self, now: MediaTime, output: &Output) {
        assert!(!self.ended, "something after the end: {output:?}");
        match output {
            Output::Generate(request) => self.on_generate(request),
            Output::CancelGeneration { generation } => {
                assert!(*generation <= self.last_generation, "{generation} was never asked for");
                assert!(self.cancelled.insert(*generation), "{generation} is cancelled twice");
                self.generation = self.generation.filter(|current| current != generation);
                self.guess = self.guess.filter(|current| current != generation);
            }
            Output::Speak { reply, epoch, text } => {
                let cancelled = &self.cancelled;
                let open = self.reply.as_mut().filter(|open| open.id == *reply).expect("speech of no current reply");
                assert!(*open.epoch.get_or_insert(*epoch) == *epoch, "one reply, one epoch");
                assert!(!open.finished_speech && !open.cancelled, "speech after its end");
                assert!(!text.expose().trim().is_empty());
                open.spoken_chars += text.expose().chars().count();
                for generation in generations_in(text.expose()) {
                    assert!(open.generations.contains(&generation), "words of {generation} in reply {reply}");
                    assert!(!cancelled.contains(&generation), "words of a generation that was thrown away");
                }
            }
            Output::FinishSpeech { reply } => {
                let open = self.reply.as_mut().filter(|open| open.id == *reply).expect("the end of no current reply");
                assert!(!std::mem::replace(&mut open.finished_speech, true), "finished twice");
            }
            Output::CancelSpeech { reply } => {
                let open = self.reply.as_mut().filter(|open| open.id == *reply).expect("cancels no current reply");
                assert!(open.epoch.is_some(), "nothing was spoken");
                assert!(!std::mem::replace(&mut open.cancelled, true), "cancelled twice");
            }
            Output::PlaceMark { epoch, at, mark } => {
                let open = self.reply.as_ref().filter(|open| open.epoch == Some(*epoch)).expect("a mark in no reply");
                assert!(at.0 <= open.heard.delivered, "a mark beyond the audio");
                assert!(mark.epoch == *epoch && self.marks.insert(*mark), "{mark} is not new");
            }
            Output::FinishAudio { epoch, mark } => {
                let open = self.reply.as_mut().filter(|open| open.epoch == Some(*epoch)).expect("the end of no reply");
                assert!(!std::mem::replace(&mut open.finished_audio, true));
                assert!(mark.epoch == *epoch && self.marks.insert(*mark), "{mark} is not new");
            }
            Output::Hold => assert!(!std::mem::replace(&mut self.held, true), "held twice"),
            Output::Release => assert!(std::mem::replace(&mut self.held, false), "released without a hold"),
            Output::Rewind { samples } => {
                assert!(!self.attached, "only a lost socket is rewound");
                let open = self.reply.as_mut().expect("rewinds a reply");
                if open.heard.forged {
                    open.heard.put_back(now, samples.0);
                } else {
                    let lost = open.heard.lost(now);
                    assert_eq!(lost, samples.0, "so much was lost, and so much is put back");
                }
            }
            Output::Clear { epoch } => {
                assert!(self.cleared.insert(*epoch), "{epoch} is cleared twice");
            }
            Output::RunTool { call, .. } => {
                let generation = self.calls[&call.id];
                assert!(!self.cancelled.contains(&generation), "a tool of a generation that was thrown away");
                let open = self.reply.as_ref().expect("a tool runs in a reply");
                assert!(open.generations.contains(&generation), "a tool of an uncommitted generation");
                assert!(!self.own.contains(&call.name), "{} is the machine's own", call.name);
                assert!(call.name != END_CALL && self.run.insert(call.id.clone()), "{} runs twice", call.id);
            }
            Output::FinalizeStt => {}
            Output::HangUp { .. } | Output::Leave { .. } => {
                self.hang_ups += 1;
                assert_eq!(self.hang_ups, 1, "hung up twice");
                assert!(!self.transferring, "left with a transfer under way");
            }
            Output::SendKeys { call, .. } => {
                if let Some(call) = call {
                    let generation = self.calls[call];
                    assert!(!self.cancelled.contains(&generation), "keys of a generation that was thrown away");
                    assert!(self.run.insert(call.clone()), "{call} is done twice");
                }
            }
            Output::Transfer { .. } => {
                assert!(!std::mem::replace(&mut self.transferring, true), "two transfers at once");
                assert!(self.reply.is_none(), "last words are heard before it");
            }
            Output::CancelTransfer => assert!(self.transferring, "no transfer is given up"),
            Output::Event(event) => self.on_event(now, event),
        }
    }

    fn on_generate(&mut self, request: &LlmRequest) {
        assert!(request.generation > self.last_generation, "generations are counted");
        assert_eq!(self.generation, None, "two generations at once");
        assert!(!self.on_hold && !self.transferring, "nobody listens, and something is thought of to say");
        self.last_generation = request.generation;
        self.generation = Some(request.generation);
        self.check_past(request);
        match &mut self.reply {
            Some(reply) => {
                reply.generations.insert(request.generation);
            }
            None => self.guess = Some(request.generation),
        }
    }

    /// Every word that was said before is in every request, in its order.
    fn check_past(&self, request: &LlmRequest) {
        let Some(resumed) = &self.resumed else { return };
        let said: String = request
            .messages
            .iter()
            .map(|message| match message {
                Message::Caller { text } | Message::Agent { text, .. } => format!("{} ", text.expose()),
                Message::System { .. } | Message::Tool { .. } => String::new(),
            })
            .collect();
        let mut rest = said.as_str();
        for turn in &resumed.history {
            let found = rest.split_once(turn.text.expose().as_str());
            rest = found.unwrap_or_else(|| panic!("{:?} is not in {said:?}", turn.text.expose())).1;
        }
    }

    fn on_event(&mut self, now: MediaTime, event: &CallEvent) {
        assert_eq!(event.seq, self.next_seq, "a gap");
        self.next_seq += 1;
        assert!(event.at == now && now >= self.last_at);
        self.last_at = now;
        match &event.kind {
            CallEventKind::Answered => assert!(self.resumed.is_none(), "a call is answered once"),
            CallEventKind::StreamAttached { reattached: false, .. } => {
                assert!(self.resumed.is_none() || self.moved, "it had a stream");
            }
            CallEventKind::AnsweredBy { by } => self.screened |= *by == AnsweredBy::CallScreening,
            CallEventKind::Hold { on } => {
                assert!(std::mem::replace(&mut self.on_hold, *on) != *on, "nothing has changed");
            }
            CallEventKind::Transfer { outcome, .. } => {
                assert_eq!(outcome.is_some(), self.transferring, "one begins after the other is over");
                self.transferring = false;
            }
            CallEventKind::TurnStarted { turn, speaker } => {
                assert!(*turn >= self.first_turn, "{turn} was a turn before");
                assert!(self.turns.insert(*turn, (*speaker, false)).is_none(), "{turn} began twice");
            }
            CallEventKind::TurnEnded { turn, speaker, text, started, ended, .. } => {
                let known = self.turns.get_mut(turn).expect("a turn ends that has begun");
                assert_eq!(*known, (*speaker, false), "{turn} ended twice, or is somebody else's");
                known.1 = true;
                assert!(started <= ended, "{turn} from {started} to {ended}");
                if *speaker == Speaker::Agent {
                    let heard = self.last_ended.take().expect("an agent's turn ends with its reply");
                    assert_eq!((*turn, text.expose().clone()), heard);
                }
            }
            CallEventKind::ReplyStarted { reply, turn, source } => {
                assert!(self.reply.is_none(), "two replies at once");
                self.replies += 1;
                assert_eq!(reply.0, self.replies, "replies are counted");
                assert!(*turn >= self.first_turn, "{turn} was a turn before");
                let greets = *source == TurnSource::Greeting && !self.screened;
                assert!(self.resumed.is_none() || !greets, "greeted twice");
                // A guess that was not thrown away has become this reply.
                assert!(self.guess.is_none() || *source == TurnSource::Llm, "a guess beside a reply of another kind");
                let generations = self.guess.take().into_iter().collect();
                self.reply = Some(OpenReply {
                    id: *reply,
                    turn: *turn,
                    epoch: None,
                    generations,
                    finished_speech: false,
                    finished_audio: false,
                    cancelled: false,
                    spoken_chars: 0,
                    heard: Heard::default(),
                });
            }
            CallEventKind::ReplyEnded { reply, turn, generated, heard, interrupted } => {
                let open = self.reply.take().filter(|open| open.id == *reply).expect("a reply ends that has begun");
                assert_eq!(open.turn, *turn);
                self.check_heard(now, &open, generated.expose(), heard, *interrupted);
                self.last_ended = Some((*turn, heard.text.expose().clone()));
            }
            CallEventKind::ToolFinished { call, .. } => {
                assert!(self.calls.contains_key(call), "an answer to no call");
                assert!(self.finished_tools.insert(call.clone()), "{call} finished twice");
            }
            CallEventKind::Latency(latency) => {
                assert_eq!(self.turns.get(&latency.turn), Some(&(Speaker::Caller, true)), "the latency of no turn");
                assert!(latency.response_latency >= latency.endpoint_delay, "{latency:?}");
                assert!(latency.response_latency >= latency.playout, "{latency:?}");
            }
            CallEventKind::Ended { .. } => {
                self.ended = true;
                assert!(self.reply.is_none(), "a reply without an end");
                assert_eq!(self.generation.filter(|open| !self.cancelled.contains(open)), None, "still thinking");
                assert!(self.turns.values().all(|(_, over)| *over), "a turn without an end: {:?}", self.turns);
                assert!(!self.held, "held for ever");
                assert!(!self.transferring, "a transfer without an outcome");
            }
            _ => {}
        }
    }

    fn check_heard(
        &self,
        now: MediaTime,
        open: &OpenReply,
        generated: &str,
        heard: &trunkline_media::event::HeardText,
        interrupted: bool,
    ) {
        let samples = heard.audio.as_micros() as u64 * RATE / 1000;
        let (sent, expected) = (open.heard.all_sent(), open.heard.at(now));
        assert!(samples <= sent, "heard {samples} of {sent} sent");
        assert!(open.heard.forged || samples == expected, "heard {samples}, and by the book {expected} of {sent}");
        let text = heard.text.expose();
        assert!(generated.starts_with(text.as_str()), "{text:?} is no beginning of {generated:?}");
        if interrupted {
            let chars = (samples / SAMPLES_PER_CHAR) as usize;
            assert!(text.chars().count() <= chars, "{text:?} of {generated:?} in {chars} characters of sound");
            let least = chars.min(open.spoken_chars).min(generated.chars().count());
            assert!(text.chars().count() + LONGEST_WORD >= least, "only {text:?} of {generated:?} with {chars} heard");
            if sent > 0 {
                let epoch = open.epoch.expect("what was sent had an epoch");
                assert!(self.cleared.contains(&epoch), "cut, and not cleared");
            }
        } else {
            assert_eq!(text, generated, "what was not cut was heard whole");
        }
    }
}

/// The longest word that a test's model says, and the white space around it.
const LONGEST_WORD: usize = 16;

/// Generations name themselves in the words that the tests have them say: `g<generation>w`.
fn generations_in(text: &str) -> impl Iterator<Item = GenerationId> {
    text.split_whitespace().filter_map(|word| {
        let (number, _) = word.strip_prefix('g')?.split_once('w')?;
        number.parse().ok().map(GenerationId)
    })
}
