//! What waits to leave on one call: the audio of the current reply and the marks in it.
//!
//! Positions are samples of the reply's own audio, from its first. Nothing here knows the time: [`super::pacer`] says when to take.

mod marks;

use bytes::Bytes;
use thiserror::Error;

use self::marks::Marks;
use super::{AudioFormat, Samples, byte_queue::ByteQueue};
use crate::ids::{Epoch, MarkId};

/// The most audio of a reply that waits, in seconds. A vendor that speaks further ahead has to be slowed down.
pub const QUEUE_SECONDS: u64 = 120;

/// The most marks that wait, and the most that are remembered for a rewind.
pub const MARKS: usize = 256;

/// How much of what was taken can be put back, in seconds. More than any lead that a carrier is given.
pub const REWIND_SECONDS: u64 = 1;

/// Something to put on the carrier's socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutboundItem {
    /// One whole frame.
    Frame {
        /// The epoch that the audio belongs to; the last hop drops it if that is over.
        epoch: Epoch,
        /// Position of the frame's first sample in the reply.
        at: Samples,
        /// How many samples are the reply's. What is missing to a whole frame is silence that ends it.
        samples: Samples,
        /// Exactly [`AudioFormat::frame_bytes`].
        data: Bytes,
    },
    /// A mark that comes back when the carrier has played all frames before it.
    Mark(MarkId),
}

/// Why audio or a mark was not queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum OutboundError {
    /// It belongs to a reply that is over, or that never began.
    #[error("audio of an epoch that is over")]
    Stale,
    /// The reply was finished before.
    #[error("audio after the end of its reply")]
    Finished,
    /// [`QUEUE_SECONDS`] or [`MARKS`] are waiting already.
    #[error("too much audio is waiting to leave")]
    Full,
}

/// The queue of one call's outgoing audio: one reply at a time, exact to the sample.
///
/// `begin` a reply, `push` its chunks and place its marks, `finish` it; take with `next_item` until there is nothing. A reply that is
/// interrupted is first held, which can be undone to the sample, then cleared or released.
#[derive(Debug)]
pub struct Outbound {
    format: AudioFormat,
    epoch: Option<Epoch>,
    finished: bool,
    held: bool,
    queue: ByteQueue,
    /// The end of what was taken, without padding.
    taken: ByteQueue,
    /// How many bytes of the reply were taken, and not put back.
    position: usize,
    /// Bytes of silence behind the reply's last sample in the frame that was taken last.
    padding: usize,
    marks: Marks,
    stale: u64,
}

impl Outbound {
    /// For a carrier that plays this format.
    pub fn new(format: AudioFormat) -> Self {
        Self {
            format,
            epoch: None,
            finished: false,
            held: false,
            queue: ByteQueue::default(),
            taken: ByteQueue::default(),
            position: 0,
            padding: 0,
            marks: Marks::default(),
            stale: 0,
        }
    }

    /// Makes `epoch` the current reply. What the one before it had left is dropped; a hold stays. Returns how much was dropped.
    pub fn begin(&mut self, epoch: Epoch) -> Samples {
        let dropped = self.queued();
        self.forget();
        self.epoch = Some(epoch);
        dropped
    }

    /// Queues a chunk of the current reply, of any size; half a sample waits for its other half.
    ///
    /// # Errors
    /// Audio of another epoch is dropped and counted, see [`Outbound::stale`]. Too much audio is refused whole.
    pub fn push(&mut self, epoch: Epoch, chunk: Bytes) -> Result<(), OutboundError> {
        if self.epoch != Some(epoch) {
            self.stale += 1;
            return Err(OutboundError::Stale);
        }
        if self.finished {
            return Err(OutboundError::Finished);
        }
        if self.queue.len() + chunk.len() > self.bytes_of_seconds(QUEUE_SECONDS) {
            return Err(OutboundError::Full);
        }
        self.queue.push_back(chunk);
        Ok(())
    }

    /// Places a mark behind the first `at` samples of the reply: it leaves right after the frame that has the last of them, or at once
    /// if that has left. A mark past the end of the reply leaves with its end.
    ///
    /// # Errors
    /// As [`Outbound::push`].
    pub fn place_mark(&mut self, epoch: Epoch, at: Samples, mark: MarkId) -> Result<(), OutboundError> {
        if self.epoch != Some(epoch) {
            self.stale += 1;
            return Err(OutboundError::Stale);
        }
        if self.marks.is_full() {
            return Err(OutboundError::Full);
        }
        self.marks.place(at, mark);
        Ok(())
    }

    /// Says that the reply has no more audio: its last frame is filled up with silence.
    pub fn finish(&mut self, epoch: Epoch) {
        if self.epoch == Some(epoch) && !self.finished {
            self.finished = true;
            let whole = self.whole_samples(self.queue.len());
            self.queue.keep_first(whole);
        }
    }

    /// The next thing to send, in order; `None` while held, and while there is less than a frame of a reply that goes on.
    pub fn next_item(&mut self) -> Option<OutboundItem> {
        if self.held {
            return None;
        }
        if let Some(mark) = self.marks.take(self.mark_limit()) {
            return Some(OutboundItem::Mark(mark));
        }
        self.next_frame()
    }

