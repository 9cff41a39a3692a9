//! A recogniser that earns its words: it knows a library of recordings, hears 8 kHz sound as it comes, finds which recording is
//! being played from where, and yields that recording's words as they are spoken. What it can't find is `[unrecognised]`.
//!
//! **Push sound, then drain the words; time is the sound's own.** Nothing here reads a clock.
//!
//! ```no_run
//! # use std::sync::Arc;
//! # use trunkline_sim::recogniser::{Library, Recogniser};
//! # fn sound() -> Vec<i16> { Vec::new() }
//! let library = Arc::new(Library::load("fixtures/audio")?);
//! let mut recogniser = Recogniser::new(library);
//! recogniser.push(&sound());
//! while let Some(word) = recogniser.poll_word() {
//!     assert!(word.end_s <= recogniser.now_s());
//! }
//! # Ok::<(), trunkline_sim::recogniser::LibraryError>(())
//! ```
//!
//! How: frames of 10 ms with three band energies (`features`); when voice begins (`vad`) the last frames are correlated with the
//! beginnings of all recordings, and later with every place of them (`search`); the winner is followed frame by frame (`lock`)
//! through its pauses until it ends or the sound disagrees. Word times come from the recordings' envelopes (`timing`).

mod features;
mod history;
mod library;
mod lock;
mod search;
#[cfg(test)]
mod tests;
mod timing;
mod vad;

use std::{collections::VecDeque, sync::Arc};

use features::{FRAME, FRAMES_PER_S, Frame, Framer};
use history::{History, KEPT};
use lock::{Followed, Lock};
use search::{Found, Scope, Window};
use timing::Span;
use vad::Vad;

pub use library::{Library, LibraryError, Recording};

/// The word for voice that is in no recording.
pub const UNRECOGNISED: &str = "[unrecognised]";

/// Frames of a stretch of voice before it is first looked for, and between attempts.
const FIRST_SEARCH: u64 = 40;
const SEARCH_INTERVAL: u64 = 10;
/// Frames of a stretch before it is looked for in the middle of recordings. These (dearer) attempts come at lengths that grow by half.
const FIRST_FULL_SEARCH: u64 = 60;
/// The most frames that are looked for at once.
const LONGEST_WINDOW: u64 = 100;
/// The fewest frames that `flush` still tries to find.
const SHORTEST_WINDOW: u64 = 30;
/// How many times worse than the best place every other one must fit.
const CLEARLY: f64 = 3.0;
/// Loud frames without which a stretch is a click.
const SHORTEST_VOICE: u32 = 15;
/// Quiet frames that end a stretch of voice which was not found.
const HANGOVER: u64 = 40;
/// Quiet frames after which such a stretch is not speaking at the moment.
const BREATH: u64 = 10;
/// Frames after which a stretch of voice that was not found is given up, and a new one begun.
const LONGEST_UNRECOGNISED: u64 = 300;
/// Frames before the place where a recording was found that are worth a word of their own.
const LONGEST_LEAD: u64 = 30;

/// One word, in seconds of the sound pushed so far.
#[derive(Debug, Clone, PartialEq)]
pub struct Word {
    /// The word as the transcript has it, or [`UNRECOGNISED`].
    pub text: Arc<str>,
    /// When it begins.
    pub start_s: f64,
    /// When it ends.
    pub end_s: f64,
    /// How well the sound matches, from 0 to 1.
    pub confidence: f32,
}

/// What the line is doing now.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Activity {
    /// Voice is heard now: in a word of a recording, or loud.
    pub speaking: bool,
    /// When voice was last heard, in seconds.
    pub last_voice_s: Option<f64>,
    /// A recording is being followed, and it has words that were not heard yet: a silence is a pause.
    pub words_remain: bool,
    /// Voice was heard that is neither found nor given up: its words may still come.
    pub undecided: bool,
}

#[derive(Debug)]
enum State {
    Silent,
    /// Voice that is not found yet.
    Voiced(Stretch),
    Locked(Lock),
}

/// Voice since frame `start`.
#[derive(Debug)]
struct Stretch {
    start: u64,
    loud: u32,
    last_loud: u64,
    next_search: u64,
    next_full_search: u64,
}

