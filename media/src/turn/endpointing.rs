//! Is the caller's turn over? Voice activity, transcripts and the recogniser's hints only propose; what comes out is a deadline.
//!
//! Silence alone decides badly: the wait is a continuous function of how complete the words sound, between the profile's shortest
//! and longest, so that no small difference of a score makes a large one of time.

use std::time::Duration;

use super::config::Profile;
use crate::{ids::TurnId, time::MediaTime};

/// The caller's turn under way.
#[derive(Debug, Clone)]
pub(super) struct CallerTurn {
    pub(super) turn: TurnId,
    /// First word's begin.
    pub(super) started: MediaTime,
    /// Last word's end.
    pub(super) ended: MediaTime,
    finals: String,
    interim: String,
    /// When the last final segment came.
    pub(super) transcribed: Option<MediaTime>,
    /// Whether the recogniser has heard a pause since the last word.
    hinted: bool,
    pub(super) finalize_asked: bool,
}

impl CallerTurn {
    pub(super) const fn new(turn: TurnId, started: MediaTime) -> Self {
        Self {
            turn,
            started,
            ended: started,
            finals: String::new(),
            interim: String::new(),
            transcribed: None,
            hinted: false,
            finalize_asked: false,
        }
    }

    /// Words that may still change. `whole`: they are the whole turn so far, not what follows the final ones.
    pub(super) fn set_interim(&mut self, text: &str, start: MediaTime, end: MediaTime, whole: bool) {
        if whole {
            self.finals.clear();
        }
        if self.interim != text {
            self.hinted = false;
        }
        text.clone_into(&mut self.interim);
        self.extend(start, end);
    }

    pub(super) fn push_final(&mut self, now: MediaTime, text: &str, start: MediaTime, end: MediaTime) {
        self.interim.clear();
        // What is said next may have to be asked for again.
        self.finalize_asked = false;
        if !self.finals.is_empty() {
            self.finals.push(' ');
        }
        self.finals.push_str(text);
        self.transcribed = Some(now);
        self.extend(start, end);
    }

    /// The recogniser gave the whole turn.
    pub(super) fn set_whole(&mut self, now: MediaTime, text: &str, start: MediaTime, end: MediaTime) {
        self.interim.clear();
        text.clone_into(&mut self.finals);
        self.transcribed = Some(now);
        self.extend(start, end);
    }

    pub(super) const fn hint(&mut self) {
        self.hinted = true;
    }

    fn extend(&mut self, start: MediaTime, end: MediaTime) {
        self.started = self.started.min(start);
        self.ended = self.ended.max(end);
    }

    /// All words so far.
    pub(super) fn text(&self) -> String {
        match (self.finals.is_empty(), self.interim.is_empty()) {
            (_, true) => self.finals.clone(),
            (true, false) => self.interim.clone(),
            (false, false) => format!("{} {}", self.finals, self.interim),
        }
    }

    /// Whether some of its words may still change.
    pub(super) const fn is_interim(&self) -> bool {
        !self.interim.is_empty()
    }

    /// Whether it is worth a guess: all words are final and the recogniser heard a pause.
    pub(super) const fn looks_over(&self) -> bool {
        self.hinted && self.interim.is_empty() && !self.finals.is_empty()
    }
}

/// Voice activity and the end of turn that follows from it.
#[derive(Debug, Clone, Default)]
pub(super) struct Endpointing {
    /// Since when the caller has been making speech-like sound.
    voiced_since: Option<MediaTime>,
    voiced_until: MediaTime,
}

impl Endpointing {
    pub(super) fn handle_speech_started(&mut self, at: MediaTime) {
        self.voiced_since.get_or_insert(at);
    }

    pub(super) fn handle_speech_stopped(&mut self, at: MediaTime) {
        self.voiced_since = None;
        self.voiced_until = self.voiced_until.max(at);
    }

    pub(super) const fn voiced_since(&self) -> Option<MediaTime> {
        self.voiced_since
    }

