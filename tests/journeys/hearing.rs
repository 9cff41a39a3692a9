//! Reading back what a caller heard.

use std::time::Duration;

use trunkline_sim::{
    audio::{TELEPHONE_RATE, mulaw_decode},
    twilio::phone::PhoneReport,
    voice::{CodedVoice, DecodedChar, normalise},
};

/// How long the agent takes for a character: the least that can be read after G.711, for every second is waited for.
const SYMBOL: Duration = Duration::from_millis(40);
/// Bytes of µ-law to a character.
pub(crate) const SYMBOL_BYTES: usize = 320;

/// The agent's voice.
pub(crate) fn voice() -> CodedVoice {
    CodedVoice::new(SYMBOL)
}

/// Silence, in samples, that parts one reply from the next: 200 ms.
const PAUSE: usize = 1600;

/// The characters in µ-law sound; where one reply ends and another begins there is a space.
pub(crate) fn read(mulaw: &[u8]) -> String {
    spaced(decode(mulaw), PAUSE)
}

/// The same in samples at another rate.
pub(crate) fn read_samples(samples: &[i16], rate: u32) -> String {
    spaced(voice().decode(samples, rate), PAUSE * rate as usize / TELEPHONE_RATE as usize)
}

fn spaced(chars: Vec<DecodedChar>, pause: usize) -> String {
    let (mut text, mut end) = (String::new(), 0);
    for found in chars {
        if !text.is_empty() && found.start > end + pause {
            text.push(' ');
        }
        text.push(found.ch);
        end = found.end;
    }
    text
}

fn decode(mulaw: &[u8]) -> Vec<DecodedChar> {
    let samples: Vec<i16> = mulaw.iter().map(|&byte| mulaw_decode(byte)).collect();
    voice().decode(&samples, TELEPHONE_RATE)
}

/// What was heard on a stream.
pub(crate) fn heard(stream: &PhoneReport) -> String {
    read(&stream.playback.heard)
}

/// What was heard between two times of a stream, as if the agent had not paused.
pub(crate) fn heard_between(stream: &PhoneReport, from: Duration, to: Duration) -> String {
    let at = |time: Duration| (time.as_micros() / 125) as usize;
    let end = at(to).min(stream.playback.heard.len());
    decode(&stream.playback.heard[at(from).min(end)..end]).iter().map(|found| found.ch).collect()
}

/// A text's words as they are spoken.
pub(crate) fn words(text: &str) -> Vec<String> {
    normalise(text).split_whitespace().map(str::to_owned).collect()
}

/// Asserts that these texts were heard whole, one after another, and nothing else.
pub(crate) fn assert_heard(stream: &PhoneReport, texts: &[&str]) {
    let (heard, said) = (heard(stream), texts.join(" "));
    // A gap inside a character costs that character: it is in the figures, not in what was sent.
    let gaps = stream.playback.gaps.iter().filter(|gap| !gap.marked && gap.refilled_at.is_some()).count();
    if gaps == 0 {
        assert_eq!(words(&heard), words(&said));
    } else {
        let squeeze = |text: &str| words(text).concat();
        let (reached, strays) = follow(&squeeze(&heard), &squeeze(&said));
        assert!(
            reached == squeeze(&said).chars().count() && strays <= gaps,
            "heard {heard:?} of {said:?}, {gaps} gaps"
        );
    }
}

/// How many characters of `said` are heard when `heard` is its end, give or take some that were damaged, and how many were.
pub(crate) fn follow(heard: &str, said: &str) -> (usize, usize) {
    let said: Vec<char> = normalise(said).chars().collect();
    let (mut reached, mut strays) = (0, 0);
    for ch in heard.chars() {
        match said[reached..].iter().take(3).position(|next| *next == ch) {
            Some(skipped) => {
                strays += skipped;
                reached += skipped + 1;
            }
            None => strays += 1,
        }
    }
    (reached, strays)
}

/// How many words of `said` are whole within its first `reached` characters.
pub(crate) fn whole_words(said: &str, reached: usize) -> usize {
    let part: String = normalise(said).chars().take(reached + 1).collect();
    let words = part.split_whitespace().count();
    let ends = part.chars().count() <= reached || part.ends_with(' ');
    if ends { words } else { words.saturating_sub(1) }
}

/// When the last sound of the agent ended.
pub(crate) fn last_sound(stream: &PhoneReport) -> Duration {
    let loud = |byte: &u8| mulaw_decode(*byte).unsigned_abs() > 500;
    let end = stream.playback.heard.iter().rposition(loud).map_or(0, |at| at + 1);
    Duration::from_micros(125 * end as u64)
}

#[test]
fn words_are_whole_when_their_end_was_heard() {
    let said = "One two three.";
    for (reached, whole) in [(0, 0), (2, 0), (3, 1), (4, 1), (6, 1), (7, 2), (13, 2), (14, 3)] {
        assert_eq!(whole_words(said, reached), whole, "{reached}");
    }
    assert_eq!(follow("one two", said), (7, 0));
    assert_eq!(follow("oe two", said), (7, 1));
    assert_eq!(follow("one xtwo", said), (7, 1));
}
