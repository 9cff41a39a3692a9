//! A queue of bytes that keeps the pieces as they came, so that taking a frame out of a piece copies nothing.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

#[derive(Debug, Default)]
pub(super) struct ByteQueue {
    /// None is empty.
    pieces: VecDeque<Bytes>,
    len: usize,
}

impl ByteQueue {
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) fn clear(&mut self) {
        self.pieces.clear();
        self.len = 0;
    }

    pub(super) fn push_back(&mut self, piece: Bytes) {
        if !piece.is_empty() {
            self.len += piece.len();
            self.pieces.push_back(piece);
        }
    }

    pub(super) fn push_front(&mut self, piece: Bytes) {
        if !piece.is_empty() {
            self.len += piece.len();
            self.pieces.push_front(piece);
        }
    }

    /// At most `n` bytes from the front in one piece, and as many as there are. Copies only if they lie in several pieces, or if
    /// room for `padding` more bytes of `silence` is wanted behind them.
    pub(super) fn take_padded(&mut self, n: usize, padding: usize, silence: u8) -> Bytes {
        let n = n.min(self.len);
        if padding == 0 && self.pieces.front().is_some_and(|front| front.len() >= n) {
            return self.take_piece(n);
        }
        let mut taken = BytesMut::with_capacity(n + padding);
        while taken.len() < n {
            let piece = self.take_piece(n - taken.len());
            taken.extend_from_slice(&piece);
        }
        taken.resize(n + padding, silence);
        taken.freeze()
    }

    /// At most `n` bytes from the front, no more than the first piece has.
    pub(super) fn take_piece(&mut self, n: usize) -> Bytes {
        let Some(front) = self.pieces.front_mut() else { return Bytes::new() };
        let taken = if front.len() <= n { self.pieces.pop_front().unwrap_or_default() } else { front.split_to(n) };
        self.len -= taken.len();
        taken
    }

    /// At most `n` bytes from the back, no more than the last piece has.
    pub(super) fn take_piece_back(&mut self, n: usize) -> Bytes {
        let Some(back) = self.pieces.back_mut() else { return Bytes::new() };
        let taken =
            if back.len() <= n { self.pieces.pop_back().unwrap_or_default() } else { back.split_off(back.len() - n) };
        self.len -= taken.len();
        taken
    }

    /// Forgets bytes from the front until no more than `len` are left.
    pub(super) fn keep_last(&mut self, len: usize) {
        while self.len > len {
            self.take_piece(self.len - len);
        }
    }

    /// Forgets bytes from the back until no more than `len` are left.
    pub(super) fn keep_first(&mut self, len: usize) {
        while self.len > len {
            self.take_piece_back(self.len - len);
        }
    }
}