/// See the [module's documentation](self).
#[derive(Debug)]
pub struct Recogniser {
    library: Arc<Library>,
    framer: Framer,
    history: History,
    vad: Vad,
    state: State,
    /// Whole frames pushed.
    now: u64,
    last_voice: Option<u64>,
    words: VecDeque<Word>,
    unrecognised: u64,
}

impl Recogniser {
    /// A recogniser of the recordings in `library`, at time 0.
    pub fn new(library: Arc<Library>) -> Self {
        Self {
            library,
            framer: Framer::default(),
            history: History::default(),
            vad: Vad::new(),
            state: State::Silent,
            now: 0,
            last_voice: None,
            words: VecDeque::new(),
            unrecognised: 0,
        }
    }

    /// Hears samples at 8 kHz, any number of them.
    pub fn push(&mut self, samples: &[i16]) {
        for &sample in samples {
            if let Some(frame) = self.framer.push(sample) {
                self.handle_frame(frame);
            }
        }
    }

    /// Settles what is pending as if the sound ended here: a word heard for more than its half counts, voice that was not found
    /// is looked for a last time. Following a recording goes on if sound goes on.
    pub fn flush(&mut self) {
        match std::mem::replace(&mut self.state, State::Silent) {
            State::Silent => {}
            State::Voiced(stretch) => self.give_up(&stretch),
            State::Locked(mut lock) => {
                self.cut_word(&mut lock, self.now);
                self.state = State::Locked(lock);
            }
        }
    }

    /// The next word that is over. Words come in order, once.
    pub fn poll_word(&mut self) -> Option<Word> {
        self.words.pop_front()
    }

    /// Seconds of sound heard.
    pub fn now_s(&self) -> f64 {
        seconds(self.now)
    }

    /// What the line is doing now.
    pub fn activity(&self) -> Activity {
        let (speaking, words_remain) = match &self.state {
            State::Silent => (false, false),
            State::Voiced(stretch) => (self.now - stretch.last_loud <= BREATH, false),
            State::Locked(lock) => {
                let remain = lock.recording(&self.library).word(lock.next_word).is_some();
                (self.last_voice == Some(self.now), remain)
            }
        };
        let undecided = matches!(self.state, State::Voiced(_));
        Activity { speaking, last_voice_s: self.last_voice.map(seconds), words_remain, undecided }
    }

    /// How many times [`UNRECOGNISED`] was yielded.
    pub fn unrecognised(&self) -> u64 {
        self.unrecognised
    }

    fn handle_frame(&mut self, frame: Frame) {
        let loud = self.vad.push(frame.level);
        self.history.push(frame.bands);
        self.now += 1;
        match std::mem::replace(&mut self.state, State::Silent) {
            State::Silent => self.listen(),
            State::Voiced(stretch) => self.look_for(stretch, loud),
            State::Locked(lock) => self.follow(lock),
        }
    }

    fn listen(&mut self) {
        if let Some(ago) = self.vad.onset() {
            self.begin_stretch(self.now - u64::from(ago).min(self.now));
        }
    }

    fn begin_stretch(&mut self, start: u64) {
        self.last_voice = Some(self.now);
        self.state = State::Voiced(Stretch {
            start,
            loud: (self.now - start) as u32,
            last_loud: self.now,
            next_search: start + FIRST_SEARCH,
            next_full_search: start + FIRST_FULL_SEARCH,
        });
    }

    fn look_for(&mut self, mut stretch: Stretch, loud: bool) {
        if loud {
            stretch.loud += 1;
            stretch.last_loud = self.now;
            self.last_voice = Some(self.now);
        }
        if self.now >= stretch.next_search && stretch.loud >= SHORTEST_VOICE {
            stretch.next_search = self.now + SEARCH_INTERVAL;
            let full = self.now >= stretch.next_full_search;
            if full {
                stretch.next_full_search = self.now + (self.now - stretch.start) / 2;
            }
            if self.search(&stretch, Scope::Openings) || full && self.search(&stretch, Scope::Everywhere) {
                return;
            }
        }
        if self.now - stretch.last_loud >= HANGOVER {
            self.give_up(&stretch);
        } else if self.now - stretch.start >= LONGEST_UNRECOGNISED {
            self.push_unrecognised(stretch.start, self.now);
            self.begin_stretch(self.now);
        } else {
            self.state = State::Voiced(stretch);
        }
    }

