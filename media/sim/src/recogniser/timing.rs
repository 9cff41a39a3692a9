//! When each word of a recording is spoken, worked out from its transcript and its envelope: words are laid over the voiced
//! stretches by their number of letters, and no word crosses a pause.

use super::features::{FRAMES_PER_S, Frame};

/// A gap in the voice that is shorter than this many frames is part of a word (the closure of a `t`, say).
const SHORTEST_PAUSE: usize = 20;
/// A stretch of voice shorter than this is a click or a breath.
const SHORTEST_VOICE: usize = 6;
/// Voice is at most this far below the loudest frame, in decibels.
const DYNAMIC_RANGE: f32 = 27.0;
/// Voice is at least this far above the quietest tenth of a recording, in decibels.
const ABOVE_NOISE: f32 = 12.0;

/// Where one word lies, in seconds from the beginning of its recording.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Span {
    pub(super) start: f64,
    pub(super) end: f64,
}

/// One span for each of `words`, in order. Words share the whole recording if it has no voice at all.
pub(super) fn spans(words: &[&str], frames: &[Frame]) -> Vec<Span> {
    let mut stretches = voiced(frames);
    if stretches.is_empty() {
        stretches.push(0..frames.len().max(1));
    }
    while stretches.len() > words.len().max(1) {
        join_across_shortest_pause(&mut stretches);
    }
    let mut spans = Vec::with_capacity(words.len());
    let shares = apportion(words, &stretches);
    let mut rest = words;
    for (stretch, share) in stretches.iter().zip(shares) {
        let (here, later) = rest.split_at(share);
        rest = later;
        lay(here, stretch, &mut spans);
    }
    spans
}

/// The voiced stretches of a recording, as ranges of frames.
pub(super) fn voiced(frames: &[Frame]) -> Vec<std::ops::Range<usize>> {
    let mut levels: Vec<f32> = frames.iter().map(|frame| frame.level).collect();
    levels.sort_by(f32::total_cmp);
    let (Some(loudest), Some(quiet)) = (levels.last(), levels.get(levels.len() / 10)) else { return Vec::new() };
    let threshold = (loudest - DYNAMIC_RANGE).max(quiet + ABOVE_NOISE);
    let mut stretches: Vec<std::ops::Range<usize>> = Vec::new();
    for (at, frame) in frames.iter().enumerate() {
        if frame.level < threshold {
            continue;
        }
        match stretches.last_mut() {
            Some(last) if at - last.end < SHORTEST_PAUSE => last.end = at + 1,
            _ => stretches.push(at..at + 1),
        }
    }
    stretches.retain(|stretch| stretch.len() >= SHORTEST_VOICE);
    stretches
}

fn join_across_shortest_pause(stretches: &mut Vec<std::ops::Range<usize>>) {
    let shortest = (1..stretches.len()).min_by_key(|&at| stretches[at].start - stretches[at - 1].end);
    if let Some(at) = shortest {
        stretches[at - 1].end = stretches[at].end;
        stretches.remove(at);
    }
}

/// How many words each stretch holds, such that the pace (time for a letter) varies least. A breath or a noise may hold none.
fn apportion(words: &[&str], stretches: &[std::ops::Range<usize>]) -> Vec<usize> {
    let mut letters = vec![0usize];
    for word in words {
        letters.push(letters[letters.len() - 1] + weight(word));
    }
    let total: usize = stretches.iter().map(ExactSizeIterator::len).sum();
    let pace = total as f64 / letters[words.len()].max(1) as f64;
    // best[n]: the least misfit of the first `n` words over the stretches so far, and how many words each of those holds.
    let mut best: Vec<Option<(f64, Vec<usize>)>> = vec![None; words.len() + 1];
    best[0] = Some((0.0, Vec::new()));
    for stretch in stretches {
        let mut next = vec![None; words.len() + 1];
        for (from, found) in best.iter().enumerate() {
            let Some((misfit, shares)) = found else { continue };
            for to in from..=words.len() {
                let wanted = (letters[to] - letters[from]) as f64 * pace;
                let actual = stretch.len() as f64;
                let misfit = misfit + (wanted - actual).powi(2) / actual;
                if next[to].as_ref().is_none_or(|(other, _)| misfit < *other) {
                    let mut shares: Vec<usize> = shares.clone();
                    shares.push(to - from);
                    next[to] = Some((misfit, shares));
                }
            }
        }
        best = next;
    }
    best.pop().flatten().map_or_else(Vec::new, |(_, shares)| shares)
}

fn lay(words: &[&str], stretch: &std::ops::Range<usize>, spans: &mut Vec<Span>) {
    let letters: usize = words.iter().map(|word| weight(word)).sum();
    let (mut at, length) = (stretch.start as f64 / FRAMES_PER_S, stretch.len() as f64 / FRAMES_PER_S);
    for word in words {
        let end = at + length * weight(word) as f64 / letters.max(1) as f64;
        spans.push(Span { start: at, end });
        at = end;
    }
}

/// Letters, and one more: short words take longer than their letters say.
fn weight(word: &str) -> usize {
    word.chars().count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames_of(pattern: &[(usize, f32)]) -> Vec<Frame> {
        pattern.iter().flat_map(|&(count, level)| vec![Frame { bands: [level; 3], level }; count]).collect()
    }

    fn assert_near(actual: [f64; 2], wanted: [f64; 2]) {
        assert!(actual.iter().zip(wanted).all(|(actual, wanted)| (actual - wanted).abs() < 1e-9), "{actual:?}");
    }

    #[test]
    fn a_pause_separates_words_and_a_closure_does_not() {
        let frames = frames_of(&[(10, 20.0), (40, 60.0), (8, 20.0), (30, 60.0), (50, 20.0), (40, 60.0), (10, 20.0)]);
        assert_eq!(voiced(&frames), [10..88, 138..178]);
        let spans = spans(&["seven", "four", "ten"], &frames);
        assert_near([spans[0].start, spans[1].end], [0.1, 0.88]);
        assert_near([spans[2].start, spans[2].end], [1.38, 1.78]);
    }

    #[test]
    fn more_stretches_than_words_are_joined() {
        let frames = frames_of(&[(20, 60.0), (30, 20.0), (20, 60.0), (90, 20.0), (40, 60.0)]);
        let spans = spans(&["one", "two"], &frames);
        assert_near([spans[0].start, spans[0].end], [0.0, 0.7]);
        assert_near([spans[1].start, spans[1].end], [1.6, 2.0]);
    }

    #[test]
    fn silence_still_gives_every_word_a_place() {
        assert_eq!(spans(&["a", "b"], &frames_of(&[(100, 0.0)])).len(), 2);
        assert!(spans(&[], &[]).is_empty());
    }
}
