//! Random histories of a call against the turn machine, on virtual time, watched by a reference that knows what must hold whatever happens:
//! one generation at a time, one reply at a time, nothing spoken or run of a thought that was thrown away, what was heard equal to an
//! independent account of what was played, every turn and reply closed, no timer that does not let go, and never an agent that is stuck.
//!
//! The seed is fixed, so that a run in CI is the same everywhere; `PROPTEST_RNG_SEED` and `PROPTEST_CASES` are for hunting.
#![allow(clippy::unwrap_used, reason = "a test's helpers may panic")]

#[path = "world/reference.rs"]
mod reference;
#[path = "world/surroundings.rs"]
mod surroundings;

use std::time::Duration;

use proptest::{prelude::*, test_runner::RngSeed};
use trunkline_base::Personal;
use trunkline_media::{
    audio::Samples,
    event::{EndReason, Speaker, ToolOutcome},
    ids::{Epoch, GenerationId, MarkId, ReplyId, TurnId},
    llm::LlmEvent,
    stt::{SttEvent, SttPhase, TurnDetection},
    telephony::{AnsweredBy, Transfer, TransferMode, TransferOutcome},
    time::MediaTime,
    turn::{
        Greeting, IdleConfig, Input, PastTurn, Profile, Resumed, TransferTool, TurnConfig, Voicemail, VoicemailAction,
    },
};

use self::surroundings::{HAND_OVER, Marks, PRESS, Plan, Surroundings};

/// Something that happens.
#[derive(Debug, Clone)]
enum Step {
    Pass(u16),
    Voice(bool),
    SttStart,
    /// Words that began and ended so many milliseconds ago.
    Words(Words, u8, u16, u16),
    /// A pause after words that ended so many milliseconds ago.
    Hint(Option<u16>),
    Resumed,
    SttFault,
    SttFails,
    /// The model says this, besides what it says by its plan; of an older generation if so.
    Word(bool),
    Call(bool),
    LlmUsage,
    Speak(u8),
    VoiceFails,
    VoiceWorks(bool),
    StaleAudio,
    Marks(Marks),
    UnknownMark,
    /// A mark that came back already comes again.
    MarkAgain,
    /// A mark of the current epoch comes back before it can.
    ForgedMark(u8),
    Detach,
    Attach,
    Key(char),
    Say(bool),
    Hold(bool),
    Keys,
    Transfer(TransferMode),
    /// The transfer under way, if there is one, comes to this.
    TransferOver(TransferOutcome),
    /// The carrier takes the stream away.
    Moved,
    AnsweredBy(AnsweredBy),
    StrayTool,
    HangUp,
    CallerHangsUp,
}

#[derive(Debug, Clone, Copy)]
enum Words {
    Interim,
    Final,
    Eager,
    EndOfTurn,
}

const PHRASES: [&str; 9] =
    ["yes", "mm-hm", "stop", "I want", "a table for two.", "and", "No, wait!", "four seven one", "Okay, right."];

fn rare() -> impl Strategy<Value = Vec<Step>> {
    prop_oneof![
        8 => Just(vec![Step::Detach]),
        6 => Just(vec![Step::Attach]),
        4 => lost_in_mid_word(),
        4 => Just(vec![Step::VoiceFails]),
        2 => any::<bool>().prop_map(|works| vec![Step::VoiceWorks(works)]),
        4 => prop_oneof![Just(Marks::OnTime), Just(Marks::Late), Just(Marks::Lost)].prop_map(|marks| vec![Step::Marks(marks)]),
        3 => (0..6_u8).prop_map(|back| vec![Step::ForgedMark(back)]),
        1 => Just(vec![Step::SttFails]),
        // The outside is not always sure that it was understood.
        3 => (1..1_000_u16).prop_map(|ms| vec![Step::HangUp, Step::Pass(ms), Step::HangUp]),
        1 => Just(vec![Step::CallerHangsUp]),
        4 => transfer(),
        3 => (1..12_000_u16).prop_map(|ms| vec![Step::Hold(true), Step::Pass(ms), Step::Hold(false)]),
        2 => answered_by().prop_map(|by| vec![Step::AnsweredBy(by)]),
    ]
}

