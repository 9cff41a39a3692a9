//! What a carrier says of a call: one list for all carriers. Statuses have an order, and terminal ones stick.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How far a call has come at its carrier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CarrierStatus {
    /// The carrier has it, and has not begun.
    Queued,
    /// It is being dialled.
    Initiated,
    /// It rings.
    Ringing,
    /// Somebody, or something, has answered.
    Answered,
    /// It was answered, and is over.
    Completed,
    /// The line was busy.
    Busy,
    /// Nobody answered.
    NoAnswer,
    /// It was declined.
    Rejected,
    /// The number cannot be called.
    InvalidNumber,
    /// Whoever began it gave up.
    Canceled,
    /// The carrier failed.
    Failed,
}

impl CarrierStatus {
    const ALL: [Self; 11] = [
        Self::Queued,
        Self::Initiated,
        Self::Ringing,
        Self::Answered,
        Self::Completed,
        Self::Busy,
        Self::NoAnswer,
        Self::Rejected,
        Self::InvalidNumber,
        Self::Canceled,
        Self::Failed,
    ];

    /// Its place in the order: what comes with a lower or equal one is late, or a repeat.
    pub const fn rank(self) -> u8 {
        match self {
            Self::Queued => 0,
            Self::Initiated => 1,
            Self::Ringing => 2,
            Self::Answered => 3,
            _ => 4,
        }
    }

    /// Whether nothing follows.
    pub const fn is_terminal(self) -> bool {
        self.rank() == 4
    }

    /// Its name where it is stored.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Initiated => "initiated",
            Self::Ringing => "ringing",
            Self::Answered => "answered",
            Self::Completed => "completed",
            Self::Busy => "busy",
            Self::NoAnswer => "no_answer",
            Self::Rejected => "rejected",
            Self::InvalidNumber => "invalid_number",
            Self::Canceled => "canceled",
            Self::Failed => "failed",
        }
    }
}

impl FromStr for CarrierStatus {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|status| status.name() == name).ok_or(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_back_and_the_end_comes_last() {
        for status in CarrierStatus::ALL {
            assert_eq!(status.name().parse(), Ok(status));
            assert_eq!(serde_json::to_value(status).unwrap(), status.name());
            assert_eq!(status.is_terminal(), status.rank() > CarrierStatus::Answered.rank());
        }
        assert_eq!("in-progress".parse::<CarrierStatus>(), Err(()));
    }
}
