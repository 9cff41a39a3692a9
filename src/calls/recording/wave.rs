//! One recording of several pieces: which bytes of which object stand where in the file that a client gets. Pure.
//!
//! Of joining when the call is over or when somebody reads, it is the latter: a piece that comes late, from a node that was down, finds its
//! place, and nothing is written twice. Each piece lies where it begins on the call's clock, so that times of the transcript are times of the
//! file; what is between two pieces, nobody has heard.

use std::ops::Range;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use trunkline_control::recordings::store::Stored;

/// The header of what we write: RIFF, `fmt ` and the beginning of `data`.
pub(super) const HEADER: u64 = 44;
/// 16 bit of either side.
pub(super) const FRAME: u64 = 4;
/// Samples of either side in a second.
const RATE: u32 = 8000;

/// The header of so many samples of both sides. (Microsoft's RIFF, `WAVE_FORMAT_PCM`.)
pub(super) fn header(frames: u64) -> [u8; HEADER as usize] {
    let data = u32::try_from(frames * FRAME).unwrap_or(u32::MAX - HEADER as u32);
    let mut header = [0; HEADER as usize];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"RIFF");
    put(4, &(data + HEADER as u32 - 8).to_le_bytes());
    put(8, b"WAVEfmt ");
    put(16, &16_u32.to_le_bytes());
    put(20, &1_u16.to_le_bytes());
    put(22, &2_u16.to_le_bytes());
    put(24, &RATE.to_le_bytes());
    put(28, &(RATE * FRAME as u32).to_le_bytes());
    put(32, &(FRAME as u16).to_le_bytes());
    put(34, &16_u16.to_le_bytes());
    put(36, b"data");
    put(40, &data.to_le_bytes());
    header
}

/// How long a file of so many samples of both sides is.
pub(super) const fn bytes(frames: u64) -> u64 {
    HEADER + frames * FRAME
}

/// How long a file of this many bytes lasts, in milliseconds.
pub(super) fn duration_ms(bytes: u64) -> i32 {
    i32::try_from(bytes.saturating_sub(HEADER) / FRAME * 1000 / u64::from(RATE)).unwrap_or(i32::MAX)
}

/// A recording as a client gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Joined {
    pieces: Vec<Placed>,
    frames: u64,
    etag: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Placed {
    key: String,
    from: u64,
    frames: u64,
}

/// A stretch of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stretch {
    /// These bytes.
    Bytes(Bytes),
    /// So many bytes of silence.
    Silence(u64),
    /// A part of an object.
    Object { key: String, range: Range<u64> },
}

impl Joined {
    /// Of pieces in the order in which they were recorded. Clocks of two nodes may differ: none begins before the one before is over.
    pub(super) fn of(stored: &[Stored]) -> Self {
        let (mut pieces, mut end) = (Vec::new(), 0);
        let mut digest = Sha256::new();
        for piece in stored {
            let bytes = u64::try_from(piece.bytes).unwrap_or(0);
            let frames = bytes.saturating_sub(HEADER) / FRAME;
            let from = u64::try_from(piece.begins_ms).unwrap_or(0) * u64::from(RATE) / 1000;
            let placed = Placed { key: piece.location.clone(), from: from.max(end), frames };
            end = placed.from + frames;
            digest.update(piece.id.as_bytes());
            digest.update(end.to_le_bytes());
            pieces.push(placed);
        }
        let digest: String = digest.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        Self { pieces, frames: end, etag: format!("\"{digest}\"") }
    }

    /// How long it is.
    pub(super) const fn len(&self) -> u64 {
        bytes(self.frames)
    }

    /// What it is known by: the same for as long as the same bytes stand in it.
    pub(super) fn etag(&self) -> &str {
        &self.etag
    }

