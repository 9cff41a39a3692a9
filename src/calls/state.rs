//! How far a call's leg has come, whichever carrier says so, and what its end means for the conversation. Pure.
//!
//! Reports come twice, late, in any order, and again when somebody replays them. Of two ways to bring order into them — by the carrier's
//! sequence numbers or times, or by how far each says that the call has come — this is the second: one carrier has no numbers, and a call
//! never goes back. An end sticks, whatever comes after it.

use trunkline_media::{event::EndReason, telephony::CarrierStatus};

/// What is known of a leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Leg {
    pub(super) status: CarrierStatus,
    /// The highest sequence number that came, at a carrier that counts.
    pub(super) last_seq: Option<i32>,
}

/// What a carrier says of a leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Report {
    pub(super) status: CarrierStatus,
    pub(super) seq: Option<i32>,
}

/// What a report changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing: it is over, and settled.
    Settled,
    /// Nothing but that the carrier was heard: the report is late, or a repeat.
    Known,
    /// The leg has come further.
    Moved,
    /// The leg has come to its end.
    Over,
}

impl Leg {
    /// As it is stored. A word that is not known has its rank's meaning.
    pub(super) fn stored(status: &str, rank: i32, last_seq: Option<i32>) -> Self {
        let of_rank = match rank {
            ..=0 => CarrierStatus::Queued,
            1 => CarrierStatus::Initiated,
            2 => CarrierStatus::Ringing,
            3 => CarrierStatus::Answered,
            _ => CarrierStatus::Completed,
        };
        Self { status: status.parse().unwrap_or(of_rank), last_seq }
    }

    /// Takes note of a report.
    pub(super) fn handle_report(&mut self, report: Report) -> Step {
        if self.status.is_terminal() {
            return Step::Settled;
        }
        self.last_seq = self.last_seq.max(report.seq);
        if report.status.rank() <= self.status.rank() {
            return Step::Known;
        }
        self.status = report.status;
        if self.status.is_terminal() { Step::Over } else { Step::Moved }
    }
}

/// What a conversation's end is decided by, besides its carrier's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Known<'a> {
    pub(super) outbound: bool,
    /// Whether a stream of it has begun.
    pub(super) answered: bool,
    /// Why we set out to end it, if we did.
    pub(super) ending: Option<&'a str>,
}

/// How a conversation ends, in the database's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Verdict<'a> {
    pub(super) status: &'static str,
    pub(super) reason: &'a str,
}

/// What the end of the customer's leg means; `None`: it has not ended.
pub(super) fn verdict<'a>(status: CarrierStatus, known: Known<'a>) -> Option<Verdict<'a>> {
    if !status.is_terminal() {
        return None;
    }
    // What we had set out to do is why it ended, unless it was something else that happened.
    let meant = |otherwise| known.ending.unwrap_or(otherwise);
    let reason = match (status, known.answered) {
        (CarrierStatus::Failed, _) => meant("carrier_failed"),
        (_, true) => meant("caller_hangup"),
        (CarrierStatus::Busy, false) => "busy",
        (CarrierStatus::NoAnswer, false) => "no_answer",
        (CarrierStatus::Rejected, false) => "rejected",
        (CarrierStatus::InvalidNumber, false) => "invalid_number",
        (CarrierStatus::Canceled, false) => meant("canceled"),
        // They answered, and no stream came.
        (_, false) if known.outbound => meant("media_lost"),
        (_, false) => meant("caller_hangup"),
    };
    let status = if known.answered && !is_fault(reason) { "completed" } else { "failed" };
    Some(Verdict { status, reason })
}

/// Whether we or the carrier are to blame.
fn is_fault(reason: &str) -> bool {
    matches!(reason, "media_lost" | "vendor_failed" | "carrier_failed" | "overloaded")
}

/// What the end of its leg is to a call whose stream has begun.
pub(super) const fn end_of_live(status: CarrierStatus) -> EndReason {
    match status {
        CarrierStatus::Failed => EndReason::CarrierFailed,
        _ => EndReason::CallerHangup,
    }
}

#[cfg(test)]
mod tests;
