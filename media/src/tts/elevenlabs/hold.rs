//! From a vendor's chunks to pieces that a call may play: whole samples, ending between words.
//!
//! A chunk may end in the middle of a word, or even of a sample. The rest of a cut word is *held* until its end has come, so that a
//! lost socket loses the whole word, which can be spoken again from its beginning, and the caller never hears half of one twice.
//! Chunks come faster than they are played, so holding costs the listener nothing. Only the first word of a reply is not held, for
//! its first sound is what the caller waits for; should the socket be lost within it, the word begins again.

use std::time::Duration;

use bytes::Bytes;

use super::{text::SpokenText, wire::ServerMessage};
use crate::{
    audio::{AudioFormat, Samples},
    tts::AlignedChar,
};

/// No more than this is held: longer than any word, but not than a language whose words we don't see.
const HOLD: Duration = Duration::from_millis(800);

/// Audio that may be played.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) audio: Bytes,
    pub(super) alignment: Vec<AlignedChar>,
}

/// The unfinished end of one context's audio.
pub(super) struct WordHold {
    format: AudioFormat,
    /// The first byte of a sample whose second one is to come.
    odd: Option<u8>,
    held: Vec<Piece>,
    /// For how long the characters aligned so far sound on in the chunks that follow.
    overhang: Duration,
}

impl WordHold {
    pub(super) const fn new(format: AudioFormat) -> Self {
        Self { format, odd: None, held: Vec::new(), overhang: Duration::ZERO }
    }

    /// Takes a message's audio; returns whether there was any. What may be played goes to `out`, and `text` learns what it says.
    pub(super) fn accept(&mut self, message: &ServerMessage<'_>, text: &mut SpokenText, out: &mut Vec<Piece>) -> bool {
        let mut bytes: Vec<u8> = self.odd.take().into_iter().collect();
        let any = message.decode_audio(&mut bytes);
        if !bytes.len().is_multiple_of(self.format.encoding.bytes_per_sample()) {
            self.odd = bytes.pop();
        }
        if !any {
            return false;
        }
        let audio = Bytes::from(bytes);
        let duration = self.duration(&audio);
        let chunk = Piece { audio, alignment: message.alignment.clone() };
        let begun = text.is_word_begun();
        let aligned = if chunk.alignment.is_empty() { None } else { text.align(&chunk.alignment) };
        let Some(placement) = aligned else {
            let unknown = duration.saturating_sub(self.overhang);
            self.overhang = self.overhang.saturating_sub(duration);
            let goes_on = !self.held.is_empty();
            self.held.push(Piece { alignment: Vec::new(), ..chunk });
            if unknown > duration / 2 {
                text.reckon(unknown);
                self.release(text, out);
            } else if self.held_for() > HOLD {
                self.release(text, out);
            } else if !goes_on {
                self.emit(out);
            }
            return true;
        };
        let end = chunk.alignment.iter().map(|one| one.start + one.duration).max().unwrap_or_default();
        self.overhang = end.saturating_sub(duration);
        let all = placement.whole == chunk.alignment.len();
        let none = placement.whole == 0;
        if all || none {
            self.held.push(chunk);
        } else {
            let (whole, rest) = self.split(chunk, placement.whole);
            self.held.push(whole);
            self.emit(out);
            text.voice_to(placement.position);
            self.held.push(rest);
        }
        if all || (none && begun) || self.held_for() > HOLD {
            self.release(text, out);
        }
        true
    }

    /// Lets go of everything held: no more comes, or none that it could be joined to.
    pub(super) fn release(&mut self, text: &mut SpokenText, out: &mut Vec<Piece>) {
        self.emit(out);
        text.voice_all();
    }

    /// Characters whose sound is all in the next piece go with that.
    fn emit(&mut self, out: &mut Vec<Piece>) {
        let mut early = Vec::new();
        for mut piece in self.held.drain(..) {
            if piece.audio.is_empty() {
                early.append(&mut piece.alignment);
            } else {
                piece.alignment.splice(0..0, early.drain(..));
                out.push(piece);
            }
        }
    }

    /// The context is gone, and what was held will be spoken again.
    pub(super) fn discard(&mut self) {
        self.odd = None;
        self.held.clear();
        self.overhang = Duration::ZERO;
    }

    /// Cuts a piece where its character `at` begins.
    fn split(&self, mut piece: Piece, at: usize) -> (Piece, Piece) {
        let when = piece.alignment[at].start;
        let samples = self.format.rate.samples_in(when).0 as usize;
        let bytes = (samples * self.format.encoding.bytes_per_sample()).min(piece.audio.len());
        let mut alignment = piece.alignment.split_off(at);
        for one in &mut alignment {
            one.start = one.start.saturating_sub(when);
        }
        let audio = piece.audio.split_off(bytes);
        (piece, Piece { audio, alignment })
    }

    fn held_for(&self) -> Duration {
        self.held.iter().map(|piece| self.duration(&piece.audio)).sum()
    }