    /// When the turn is over if nothing else happens. `None` while the caller speaks and the recogniser has not contradicted it.
    pub(super) fn deadline(&self, turn: &CallerTurn, profile: &Profile) -> Option<MediaTime> {
        if self.voiced_since.is_some() {
            // Background noise can keep voice activity up for ever: a pause that the recogniser heard is the backstop.
            return turn.hinted.then(|| turn.ended + profile.max_endpoint);
        }
        let silent_since = turn.ended.max(self.voiced_until.min(turn.ended + profile.max_endpoint));
        let wait = if turn.is_interim() { profile.max_endpoint } else { wait(&turn.finals, profile) };
        Some(silent_since + wait)
    }
}

/// Whether two texts are the same words: a recogniser may still touch up case and punctuation.
pub(super) fn same_words(a: &str, b: &str) -> bool {
    let words = |text: &str| -> String {
        text.chars().filter(|ch| ch.is_alphanumeric()).flat_map(char::to_lowercase).collect()
    };
    words(a) == words(b)
}

/// How long to wait after these words.
fn wait(text: &str, profile: &Profile) -> Duration {
    let spread = profile.max_endpoint.saturating_sub(profile.min_endpoint);
    profile.min_endpoint + spread.mul_f32(1.0 - completeness(text))
}

/// How complete words sound, from 0 (somebody is about to go on) to 1. Sums small pieces of evidence rather than taking the strongest.
fn completeness(text: &str) -> f32 {
    /// Words after which hardly anybody stops.
    const DANGLING: [&str; 24] = [
        "and", "or", "but", "so", "because", "if", "the", "a", "an", "to", "of", "for", "with", "in", "on", "at", "my",
        "your", "is", "um", "uh", "er", "like", "that",
    ];
    let trimmed = text.trim_end();
    let last: String = trimmed
        .rsplit(char::is_whitespace)
        .next()
        .unwrap_or_default()
        .chars()
        .filter(|ch| ch.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect();
    let mut score: f32 = match trimmed.chars().last() {
        Some('.' | '!' | '?') => 1.0,
        Some(',' | '-' | '…') => 0.55,
        // Recognisers without punctuation give no evidence either way.
        _ => 0.85,
    };
    if DANGLING.contains(&last.as_str()) {
        score -= 0.45;
    }
    // Digits are read out in groups: a number that may not be whole waits a little.
    if !last.is_empty() && last.chars().all(|ch| ch.is_ascii_digit()) {
        score -= 0.15;
    }
    score.clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> MediaTime {
        MediaTime::from_millis(ms)
    }

    fn turn(text: &str) -> CallerTurn {
        let mut turn = CallerTurn::new(TurnId(1), ms(0));
        turn.push_final(ms(1100), text, ms(0), ms(1000));
        turn
    }

    fn deadline_after(text: &str) -> u64 {
        let mut endpointing = Endpointing::default();
        endpointing.handle_speech_started(ms(0));
        endpointing.handle_speech_stopped(ms(1000));
        endpointing.deadline(&turn(text), &Profile::default()).unwrap().as_millis()
    }

    #[test]
    fn complete_words_wait_least_and_dangling_ones_longer() {
        assert_eq!(deadline_after("I would like a table."), 1500);
        let plain = deadline_after("I would like a table");
        let dangling = deadline_after("I would like a table and");
        assert!(1500 < plain && plain < dangling && dangling < 4000, "{plain} {dangling}");
    }

    #[test]
    fn a_short_yes_is_never_kept_waiting() {
        assert!(deadline_after("Yes.") <= 1500);
        assert!(deadline_after("yeah") <= 2000);
    }

    #[test]
    fn nobody_is_cut_off_while_speaking() {
        let mut endpointing = Endpointing::default();
        endpointing.handle_speech_started(ms(1200));
        assert_eq!(endpointing.deadline(&turn("Hello."), &Profile::default()), None);
    }

    #[test]
    fn noise_that_never_stops_is_overruled_by_the_recognisers_pause() {
        let mut endpointing = Endpointing::default();
        endpointing.handle_speech_started(ms(0));
        let mut turn = turn("Hello.");
        turn.hint();
        assert_eq!(endpointing.deadline(&turn, &Profile::default()), Some(ms(4000)));
    }
}