    /// The next mark, if it may leave before another frame does: for a carrier that has enough audio for now.
    pub fn next_mark(&mut self) -> Option<MarkId> {
        if self.held { None } else { self.marks.take(self.mark_limit()) }
    }

    /// Whether [`Outbound::next_item`] has something.
    pub fn is_ready(&self) -> bool {
        !self.held && (self.marks.is_due(self.mark_limit()) || self.next_frame_bytes().is_some())
    }

    /// Stops giving anything, until released or cleared. What was taken can be put back with [`Outbound::rewind`].
    pub const fn hold(&mut self) {
        self.held = true;
    }

    /// Goes on with the very next sample.
    pub const fn release(&mut self) {
        self.held = false;
    }

    /// Whether the queue is held.
    pub const fn is_held(&self) -> bool {
        self.held
    }

    /// Drops what is queued of `epoch` with its marks, and the hold if there is one; whatever comes of that epoch from now on is
    /// stale. Nothing happens if the current epoch is another. Returns how much was dropped.
    pub fn clear(&mut self, epoch: Epoch) -> Samples {
        if self.epoch != Some(epoch) {
            return Samples(0);
        }
        let dropped = self.queued();
        self.forget();
        self.epoch = None;
        self.held = false;
        dropped
    }

    /// Puts the last `samples` that were taken back to the front, because the carrier has dropped them unheard, with the marks behind
    /// them. The count includes the silence that ended a reply, which isn't put back but made anew. Limited to [`REWIND_SECONDS`] and
    /// to the current reply; returns how many were put back or made undone.
    ///
    /// A carrier gives a mark back when it clears, so one that leaves again needs another number: `renumber` is asked for each.
    pub fn rewind(&mut self, samples: Samples, renumber: impl FnMut(MarkId) -> MarkId) -> Samples {
        let sample = self.format.encoding.bytes_per_sample();
        let wanted = usize::try_from(samples.0).unwrap_or(usize::MAX).saturating_mul(sample);
        let padding = wanted.min(self.padding);
        self.padding -= padding;
        let mut left = (wanted - padding).min(self.taken.len());
        let rewound = padding + left;
        self.position -= left;
        while left > 0 {
            let piece = self.taken.take_piece_back(left);
            left -= piece.len();
            self.queue.push_front(piece);
        }
        self.marks.put_back(self.position(), renumber);
        self.format.samples_in_bytes(rewound)
    }

    /// Silence behind the reply's last sample, if that has been taken: a carrier that lost what it had lost this too.
    pub const fn trailing_silence(&self) -> Samples {
        self.format.samples_in_bytes(self.padding)
    }

    /// What the carrier plays.
    pub const fn format(&self) -> AudioFormat {
        self.format
    }

    /// How many samples wait.
    pub const fn queued(&self) -> Samples {
        self.format.samples_in_bytes(self.queue.len())
    }

    /// How many samples of the current reply were taken, and not put back.
    pub const fn position(&self) -> Samples {
        self.format.samples_in_bytes(self.position)
    }

    /// Whether neither audio nor a mark waits.
    pub fn is_empty(&self) -> bool {
        self.queue.len() == 0 && self.marks.is_empty()
    }

    /// The reply whose audio is accepted.
    pub const fn epoch(&self) -> Option<Epoch> {
        self.epoch
    }

    /// How many chunks and marks were refused because their reply was over.
    pub const fn stale(&self) -> u64 {
        self.stale
    }

    fn next_frame(&mut self) -> Option<OutboundItem> {
        let bytes = self.next_frame_bytes()?;
        let epoch = self.epoch?;
        let at = self.position();
        self.padding = self.format.frame_bytes() - bytes;
        let data = self.queue.take_padded(bytes, self.padding, self.format.silence_byte());
        self.taken.push_back(data.slice(..bytes));
        self.taken.keep_last(self.bytes_of_seconds(REWIND_SECONDS));
        self.position += bytes;
        Some(OutboundItem::Frame { epoch, at, samples: self.format.samples_in_bytes(bytes), data })
    }

    /// How many bytes of the reply the next frame has.
    fn next_frame_bytes(&self) -> Option<usize> {
        let frame = self.format.frame_bytes();
        if self.queue.len() >= frame {
            Some(frame)
        } else {
            (self.finished && self.queue.len() > 0).then_some(self.queue.len())
        }
    }

    /// Marks up to here may leave.
    const fn mark_limit(&self) -> Samples {
        if self.finished && self.queue.len() == 0 { Samples(u64::MAX) } else { self.position() }
    }

    fn forget(&mut self) {
        self.queue.clear();
        self.taken.clear();
        self.marks.clear();
        self.finished = false;
        self.position = 0;
        self.padding = 0;
    }

    const fn whole_samples(&self, bytes: usize) -> usize {
        let sample = self.format.encoding.bytes_per_sample();
        bytes / sample * sample
    }

    const fn bytes_of_seconds(&self, seconds: u64) -> usize {
        (self.format.rate.hz() as u64 * seconds) as usize * self.format.encoding.bytes_per_sample()
    }
}

#[cfg(test)]
mod tests;
