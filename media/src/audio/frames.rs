//! Cutting a stream of bytes into whole frames.
//!
//! Vendors send audio in chunks of any size; a carrier plays what it gets as it gets it, and a frame that is not whole is heard as
//! a stutter. So only whole frames leave, and the remainder waits for the next chunk.

use bytes::Bytes;

use super::{AudioFormat, byte_queue::ByteQueue};

/// Cuts chunks of any size into frames of 20 ms.
///
/// Push a chunk, then take frames until there is none; what it holds is then less than a frame.
#[derive(Debug)]
pub struct Framer {
    format: AudioFormat,
    queue: ByteQueue,
}

impl Framer {
    /// For audio in this format.
    pub fn new(format: AudioFormat) -> Self {
        Self { format, queue: ByteQueue::default() }
    }

    /// Adds a chunk; it need not end with a whole sample.
    pub fn push(&mut self, chunk: Bytes) {
        self.queue.push_back(chunk);
    }

    /// The next frame of exactly [`AudioFormat::frame_bytes`], without copying where it lies within one chunk.
    pub fn next_frame(&mut self) -> Option<Bytes> {
        let frame = self.format.frame_bytes();
        (self.queue.len() >= frame).then(|| self.queue.take_padded(frame, 0, 0))
    }

    /// Ends the stream: the last frame, filled up with silence. Half a sample is dropped. Call it once there is no whole frame left.
    pub fn flush(&mut self) -> Option<Bytes> {
        if let Some(frame) = self.next_frame() {
            return Some(frame);
        }
        let sample = self.format.encoding.bytes_per_sample();
        let whole = self.queue.len() / sample * sample;
        self.queue.keep_first(whole);
        let padding = self.format.frame_bytes() - whole;
        (whole > 0).then(|| self.queue.take_padded(whole, padding, self.format.silence_byte()))
    }

    /// Forgets the remainder.
    pub fn clear(&mut self) {
        self.queue.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::{Encoding, SampleRate};

    const LINEAR_24K: AudioFormat = AudioFormat { encoding: Encoding::Linear16, rate: SampleRate::HZ_24000 };

    fn cut(format: AudioFormat, chunks: impl IntoIterator<Item = Bytes>) -> Vec<Bytes> {
        let mut framer = Framer::new(format);
        let mut frames = Vec::new();
        for chunk in chunks {
            framer.push(chunk);
            frames.extend(std::iter::from_fn(|| framer.next_frame()));
        }
        frames.extend(std::iter::from_fn(|| framer.flush()));
        frames
    }

    #[test]
    fn only_whole_frames_leave_whatever_the_chunks() {
        let input: Vec<u8> = (0..1000_u32).map(|n| (n % 251) as u8).collect();
        for size in [1, 7, 159, 160, 161, 333, 1000] {
            let frames = cut(AudioFormat::MULAW_8K, input.chunks(size).map(Bytes::copy_from_slice));
            assert!(frames.iter().all(|frame| frame.len() == 160), "chunks of {size}");
            let output = frames.concat();
            assert_eq!(output[..1000], input, "chunks of {size}");
            assert_eq!(output[1000..], [0xFF; 120], "chunks of {size}");
        }
    }

    #[test]
    fn nothing_is_padded_where_nothing_is_left() {
        let frames = cut(AudioFormat::MULAW_8K, [Bytes::from(vec![1; 320])]);
        assert_eq!(frames.len(), 2);
    }

    #[test]
    fn half_a_sample_at_the_end_is_dropped() {
        let frames = cut(LINEAR_24K, [Bytes::from(vec![9; 5])]);
        assert_eq!(frames.len(), 1);
        assert_eq!(frames[0].len(), 960);
        assert_eq!(frames[0][..6], [9, 9, 9, 9, 0, 0]);
        assert!(cut(LINEAR_24K, [Bytes::from(vec![9; 1])]).is_empty());
    }

    #[test]
    fn a_frame_within_a_chunk_is_not_copied() {
        let chunk = Bytes::from(vec![3; 400]);
        let mut framer = Framer::new(AudioFormat::MULAW_8K);
        framer.push(chunk.clone());
        assert_eq!(framer.next_frame().unwrap().as_ptr(), chunk.as_ptr());
    }

    #[test]
    fn clear_leaves_no_remainder() {
        let mut framer = Framer::new(AudioFormat::MULAW_8K);
        framer.push(Bytes::from(vec![3; 100]));
        framer.clear();
        assert_eq!(framer.flush(), None);
    }
}