    /// The end of a stretch: a last search, then `[unrecognised]` unless it was a click. Leaves the state silent if nothing is found.
    fn give_up(&mut self, stretch: &Stretch) {
        if stretch.loud < SHORTEST_VOICE || self.search(stretch, Scope::Everywhere) {
            return;
        }
        self.push_unrecognised(stretch.start, stretch.last_loud);
        self.vad.reset();
    }

    /// Looks for the stretch; locks and returns true if it is found.
    fn search(&mut self, stretch: &Stretch, scope: Scope) -> bool {
        let start = match scope {
            Scope::Openings => stretch.start,
            Scope::Everywhere => stretch.start.max(self.now.saturating_sub(LONGEST_WINDOW)),
        };
        let length = self.now - start;
        if !(SHORTEST_WINDOW..=KEPT as u64).contains(&length) {
            return false;
        }
        let Some(window) = Window::new(self.history.window(start, self.now)) else { return false };
        let Some(found) = search::find(&self.library, &window, scope) else { return false };
        if !convincing(found, length) {
            return false;
        }
        let lock = Lock::new(&self.library, &self.history, found.best, start, self.now, stretch.start);
        if lock.from > stretch.start + LONGEST_LEAD {
            self.push_unrecognised(stretch.start, lock.from);
        }
        self.hear_words(lock);
        true
    }

    fn follow(&mut self, mut lock: Lock) {
        match lock.follow(&self.library, &self.history, self.now - 1) {
            Followed::On => self.hear_words(lock),
            Followed::Over => {
                self.hear_words(lock);
                self.state = State::Silent;
                self.vad.reset();
            }
            Followed::Lost { since } => {
                self.cut_word(&mut lock, since);
                self.last_voice = self.last_voice.map(|voice| voice.min(since.max(lock.from)));
                if self.vad.onset().is_some() {
                    self.begin_stretch(since);
                }
            }
        }
    }

    /// Yields the words of `lock` that are over, notes whether one is being spoken, and keeps the lock.
    fn hear_words(&mut self, mut lock: Lock) {
        let time = lock.clip_time(self.now);
        while let Some((text, span)) = lock.recording(&self.library).word(lock.next_word) {
            if span.end > time {
                if span.start <= time {
                    self.last_voice = Some(self.now);
                }
                break;
            }
            let (text, heard) = (text.clone(), lock.heard(span));
            self.last_voice = Some((heard.end * FRAMES_PER_S) as u64);
            self.push_word(text, heard, lock.confidence);
            lock.next_word += 1;
        }
        self.state = State::Locked(lock);
    }

    /// Yields the word of `lock` that is being spoken at frame `at`, if more than half of it was.
    fn cut_word(&mut self, lock: &mut Lock, at: u64) {
        let time = lock.clip_time(at);
        let Some((text, span)) = lock.recording(&self.library).word(lock.next_word) else { return };
        if (span.start + span.end) / 2.0 <= time {
            let (text, heard) = (text.clone(), lock.heard(span));
            lock.next_word += 1;
            self.push_word(text, Span { end: heard.end.min(seconds(at)).max(heard.start), ..heard }, lock.confidence);
        }
    }

    fn push_unrecognised(&mut self, from: u64, to: u64) {
        self.unrecognised += 1;
        self.push_word(UNRECOGNISED.into(), Span { start: seconds(from), end: seconds(to) }, 0.0);
    }

    fn push_word(&mut self, text: Arc<str>, span: Span, confidence: f32) {
        self.words.push_back(Word { text, start_s: span.start, end_s: span.end, confidence });
    }
}

/// Whether a place is to be believed: it fits well, and every other place fits several times worse. Right places score 0.95 and more
/// in 400 ms, at any gain and with some noise; wrong ones reach 0.97 in 600 ms, but never leave all other wrong ones behind.
fn convincing(found: Found, length: u64) -> bool {
    let least = if length < FIRST_FULL_SEARCH { 0.94 } else { 0.93 };
    found.best.score >= least && 1.0 - found.runner_up >= CLEARLY * (1.0 - found.best.score) + 0.01
}

fn seconds(frames: u64) -> f64 {
    frames as f64 / FRAMES_PER_S
}

const _: () = assert!(FRAME as f64 * FRAMES_PER_S == crate::audio::TELEPHONE_RATE as f64);