fn answered_by() -> impl Strategy<Value = AnsweredBy> {
    prop_oneof![
        Just(AnsweredBy::Human),
        Just(AnsweredBy::Machine),
        Just(AnsweredBy::MachineReady),
        Just(AnsweredBy::Fax),
        Just(AnsweredBy::CallScreening),
        Just(AnsweredBy::Unknown),
    ]
}

fn outcome() -> impl Strategy<Value = TransferOutcome> {
    prop_oneof![
        1 => Just(TransferOutcome::Connected),
        3 => Just(TransferOutcome::Busy),
        2 => Just(TransferOutcome::Declined),
        1 => Just(TransferOutcome::failed("scripted")),
        1 => Just(TransferOutcome::CallerHungUp),
    ]
}

/// The caller is handed over, with or without the stream going away for it, and in whatever order that ends.
fn transfer() -> impl Strategy<Value = Vec<Step>> {
    (any::<[bool; 3]>(), outcome(), 1..6_000_u16, 1..20_000_u16).prop_map(|(flags, outcome, words, rings)| {
        let [cold, moved, back] = flags;
        let mode = if cold { TransferMode::Cold } else { TransferMode::Warm };
        let mut steps = vec![Step::Transfer(mode), Step::Pass(words)];
        steps.extend(moved.then_some(Step::Moved));
        steps.push(Step::Pass(rings));
        steps.extend((moved && back).then_some(Step::Attach));
        steps.push(Step::TransferOver(outcome));
        steps.extend(moved.then_some(Step::Attach));
        steps
    })
}

/// The line breaks while the caller speaks.
fn lost_in_mid_word() -> impl Strategy<Value = Vec<Step>> {
    (0..PHRASES.len() as u8, any::<bool>(), 1..4_000_u16).prop_map(|(phrase, settled, gone)| {
        let kind = if settled { Words::Final } else { Words::Interim };
        vec![
            Step::Voice(true),
            Step::Pass(800),
            Step::Words(kind, phrase, 800, 200),
            Step::Detach,
            Step::Pass(gone),
            Step::Attach,
        ]
    })
}

fn noise() -> impl Strategy<Value = Vec<Step>> {
    prop_oneof![
        Just(Step::SttStart),
        proptest::option::of(0..3_000_u16).prop_map(Step::Hint),
        Just(Step::Resumed),
        Just(Step::SttFault),
        any::<bool>().prop_map(Step::Word),
        any::<bool>().prop_map(Step::Call),
        Just(Step::LlmUsage),
        (0..40_u8).prop_map(Step::Speak),
        Just(Step::StaleAudio),
        Just(Step::UnknownMark),
        Just(Step::MarkAgain),
        any::<bool>().prop_map(Step::Voice),
        (0..4_u8).prop_map(|key| Step::Key(['1', '5', '*', '#'][key as usize])),
        any::<bool>().prop_map(Step::Say),
        Just(Step::StrayTool),
        any::<bool>().prop_map(Step::Hold),
        Just(Step::Keys),
        Just(Step::Moved),
        outcome().prop_map(Step::TransferOver),
    ]
    .prop_map(|step| vec![step])
}

fn words() -> impl Strategy<Value = Vec<Step>> {
    let kind = prop_oneof![
        3 => Just(Words::Interim),
        3 => Just(Words::Final),
        1 => Just(Words::Eager),
        1 => Just(Words::EndOfTurn)
    ];
    (kind, 0..PHRASES.len() as u8, 0..2_000_u16, 0..1_000_u16)
        .prop_map(|(kind, phrase, ago, length)| vec![Step::Words(kind, phrase, ago + length, ago)])
}

/// The caller says something, as it usually goes.
fn utterance() -> impl Strategy<Value = Vec<Step>> {
    (0..PHRASES.len() as u8, 100..1_500_u16, 50..600_u16, any::<(bool, bool, bool)>()).prop_map(
        |(phrase, length, delay, (voiced, interim, hint))| {
            let mut steps = Vec::new();
            steps.extend(voiced.then_some(Step::Voice(true)));
            steps.push(Step::Pass(length / 2 + 60));
            steps.extend(interim.then_some(Step::Words(Words::Interim, phrase, length / 2 + 60, 20)));
            steps.push(Step::Pass(length / 2));
            steps.extend(voiced.then_some(Step::Voice(false)));
            steps.push(Step::Pass(delay));
            steps.push(Step::Words(Words::Final, phrase, length + delay + 60, delay));
            steps.extend(hint.then_some(Step::Hint(Some(delay))));
            steps
        },
    )
}

