//! What of a reply was asked for, sent and voiced, so that a lost socket costs no word and repeats none.
//!
//! Positions are bytes in the reply's text, always between characters. `voiced <= arrived <= sent`: sent to the vendor, arrived as
//! audio, handed on to the call. What has to be sent again after a loss begins at `voiced`, which is between two words as long as
//! the vendor aligns its audio.
//!
//! Audio that comes without an alignment is *reckoned*: its length, divided by how long a character has lasted so far in this reply
//! (or [`DEFAULT_PACE`]), is taken as so many characters. A loss then goes back to the beginning of the word reached: a word may be
//! heard twice, none is skipped on purpose.

use std::time::Duration;

use crate::tts::AlignedChar;

/// How long a character lasts until a reply has shown its own pace: about fifteen a second, usual for English.
const DEFAULT_PACE: Duration = Duration::from_millis(67);
/// So much aligned audio tells a reply's own pace.
const PACE_SAMPLE: Duration = Duration::from_millis(500);
/// How many characters of the text the vendor may leave out of its alignment at once.
const SKIP: usize = 3;
/// An alignment has to be this long to be found again after reckoning.
const NEEDLE: std::ops::RangeInclusive<usize> = 4..=24;

#[derive(Default)]
pub(super) struct SpokenText {
    text: String,
    sent: usize,
    arrived: usize,
    voiced: usize,
    /// The last position known from an alignment. Equal to `arrived` if nothing has been reckoned since.
    certain: usize,
    /// Audio without alignment since `certain`.
    reckoned: Duration,
    aligned_chars: u32,
    aligned_time: Duration,
    /// Whether audio has come since text was last sent.
    answered: bool,
}

/// Where a piece of audio ends in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Placement {
    /// How many of its characters, from the first, belong to whole words.
    pub(super) whole: usize,
    /// The position behind them.
    pub(super) position: usize,
}

