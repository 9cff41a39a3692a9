//! Phone numbers as the API takes and shows them.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize};
use trunkline_base::E164;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{Control, http::Pagination, integrations::webhook_url, vendors::Provider};

/// Who carries calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Carrier {
    /// Twilio.
    Twilio,
    /// Vonage.
    Vonage,
}

impl From<Carrier> for Provider {
    fn from(carrier: Carrier) -> Self {
        match carrier {
            Carrier::Twilio => Self::Twilio,
            Carrier::Vonage => Self::Vonage,
        }
    }
}

/// A number to be rung at.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewPhoneNumber {
    /// Who carries its calls.
    pub(super) provider: Carrier,
    /// The number, in E.164.
    #[schema(value_type = String, pattern = r"^\+[1-9][0-9]{1,14}$", example = "+14155550100")]
    pub(super) phone_number: E164,
    /// Of the account that owns it.
    pub(super) credential_id: Uuid,
    /// Who answers it. Default: nobody.
    pub(super) agent_id: Option<Uuid>,
}

/// What to change about a number.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "agent_id": null }))]
pub(super) struct PhoneNumberPatch {
    /// Of the account that owns it now: the carrier is asked again.
    pub(super) credential_id: Option<Uuid>,
    /// Who answers it; null: nobody.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Uuid>)]
    pub(super) agent_id: Option<Option<Uuid>>,
}

/// A key that is there, even as `null`.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<Uuid>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// A number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PhoneNumber {
    /// Its id.
    pub id: Uuid,
    /// Who carries its calls.
    pub provider: Carrier,
    /// The number, in E.164.
    #[schema(value_type = String, pattern = r"^\+[1-9][0-9]{1,14}$", example = "+14155550100")]
    pub phone_number: E164,
    /// The carrier's id of it.
    #[schema(example = "PN00000000000000000000000000000001")]
    pub provider_sid: Option<String>,
    /// With which credential the carrier was asked.
    pub credential_id: Option<Uuid>,
    /// Who answers it.
    pub agent_id: Option<Uuid>,
    /// When the carrier confirmed that the credential's account owns it. A number that it has not confirmed rings nobody.
    pub verified_at: Option<DateTime<Utc>>,
    /// What to set at the carrier.
    #[schema(example = "https://voice.example.com/webhooks/twilio?kind=voice")]
    pub webhook_url: Option<String>,
    /// When it was added.
    pub created_at: DateTime<Utc>,
}

impl PhoneNumber {
    /// With what to set at the carrier.
    pub(super) fn at(mut self, control: &Control) -> Self {
        self.webhook_url = webhook_url(control, self.provider.into());
        self
    }
}

/// A page of numbers, the newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PhoneNumberList {
    pub(super) phone_numbers: Vec<PhoneNumber>,
    pub(super) pagination: Pagination,
}