/// The same with a turn model.
fn flux_utterance() -> impl Strategy<Value = Vec<Step>> {
    (0..PHRASES.len() as u8, 100..1_500_u16, 50..900_u16, any::<(bool, bool)>()).prop_map(
        |(phrase, length, delay, (eager, resumed))| {
            let mut steps = vec![Step::Voice(true), Step::Pass(length), Step::Voice(false), Step::Pass(50)];
            steps.push(Step::Words(Words::Interim, phrase, length + 50, 50));
            steps.extend(eager.then_some(Step::Words(Words::Eager, phrase, length + 50, 50)));
            steps.push(Step::Pass(delay));
            steps.extend(resumed.then_some(Step::Resumed));
            steps.push(Step::Words(Words::EndOfTurn, phrase, length + delay + 50, delay + 50));
            steps
        },
    )
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let some = prop_oneof![
        10 => (1..3_000_u16).prop_map(|ms| vec![Step::Pass(ms)]),
        6 => utterance(),
        4 => flux_utterance(),
        6 => words(),
        6 => noise(),
        3 => rare(),
    ];
    // What happens last is not healed by what comes after it.
    let last = prop_oneof![rare(), noise(), words(), utterance()];
    (prop::collection::vec(some, 1..40), last).prop_map(|(steps, last)| [steps.concat(), last].concat())
}

fn plans() -> impl Strategy<Value = Vec<Plan>> {
    let plan = prop_oneof![
        6 => (1..12_u8).prop_map(Plan::Words),
        2 => (1..6_u8).prop_map(Plan::WordsAndTool),
        1 => Just(Plan::Tool),
        1 => (0..6_u8).prop_map(Plan::WordsAndGoodbye),
        1 => (0..6_u8, any::<bool>()).prop_map(|(words, known)| Plan::WordsAndTransfer(words, known)),
        1 => Just(Plan::Keys),
        1 => Just(Plan::Nothing),
        1 => Just(Plan::Fails),
        1 => (1..6_u8).prop_map(Plan::WordsAndFails),
        1 => (1..6_u8).prop_map(Plan::FallsBack),
        1 => Just(Plan::Hangs),
    ];
    prop::collection::vec(plan, 1..6)
}

fn config() -> impl Strategy<Value = TurnConfig> {
    (any::<[bool; 10]>(), 0..3_u32, any::<bool>(), voicemail()).prop_map(
        |(flags, min_words, interruptible, voicemail)| {
            let [recogniser, eager, greeting, goodbye, filler, interruptions, resume, consent, holds, connects] = flags;
            let desk = Transfer::new("+14155550199", TransferMode::Cold).expect("a number");
            TurnConfig {
                turn_detection: if recogniser { TurnDetection::Recogniser } else { TurnDetection::Endpointing },
                eager,
                greeting: greeting.then(|| Greeting { text: "Hello, how can I help you today?".into(), interruptible }),
                goodbye: goodbye.then(|| "Thank you, and goodbye.".into()),
                filler: filler.then(|| "One moment, please.".into()),
                resume: resume.then(|| "Sorry, we were cut off.".into()),
                consent: consent.then(|| "This call is recorded.".into()),
                on_hold: holds.then(|| "Please hold.".into()),
                off_hold: (!holds).then(|| "Thank you for waiting.".into()),
                transfer_words: connects.then(|| "I am connecting you.".into()),
                transfer_tool: Some(TransferTool { name: HAND_OVER.into(), targets: vec![("desk".into(), desk)] }),
                transfer_limit: Duration::from_secs(25),
                keys_tool: Some(PRESS.into()),
                voicemail,
                idle: IdleConfig { after: Duration::from_secs(6), ..IdleConfig::default() },
                // Only what must end a call ends it.
                max_duration: Duration::from_secs(36_000),
                profile: Profile { min_words, interruptions: interruptions || min_words == 0, ..Profile::default() },
                ..TurnConfig::default()
            }
        },
    )
}

