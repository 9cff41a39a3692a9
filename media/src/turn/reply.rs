//! One agent speech, start to end: its text, its audio, what of it was heard, and what comes after it.

use std::{collections::VecDeque, time::Duration};

use super::{clauses::Clauses, history::Segment, playout::Playout};
use crate::{
    audio::{SampleRate, Samples},
    event::{EndReason, TurnSource},
    ids::{Epoch, GenerationId, ReplyId, TurnId},
    time::MediaTime,
    tts::AlignedChar,
};

/// The caller's turn that a reply answers, for latency.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answering {
    pub(super) turn: TurnId,
    /// The caller's last word.
    pub(super) speech_end: MediaTime,
    /// When the turn was decided to be over.
    pub(super) decided: MediaTime,
    /// When its transcript was in hand.
    pub(super) transcribed: Option<MediaTime>,
}

/// What follows a reply that has been heard to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    /// The end of the call.
    HangUp(EndReason),
    /// The transfer that waits for it.
    Transfer,
}

/// One request to the model.
#[derive(Debug, Clone, Copy)]
pub(super) struct Generation {
    pub(super) id: GenerationId,
    pub(super) asked: MediaTime,
    pub(super) first_token: Option<MediaTime>,
    /// Pieces of text received: what is wasted if it is thrown away.
    pub(super) deltas: u64,
}

#[derive(Debug, Clone)]
pub(super) struct Reply {
    pub(super) id: ReplyId,
    pub(super) turn: TurnId,
    pub(super) epoch: Epoch,
    pub(super) source: TurnSource,
    pub(super) interruptible: bool,
    pub(super) answering: Option<Answering>,
    /// What follows when it has been heard to its end.
    pub(super) then: Option<Then>,
    /// Whether it was begun on a guess that the caller's turn was over.
    pub(super) speculative: bool,
    /// Whether a generation of it failed.
    pub(super) failed: bool,

    // Text.
    pub(super) generation: Option<Generation>,
    /// Request → first token of its first generation.
    pub(super) ttft: Option<Duration>,
    pub(super) segments: Vec<Segment>,
    pub(super) clauses: Clauses,
    /// Whether the voice has been told that no more text follows.
    pub(super) text_finished: bool,
    /// How many characters went to the voice, and where each clause among them ends.
    spoken_chars: usize,
    clause_ends: VecDeque<usize>,

    // Audio.
    pub(super) first_text: Option<MediaTime>,
    pub(super) first_audio: Option<MediaTime>,
    pub(super) first_frame: Option<MediaTime>,
    /// Whether the voice has delivered everything.
    pub(super) audio_finished: bool,
    pub(super) audio: Samples,
    /// Position in the audio at which each character so far has been heard.
    alignment: Vec<(char, Samples)>,
    pub(super) playout: Playout,
    rate: SampleRate,
}

impl Reply {
    pub(super) fn new(id: ReplyId, turn: TurnId, source: TurnSource, rate: SampleRate) -> Self {
        let epoch = Epoch(id.0);
        Self {
            id,
            turn,
            epoch,
            source,
            interruptible: true,
            answering: None,
            then: None,
            speculative: false,
            failed: false,
            generation: None,
            ttft: None,
            segments: Vec::new(),
            clauses: Clauses::default(),
            text_finished: false,
            spoken_chars: 0,
            clause_ends: VecDeque::new(),
            first_text: None,
            first_audio: None,
            first_frame: None,
            audio_finished: false,
            audio: Samples(0),
            alignment: Vec::new(),
            playout: Playout::new(rate, epoch),
            rate,
        }
    }

    /// The text of the generation under way grows.
    pub(super) fn push_text(&mut self, text: &str) -> Vec<String> {
        self.segment().text.push_str(text);
        self.clauses.push(text)
    }

    pub(super) fn segment(&mut self) -> &mut Segment {
        if self.segments.is_empty() {
            self.segments.push(Segment::default());
        }
        self.segments.last_mut().expect("one was pushed if there was none")
    }

    /// A clause goes to the voice.
    pub(super) fn note_spoken(&mut self, now: MediaTime, clause: &str) {
        self.first_text.get_or_insert(now);
        self.spoken_chars += clause.chars().count();
        self.clause_ends.push_back(self.spoken_chars);
    }

    /// Audio came; gives the positions at which clauses end in it.
    pub(super) fn note_audio(&mut self, now: MediaTime, samples: Samples, chars: &[AlignedChar]) -> Vec<Samples> {
        self.first_audio.get_or_insert(now);
        let mut ends = Vec::new();
        for aligned in chars {
            let heard_at = self.audio + self.rate.samples_in(aligned.start + aligned.duration);
            self.alignment.push((aligned.ch, heard_at.min(self.audio + samples)));
            if self.clause_ends.front().is_some_and(|end| *end <= self.alignment.len()) {
                self.clause_ends.pop_front();
                ends.push(heard_at.min(self.audio + samples));
            }
        }
        self.audio += samples;
        ends
    }

