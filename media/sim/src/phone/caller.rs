//! The person at the phone: a script of steps, advanced once per 20 ms. Pure; it sees only what the line carries.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use thiserror::Error;

use super::{
    activity::{Activity, Change},
    playback::{SILENCE, TICK, TICK_BYTES},
};
use crate::audio::{Clip, TELEPHONE_RATE, mulaw_encode};

/// Something the caller says: µ-law, 8 kHz. Cloning shares the bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Speech(Arc<[u8]>);

/// A clip is not at the telephone's rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a phone speaks at 8000 samples a second, the clip has {0}")]
pub struct WrongRate(pub u32);

impl Speech {
    /// Samples at 8 kHz.
    pub fn new(samples: &[i16]) -> Self {
        Self(samples.iter().copied().map(mulaw_encode).collect())
    }

    /// Bytes that are µ-law already.
    pub fn from_mulaw(bytes: impl Into<Arc<[u8]>>) -> Self {
        Self(bytes.into())
    }

    /// A clip at 8 kHz.
    pub fn from_clip(clip: &Clip) -> Result<Self, WrongRate> {
        if clip.rate == TELEPHONE_RATE { Ok(Self::new(&clip.samples)) } else { Err(WrongRate(clip.rate)) }
    }

    /// How long it lasts.
    pub fn duration(&self) -> Duration {
        Duration::from_micros(125 * self.0.len() as u64)
    }
}

/// One step of a caller's script. While a step waits, silence goes on being sent.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Says it to the end, whatever the agent does.
    Say(Speech),
    /// Waits until the agent is speaking and has spoken for this long since the caller's last words, then talks over it.
    SayWhen {
        /// How long the agent gets to speak.
        speaking_for: Duration,
        /// What the caller says then.
        speech: Speech,
    },
    /// Says nothing for this long.
    Silence(Duration),
    /// Waits until the agent speaks, or has spoken since the caller's last words began.
    WaitForAgentToSpeak,
    /// Waits until the agent has begun to speak since the caller's last words began, and has then been quiet for `quiet`.
    WaitForAgentToFinish {
        /// How much quiet is enough.
        quiet: Duration,
    },
    /// Presses keys, one every 100 ms.
    Dtmf(String),
    /// Hangs up.
    HangUp,
    /// The media socket breaks, without a word. The call lives on: what its document says next is done, and the script goes on in its next
    /// stream.
    Drop,
    /// Listens until the other side ends the stream; hangs up after `timeout`.
    WaitForEnd {
        /// How long the caller listens.
        timeout: Duration,
    },
}

/// What the caller does besides being heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    Press(char),
    HangUp,
    Drop,
    /// The step waited for longer than the caller's patience.
    GiveUp,
}

/// Time between two keys.
const KEY_TICKS: u32 = 5;

/// A caller in the middle of a script. It outlives a stream: in the next one it goes on where it was.
#[derive(Debug)]
pub struct Caller {
    steps: VecDeque<Step>,
    /// Steps done so far.
    index: usize,
    patience: Duration,
    /// Ticks spent in the present step.
    ticks: u32,
    /// Bytes or keys of the present step that are out.
    done: usize,
    /// `SayWhen` has begun to say.
    saying: bool,
    agent: Activity,
    /// The agent has begun to speak since the caller's last words began (or the last wait for its end was over).
    answered: bool,
    /// How long the agent has spoken since the caller's last words.
    agent_spoke: Duration,
}

impl Caller {
    /// A caller at the start of a script, who hangs up when a step has to wait for longer than `patience`, or that long after the
    /// last step.
    pub fn new(steps: impl IntoIterator<Item = Step>, patience: Duration) -> Self {
        Self {
            steps: steps.into_iter().collect(),
            index: 0,
            patience,
            ticks: 0,
            done: 0,
            saying: false,
            agent: Activity::default(),
            answered: false,
            agent_spoke: Duration::ZERO,
        }
    }

    /// Index of the present step in the script; its length once all are done.
    pub fn step(&self) -> usize {
        self.index
    }

    /// The next thing the caller does is to hang up, stream or no stream.
    pub fn is_leaving(&self) -> bool {
        self.steps.front() == Some(&Step::HangUp)
    }

