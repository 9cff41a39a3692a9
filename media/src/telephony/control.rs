//! What may be asked of a call while it goes on, in no carrier's words: keys, a transfer, and what a carrier tells of who answered.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use trunkline_base::{E164, Personal};

/// The most keys that are sent at once: as many as any carrier takes.
pub const MAX_KEYS: usize = 32;

/// Keys to be pressed: 1 to 32 of `0`–`9`, `*`, `#`, `A`–`D`, and `w` for half a second of silence. They may be somebody's secret number,
/// so that nothing prints them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Keys(Personal<String>);

/// What is no sequence of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to {MAX_KEYS} of 0-9, *, #, A-D, and w for a pause of half a second")]
pub struct NotKeys;

impl FromStr for Keys {
    type Err = NotKeys;

    fn from_str(keys: &str) -> Result<Self, NotKeys> {
        let known = |b: u8| b.is_ascii_digit() || matches!(b, b'*' | b'#' | b'A'..=b'D' | b'w');
        let pressed = keys.bytes().any(|b| b != b'w');
        let good = (1..=MAX_KEYS).contains(&keys.len()) && keys.bytes().all(known) && pressed;
        good.then(|| Self(Personal::new(keys.to_owned()))).ok_or(NotKeys)
    }
}

impl Keys {
    /// The keys and pauses, in order.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    /// How many keys are pressed, pauses left out.
    pub fn pressed(&self) -> usize {
        self.expose().bytes().filter(|b| *b != b'w').count()
    }
}

impl<'de> Deserialize<'de> for Keys {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// To whom a call is handed, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transfer {
    /// The number, in E.164.
    pub target: Personal<String>,
    /// How.
    pub mode: TransferMode,
}

impl Transfer {
    /// `None`: the number is not in E.164.
    pub fn new(target: &str, mode: TransferMode) -> Option<Self> {
        let number = E164::parse(target).ok()?;
        Some(Self { target: Personal::new(number.expose().to_owned()), mode })
    }
}

/// How a call is handed over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransferMode {
    /// The carrier takes the caller away and rings the target.
    #[default]
    Cold,
    /// The target is rung first, and asked, while the caller is held; then the two are connected.
    Warm,
}

/// How a transfer ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum TransferOutcome {
    /// Caller and target are connected.
    Connected,
    /// The target's line was busy.
    Busy,
    /// Nobody answered.
    NoAnswer,
    /// The target does not want the call.
    Declined,
    /// It could not be done.
    Failed {
        /// Why, in words that hold nothing personal and no secret.
        cause: String,
    },
    /// The caller did not wait.
    CallerHungUp,
}

impl TransferOutcome {
    /// It could not be done, for this reason.
    pub fn failed(cause: impl Into<String>) -> Self {
        Self::Failed { cause: cause.into() }
    }
}

/// For the model, which has to go on.
impl fmt::Display for TransferOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connected => "the caller is connected",
            Self::Busy => "the line was busy",
            Self::NoAnswer => "nobody answered",
            Self::Declined => "the call was declined",
            Self::Failed { .. } => "the call could not be placed",
            Self::CallerHungUp => "the caller hung up",
        })
    }
}

/// A step of a transfer that the carrier is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransferStep {
    /// From now on the caller's stream may end because of it: that is no hang-up.
    Moving,
    /// The caller was not moved after all: the stream goes on.
    Stayed,
    /// It is over. Nothing follows.
    Over(TransferOutcome),
}

/// Who or what answered a call that we placed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnsweredBy {
    /// A human.
    Human,
    /// A machine, whose greeting still plays.
    Machine,
    /// A machine, after its beep or its silence: a message can be left now.
    MachineReady,
    /// A fax.
    Fax,
    /// An assistant that asks who calls before it lets anybody through. Neither Twilio nor Vonage tells of it.
    CallScreening,
    /// The carrier could not tell.
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_checked_and_not_printed() {
        let keys: Keys = "ww12*#Aw3".parse().unwrap();
        assert_eq!((keys.expose(), keys.pressed()), ("ww12*#Aw3", 6));
        assert!(!format!("{keys:?}").contains("12"), "{keys:?}");
        for bad in ["", "w", "12 3", "E", "a", "1\u{661}", &"1".repeat(33)] {
            assert_eq!(bad.parse::<Keys>(), Err(NotKeys), "{bad}");
            assert!(serde_json::from_value::<Keys>(bad.into()).is_err(), "{bad}");
        }
        assert_eq!(serde_json::from_value::<Keys>("12".into()).unwrap().expose(), "12");
    }

    #[test]
    fn a_transfer_goes_to_a_number() {
        assert!(Transfer::new("+14155550111", TransferMode::Warm).is_some());
        assert!(Transfer::new("4155550111", TransferMode::Cold).is_none());
        assert!(Transfer::new("+14155550111;x", TransferMode::Cold).is_none());
    }
}
