//! Bodies.

use serde::{Deserialize, Serialize};
use trunkline_base::{CallId, Personal};
use trunkline_control::{agents::config, error::ApiError};
use trunkline_media::telephony;
use utoipa::ToSchema;
use uuid::Uuid;

/// The longest text that is said at once, in characters.
const SPOKEN: usize = 1000;

/// A call that does as it is told.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Accepted {
    conversation_id: Uuid,
    /// Always `accepted`: how it went is in the conversation's timeline.
    #[schema(example = "accepted")]
    status: &'static str,
}

impl Accepted {
    pub(super) const fn of(id: CallId) -> Self {
        Self { conversation_id: id.as_uuid(), status: "accepted" }
    }
}

/// To whom a call is handed, and how.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TransferTo {
    /// A number in E.164, or the name of one of the agent's transfer targets.
    #[schema(value_type = String, min_length = 1, max_length = 100, example = "+14155550100")]
    pub(super) target: Personal<String>,
    /// How. Default: as the agent has it for its target; cold for a number.
    #[serde(default)]
    pub(super) mode: Option<Mode>,
}

/// How a call is handed over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[schema(as = TransferHow)]
#[serde(rename_all = "snake_case")]
pub(super) enum Mode {
    /// The carrier rings the target in the agent's place.
    #[default]
    Cold,
    /// The target is asked first, while the caller is held.
    Warm,
}

impl From<config::TransferMode> for Mode {
    fn from(mode: config::TransferMode) -> Self {
        match mode {
            config::TransferMode::Cold => Self::Cold,
            config::TransferMode::Warm => Self::Warm,
        }
    }
}

impl From<Mode> for telephony::TransferMode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Cold => Self::Cold,
            Mode::Warm => Self::Warm,
        }
    }
}

/// Something to be said.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SayText)]
pub(super) struct Say {
    /// The words: 1 to 1000 characters.
    #[schema(value_type = String, min_length = 1, max_length = 1000, example = "Your table is ready.")]
    text: Personal<String>,
    /// Whether the caller can talk over it. Default: true.
    #[serde(default = "yes")]
    #[schema(default = yes)]
    pub(super) interruptible: bool,
}

impl Say {
    pub(super) fn words(&self) -> Result<String, ApiError> {
        let words = self.text.expose().trim();
        if (1..=SPOKEN).contains(&words.chars().count()) {
            return Ok(words.to_owned());
        }
        Err(ApiError::field("text", format!("must have between 1 and {SPOKEN} characters that are not blank")))
    }
}

/// Whether a caller is on hold.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = HoldCall)]
pub(super) struct Hold {
    /// True: the caller is put on hold. False: taken off it.
    pub(super) on: bool,
}

/// Keys to be pressed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PressKeys)]
pub(super) struct Keys {
    /// 1 to 32 of 0-9, `*`, `#`, A-D, and `w` for half a second of silence.
    #[schema(value_type = String, min_length = 1, max_length = 32, pattern = "^w*[0-9*#A-D][0-9*#A-Dw]*$", example = "ww42#")]
    keys: Personal<String>,
}

impl Keys {
    pub(super) fn keys(&self) -> Result<telephony::Keys, ApiError> {
        self.keys.expose().parse().map_err(|error: telephony::NotKeys| ApiError::field("keys", error.to_string()))
    }
}

/// Default of [`Say::interruptible`].
fn yes() -> bool {
    true
}
