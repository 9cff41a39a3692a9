//! Calls by way of Vonage.

mod calls;
pub(crate) mod line;
mod outbound;
mod raw;
mod recordings;
mod simulated;
mod transfers;
mod webhooks;

use serde_json::{Value, json};
use trunkline::cli::api::Api;

/// The account's key.
pub(crate) const API_KEY: &str = "a1b2c3d4";
/// Its secret.
pub(crate) const API_SECRET: &str = "journeys-vonage-secret";
/// Its voice application.
pub(crate) const APPLICATION: &str = "aaaaaaaa-bbbb-4ccc-8ddd-0123456789ab";
/// What it signs with.
pub(crate) const SIGNATURE_SECRET: &str = "journeys-vonage-signature-secret";
/// Its number, as it writes it.
pub(crate) const MSISDN: &str = "15005550007";

/// Makes the account the tenant's, and lets the agent answer its number.
pub(crate) async fn open_line(api: &Api, agent_id: &Value) {
    let catalogue = api.get("/v1/integrations").await.unwrap();
    let vonage = catalogue["integrations"].as_array().unwrap().iter().find(|it| it["provider"] == "vonage").unwrap();
    let credential = json!({
        "integration_id": vonage["id"],
        "credential_name": "the other carrier",
        "credential_type": "basic_auth",
        "credentials": {
            "api_key": API_KEY, "api_secret": API_SECRET, "application_id": APPLICATION,
            "private_key": trunkline_sim::keys::RSA_PRIVATE, "signature_secret": SIGNATURE_SECRET,
        },
    });
    let credential = api.post("/v1/integrations/credentials", &credential).await.unwrap();
    let number = json!({
        "provider": "vonage",
        "phone_number": format!("+{MSISDN}"),
        "credential_id": credential["credential_id"],
        "agent_id": agent_id,
    });
    api.post("/v1/phone-numbers", &number).await.unwrap();
}