    /// Hears the 20 ms of the agent that begin at `at`.
    pub(crate) fn handle_agent(&mut self, at: Duration, frame: &[u8; TICK_BYTES]) -> Option<Change> {
        let change = self.agent.handle_frame(at, frame);
        if matches!(change, Some(Change::Started(_))) {
            self.answered = true;
        }
        if self.agent.is_speaking() {
            self.agent_spoke += TICK;
        }
        change
    }

    /// The agent has been cut short, or the stream has ended.
    pub(crate) fn handle_cut(&mut self) -> Option<Change> {
        self.agent.handle_end()
    }

    /// Fills the next 20 ms and tells what else the caller does in it.
    pub(crate) fn poll_frame(&mut self, frame: &mut [u8; TICK_BYTES]) -> Option<Act> {
        frame.fill(SILENCE);
        loop {
            self.ticks += 1;
            let waited = TICK * (self.ticks - 1);
            let Some(step) = self.steps.front() else {
                return (waited >= self.patience).then_some(Act::HangUp);
            };
            match step {
                Step::Say(speech) => {
                    let speech = speech.clone();
                    if self.say(&speech, frame) {
                        return None;
                    }
                }
                Step::SayWhen { speaking_for, speech } => {
                    if self.saying || (self.agent.is_speaking() && self.agent_spoke >= *speaking_for) {
                        self.saying = true;
                        let speech = speech.clone();
                        if self.say(&speech, frame) {
                            return None;
                        }
                    } else {
                        return self.impatience(waited);
                    }
                }
                Step::Silence(duration) if waited < *duration => return None,
                Step::WaitForAgentToSpeak if !self.answered && !self.agent.is_speaking() => {
                    return self.impatience(waited);
                }
                Step::WaitForAgentToFinish { quiet } => {
                    if !self.answered || self.agent.quiet_for() < *quiet {
                        return self.impatience(waited);
                    }
                    self.answered = false;
                }
                Step::Dtmf(keys) => {
                    let key = keys.chars().nth(self.done);
                    if key.is_some() && self.ticks % KEY_TICKS == 1 {
                        self.done += 1;
                        return key.map(Act::Press);
                    }
                    if key.is_some() {
                        return None;
                    }
                }
                Step::HangUp => {
                    self.advance();
                    return Some(Act::HangUp);
                }
                Step::Drop => {
                    self.advance();
                    return Some(Act::Drop);
                }
                Step::WaitForEnd { timeout } => return (waited >= *timeout).then_some(Act::HangUp),
                Step::Silence(_) | Step::WaitForAgentToSpeak => {}
            }
            self.advance();
        }
    }

    /// Puts the next piece of `speech` into the frame; `false` when none is left.
    fn say(&mut self, speech: &Speech, frame: &mut [u8; TICK_BYTES]) -> bool {
        if self.done == 0 {
            self.answered = false;
        }
        let rest = &speech.0[self.done.min(speech.0.len())..];
        let piece = rest.len().min(TICK_BYTES);
        frame[..piece].copy_from_slice(&rest[..piece]);
        self.done += piece;
        self.agent_spoke = Duration::ZERO;
        piece > 0
    }

    fn advance(&mut self) {
        self.steps.pop_front();
        self.index += 1;
        self.ticks = 0;
        self.done = 0;
        self.saying = false;
    }

