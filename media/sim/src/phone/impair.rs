//! What a bad line does to the caller's audio on its way to the server: jitter, bursts, odd sizes and loss. Pure and seeded.

use std::{collections::VecDeque, time::Duration};

use rand::{Rng, SeedableRng, rngs::StdRng};

use super::playback::TICK_BYTES;

/// The faults of the line. The default is a perfect one: 160 bytes every 20 ms.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Impairments {
    /// Seed of everything random here.
    pub seed: u64,
    /// Every message is late by up to this long; their order stays.
    pub jitter: Duration,
    /// Messages are held back until there are this many, then sent at once. 0 and 1 hold nothing back.
    pub burst: usize,
    /// Messages have from 1 to 320 bytes instead of 160.
    pub odd_sizes: bool,
    /// Share of messages lost, 0 to 1: their timestamps are missing.
    pub loss: f64,
}

impl Impairments {
    fn is_clean(&self) -> bool {
        self.jitter.is_zero() && self.burst <= 1 && !self.odd_sizes && self.loss <= 0.0
    }
}

/// A piece of audio on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) due: Duration,
    pub(crate) timestamp_ms: u64,
    pub(crate) audio: Vec<u8>,
}

/// The line of one stream; `None` from [`Line::new`] where nothing is wrong with it.
#[derive(Debug)]
pub(crate) struct Line {
    faults: Impairments,
    random: StdRng,
    /// Bytes not yet cut into a piece, and the position of the first on the media clock.
    pending: Vec<u8>,
    position: u64,
    held: Vec<Piece>,
    queue: VecDeque<Piece>,
    lost: u64,
}

/// Largest odd-sized message, bytes.
const ODD_LIMIT: usize = 2 * TICK_BYTES;

impl Line {
    pub(crate) fn new(faults: &Impairments) -> Option<Self> {
        (!faults.is_clean()).then(|| Self {
            faults: faults.clone(),
            random: StdRng::seed_from_u64(faults.seed),
            pending: Vec::new(),
            position: 0,
            held: Vec::new(),
            queue: VecDeque::new(),
            lost: 0,
        })
    }

    /// Takes the 20 ms that begin at `at`.
    pub(crate) fn handle_frame(&mut self, at: Duration, frame: &[u8; TICK_BYTES]) {
        self.pending.extend_from_slice(frame);
        let mut size = self.size();
        while self.pending.len() >= size {
            let audio: Vec<u8> = self.pending.drain(..size).collect();
            let timestamp_ms = self.position / 8;
            self.position += size as u64;
            size = self.size();
            if self.random.random_bool(self.faults.loss.clamp(0.0, 1.0)) {
                self.lost += 1;
                continue;
            }
            let late = Duration::from_micros(self.random.random_range(0..=self.faults.jitter.as_micros() as u64));
            self.held.push(Piece { due: at + late, timestamp_ms, audio });
            if self.held.len() >= self.faults.burst.max(1) {
                // One connection keeps its order: nothing is due before what went before it.
                let before = self.queue.back().map_or(Duration::ZERO, |piece| piece.due);
                let due = self.held.iter().map(|piece| piece.due).max().unwrap_or_default().max(before);
                self.queue.extend(self.held.drain(..).map(|piece| Piece { due, ..piece }));
            }
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Duration> {
        self.queue.front().map(|piece| piece.due)
    }

    pub(crate) fn poll_piece(&mut self, now: Duration) -> Option<Piece> {
        self.queue.pop_front_if(|piece| piece.due <= now)
    }

    /// Messages lost so far.
    pub(crate) fn lost(&self) -> u64 {
        self.lost
    }

    fn size(&mut self) -> usize {
        if self.faults.odd_sizes { self.random.random_range(1..=ODD_LIMIT) } else { TICK_BYTES }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phone::playback::TICK;

    fn run(faults: Impairments, ticks: u32) -> (Vec<Piece>, u64) {
        let mut line = Line::new(&faults).unwrap();
        for tick in 0..ticks {
            line.handle_frame(TICK * tick, &[tick as u8; TICK_BYTES]);
        }
        let pieces = std::iter::from_fn(|| line.poll_piece(Duration::MAX)).collect();
        (pieces, line.lost())
    }

    #[test]
    fn a_perfect_line_is_none() {
        assert!(Line::new(&Impairments::default()).is_none());
    }

    #[test]
    fn jitter_keeps_the_order_and_its_bound() {
        let jitter = Duration::from_millis(60);
        let (pieces, _) = run(Impairments { jitter, seed: 1, ..Impairments::default() }, 500);
        assert_eq!(pieces.len(), 500);
        assert!(pieces.is_sorted_by_key(|piece| piece.due));
        assert!(pieces.is_sorted_by_key(|piece| piece.timestamp_ms));
        let late = |piece: &Piece| piece.due - Duration::from_millis(piece.timestamp_ms);
        assert!(pieces.iter().all(|piece| late(piece) <= jitter));
        assert!(pieces.iter().any(|piece| late(piece) > Duration::from_millis(20)));
    }

    #[test]
    fn bursts_are_due_together() {
        let (pieces, _) = run(Impairments { burst: 5, ..Impairments::default() }, 23);
        let dues: Vec<_> = pieces.iter().map(|piece| piece.due.as_millis()).collect();
        assert_eq!(dues, [80, 180, 280, 380].into_iter().flat_map(|due| [due; 5]).collect::<Vec<_>>());
    }

    #[test]
    fn odd_sizes_lose_no_byte() {
        let (pieces, lost) = run(Impairments { odd_sizes: true, seed: 3, ..Impairments::default() }, 100);
        let sent: Vec<u8> = pieces.iter().flat_map(|piece| piece.audio.clone()).collect();
        let whole: Vec<u8> = (0..100u8).flat_map(|tick| [tick; TICK_BYTES]).collect();
        assert!(whole.starts_with(&sent) && sent.len() > whole.len() - ODD_LIMIT);
        assert!(pieces.iter().any(|piece| piece.audio.len() != TICK_BYTES));
        assert_eq!(lost, 0);
    }

    #[test]
    fn loss_leaves_a_hole_in_the_timestamps_and_is_the_same_for_a_seed() {
        let faults = Impairments { loss: 0.1, seed: 7, ..Impairments::default() };
        let (pieces, lost) = run(faults.clone(), 1000);
        assert_eq!(pieces.len() as u64 + lost, 1000);
        assert!((50..200).contains(&lost), "{lost}");
        assert!(pieces.windows(2).any(|pair| pair[1].timestamp_ms - pair[0].timestamp_ms > 20));
        assert_eq!(run(faults, 1000), (pieces, lost));
    }
}
