//! What the API takes and gives when an agent is to call somebody.

use std::{ops::RangeInclusive, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use trunkline_base::E164;
use trunkline_control::{
    conversations::dials::{EarlierDial, OwnNumber},
    error::ApiError,
};
use utoipa::ToSchema;
use uuid::Uuid;

/// How long a call may ring, in seconds.
const RING: RangeInclusive<u32> = 5..=120;
/// The largest context, in bytes of JSON.
const CONTEXT: usize = 16 * 1024;

/// Whom to call.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewCall {
    /// The number, in E.164.
    #[schema(value_type = String, pattern = r"^\+[1-9][0-9]{1,14}$", example = "+14155550111")]
    pub(super) phone_number: E164,
    /// From which of the tenant's confirmed numbers. Default: the agent's, its oldest if it has several; else the tenant's only one.
    #[schema(value_type = Option<String>, pattern = r"^\+[1-9][0-9]{1,14}$", example = "+14155550100")]
    from_number: Option<E164>,
    /// How long it may ring, in seconds. Default: 45.
    #[serde(default = "ring")]
    #[schema(minimum = 5, maximum = 120, default = 45)]
    ring_timeout_s: u32,
    /// The campaign that the call is part of, whoever keeps it: it is kept in the conversation's `metadata`.
    campaign_id: Option<Uuid>,
    /// What is known of whoever is called: it fills the variables of the agent's texts, over the agent's own. A nested key is named with
    /// dots, as in `{{custom_data.plan}}`. At most 16 KiB.
    #[serde(default)]
    #[schema(value_type = std::collections::BTreeMap<String, Value>, example = json!({ "customer_name": "John Doe", "custom_data": { "plan": "pro" } }))]
    context: Map<String, Value>,
}

const fn ring() -> u32 {
    45
}

/// A call that is being placed.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DialedCall {
    /// Its conversation, which tells what comes of it.
    pub(super) conversation_id: Uuid,
    /// The carrier's name for it; null: the carrier has not said yet.
    #[schema(example = "CA00000000000000000000000000000001")]
    pub(super) call_sid: Option<String>,
    /// The conversation's status: `ringing`, unless the request was made before.
    #[schema(example = "ringing")]
    pub(super) status: String,
}

impl From<EarlierDial> for DialedCall {
    fn from(earlier: EarlierDial) -> Self {
        Self { conversation_id: earlier.id.as_uuid(), call_sid: earlier.provider_call_id, status: earlier.status }
    }
}

impl NewCall {
    pub(super) fn check(&self) -> Result<(), ApiError> {
        if !RING.contains(&self.ring_timeout_s) {
            return Err(ApiError::field(
                "ring_timeout_s",
                format!("must be between {} and {}", RING.start(), RING.end()),
            ));
        }
        if serde_json::to_string(&self.context).map_or(0, |text| text.len()) > CONTEXT {
            return Err(ApiError::field("context", format!("must have at most {CONTEXT} bytes of JSON")));
        }
        Ok(())
    }

    pub(super) const fn from(&self) -> Option<&E164> {
        self.from_number.as_ref()
    }

    pub(super) fn ring(&self) -> Duration {
        Duration::from_secs(u64::from(self.ring_timeout_s))
    }

    pub(super) fn context(&self) -> Map<String, Value> {
        self.context.clone()
    }

    pub(super) fn metadata(&self) -> Map<String, Value> {
        self.campaign_id.map(|campaign| ("campaign_id".to_owned(), json!(campaign))).into_iter().collect()
    }
}

/// The number that an agent's calls are placed from, if it is not said (`wanted`).
pub(super) fn caller<'a>(
    numbers: &'a [OwnNumber],
    agent: Uuid,
    wanted: Option<&E164>,
) -> Result<&'a OwnNumber, ApiError> {
    Ok(match wanted {
        Some(wanted) => {
            let mut mine = numbers.iter().filter(|number| number.number == *wanted);
            let first = mine.clone().next();
            let agents = mine.find(|number| number.agent == Some(agent));
            agents
                .or(first)
                .ok_or_else(|| ApiError::field("from_number", "is not a confirmed number of this tenant"))?
        }
        None => match (numbers.iter().find(|number| number.agent == Some(agent)), numbers) {
            (Some(number), _) | (None, [number]) => number,
            (None, []) => return Err(ApiError::field("from_number", "is needed: the tenant has no confirmed number")),
            (None, _) => {
                let message = "is needed: the tenant has several numbers, and none of them is the agent's";
                return Err(ApiError::field("from_number", message));
            }
        },
    })
}

#[cfg(test)]
mod tests {
    use trunkline_control::phone_numbers::Carrier;

    use super::*;

    fn number(text: &str, agent: Option<Uuid>) -> OwnNumber {
        let number = text.parse().unwrap();
        OwnNumber { id: Uuid::now_v7(), carrier: Carrier::Twilio, number, credential: None, agent }
    }

    fn chosen(numbers: &[OwnNumber], agent: Uuid, from: Option<&str>) -> Result<String, String> {
        let message = |error: ApiError| error.details.unwrap()["fields"][0]["message"].as_str().unwrap().to_owned();
        let from = from.map(|from| from.parse().unwrap());
        caller(numbers, agent, from.as_ref()).map(|it| it.number.expose().to_owned()).map_err(message)
    }

    #[test]
    fn the_agent_s_number_goes_before_the_only_one_and_what_is_asked_for_before_both() {
        let agent = Uuid::now_v7();
        let (one, two) = ("+14155550101", "+14155550102");
        assert!(chosen(&[], agent, None).unwrap_err().contains("no confirmed number"));
        assert_eq!(chosen(&[number(one, None)], agent, None).as_deref(), Ok(one));
        let several = [number(one, None), number(two, None)];
        assert!(chosen(&several, agent, None).unwrap_err().contains("several"));
        assert_eq!(chosen(&several, agent, Some(two)).as_deref(), Ok(two));
        assert!(chosen(&several, agent, Some("+14155550103")).unwrap_err().contains("not a confirmed number"));
        assert_eq!(chosen(&[number(one, None), number(two, Some(agent))], agent, None).as_deref(), Ok(two));
    }
}
