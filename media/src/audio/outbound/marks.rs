//! The marks of one reply: those that wait for their sample, and those that have left lately.

use std::collections::VecDeque;

use super::{MARKS, Samples};
use crate::ids::MarkId;

#[derive(Debug, Default)]
pub(super) struct Marks {
    /// By position; in the order of placing where that is the same.
    waiting: VecDeque<(Samples, MarkId)>,
    /// The last that left, by position.
    left: VecDeque<(Samples, MarkId)>,
}

impl Marks {
    pub(super) fn is_full(&self) -> bool {
        self.waiting.len() >= MARKS
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.waiting.clear();
        self.left.clear();
    }

    pub(super) fn place(&mut self, at: Samples, mark: MarkId) {
        let index = self.waiting.partition_point(|&(other, _)| other <= at);
        self.waiting.insert(index, (at, mark));
    }

    pub(super) fn is_due(&self, limit: Samples) -> bool {
        self.waiting.front().is_some_and(|&(at, _)| at <= limit)
    }

    /// The first mark that lies at `limit` or before.
    pub(super) fn take(&mut self, limit: Samples) -> Option<MarkId> {
        if !self.is_due(limit) {
            return None;
        }
        let (at, mark) = self.waiting.pop_front()?;
        if self.left.len() == MARKS {
            self.left.pop_front();
        }
        // One that was placed late left behind those that were before it on the wire, whatever its position.
        let at = self.left.back().map_or(at, |&(last, _)| at.max(last));
        self.left.push_back((at, mark));
        Some(mark)
    }

    /// Lets the marks that left at `position` or behind it wait again. One at `position` itself counts: whether the carrier gave it
    /// back because it was heard or because it was cleared, nobody can tell.
    pub(super) fn put_back(&mut self, position: Samples, mut renumber: impl FnMut(MarkId) -> MarkId) {
        let first = self.left.iter().position(|&(at, _)| at >= position).unwrap_or(self.left.len());
        let back: Vec<_> = self.left.drain(first..).map(|(at, mark)| (at, renumber(mark))).collect();
        for entry in back.into_iter().rev() {
            self.waiting.push_front(entry);
        }
    }
}
