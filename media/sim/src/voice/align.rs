//! A plausible time for each character of a text whose sound is known but not taken apart.

use std::ops::Range;

use super::CharTime;

/// Spreads the characters of `text` over the stretches of `samples` where something is said. Letters and digits take equal time, other
/// characters a quarter of it.
pub(super) fn spread(text: &str, samples: &[i16], rate: u32) -> Vec<CharTime> {
    let spoken = spoken_stretches(samples, rate);
    let total: usize = spoken.iter().map(Range::len).sum();
    let weight = |ch: char| if ch.is_alphanumeric() { 4 } else { 1 };
    let weights: usize = text.chars().map(weight).sum();
    let ms = |sample: usize| (sample as u64 * 1_000 / u64::from(rate.max(1))) as u32;
    let mut passed = 0;
    text.chars()
        .map(|ch| {
            let from = place(&spoken, total * passed / weights);
            passed += weight(ch);
            // A character ends where its last sound does, not where the next begins after a pause.
            let last = (total * passed / weights).saturating_sub(1);
            let to = place(&spoken, last) + usize::from(total > 0);
            let start_ms = ms(from);
            CharTime { ch, start_ms, duration_ms: ms(to.max(from)) - start_ms }
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
        assert_eq!(times, [('a', 100, 50), ('b', 150, 50), ('c', 400, 50), ('d', 450, 50)]);
    }

    #[test]
    fn silence_and_nothing_have_times_too() {
        assert_eq!(spread("ab", &[0; 800], 8_000).len(), 2);
        assert_eq!(spread("ab", &[], 8_000), ['a', 'b'].map(|ch| CharTime { ch, start_ms: 0, duration_ms: 0 }));
        assert_eq!(spread("", &[0; 800], 8_000), []);
    }
}
