//! How many events a second the turn machine takes: one whole turn of a call, from the caller's first sound to the agent's last mark, in
//! inputs as the actor gives them.
//!
//! A call gives it about 60 inputs a second while the agent speaks and next to none while nobody does, so a million inputs a second are
//! some fifteen thousand calls a core.

use std::{hint::black_box, time::Duration};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use trunkline_base::Personal;
use trunkline_media::{
    audio::Samples,
    ids::{MarkId, ReplyId},
    llm::LlmEvent,
    stt::SttEvent,
    time::MediaTime,
    tts::AlignedChar,
    turn::{Input, Output, TurnConfig, TurnMachine},
};

const ANSWER: &str = "Certainly, I have a table for two at eight this evening. Shall I take it for you?";
const FRAME: Samples = Samples(160);

/// A call in which the same turn comes again and again.
struct Call {
    machine: TurnMachine,
    now: MediaTime,
    inputs: u64,
    marks: Vec<MarkId>,
    asked: Option<trunkline_media::ids::GenerationId>,
    spoken: String,
}

impl Call {
    fn new() -> Self {
        let machine = TurnMachine::new(TurnConfig::default());
        let mut call =
            Self { machine, now: MediaTime::ZERO, inputs: 0, marks: Vec::new(), asked: None, spoken: String::new() };
        call.input(Input::Attached { stream: "MZ1".into() });
        call
    }

    fn input(&mut self, input: Input) {
        self.inputs += 1;
        self.machine.handle_input(self.now, input);
        self.drain();
    }

    fn pass(&mut self, duration: Duration) {
        self.now += duration;
        if self.machine.poll_timeout().is_some_and(|(at, _)| at <= self.now) {
            self.machine.handle_timeout(self.now);
            self.drain();
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Generate(request) => self.asked = Some(request.generation),
                Output::Speak { text, .. } => self.spoken.push_str(text.expose()),
                Output::PlaceMark { mark, .. } | Output::FinishAudio { mark, .. } => self.marks.push(mark),
                other => drop(black_box(other)),
            }
        }
    }

    /// The caller asks, the agent answers; says whose reply it was.
    fn turn(&mut self) -> ReplyId {
        let start = self.now;
        self.input(Input::SpeechStarted { at: start });
        for n in 1..=5 {
            self.pass(Duration::from_millis(300));
            let text = Personal::new("A table for two people, please".chars().take(n * 6).collect());
            self.input(Input::Stt { event: SttEvent::Interim { text, start, end: self.now } });
        }
        let end = self.now;
        self.input(Input::SpeechStopped { at: end });
        let text = Personal::new("A table for two people, please.".to_owned());
        self.input(Input::Stt { event: SttEvent::Final { text, start, end } });
        self.input(Input::Stt { event: SttEvent::EndpointHint { last_word_end: Some(end) } });
        self.pass(Duration::from_millis(600));
        let generation = self.asked.take().expect("the turn is over, or guessed to be");
        for word in ANSWER.split_inclusive(' ') {
            let event = LlmEvent::Text { text: Personal::new(word.to_owned()) };
            self.input(Input::Llm { generation, event });
        }
        self.input(Input::Llm { generation, event: LlmEvent::Done });
        let (reply, epoch) = self.machine.current_reply().expect("it is being answered");

        let per_char = Duration::from_millis(50);
        let spoken = std::mem::take(&mut self.spoken);
        for piece in spoken.chars().collect::<Vec<_>>().chunks(8) {
            let aligned =
                |(i, ch): (usize, &char)| AlignedChar { ch: *ch, start: per_char * i as u32, duration: per_char };
            let alignment = piece.iter().enumerate().map(aligned).collect();
            self.input(Input::SpeechAudio { reply, samples: Samples(400 * piece.len() as u64), alignment });
        }
        self.input(Input::SpeechDone { reply });
        let frames = (400 * spoken.chars().count() as u64).div_ceil(FRAME.0);
        for _ in 0..frames {
            self.input(Input::AudioSent { epoch, samples: FRAME });
            self.pass(Duration::from_millis(20));
        }
        self.pass(Duration::from_millis(20));
        for mark in std::mem::take(&mut self.marks) {
            self.input(Input::Mark { mark });
        }
        assert_eq!(self.machine.current_reply(), None, "it was heard to its end");
        self.pass(Duration::from_millis(400));
        reply
    }
}

fn turn_machine(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("turn_machine");
    let mut one = Call::new();
    one.turn();
    group.throughput(Throughput::Elements(one.inputs));
    // A conversation's history grows with its turns: a new call now and then keeps it to twenty.
    let (mut call, mut turns) = (Call::new(), 0);
    group.bench_function("inputs_of_a_turn", |bencher| {
        bencher.iter(|| {
            turns += 1;
            if turns % 20 == 0 {
                call = Call::new();
            }
            black_box(call.turn())
        });
    });
    group.finish();
}

criterion_group!(benches, turn_machine);
criterion_main!(benches);