fn voicemail() -> impl Strategy<Value = Voicemail> {
    let action = prop_oneof![
        Just(VoicemailAction::HangUp),
        Just(VoicemailAction::LeaveMessage),
        Just(VoicemailAction::Continue)
    ];
    action.prop_map(|action| Voicemail { action, message: Some("Call us back.".into()), ..Voicemail::default() })
}

/// One call in four was answered in a process that has died.
fn resumed() -> impl Strategy<Value = Option<Resumed>> {
    let turn = (any::<bool>(), 0..PHRASES.len()).prop_map(|(caller, phrase)| PastTurn {
        speaker: if caller { Speaker::Caller } else { Speaker::Agent },
        text: Personal::new(PHRASES[phrase].to_owned()),
    });
    let past = (prop::collection::vec(turn, 0..6), 0..1_800_000_u64, 2..400_u64, 0..40_u32);
    let resumed = past.prop_map(|(history, clock, next_seq, more)| Resumed {
        next_turn: TurnId(history.len() as u32 + more + 1),
        history,
        clock: MediaTime::from_millis(clock),
        next_seq,
    });
    proptest::option::weighted(0.25, resumed)
}

fn ms(ms: u16) -> Duration {
    Duration::from_millis(ms.into())
}

impl Surroundings {
    fn step(&mut self, step: &Step) {
        let now = self.now;
        match *step {
            Step::Pass(millis) => self.pass(ms(millis)),
            Step::Voice(on) if on == self.voiced || !self.attached => {}
            Step::Voice(true) => self.input(Input::SpeechStarted { at: now.saturating_sub(ms(64)) }),
            Step::Voice(false) => self.input(Input::SpeechStopped { at: now.saturating_sub(ms(250)) }),
            Step::SttStart => self.hear(SttEvent::SpeechStarted { at: now }),
            Step::Words(kind, phrase, start, end) => {
                let text = Personal::new(PHRASES[usize::from(phrase)].to_owned());
                let (start, end) = (now.saturating_sub(ms(start)), now.saturating_sub(ms(end)));
                self.hear(match kind {
                    Words::Interim => SttEvent::Interim { text, start, end },
                    Words::Final => SttEvent::Final { text, start, end },
                    Words::Eager => SttEvent::EagerEndOfTurn { text, start, end },
                    Words::EndOfTurn => SttEvent::EndOfTurn { text, start, end },
                });
            }
            Step::Hint(ago) => {
                self.hear(SttEvent::EndpointHint { last_word_end: ago.map(|ago| now.saturating_sub(ms(ago))) });
            }
            Step::Resumed => self.hear(SttEvent::TurnResumed),
            Step::SttFault => {
                self.hear(SttEvent::Fault { phase: SttPhase::Stream, cause: "scripted".into(), recovered: true });
            }
            Step::SttFails => self.hear(SttEvent::Failed { cause: "scripted".into() }),
            Step::Word(stale) => {
                let generation = self.some_generation(stale);
                let text = Personal::new(self.word(generation));
                self.input(Input::Llm { generation, event: LlmEvent::Text { text } });
            }
            Step::Call(stale) => {
                let generation = self.some_generation(stale);
                let event = self.call(generation, "look_up");
                self.input(Input::Llm { generation, event });
            }
            Step::LlmUsage => {
                let event = LlmEvent::Usage { prompt_tokens: 100, completion_tokens: 7 };
                self.input(Input::Llm { generation: self.last_generation, event });
            }
            Step::Speak(chars) => self.speak(chars.into()),
            Step::VoiceFails => self.fail_voice(),
            Step::VoiceWorks(works) => self.voice_works = works,
            Step::StaleAudio => {
                let reply = ReplyId(self.last_reply.0.saturating_sub(1));
                if self.machine.current_reply().is_none_or(|(current, _)| current != reply) {
                    self.input(Input::SpeechAudio { reply, samples: Samples(800), alignment: Vec::new() });
                    self.input(Input::SpeechDone { reply });
                }
            }
            Step::Marks(marks) => self.marks = marks,
            Step::UnknownMark => self.input(Input::Mark { mark: MarkId { epoch: Epoch(77), n: 3 } }),
            Step::MarkAgain => {
                if let Some(mark) = self.returned.last().copied() {
                    self.input(Input::Mark { mark });
                }
            }
            Step::ForgedMark(n) => {
                if let Some((_, epoch)) = self.machine.current_reply() {
                    let newest = self.newest_mark();
                    self.reference.on_forged_mark();
                    self.input(Input::Mark { mark: MarkId { epoch, n: newest.saturating_sub(n.into()) } });
                }
            }
            Step::Detach => self.input(Input::Detached),
            Step::Attach => self.attach(),
            Step::Key(digit) => self.input(Input::Dtmf { digit }),
            Step::Say(interruptible) => {
                self.input(Input::Say { text: Personal::new("We close in ten minutes.".into()), interruptible });
            }
            Step::Hold(on) => self.input(Input::Hold { on }),
            Step::Keys => self.input(Input::SendKeys { keys: "w1#".parse().unwrap() }),
            Step::Transfer(mode) => {
                let transfer = Transfer::new("+14155550111", mode).unwrap();
                self.input(Input::Transfer { transfer });
            }
            Step::TransferOver(ref outcome) => self.input(Input::TransferOver { outcome: outcome.clone() }),
            Step::Moved => self.input(Input::Moved),
            Step::AnsweredBy(by) => self.input(Input::AnsweredBy { by }),
            Step::StrayTool => {
                self.input(Input::ToolFinished {
                    call: "nobody's".into(),
                    outcome: ToolOutcome::Error("stray".into()),
                });
            }
            Step::HangUp => self.input(Input::HangUp { reason: EndReason::ApiHangup }),
            Step::CallerHangsUp => self.input(Input::Closed { reason: EndReason::CallerHangup }),
        }
    }

