//! Has the caller interrupted the agent? Two phases: *detected* (the agent pauses, reversibly), then *accepted* or *rejected*.
//!
//! The pause withholds audio: nothing is sent to the carrier and nothing is lost, and what it has already (the lead, 100–200 ms)
//! plays out. Sending `clear` at once would stop the agent a lead earlier, but line noise would then tear holes into a greeting that
//! have to be guessed at and sent again; withholding loses not one sample, and a sound shorter than the lead is not noticed at all.
//! `clear` is sent on acceptance. It takes a word to be accepted: voice activity alone may be a cough, a door, a television.

use std::time::Duration;

use super::config::Profile;
use crate::time::MediaTime;

/// After speech too short to be meant, the agent goes on once it has been quiet for so long.
const SHORT_NOISE_GRACE: Duration = Duration::from_millis(200);
/// Sound that goes on for so long without a word is not speech.
const LONGEST_WORDLESS_HOLD: Duration = Duration::from_secs(6);

/// Where an interruption stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Interruption {
    /// There is none.
    #[default]
    None,
    /// Detected: the agent has paused.
    Held {
        /// Since when it has been withholding audio.
        since: MediaTime,
        /// When the sound began.
        speech_began: MediaTime,
    },
    /// Sound without words has held this reply for too long: for the rest of it, only words count.
    Distrusted,
}

/// What words over the agent mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Words {
    /// Not enough to say.
    Undecided,
    /// The caller wants the floor.
    BargeIn,
    /// The caller is listening.
    Backchannel,
}

impl Interruption {
    /// Until when the agent waits for words after the sound has stopped.
    pub(super) fn wait_after_speech(
        speech_began: MediaTime,
        stopped: MediaTime,
        now: MediaTime,
        profile: &Profile,
    ) -> MediaTime {
        let wait = if stopped.saturating_since(speech_began) < profile.min_speech {
            SHORT_NOISE_GRACE
        } else {
            profile.false_after
        };
        (stopped + wait).max(now)
    }

    /// Until when the agent waits for a word while the sound goes on.
    pub(super) fn longest_hold(since: MediaTime) -> MediaTime {
        since + LONGEST_WORDLESS_HOLD
    }
}

/// Reads words that were said over the agent. `settled`: they will not change any more.
pub(super) fn read(text: &str, settled: bool, profile: &Profile, backchannels: &[String]) -> Words {
    let words: Vec<String> = text.split_whitespace().map(normalise).filter(|word| !word.is_empty()).collect();
    if words.is_empty() {
        return Words::Undecided;
    }
    if is_backchannel(&words, backchannels) {
        return if settled { Words::Backchannel } else { Words::Undecided };
    }
    if words.len() >= profile.min_words.max(1) as usize {
        Words::BargeIn
    } else if settled {
        // Too few words for the profile: the caller is taken to be listening.
        Words::Backchannel
    } else {
        Words::Undecided
    }
}

/// Whether the words are nothing but signs of listening, in any number ("yeah, okay").
fn is_backchannel(words: &[String], backchannels: &[String]) -> bool {
    let mut rest = words;
    while !rest.is_empty() {
        let taken = backchannels.iter().find_map(|phrase| {
            let phrase: Vec<String> = phrase.split_whitespace().map(normalise).collect();
            (!phrase.is_empty() && rest.starts_with(&phrase)).then_some(phrase.len())
        });
        match taken {
            Some(count) => rest = &rest[count..],
            None => return false,
        }
    }
    true
}

fn normalise(word: &str) -> String {
    word.chars().filter(|ch| ch.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::turn::config::default_backchannels;

    fn words(text: &str, settled: bool) -> Words {
        read(text, settled, &Profile::default(), &default_backchannels())
    }

    #[test]
    fn one_real_word_is_a_barge_in_at_once() {
        assert_eq!(words("stop", false), Words::BargeIn);
        assert_eq!(words("yeah but", false), Words::BargeIn);
    }

    #[test]
    fn signs_of_listening_are_not() {
        for text in ["Mm-hm.", "uh huh", "Yeah, okay.", "I see. Right."] {
            assert_eq!(words(text, true), Words::Backchannel, "{text}");
            assert_eq!(words(text, false), Words::Undecided, "{text} may go on");
        }
        assert_eq!(words(" ", true), Words::Undecided);
    }

    #[test]
    fn a_profile_may_ask_for_more_words() {
        let profile = Profile { min_words: 3, ..Profile::default() };
        let read = |text, settled| read(text, settled, &profile, &default_backchannels());
        assert_eq!(read("wait a", false), Words::Undecided);
        assert_eq!(read("wait a", true), Words::Backchannel);
        assert_eq!(read("wait a moment", false), Words::BargeIn);
    }
}