    /// What stands in a range of it, which must not reach beyond its end.
    pub(super) fn stretches(&self, range: Range<u64>) -> Vec<Stretch> {
        let mut stretches = Vec::new();
        let overlap = |from: u64, to: u64| {
            let (start, end) = (range.start.max(from), range.end.min(to));
            (start < end).then_some(start..end)
        };
        if let Some(part) = overlap(0, HEADER) {
            let header = header(self.frames);
            stretches.push(Stretch::Bytes(Bytes::copy_from_slice(&header[part.start as usize..part.end as usize])));
        }
        let mut at = HEADER;
        for piece in &self.pieces {
            let (from, to) = (bytes(piece.from), bytes(piece.from + piece.frames));
            if let Some(gap) = overlap(at, from) {
                stretches.push(Stretch::Silence(gap.end - gap.start));
            }
            if let Some(part) = overlap(from, to) {
                // Each object has a header of its own, as long as ours.
                let shift = from - HEADER;
                let range = part.start - shift..part.end - shift;
                stretches.push(Stretch::Object { key: piece.key.clone(), range });
            }
            at = to;
        }
        stretches
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn stored(key: &str, begins_ms: i32, frames: u64) -> Stored {
        let bytes = bytes(frames) as i64;
        Stored { id: Uuid::now_v7(), location: key.into(), bytes, duration_ms: (frames / 8) as i32, begins_ms }
    }

    #[test]
    fn a_header_is_what_others_read() {
        let mut file = header(3).to_vec();
        file.extend([1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0]);
        let mut wav = hound::WavReader::new(file.as_slice()).unwrap();
        assert_eq!((wav.spec().channels, wav.spec().sample_rate, wav.spec().bits_per_sample), (2, 8000, 16));
        assert_eq!(wav.samples::<i16>().map(Result::unwrap).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
        assert_eq!(duration_ms(bytes(8001)), 1000);
    }

    #[test]
    fn pieces_lie_where_they_begin_and_none_hides_another() {
        let joined = Joined::of(&[stored("a", 0, 80), stored("b", 30, 16), stored("c", 31, 8)]);
        let object = |key: &str, frames: u64| Stretch::Object { key: key.into(), range: HEADER..bytes(frames) };
        let (header, rest) = (header(264), joined.stretches(HEADER..joined.len()));
        assert_eq!(rest, [object("a", 80), Stretch::Silence(160 * FRAME), object("b", 16), object("c", 8)]);
        assert_eq!(joined.stretches(0..4), [Stretch::Bytes(Bytes::copy_from_slice(&header[..4]))]);
        assert_eq!(joined.stretches(HEADER + 2..HEADER + 6), [Stretch::Object { key: "a".into(), range: 46..50 }]);
        assert_ne!(joined.etag(), Joined::of(&[stored("a", 0, 80)]).etag());
        assert_eq!(Joined::of(&[]).len(), HEADER);
    }

    proptest! {
        /// Whatever the pieces are, any range is that part of the whole.
        #[test]
        fn a_range_is_a_part_of_the_whole(
            pieces in prop::collection::vec((0..40_i32, 0..60_u64), 0..5),
            cut in (0..2000_u64, 0..2000_u64),
        ) {
            let mut objects = BTreeMap::new();
            let mut all = Vec::new();
            for (n, (begins, frames)) in pieces.iter().enumerate() {
                let key = n.to_string();
                let mut object = header(*frames).to_vec();
                object.extend((0..frames * FRAME).map(|at| (at as u8).wrapping_add(n as u8 * 16) | 1));
                objects.insert(key.clone(), object);
                all.push(stored(&key, *begins, *frames));
            }
            let joined = Joined::of(&all);
            let read = |range: Range<u64>| -> Vec<u8> {
                joined.stretches(range).into_iter().flat_map(|stretch| match stretch {
                    Stretch::Bytes(bytes) => bytes.to_vec(),
                    Stretch::Silence(n) => vec![0; n as usize],
                    Stretch::Object { key, range } => objects[&key][range.start as usize..range.end as usize].to_vec(),
                }).collect()
            };
            let whole = read(0..joined.len());
            prop_assert_eq!(whole.len() as u64, joined.len());
            prop_assert_eq!(&whole[..44], header(joined.frames));
            let sounding = whole[44..].iter().filter(|byte| **byte != 0).count() as u64;
            prop_assert_eq!(sounding, pieces.iter().map(|(_, frames)| frames * FRAME).sum::<u64>());
            let (a, b) = (cut.0 % (joined.len() + 1), cut.1 % (joined.len() + 1));
            let (from, to) = (a.min(b), a.max(b));
            prop_assert_eq!(read(from..to), &whole[from as usize..to as usize]);
        }
    }
}