    fn hear(&mut self, event: SttEvent) {
        self.input(Input::Stt { event });
    }

    fn attach(&mut self) {
        if !self.attached {
            self.input(Input::Attached { stream: "MZ1".into() });
        }
    }

    fn some_generation(&self, stale: bool) -> GenerationId {
        GenerationId(self.last_generation.0.saturating_sub(u32::from(stale)))
    }

    /// From here on the world behaves: the caller is back on the line and silent, the voice speaks, the marks come.
    fn settle(&mut self) {
        self.step(&Step::TransferOver(TransferOutcome::Busy));
        self.step(&Step::Hold(false));
        self.attach();
        self.marks = Marks::OnTime;
        self.voice_works = true;
        self.step(&Step::Voice(false));
    }
}

/// A machine that gets the same again says the same again, and its inputs survive being written down.
fn replay(config: &TurnConfig, resumed: Option<Resumed>, surroundings: &Surroundings) {
    let mut machine = surroundings::machine(config.clone(), resumed);
    let mut outputs = surroundings.outputs.iter();
    for (at, input) in &surroundings.log {
        match input {
            Some(input) => {
                let written = serde_json::to_string(input).unwrap();
                let read: Input = serde_json::from_str(&written).unwrap();
                assert_eq!(&read, input, "{written}");
                machine.handle_input(*at, read);
            }
            None => machine.handle_timeout(*at),
        }
        while let Some(output) = machine.poll_output() {
            assert_eq!(Some(&output), outputs.next());
        }
    }
    assert_eq!(outputs.next(), None);
}

fn cases() -> ProptestConfig {
    let mut config = ProptestConfig::default();
    if config.rng_seed == RngSeed::Random {
        config.rng_seed = RngSeed::Fixed(20);
    }
    config.failure_persistence = None;
    config
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn turn_machine_agrees_with_a_reference_model(
        config in config(), resumed in resumed(), plans in plans(), steps in steps()
    ) {
        let mut world = Surroundings::new(config.clone(), resumed.clone(), plans);
        world.reference.sees_to(HAND_OVER);
        world.reference.sees_to(PRESS);
        world.attach();
        for step in &steps {
            world.step(step);
        }
        world.settle();
        // A silent caller is asked, and asked again, and then the agent leaves: a call that is still going on is stuck.
        for _ in 0..20 {
            world.pass(Duration::from_secs(15));
        }
        prop_assert!(world.reference.ended, "stuck in {:?} with {:?}", world.machine.state(), world.machine.poll_timeout());
        // Nothing comes after the end.
        world.input(Input::SpeechStarted { at: world.now });
        world.step(&Step::Words(Words::Final, 4, 500, 100));
        prop_assert!(world.now > MediaTime::ZERO);
        replay(&config, resumed, &world);
    }
}
