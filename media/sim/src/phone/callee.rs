//! Whom calls that are placed reach: who picks up, after how long, and what is heard of them without being asked.
//!
//! Of two shapes (each carrier's simulator with a list of outcomes of its own, or one list that each puts into its words) this is the
//! second: a voicemail is the same machine, whoever dials it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::audio::TELEPHONE_RATE;

/// How long a person speaks before detection is sure that it is one: "Hello?", and silence.
const HUMAN: Duration = Duration::from_millis(800);
/// How long a machine speaks before detection is sure that it is one, if it speaks that long.
const MACHINE: Duration = Duration::from_millis(2_400);
/// How long a machine's tone lasts, after which it records.
const BEEP: Duration = Duration::from_millis(400);
/// A machine's tone.
const BEEP_HERTZ: f64 = 1_000.0;
/// A fax machine's tone (CED, ITU-T T.30), and how long it is heard.
const FAX_HERTZ: f64 = 2_100.0;
const FAX: Duration = Duration::from_millis(2_600);
/// How loud tones are: half of full scale.
const LOUD: f64 = 16_000.0;

/// What becomes of a call to a number.
#[derive(Debug, Clone, PartialEq)]
pub struct Callee {
    /// How long it rings, before whatever happens then.
    pub rings_for: Duration,
    /// What happens then.
    pub answer: Answer,
}

impl Default for Callee {
    /// A person who picks up at once.
    fn default() -> Self {
        Self { rings_for: Duration::ZERO, answer: Answer::By(Answerer::Human) }
    }
}

impl Callee {
    /// Somebody, or something, that picks up at once.
    pub const fn answers(by: Answerer) -> Self {
        Self { rings_for: Duration::ZERO, answer: Answer::By(by) }
    }

    /// Nobody can be spoken to.
    pub const fn fails(answer: Answer) -> Self {
        Self { rings_for: Duration::ZERO, answer }
    }

    /// The same, after ringing for this long.
    #[must_use]
    pub const fn after(mut self, rings_for: Duration) -> Self {
        self.rings_for = rings_for;
        self
    }
}

/// What a call comes to.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// It is answered.
    By(Answerer),
    /// The line is busy.
    Busy,
    /// It rings on until the carrier gives up, however short that is after `rings_for`.
    None,
    /// It is declined.
    Rejects,
    /// The network knows no such number: found out when it is dialled.
    Unreachable,
    /// The carrier itself refuses the number, before it dials.
    Invalid,
    /// The carrier fails.
    Fails,
}

/// Who answers.
#[derive(Debug, Clone, PartialEq)]
pub enum Answerer {
    /// A person, who does what the carrier's telephone is told.
    Human,
    /// A machine that records after its greeting.
    Machine(Greeting),
    /// A machine that wants to talk to another one.
    Fax,
    /// A telephone that asks who calls, before it rings.
    Screening(Speech),
    /// Somebody of whom detection makes nothing.
    Unknown,
}

/// A machine's greeting, and what ends it.
#[derive(Debug, Clone, PartialEq)]
pub enum Greeting {
    /// A tone.
    Beep(Speech),
    /// Nothing: the machine is silent, and records.
    Silence(Speech),
}

/// Something said, or another sound: samples at 8 kHz. Cloning shares them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Speech(pub Arc<[i16]>);

impl Speech {
    /// How long it lasts.
    pub fn duration(&self) -> Duration {
        Duration::from_micros(self.0.len() as u64 * 1_000_000 / u64::from(TELEPHONE_RATE))
    }

    /// A tone.
    fn tone(hertz: f64, duration: Duration) -> Vec<i16> {
        let samples = (duration.as_secs_f64() * f64::from(TELEPHONE_RATE)) as u32;
        let step = std::f64::consts::TAU * hertz / f64::from(TELEPHONE_RATE);
        (0..samples).map(|n| ((f64::from(n) * step).sin() * LOUD) as i16).collect()
    }
}

impl From<Vec<i16>> for Speech {
    fn from(samples: Vec<i16>) -> Self {
        Self(samples.into())
    }
}

/// What detection makes of whoever answered, and how long after the answer it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// A person.
    Human,
    /// A machine, whose greeting still goes on.
    MachineStarts,
    /// A machine's greeting is over, with a tone or without.
    MachineEnds {
        /// Whether there was a tone.
        beep: bool,
    },
    /// A fax.
    Fax,
    /// A telephone that asks who calls.
    Screening,
    /// None of these.
    Unknown,
}