    fn impatience(&self, waited: Duration) -> Option<Act> {
        (waited >= self.patience).then_some(Act::GiveUp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOUD: [u8; TICK_BYTES] = [0x9f; TICK_BYTES];
    const QUIET: [u8; TICK_BYTES] = [SILENCE; TICK_BYTES];

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// Ticks from 0 on; the agent is loud where `agent` says so. Returns the ticks in which the caller was heard, and what it did.
    fn run(caller: &mut Caller, ticks: u32, agent: impl Fn(u32) -> bool) -> (Vec<u32>, Vec<(u32, Act)>) {
        let (mut heard, mut acts) = (Vec::new(), Vec::new());
        for tick in 0..ticks {
            caller.handle_agent(TICK * tick, if agent(tick) { &LOUD } else { &QUIET });
            let mut frame = [0; TICK_BYTES];
            acts.extend(caller.poll_frame(&mut frame).map(|act| (tick, act)));
            if frame != QUIET {
                heard.push(tick);
            }
        }
        (heard, acts)
    }

    fn speech(ticks: usize) -> Speech {
        Speech::from_mulaw(vec![0x10; ticks * TICK_BYTES])
    }

    #[test]
    fn speech_is_sent_whole_and_the_last_tick_is_filled_up() {
        let steps = [Step::Say(Speech::from_mulaw(vec![1; 200])), Step::Silence(ms(40)), Step::Say(speech(1))];
        let mut caller = Caller::new(steps, ms(1000));
        let mut frame = [0; TICK_BYTES];
        caller.poll_frame(&mut frame);
        assert_eq!(frame, [1; TICK_BYTES]);
        caller.poll_frame(&mut frame);
        assert_eq!((&frame[..40], &frame[40..]), (&[1; 40][..], &[SILENCE; 120][..]));
        assert_eq!(run(&mut caller, 5, |_| false).0, [2]);
        assert_eq!(caller.step(), 3);
    }

    #[test]
    fn a_turn_waits_for_the_agent_to_finish() {
        let finish = || Step::WaitForAgentToFinish { quiet: ms(400) };
        let mut caller = Caller::new([finish(), Step::Say(speech(10)), finish(), Step::Say(speech(1))], ms(60_000));
        // A greeting with a stop of 160 ms in it, then an answer.
        let agent = |tick| matches!(tick, 10..50 | 58..80 | 150..200);
        let (heard, acts) = run(&mut caller, 300, agent);
        // Tick 79 is the last loud one: 20 quiet ticks later it has been quiet for 400 ms.
        assert_eq!(heard, (99..109).chain([219]).collect::<Vec<_>>());
        assert_eq!(acts, []);
    }

    #[test]
    fn a_barge_in_comes_after_its_time_and_then_waits_for_a_new_answer() {
        let steps = [
            Step::SayWhen { speaking_for: ms(1000), speech: speech(50) },
            Step::WaitForAgentToSpeak,
            Step::WaitForAgentToFinish { quiet: ms(400) },
            Step::HangUp,
        ];
        let mut caller = Caller::new(steps, ms(60_000));
        // The agent is cut at tick 75 and answers at 200.
        let (heard, acts) = run(&mut caller, 300, |tick| matches!(tick, 10..75 | 200..250));
        assert_eq!(heard, (59..109).collect::<Vec<_>>());
        assert_eq!(acts, [(269, Act::HangUp)]);
        assert_eq!(caller.step(), 4);
    }

    #[test]
    fn patience_ends() {
        let mut caller = Caller::new([Step::WaitForAgentToSpeak], ms(200));
        assert_eq!(run(&mut caller, 11, |_| false).1, [(10, Act::GiveUp)]);
        let mut caller = Caller::new([Step::WaitForEnd { timeout: ms(100) }], ms(200));
        assert_eq!(run(&mut caller, 6, |_| true).1, [(5, Act::HangUp)]);
        let mut caller = Caller::new([], ms(200));
        assert_eq!(run(&mut caller, 11, |_| true).1, [(10, Act::HangUp)]);
    }

    #[test]
    fn keys_are_spaced_and_a_drop_is_followed_by_the_rest_of_the_script() {
        let mut caller = Caller::new([Step::Dtmf("1#".into()), Step::Drop, Step::HangUp], ms(200));
        assert_eq!(run(&mut caller, 7, |_| false).1, [(0, Act::Press('1')), (5, Act::Press('#')), (6, Act::Drop)]);
        assert!(caller.is_leaving());
    }

    #[test]
    fn speech_is_at_the_telephones_rate() {
        let clip = Clip { samples: vec![0; 16_000], rate: 16_000 };
        assert_eq!(Speech::from_clip(&clip), Err(WrongRate(16_000)));
        let clip = Clip { rate: 8_000, ..clip };
        assert_eq!(Speech::from_clip(&clip).unwrap().duration(), Duration::from_secs(2));
    }
}
