//! Body of a fuzz target over [`super::wire`] and [`super::assemble`]: runs on stable, over a corpus and its mutations.

use super::{
    assemble::Assembler,
    recorded,
    time_map::Place,
    wire::{self, Family},
};
use crate::{
    audio::{SampleRate, Samples},
    stt::SttEvent,
    time::MediaTime,
};

/// Feeds a session. The first byte's lowest bit picks the protocol; each line that follows is a message of the vendor's, or, by its
/// first character, `+` audio of the caller's, `~` silence, `-` a gap, or `!` a reconnect.
///
/// # Panics
/// When an event's times run backwards, when text that was promised changes unannounced, or when audio is acknowledged that was not
/// sent.
pub fn fuzz_messages(data: &[u8]) {
    let Some((first, lines)) = data.split_first() else { return };
    let rate = SampleRate::HZ_8000;
    let family = if first & 1 == 0 { Family::Nova } else { Family::Flux };
    let mut assembler = Assembler::new(family, rate);
    let (mut end, mut at) = (Samples(0), MediaTime::ZERO);
    let mut check = Check::default();
    for line in lines.split(|byte| *byte == b'\n') {
        let amount = Samples(line.len() as u64 * 160);
        match line.first() {
            Some(b'+') => {
                assembler.sent_audio(Place { position: end, at }, amount);
                end += amount;
                at += amount.duration(rate);
            }
            Some(b'~') => assembler.sent_silence(amount),
            Some(b'-') => at += amount.duration(rate),
            Some(b'!') => {
                let position = assembler.acknowledged().max(end.saturating_sub(amount));
                end = assembler.restart(Place { position, at });
            }
            _ => {
                let Ok(message) =
                    std::str::from_utf8(line).map_err(drop).and_then(|line| wire::parse(line).map_err(drop))
                else {
                    continue;
                };
                let mut events = Vec::new();
                assembler.handle(message, &mut events);
                events.iter().for_each(|event| check.event(event));
            }
        }
        assert!(assembler.acknowledged() >= check.acknowledged, "what was acknowledged is no more");
        check.acknowledged = assembler.acknowledged();
        assert!(assembler.acknowledged() <= end, "audio was acknowledged that was not sent");
    }
}

/// Feeds what is brought to a callback.
///
/// # Panics
/// When utterances are out of order, end before they begin, or are more or less sure than can be.
pub fn fuzz_results(data: &[u8]) {
    let Ok(Some(utterances)) = recorded::read_result(data) else { return };
    assert!(utterances.is_sorted_by_key(|utterance| utterance.start), "out of order");
    for utterance in utterances {
        assert!(utterance.end >= utterance.start && !utterance.text.expose().trim().is_empty());
        assert!((0.0..=1.0).contains(&utterance.confidence), "{}", utterance.confidence);
    }
}

#[derive(Default)]
struct Check {
    done: MediaTime,
    eager: Option<String>,
    acknowledged: Samples,
}

impl Check {
    fn event(&mut self, event: &SttEvent) {
        match event {
            SttEvent::Interim { text, start, end } => {
                assert!(start <= end && !text.expose().is_empty());
                assert!(self.eager.is_none(), "the text changed under an eager end of turn");
            }
            SttEvent::Final { text, start, end } => {
                assert!(*start >= self.done && start <= end && !text.expose().is_empty());
                self.done = *end;
            }
            SttEvent::EagerEndOfTurn { text, start, end } => {
                assert!(*start >= self.done && start <= end);
                assert!(self.eager.replace(text.expose().clone()).is_none(), "two eager ends of one turn");
            }
            SttEvent::TurnResumed => assert!(self.eager.take().is_some(), "nothing to resume"),
            SttEvent::EndOfTurn { text, start, end } => {
                assert!(*start >= self.done && start <= end);
                self.done = *end;
                assert!(self.eager.take().is_none_or(|eager| eager == *text.expose()));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};

    use super::*;

    #[test]
    fn no_message_panics_and_times_never_run_backwards() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/wire/deepgram");
        let mut corpus: Vec<String> =
            fs::read_dir(folder).unwrap().map(|file| fs::read_to_string(file.unwrap().path()).unwrap()).collect();
        corpus.sort();
        for event in ["StartOfTurn", "Update", "EagerEndOfTurn", "TurnResumed", "EndOfTurn"] {
            for text in ["", "Hello", "Hello there."] {
                corpus.push(format!(
                    r#"{{"type":"TurnInfo","event":"{event}","audio_window_start":0.2,"audio_window_end":1.6,"transcript":"{text}",
                    "words":[{{"word":"Hello","start":0.1,"end":0.4}}]}}"#
                ).replace('\n', ""));
            }
        }
        let mut rng = StdRng::seed_from_u64(7);
        for round in 0..20_000_u32 {
            let mut data = vec![round as u8];
            for _ in 0..rng.random_range(1..30) {
                match rng.random_range(0..8) {
                    0 | 1 => data.extend(std::iter::repeat_n(b'+', rng.random_range(1..60))),
                    2 => data.extend(std::iter::repeat_n(b"~-!"[rng.random_range(0..3)], rng.random_range(1..60))),
                    _ => {
                        let mut line = corpus.choose(&mut rng).unwrap().trim_end().as_bytes().to_vec();
                        for _ in 0..rng.random_range(0..4) {
                            let index = rng.random_range(0..line.len());
                            let digit = line[index].is_ascii_digit();
                            line[index] = if digit { rng.random_range(b'0'..=b'9') } else { line[index] };
                            if rng.random_ratio(1, 6) {
                                line[index] = rng.random_range(32..127);
                            }
                        }
                        data.extend(line);
                    }
                }
                data.push(b'\n');
            }
            fuzz_messages(&data);
        }
    }
}
