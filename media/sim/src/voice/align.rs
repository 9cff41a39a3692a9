//! A plausible time for each character of a text whose sound is known but not taken apart.

use std::ops::Range;

use super::CharTime;

/// A pause between two phrases is at least so long, in ms; the silences inside words are shorter.
const PAUSE_MS: usize = 100;

/// Spreads the characters of `text` over the stretches of `samples` where something is said. Letters and digits take equal time, other
/// characters a quarter of it. Where there are as many pauses as the punctuation asks for, each phrase is spread over its own stretch.
/// As the vendor's, each character lasts until the next one begins, and silence at either end belongs to the first and the last.
pub(super) fn spread(text: &str, samples: &[i16], rate: u32) -> Vec<CharTime> {
    let mut chars = begins(text, samples, rate);
    let mut end = (samples.len() as u64 * 1_000 / u64::from(rate.max(1))) as u32;
    for time in chars.iter_mut().rev() {
        time.duration_ms = end.saturating_sub(time.start_ms);
        end = time.start_ms;
    }
    if let Some(first) = chars.first_mut() {
        first.duration_ms += first.start_ms;
        first.start_ms = 0;
    }
    chars
}

/// The characters where they begin, without their lengths.
fn begins(text: &str, samples: &[i16], rate: u32) -> Vec<CharTime> {
    let spoken = spoken_stretches(samples, rate);
    let phrases = phrases(text);
    match pauses(&spoken, phrases.len() - 1, rate) {
        None => spread_over(text, &spoken, rate),
        Some(pauses) => {
            let (mut rest, mut from) = (spoken.as_slice(), 0);
            let mut chars = Vec::new();
            for (phrase, to) in phrases.into_iter().zip(pauses.into_iter().chain([spoken.len()])) {
                let (stretches, others) = rest.split_at(to - from);
                chars.extend(spread_over(phrase, stretches, rate));
                (rest, from) = (others, to);
            }
            chars
        }
    }
}

/// The text, cut after punctuation that white space follows; at least one piece.
fn phrases(text: &str) -> Vec<&str> {
    let mut phrases = Vec::new();
    let mut rest = text;
    loop {
        let mut marks = rest.match_indices([',', '.', ';', ':', '!', '?']).map(|(at, mark)| at + mark.len());
        let end = marks.find_map(|end| {
            let after = &rest[end..];
            let next = after.trim_start();
            (after.len() > next.len() && next.contains(char::is_alphanumeric)).then(|| rest.len() - next.len())
        });
        let Some(end) = end else { break };
        phrases.push(&rest[..end]);
        rest = &rest[end..];
    }
    phrases.push(rest);
    phrases
}

/// The `count` longest pauses, each as the index of the stretch that follows it; `None` if there are not so many.
fn pauses(spoken: &[Range<usize>], count: usize, rate: u32) -> Option<Vec<usize>> {
    let mut gaps: Vec<(usize, usize)> =
        spoken.windows(2).enumerate().map(|(index, pair)| (pair[1].start - pair[0].end, index + 1)).collect();
    gaps.retain(|(length, _)| length * 1_000 >= PAUSE_MS * rate as usize);
    gaps.sort_by_key(|(length, index)| (std::cmp::Reverse(*length), *index));
    let mut longest: Vec<usize> = gaps.get(..count)?.iter().map(|(_, index)| *index).collect();
    longest.sort_unstable();
    Some(longest)
}

fn spread_over(text: &str, spoken: &[Range<usize>], rate: u32) -> Vec<CharTime> {
    let total: usize = spoken.iter().map(Range::len).sum();
    let weight = |ch: char| if ch.is_alphanumeric() { 4 } else { 1 };
    let weights: usize = text.chars().map(weight).sum();
    let ms = |sample: usize| (sample as u64 * 1_000 / u64::from(rate.max(1))) as u32;
    let mut passed = 0;
    text.chars()
        .map(|ch| {
            let start_ms = ms(place(spoken, total * passed / weights));
            passed += weight(ch);
            CharTime { ch, start_ms, duration_ms: 0 }
        })
        .collect()
}

/// The sample of the recording that is the `nth` of the stretches' samples.
fn place(stretches: &[Range<usize>], mut nth: usize) -> usize {
    for stretch in stretches {
        if nth < stretch.len() {
            return stretch.start + nth;
        }
        nth -= stretch.len();
    }
    stretches.last().map_or(0, |stretch| stretch.end)
}

/// Where it is louder than a fiftieth of the loudest, by 10 ms; the whole recording if it is silent throughout.
fn spoken_stretches(samples: &[i16], rate: u32) -> Vec<Range<usize>> {
    let block = (rate as usize / 100).max(1);
    let level =
        |block: &[i16]| block.iter().map(|sample| u32::from(sample.unsigned_abs())).sum::<u32>() / block.len() as u32;
    let levels: Vec<u32> = samples.chunks(block).map(level).collect();
    let loudest = levels.iter().copied().max().unwrap_or(0);
    let mut stretches: Vec<Range<usize>> = Vec::new();
    for (index, level) in levels.into_iter().enumerate() {
        let (start, end) = (index * block, ((index + 1) * block).min(samples.len()));
        if level * 50 < loudest.max(1) {
            continue;
        }
        match stretches.last_mut() {
            Some(last) if last.end == start => last.end = end,
            _ => stretches.push(start..end),
        }
    }
    if stretches.is_empty() {
        stretches.push(0..samples.len());
    }
    stretches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_stand_where_there_is_sound() {
        let mut samples = vec![0; 800];
        samples.extend(vec![1_000; 800]);
        samples.extend(vec![0; 1_600]);
        samples.extend(vec![1_000; 800]);
        let times: Vec<_> = spread("abcd", &samples, 8_000)
            .into_iter()
            .map(|time| (time.ch, time.start_ms, time.duration_ms))
            .collect();
        assert_eq!(times, [('a', 0, 150), ('b', 150, 250), ('c', 400, 50), ('d', 450, 50)]);
    }

    #[test]
    fn each_phrase_has_its_own_stretch() {
        let mut samples = Vec::new();
        for (sound, silence) in [(800, 1_600), (4_000, 400), (800, 1_600), (1_600, 0)] {
            samples.extend(vec![1_000; sound]);
            samples.extend(vec![0; silence]);
        }
        // The second phrase has a short stop in it, which is no pause.
        let begins = |text: &str| -> Vec<u32> {
            let chars = spread(text, &samples, 8_000).into_iter();
            chars.filter(|time| time.ch.is_alphanumeric()).map(|time| time.start_ms).collect()
        };
        assert_eq!(phrases("ab, cd. 3.5 e!"), ["ab, ", "cd. ", "3.5 e!"]);
        assert_eq!(begins("a, b? c"), [0, 300, 1_150]);
        // Without punctuation, and with more of it than there are pauses, all is even.
        for text in ["abc", "a, b, c, d"] {
            let begins = begins(text);
            assert!(begins[1] > 300 && begins.is_sorted(), "{text}: {begins:?}");
        }
    }

    #[test]
    fn silence_and_nothing_have_times_too() {
        assert_eq!(spread("ab", &[0; 800], 8_000).len(), 2);
        assert_eq!(spread("ab", &[], 8_000), ['a', 'b'].map(|ch| CharTime { ch, start_ms: 0, duration_ms: 0 }));
        assert_eq!(spread("", &[0; 800], 8_000), []);
    }
}
