//! Speech cut into the fragments that are sent, each with the alignment that goes with it.

use std::{ops::Range, time::Duration};

use super::{format::Format, wire::Alignment};
use crate::voice::{CharTime, Speech};

/// A fragment of speech.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fragment {
    pub(super) bytes: Vec<u8>,
    /// How long it plays.
    pub(super) length: Duration,
    pub(super) alignment: Option<Alignment>,
}

/// Which fragments have an alignment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coverage {
    /// Each has its own.
    Each,
    /// Every second one, for itself and the next.
    EverySecond,
    /// None.
    Nothing,
}

/// Cuts `speech` into fragments of `length`. With `odd`, cuts come one byte late.
pub(super) fn fragments(
    speech: &Speech,
    format: Format,
    length: Duration,
    coverage: Coverage,
    odd: bool,
) -> Vec<Fragment> {
    let size = format.samples_in(length);
    let bytes = format.encode(&speech.samples);
    let bytes_per_sample = bytes.len() / speech.samples.len().max(1);
    let count = speech.samples.len().div_ceil(size);
    let ms = |fragment: usize| ((fragment * size) as u64 * 1_000 / u64::from(format.rate)) as u32;
    let cut =
        |fragment: usize| (fragment * size * bytes_per_sample + usize::from(odd && fragment > 0)).min(bytes.len());
    let mut cuts = Vec::with_capacity(count);
    for index in 0..count {
        let end = if index + 1 == count { u32::MAX } else { ms(index + 1) };
        let alignment = match coverage {
            Coverage::Each => aligned(&speech.chars, ms(index)..end),
            Coverage::EverySecond if index % 2 == 0 => {
                aligned(&speech.chars, ms(index)..if index + 2 >= count { u32::MAX } else { ms(index + 2) })
            }
            Coverage::EverySecond | Coverage::Nothing => None,
        };
        let samples = speech.samples.len().min((index + 1) * size) - index * size;
        let part = cut(index)..if index + 1 == count { bytes.len() } else { cut(index + 1) };
        cuts.push(Fragment { bytes: bytes[part].to_vec(), length: format.length_of(samples), alignment });
    }
    cuts
}

/// The characters that begin within `span`, with times from its beginning.
fn aligned(chars: &[CharTime], span: Range<u32>) -> Option<Alignment> {
    let of_span = chars.iter().filter(|time| span.contains(&time.start_ms));
    let relative: Vec<CharTime> =
        of_span.map(|time| CharTime { start_ms: time.start_ms - span.start, ..*time }).collect();
    (!relative.is_empty()).then_some(Alignment(relative))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::voice::CodedVoice;

    fn cut(coverage: Coverage, odd: bool) -> Vec<Fragment> {
        let format = Format::parse("pcm_16000").unwrap();
        fragments(&CodedVoice::default().encode("abcde", 16_000), format, Duration::from_millis(100), coverage, odd)
    }

    fn texts(fragments: &[Fragment]) -> Vec<Option<Vec<(char, u32)>>> {
        let pairs = |alignment: &Alignment| alignment.0.iter().map(|time| (time.ch, time.start_ms)).collect();
        fragments.iter().map(|fragment| fragment.alignment.as_ref().map(pairs)).collect()
    }

    #[test]
    fn fragments_join_to_the_speech() {
        for odd in [false, true] {
            let whole: Vec<u8> = cut(Coverage::Each, odd).into_iter().flat_map(|fragment| fragment.bytes).collect();
            assert_eq!(
                whole,
                Format::parse("pcm_16000").unwrap().encode(&CodedVoice::default().encode("abcde", 16_000).samples)
            );
            assert_eq!(cut(Coverage::Each, odd)[0].bytes.len(), 3_200 + usize::from(odd));
        }
        let lengths: Vec<u128> =
            cut(Coverage::Each, false).iter().map(|fragment| fragment.length.as_millis()).collect();
        assert_eq!(lengths, [100, 100, 50]);
    }

    #[test]
    fn alignment_counts_from_its_fragment() {
        let own = [Some(vec![('a', 0), ('b', 50)]), Some(vec![('c', 0), ('d', 50)]), Some(vec![('e', 0)])];
        assert_eq!(texts(&cut(Coverage::Each, false)), own);
        let second = [Some(vec![('a', 0), ('b', 50), ('c', 100), ('d', 150)]), None, Some(vec![('e', 0)])];
        assert_eq!(texts(&cut(Coverage::EverySecond, false)), second);
        assert_eq!(texts(&cut(Coverage::Nothing, false)), [None, None, None]);
    }
}