impl SpokenText {
    /// More to be spoken.
    pub(super) fn push(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// What is to be sent next. Text that says nothing (white space, a lone dash) waits for some that does.
    pub(super) fn unsent(&self) -> Option<&str> {
        Some(&self.text[self.sent..]).filter(|text| speakable(text))
    }

    /// All of it was sent; returns how many characters that were.
    pub(super) fn mark_sent(&mut self) -> u64 {
        let characters = self.text[self.sent..].chars().count() as u64;
        self.sent = self.text.len();
        self.answered = false;
        characters
    }

    /// Whether audio is due for text that was sent. After reckoning only the first answer to each sending is: what is left cannot be
    /// known, and waiting for it would end in speaking twice.
    pub(super) fn is_owed(&self) -> bool {
        if self.arrived == self.certain { speakable(&self.text[self.arrived..self.sent]) } else { !self.answered }
    }

    /// Whether the call has, or is to have at once, the beginning of the word that comes next: the first of all, or one that was cut.
    pub(super) fn is_word_begun(&self) -> bool {
        self.voiced == 0 || !self.is_boundary(self.voiced)
    }

    /// How many characters were sent whose audio never reached the call.
    pub(super) fn wasted(&self) -> u64 {
        self.text[self.voiced..self.sent].chars().count() as u64
    }

    /// Audio came with an alignment. `None` if it doesn't fit the text; it then has to be reckoned.
    pub(super) fn align(&mut self, chars: &[AlignedChar]) -> Option<Placement> {
        let start = self.find_again(chars);
        let mut at = start;
        let (mut matched, mut visible) = (0, 0);
        let mut placement = Placement { whole: 0, position: self.voiced.min(start) };
        for (index, one) in chars.iter().enumerate() {
            if self.is_boundary(at) {
                placement = Placement { whole: index, position: at };
            }
            visible += usize::from(!one.ch.is_whitespace());
            if let Some(next) = self.step(at, one.ch) {
                matched += usize::from(!one.ch.is_whitespace());
                at = next;
            }
        }
        if matched * 2 < visible {
            return None;
        }
        if self.is_boundary(at) {
            placement = Placement { whole: chars.len(), position: at };
        }
        // Reckoning may have gone too far.
        self.voiced = self.voiced.min(start);
        self.aligned_chars += chars.len() as u32;
        self.aligned_time += chars.iter().map(|one| one.duration).sum::<Duration>();
        (self.arrived, self.certain, self.reckoned, self.answered) = (at, at, Duration::ZERO, true);
        Some(placement)
    }

    /// Audio of this length came without an alignment.
    pub(super) fn reckon(&mut self, duration: Duration) {
        self.reckoned += duration;
        let characters = (self.reckoned.as_nanos() / self.pace().as_nanos().max(1)) as usize;
        let ahead = &self.text[self.certain..self.sent];
        let reached = ahead.char_indices().nth(characters).map_or(self.sent, |(offset, _)| self.certain + offset);
        self.arrived = self.arrived.max(reached);
        self.answered = true;
    }

    /// The call has the audio up to here.
    pub(super) fn voice_to(&mut self, position: usize) {
        self.voiced = self.voiced.max(position);
    }

    /// The call has all audio that arrived.
    pub(super) fn voice_all(&mut self) {
        self.voiced = self.arrived;
    }

    /// The socket is lost: everything that was not voiced is to be sent again, from the beginning of a word.
    pub(super) fn rewind(&mut self) {
        let mut at = self.voiced;
        while !self.is_boundary(at) {
            at = self.text[..at].char_indices().next_back().map_or(0, |(offset, _)| offset);
        }
        (self.sent, self.arrived, self.voiced, self.certain) = (at, at, at, at);
        self.reckoned = Duration::ZERO;
    }

    fn pace(&self) -> Duration {
        if self.aligned_time >= PACE_SAMPLE { self.aligned_time / self.aligned_chars.max(1) } else { DEFAULT_PACE }
    }

    /// Where an alignment begins: behind what arrived or, after reckoning, where its characters are found in the text.
    fn find_again(&self, chars: &[AlignedChar]) -> usize {
        if self.arrived == self.certain {
            return self.arrived;
        }
        let needle: String =
            chars.iter().map(|one| one.ch).skip_while(|ch| ch.is_whitespace()).take(*NEEDLE.end()).collect();
        let found = if needle.chars().count() < *NEEDLE.start() {
            None
        } else {
            self.text[self.certain..self.sent].find(&needle)
        };
        found.map_or(self.arrived, |offset| self.certain + offset)
    }

    /// The position behind `ch`, which is next in the text or nearly so. White space of the vendor's own is nowhere.
    fn step(&self, at: usize, ch: char) -> Option<usize> {
        let ahead = &self.text[at..self.sent];
        if ch.is_whitespace() {
            return ahead.chars().next().filter(|next| next.is_whitespace()).map(|next| at + next.len_utf8());
        }
        let (offset, found) = ahead.char_indices().take(SKIP + 1).find(|(_, next)| *next == ch)?;
        Some(at + offset + found.len_utf8())
    }

    /// Whether no word is cut here. What was sent ends with a whole word.
    fn is_boundary(&self, at: usize) -> bool {
        let (Some(before), Some(after)) =
            (self.text[..at].chars().next_back(), self.text[at..self.sent].chars().next())
        else {
            return true;
        };
        before.is_whitespace() || after.is_whitespace() || is_unspaced(before) || is_unspaced(after)
    }
}

fn speakable(text: &str) -> bool {
    text.chars().any(char::is_alphanumeric)
}

/// Scripts written without spaces between words, where every character counts as one: Thai to Myanmar, Khmer, CJK.
fn is_unspaced(ch: char) -> bool {
    matches!(ch, '\u{0E00}'..='\u{0EFF}' | '\u{1000}'..='\u{109F}' | '\u{1780}'..='\u{17FF}' | '\u{2E80}'..='\u{9FFF}'
        | '\u{F900}'..='\u{FAFF}' | '\u{FF00}'..='\u{FFEF}' | '\u{20000}'..='\u{3FFFF}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn chars(text: &str) -> Vec<AlignedChar> {
        let duration = Duration::from_millis(50);
        text.chars().enumerate().map(|(n, ch)| AlignedChar { ch, start: duration * n as u32, duration }).collect()
    }

    fn sent(text: &str) -> SpokenText {
        let mut spoken = SpokenText::default();
        spoken.push(text);
        spoken.mark_sent();
        spoken
    }

    /// What would be sent again if everything that belongs to whole words had been handed on.
    fn rest_after(text: &str, aligned: &str) -> String {
        let mut spoken = sent(text);
        let placement = spoken.align(&chars(aligned)).unwrap();
        spoken.voice_to(placement.position);
        spoken.rewind();
        spoken.unsent().unwrap_or_default().to_owned()
    }

    #[test]
    fn a_word_is_never_split() {
        assert_eq!(rest_after("The quick brown fox", "The quick bro"), "brown fox");
        assert_eq!(rest_after("The quick brown fox", "The quick"), " brown fox");
        assert_eq!(rest_after("The quick brown fox", "The quick brown fox"), "");
        assert_eq!(rest_after("それは本当です", "それは"), "本当です");
    }

    #[test]
    fn the_vendor_s_own_white_space_and_signs_are_forgiven() {
        assert_eq!(rest_after("I am here", " I am"), " here");
        assert_eq!(rest_after("It’s a – test of it", "It's a test"), " of it");
        assert_eq!(rest_after("One\ntwo three", "One two"), " three");
        assert_eq!(rest_after("Fine 😀 thanks all", "Fine thanks"), " all");
    }

    #[test]
    fn an_alignment_of_other_words_is_none() {
        let mut spoken = sent("It is 10:30 now");
        assert_eq!(spoken.align(&chars("zzz yyy qqq")), None);
        assert!(spoken.is_owed());
    }

    #[test]
    fn without_alignment_the_length_of_the_audio_counts() {
        let mut spoken = sent("abcdefghij klmnopqrst uvwxyz");
        spoken.reckon(DEFAULT_PACE * 7);
        spoken.reckon(DEFAULT_PACE * 7);
        spoken.voice_all();
        assert!(!spoken.is_owed(), "what is left is not known, so it is not waited for");
        spoken.rewind();
        assert_eq!(spoken.unsent(), Some("klmnopqrst uvwxyz"));
    }

    #[test]
    fn a_reply_s_own_pace_is_learnt() {
        let mut spoken = sent("aaaa bbbb cccc dddd eeee ffff");
        spoken.align(&chars("aaaa bbbb ")).unwrap();
        spoken.reckon(Duration::from_millis(50 * 10));
        spoken.voice_all();
        spoken.rewind();
        assert_eq!(spoken.unsent(), Some("eeee ffff"));
    }

    #[test]
    fn an_alignment_after_reckoning_is_found_in_the_text() {
        let mut spoken = sent("one two three four five six");
        spoken.reckon(DEFAULT_PACE * 9);
        let placement = spoken.align(&chars("four five ")).unwrap();
        assert_eq!(&spoken.text[placement.position..], "six");
    }

    #[test]
    fn silence_is_not_sent() {
        let mut spoken = SpokenText::default();
        spoken.push(" – ");
        assert_eq!(spoken.unsent(), None);
        spoken.push("well. ");
        assert_eq!(spoken.unsent(), Some(" – well. "));
        assert_eq!(spoken.mark_sent(), 9);
        assert_eq!((spoken.unsent(), spoken.wasted()), (None, 9));
    }

    proptest! {
        #[test]
        fn positions_stay_in_order_and_in_the_text(
            text in "\\PC{0,40}", aligned in prop::collection::vec("\\PC{0,12}", 0..6), gap in 0u64..3_000,
        ) {
            let mut spoken = sent(&text);
            for piece in aligned {
                match spoken.align(&chars(&piece)) {
                    Some(placement) => spoken.voice_to(placement.position),
                    None => {
                        spoken.reckon(Duration::from_millis(gap));
                        spoken.voice_all();
                    }
                }
                prop_assert!(spoken.voiced <= spoken.arrived && spoken.arrived <= spoken.sent);
                let _ = (spoken.is_owed(), spoken.wasted());
            }
            spoken.rewind();
            prop_assert!(text.ends_with(spoken.unsent().unwrap_or_default()));
        }

        #[test]
        fn words_cut_anywhere_are_spoken_once(words in prop::collection::vec("[a-z]{1,8}", 1..8), cut in 0usize..64) {
            let text = words.join(" ");
            let heard: String = text.chars().take(cut).collect();
            let mut spoken = sent(&text);
            let placement = spoken.align(&chars(&heard)).unwrap();
            spoken.voice_to(placement.position);
            let voiced = text[..spoken.voiced].to_owned();
            spoken.rewind();
            prop_assert_eq!(voiced + &text[spoken.sent..], text);
        }
    }
}
