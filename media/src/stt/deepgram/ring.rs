//! The caller's audio that the vendor may still have to hear: what was not sent yet, and what was sent but not acknowledged.
//!
//! All audio passes through it, so that sending, waiting for a connection and replaying are the same thing at another cursor.

use std::{collections::VecDeque, time::Duration};

use bytes::{Buf, Bytes, BytesMut};

use super::time_map::Place;
use crate::{
    audio::{AudioFormat, Samples},
    stt::SttAudio,
};

/// Audio from the oldest sample that is kept to the newest.
#[derive(Debug)]
pub struct ReplayRing {
    format: AudioFormat,
    limit: Samples,
    held: VecDeque<Held>,
    end: Samples,
}

#[derive(Debug)]
struct Held {
    place: Place,
    data: Bytes,
}

/// Audio to send as one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Where it begins.
    pub place: Place,
    /// Its samples, at least one.
    pub data: Bytes,
    /// How many.
    pub length: Samples,
    /// Waiting for more makes it no longer: it has the length that was asked for, or the audio after it doesn't continue it.
    pub complete: bool,
}

impl ReplayRing {
    /// Keeps `limit` of audio.
    pub fn new(format: AudioFormat, limit: Duration) -> Self {
        Self { format, limit: format.rate.samples_in(limit), held: VecDeque::new(), end: Samples(0) }
    }

    /// Adds audio; returns where the oldest that is kept begins, which moves when the ring is full. Half a sample is cut off.
    pub fn push(&mut self, audio: SttAudio) -> Samples {
        let length = self.format.samples_in_bytes(audio.data.len());
        if length > Samples(0) {
            let data = audio.data.slice(..self.bytes(length));
            self.held.push_back(Held { place: Place { position: self.end, at: audio.at }, data });
            self.end += length;
        }
        self.forget(self.end.saturating_sub(self.limit));
        self.front().position
    }

    /// Nothing before `position` is needed any more.
    pub fn forget(&mut self, position: Samples) {
        while let Some(first) = self.held.front_mut() {
            let gone = position.saturating_sub(first.place.position);
            let length = self.format.samples_in_bytes(first.data.len());
            if gone == Samples(0) {
                break;
            }
            if gone < length {
                first.data.advance(gone.0 as usize * self.format.encoding.bytes_per_sample());
                first.place = Place { position, at: first.place.at + gone.duration(self.format.rate) };
                break;
            }
            self.held.pop_front();
        }
    }

    /// Where the audio begins that is kept; its end, with no time, if none is.
    pub fn front(&self) -> Place {
        self.held.front().map_or(Place { position: self.end, ..Place::default() }, |first| first.place)
    }

    /// The end of all audio that ever came.
    pub const fn end(&self) -> Samples {
        self.end
    }

    /// The audio from `position` on, `most` of it, as far as it is without a gap.
    pub fn piece(&self, position: Samples, most: Samples) -> Option<Piece> {
        let after = self.held.partition_point(|held| held.place.position <= position);
        let index = after.checked_sub(1)?;
        let first = self.held.get(index)?;
        let skipped = position.saturating_sub(first.place.position);
        let place = Place { position, at: first.place.at + skipped.duration(self.format.rate) };
        let mut data = first.data.slice(self.bytes(skipped).min(first.data.len())..);
        let wanted = self.bytes(most);
        let mut complete = data.len() >= wanted;
        let mut joined = BytesMut::new();
        for next in self.held.range(index + 1..) {
            if complete {
                break;
            }
            let length = self.format.samples_in_bytes(data.len().max(joined.len()));
            let expected = place.at + length.duration(self.format.rate);
            let apart = next.place.at.saturating_since(expected).max(expected.saturating_since(next.place.at));
            if apart > CONTINUES {
                complete = true;
                break;
            }
            if joined.is_empty() {
                joined.reserve(wanted + next.data.len());
                joined.extend_from_slice(&data);
            }
            joined.extend_from_slice(&next.data);
            complete = joined.len() >= wanted;
        }
        if !joined.is_empty() {
            data = joined.freeze();
        }
        data.truncate(wanted);
        let length = self.format.samples_in_bytes(data.len());
        (length > Samples(0)).then_some(Piece { place, data, length, complete })
    }

    const fn bytes(&self, samples: Samples) -> usize {
        samples.0 as usize * self.format.encoding.bytes_per_sample()
    }
}

/// Stamps this far apart from the audio before still continue it.
const CONTINUES: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::MediaTime;

    fn frame(n: u64) -> SttAudio {
        SttAudio { at: MediaTime::from_millis(n * 20), data: Bytes::from(vec![n as u8; 160]) }
    }

    fn ring(frames: u64) -> ReplayRing {
        let mut ring = ReplayRing::new(AudioFormat::MULAW_8K, Duration::from_secs(1));
        for n in 0..frames {
            ring.push(frame(n));
        }
        ring
    }

    #[test]
    fn the_oldest_is_dropped_when_it_is_full() {
        let mut ring = ring(50);
        assert_eq!(ring.front().position, Samples(0));
        assert_eq!(ring.push(frame(50)), Samples(160));
        assert_eq!(ring.front(), Place { position: Samples(160), at: MediaTime::from_millis(20) });
        assert_eq!(ring.end(), Samples(51 * 160));
    }

    #[test]
    fn what_is_acknowledged_is_forgotten_to_the_sample() {
        let mut ring = ring(10);
        ring.forget(Samples(400));
        assert_eq!(ring.front(), Place { position: Samples(400), at: MediaTime::from_millis(50) });
        let piece = ring.piece(Samples(400), Samples(160)).unwrap();
        assert_eq!((piece.data[0], piece.data[79], piece.data[80]), (2, 2, 3));
        ring.forget(Samples(9_999));
        assert_eq!(ring.piece(Samples(1600), Samples(160)), None);
        assert_eq!(ring.front().position, ring.end());
    }

    #[test]
    fn pieces_join_frames_and_say_whether_more_would_make_them_longer() {
        let ring = ring(6);
        let piece = ring.piece(Samples(0), Samples(640)).unwrap();
        assert_eq!((piece.length, piece.complete), (Samples(640), true));
        let rest = ring.piece(Samples(640), Samples(640)).unwrap();
        assert_eq!((rest.length, rest.complete), (Samples(320), false));
        assert_eq!(rest.place, Place { position: Samples(640), at: MediaTime::from_millis(80) });
        assert_eq!(rest.data.as_ref(), [[4_u8; 160], [5; 160]].concat());
        assert_eq!(ring.piece(Samples(960), Samples(640)), None);
    }

    #[test]
    fn a_gap_ends_a_piece() {
        let mut ring = ring(2);
        ring.push(frame(90));
        let piece = ring.piece(Samples(0), Samples(640)).unwrap();
        assert_eq!((piece.length, piece.complete), (Samples(320), true));
        assert_eq!(ring.piece(Samples(320), Samples(640)).unwrap().place.at, MediaTime::from_millis(1_800));
    }

    #[test]
    fn empty_and_odd_audio_does_no_harm() {
        let format = AudioFormat { encoding: crate::audio::Encoding::Linear16, ..AudioFormat::MULAW_8K };
        let mut ring = ReplayRing::new(format, Duration::from_secs(1));
        for length in [0, 1, 3] {
            ring.push(SttAudio { at: MediaTime::ZERO, data: Bytes::from(vec![1; length]) });
        }
        assert_eq!(ring.end(), Samples(1));
        assert_eq!(ring.piece(Samples(0), Samples(160)).unwrap().data.len(), 2);
    }
}