    fn duration(&self, audio: &Bytes) -> Duration {
        let samples: Samples = self.format.samples_in_bytes(audio.len());
        samples.duration(self.format.rate)
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use serde_json::json;

    use super::*;
    use crate::audio::{Encoding, SampleRate};

    /// A chunk in which every character lasts 10 ms: ten bytes of its own at 1 byte a millisecond.
    fn chunk(said: &str, bytes: &[u8]) -> String {
        let chars: Vec<String> = said.chars().map(String::from).collect();
        let starts: Vec<usize> = (0..chars.len()).map(|n| n * 10).collect();
        let durations = vec![10; chars.len()];
        json!({
            "audio": STANDARD.encode(bytes),
            "alignment": {"chars": chars, "charStartTimesMs": starts, "charsDurationsMs": durations},
        })
        .to_string()
    }

    fn mulaw(said: &str) -> Vec<u8> {
        said.bytes().flat_map(|byte| [byte; 80]).collect()
    }

    fn heard(pieces: &[Piece]) -> String {
        pieces.iter().flat_map(|piece| piece.audio.iter().step_by(80)).map(|byte| char::from(*byte)).collect()
    }

    fn sent(text: &str) -> SpokenText {
        let mut spoken = SpokenText::default();
        spoken.push(text);
        spoken.mark_sent();
        spoken
    }

    #[test]
    fn a_cut_word_waits_for_its_end() {
        let (mut hold, mut text, mut out) = (WordHold::new(AudioFormat::MULAW_8K), sent("The quick fox. "), Vec::new());
        for (said, so_far) in [
            ("Th", "Th"),
            ("e", "The"),
            (" qu", "The "),
            ("ic", "The "),
            ("k fo", "The quick "),
            ("x. ", "The quick fox. "),
        ] {
            let json = chunk(said, &mulaw(said));
            assert!(hold.accept(&ServerMessage::parse(&json).unwrap(), &mut text, &mut out));
            assert_eq!(heard(&out), so_far, "after {said:?}");
        }
        assert!(!text.is_owed());
        let spelled: String = out.iter().flat_map(|piece| &piece.alignment).map(|one| one.ch).collect();
        assert_eq!(spelled, "The quick fox. ");
        for piece in &out {
            assert!(
                piece.alignment.iter().enumerate().all(|(n, one)| one.start == Duration::from_millis(10) * n as u32)
            );
        }
    }

    #[test]
    fn what_is_held_is_spoken_again() {
        let (mut hold, mut text, mut out) = (WordHold::new(AudioFormat::MULAW_8K), sent("The quick fox. "), Vec::new());
        let json = chunk("The qu", &mulaw("The qu"));
        hold.accept(&ServerMessage::parse(&json).unwrap(), &mut text, &mut out);
        hold.discard();
        text.rewind();
        assert_eq!((heard(&out).as_str(), text.unsent()), ("The ", Some("quick fox. ")));
    }

    #[test]
    fn one_alignment_may_speak_for_two_chunks() {
        let (mut hold, mut text, mut out) = (WordHold::new(AudioFormat::MULAW_8K), sent("The quick fox. "), Vec::new());
        let first = chunk("The quick f", &mulaw("The qu"));
        let second = json!({"audio": STANDARD.encode(mulaw("ick f"))}).to_string();
        let third = chunk("ox. ", &mulaw("ox. "));
        for (json, so_far) in [(first, "The qu"), (second, "The qu"), (third, "The quick fox. ")] {
            hold.accept(&ServerMessage::parse(&json).unwrap(), &mut text, &mut out);
            assert_eq!(heard(&out), so_far);
        }
        let spelled: String = out.iter().flat_map(|piece| &piece.alignment).map(|one| one.ch).collect();
        assert_eq!(spelled, "The quick fox. ");
        assert!(!text.is_owed());
    }

    #[test]
    fn an_odd_byte_is_kept_for_its_sample() {
        let format = AudioFormat { encoding: Encoding::Linear16, rate: SampleRate::HZ_8000 };
        let (mut hold, mut text, mut out) = (WordHold::new(format), sent("Hi"), Vec::new());
        for bytes in [&[1u8, 2, 3][..], &[4], &[5, 6, 7, 8, 9]] {
            let json = json!({"audio": STANDARD.encode(bytes)}).to_string();
            hold.accept(&ServerMessage::parse(&json).unwrap(), &mut text, &mut out);
        }
        let audio: Vec<u8> = out.iter().flat_map(|piece| piece.audio.iter().copied()).collect();
        assert_eq!(audio, [1, 2, 3, 4, 5, 6, 7, 8]);
        assert!(out.iter().all(|piece| piece.audio.len() % 2 == 0));
    }

    #[test]
    fn holding_ends_before_it_is_noticed() {
        let word = "I ".to_owned() + &"a".repeat(100);
        let (mut hold, mut text, mut out) = (WordHold::new(AudioFormat::MULAW_8K), sent(&word), Vec::new());
        let said = &word[..90];
        let json = chunk(said, &mulaw(said));
        hold.accept(&ServerMessage::parse(&json).unwrap(), &mut text, &mut out);
        assert_eq!(heard(&out), said);
    }
}