    /// All that was generated.
    pub(super) fn generated(&self) -> String {
        self.segments.iter().map(|segment| segment.text.as_str()).collect::<String>().trim().to_owned()
    }

    /// How many characters of the generated text have been heard, to the end of the last whole word.
    pub(super) fn heard_chars(&self, heard: Samples) -> usize {
        let all: Vec<char> = self.segments.iter().flat_map(|segment| segment.text.chars()).collect();
        if heard.0 == 0 {
            return 0;
        }
        if self.alignment.is_empty() {
            // A voice that does not say where its characters are is taken to speak evenly.
            let spoken = all.len().min(self.spoken_chars);
            let part = spoken as u64 * heard.0.min(self.audio.0) / self.audio.0.max(1);
            return whole_words(&all, part as usize);
        }
        let count = self.alignment.iter().take_while(|(_, at)| *at <= heard).count();
        whole_words(&all, count.min(all.len()))
    }

    /// What was heard, as text.
    pub(super) fn heard_text(&self, heard: Samples) -> String {
        let chars = self.heard_chars(heard);
        let text: String = self.segments.iter().flat_map(|segment| segment.text.chars()).take(chars).collect();
        text.trim().to_owned()
    }

    /// Whether all of its audio has left for the carrier.
    pub(super) fn all_sent(&self) -> bool {
        self.audio_finished && self.playout.sent() >= self.audio
    }

    /// How much of its audio the caller has not heard yet; `None` as long as nobody knows.
    pub(super) fn left_to_hear(&self, now: MediaTime) -> Option<Duration> {
        let left = self.audio.saturating_sub(self.playout.heard(now));
        self.audio_finished.then(|| left.duration(self.rate))
    }

    pub(super) fn tools_running(&self) -> bool {
        self.segments.iter().flat_map(|segment| &segment.tools).any(|tool| tool.outcome.is_none() && !tool.detached)
    }
}

/// The longest prefix of at most `count` characters that does not end inside a word.
fn whole_words(text: &[char], count: usize) -> usize {
    if count >= text.len() || count == 0 {
        return count.min(text.len());
    }
    let in_word = |ch: char| ch.is_alphanumeric() || ch == '\'' || ch == '’' || ch == '-';
    if !(in_word(text[count]) && in_word(text[count - 1])) {
        return count;
    }
    text[..count].iter().rposition(|ch| !in_word(*ch)).map_or(0, |at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply_of(text: &str, ms_per_char: u64) -> Reply {
        let mut reply = Reply::new(ReplyId(1), TurnId(1), TurnSource::Llm, SampleRate::HZ_8000);
        for clause in reply.push_text(text) {
            reply.note_spoken(MediaTime::ZERO, &clause);
        }
        if let Some(clause) = reply.clauses.finish() {
            reply.note_spoken(MediaTime::ZERO, &clause);
        }
        let chars: Vec<_> = text
            .chars()
            .enumerate()
            .map(|(i, ch)| AlignedChar {
                ch,
                start: Duration::from_millis(i as u64 * ms_per_char),
                duration: Duration::from_millis(ms_per_char),
            })
            .collect();
        let samples = Samples(text.chars().count() as u64 * ms_per_char * 8);
        reply.note_audio(MediaTime::ZERO, samples, &chars);
        reply
    }

    #[test]
    fn a_word_counts_as_heard_when_all_of_it_was() {
        let reply = reply_of("One two three.", 100);
        let at = |ms: u64| reply.heard_text(Samples(ms * 8));
        assert_eq!(at(0), "");
        assert_eq!(at(299), "");
        assert_eq!(at(300), "One");
        assert_eq!(at(699), "One");
        assert_eq!(at(700), "One two");
        assert_eq!(at(1400), "One two three.");
        assert_eq!(at(9999), "One two three.");
    }

    #[test]
    fn clauses_end_where_their_last_character_does() {
        let mut reply = Reply::new(ReplyId(1), TurnId(1), TurnSource::Llm, SampleRate::HZ_8000);
        reply.push_text("Hi there. Bye.");
        reply.note_spoken(MediaTime::ZERO, "Hi there. ");
        reply.note_spoken(MediaTime::ZERO, "Bye.");
        let chars: Vec<_> = "Hi there. Bye."
            .chars()
            .enumerate()
            .map(|(i, ch)| AlignedChar {
                ch,
                start: Duration::from_millis(i as u64 * 10),
                duration: Duration::from_millis(10),
            })
            .collect();
        assert_eq!(reply.note_audio(MediaTime::ZERO, Samples(140 * 8), &chars), [Samples(800), Samples(1120)]);
    }

    #[test]
    fn without_alignment_speech_is_taken_to_be_even() {
        let mut reply = Reply::new(ReplyId(1), TurnId(1), TurnSource::Llm, SampleRate::HZ_8000);
        reply.push_text("One two three four");
        reply.note_spoken(MediaTime::ZERO, "One two three four");
        reply.note_audio(MediaTime::ZERO, Samples(18 * 800), &[]);
        assert_eq!(reply.heard_text(Samples(8 * 800)), "One two");
    }
}