impl Answerer {
    /// What is heard of it from the answer on, whatever the other side does: nothing of a person.
    pub fn sound(&self) -> Speech {
        match self {
            Self::Human | Self::Unknown => Speech::default(),
            Self::Machine(Greeting::Silence(greeting)) | Self::Screening(greeting) => greeting.clone(),
            Self::Machine(Greeting::Beep(greeting)) => {
                let mut samples = greeting.0.to_vec();
                samples.extend(Speech::tone(BEEP_HERTZ, BEEP));
                samples.into()
            }
            Self::Fax => Speech::tone(FAX_HERTZ, FAX).into(),
        }
    }

    /// What detection finds out as soon as it can, and when, from the answer on. One that finds nothing gives up after `patience`.
    pub fn first_verdict(&self, patience: Duration) -> (Verdict, Duration) {
        match self {
            Self::Human => (Verdict::Human, HUMAN),
            Self::Machine(Greeting::Beep(greeting) | Greeting::Silence(greeting)) => {
                (Verdict::MachineStarts, MACHINE.min(greeting.duration()))
            }
            Self::Fax => (Verdict::Fax, HUMAN),
            Self::Screening(question) => (Verdict::Screening, question.duration()),
            Self::Unknown => (Verdict::Unknown, patience),
        }
    }

    /// What detection finds out that waits for a machine's greeting to end, which for all others is what it finds out first.
    pub fn last_verdict(&self, patience: Duration) -> (Verdict, Duration) {
        match self {
            Self::Machine(Greeting::Beep(greeting)) => {
                (Verdict::MachineEnds { beep: true }, greeting.duration() + BEEP)
            }
            Self::Machine(Greeting::Silence(greeting)) => {
                (Verdict::MachineEnds { beep: false }, greeting.duration() + MACHINE)
            }
            _ => self.first_verdict(patience),
        }
    }
}

/// Who has which number, and what the carrier's telephone `P` of a person does there. It may be changed while calls are on; cloning
/// shares it.
#[derive(Debug, Clone)]
pub struct Directory<P>(Arc<Mutex<Entries<P>>>);

#[derive(Debug)]
struct Entries<P> {
    by_number: BTreeMap<String, (Callee, P)>,
    others: (Callee, P),
}

impl<P: Default> Default for Directory<P> {
    /// Everybody picks up at once.
    fn default() -> Self {
        Self::all(Callee::default(), P::default())
    }
}

impl<P> Directory<P> {
    /// All numbers are alike.
    pub fn all(callee: Callee, phone: P) -> Self {
        Self(Arc::new(Mutex::new(Entries { by_number: BTreeMap::new(), others: (callee, phone) })))
    }

    /// Says who has a number, E.164.
    pub fn set(&self, number: impl Into<String>, callee: Callee, phone: P) {
        self.lock().by_number.insert(number.into(), (callee, phone));
    }

    /// Says who has all numbers that nothing was said of.
    pub fn set_others(&self, callee: Callee, phone: P) {
        self.lock().others = (callee, phone);
    }

    fn lock(&self) -> MutexGuard<'_, Entries<P>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<P: Clone> Directory<P> {
    /// Who has a number.
    pub fn of(&self, number: &str) -> (Callee, P) {
        let entries = self.lock();
        entries.by_number.get(number).unwrap_or(&entries.others).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second() -> Speech {
        vec![100; 8_000].into()
    }

    #[test]
    fn a_machine_speaks_beeps_and_is_found_out_twice() {
        let machine = Answerer::Machine(Greeting::Beep(second()));
        let sound = machine.sound();
        assert_eq!(sound.duration(), Duration::from_millis(1_400));
        assert!(sound.0[8_000..].iter().any(|sample| *sample > 15_000));
        let patience = Duration::from_secs(30);
        assert_eq!(machine.first_verdict(patience), (Verdict::MachineStarts, Duration::from_secs(1)));
        let ends = Verdict::MachineEnds { beep: true };
        assert_eq!(machine.last_verdict(patience), (ends, Duration::from_millis(1_400)));
        assert_eq!(Answerer::Human.last_verdict(patience), (Verdict::Human, HUMAN));
        assert_eq!(Answerer::Unknown.last_verdict(patience), (Verdict::Unknown, patience));
        assert_eq!(Answerer::Fax.sound().duration(), FAX);
    }

    #[test]
    fn a_directory_knows_some_numbers_and_has_somebody_for_the_others() {
        let directory: Directory<u8> = Directory::all(Callee::default(), 1);
        let shared = directory.clone();
        shared.set("+14155550101", Callee::fails(Answer::Busy).after(Duration::from_secs(1)), 2);
        assert_eq!(directory.of("+14155550101").0.answer, Answer::Busy);
        assert_eq!(directory.of("+14155550102"), (Callee::default(), 1));
        directory.set_others(Callee::fails(Answer::None), 3);
        assert_eq!(shared.of("+14155550102"), (Callee::fails(Answer::None), 3));
    }
}
