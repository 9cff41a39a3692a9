//! What a test needs to be there, made through the API.

use serde_json::{Value, json};
use uuid::Uuid;

use super::{Answer, Api, User};
use crate::vendors::Provider;

/// An RSA key of 2048 bits that opens nothing.
pub const PRIVATE_KEY: &str = include_str!("private_key.pem");

/// The catalogue's id of a provider's integration.
pub fn integration_id(provider: Provider) -> Uuid {
    let n = Provider::ALL.into_iter().zip(1..).find(|(each, _)| *each == provider).map_or(0, |(_, n)| n);
    Uuid::from_u128(0x01900000_0000_7000_8000_000000000000 + n)
}

/// A body that makes an agent: what is required.
pub fn agent_body(name: &str) -> Value {
    json!({
        "name": name, "voice_config": { "voice_id": "v1" },
        "ai_config": { "provider": "openai", "model": "gpt-4", "instructions": "Help {{customer_name}}." }
    })
}

impl Api {
    /// A credential with this key, which its vendor takes.
    pub async fn credential(&self, user: &User, provider: Provider, key: &str) -> Uuid {
        self.vendors.accept(key);
        let (kind, fields) = match provider {
            Provider::Twilio => {
                ("basic_auth", json!({ "account_sid": format!("AC{}", Uuid::now_v7().simple()), "auth_token": key }))
            }
            Provider::Vonage => (
                "basic_auth",
                json!({ "api_key": key, "api_secret": "s", "application_id": Uuid::now_v7(), "private_key": PRIVATE_KEY, "signature_secret": "s" }),
            ),
            Provider::Salesforce => (
                "oauth",
                json!({ "flow": "client_credentials", "my_domain": "acme", "client_id": key, "client_secret": "s" }),
            ),
            Provider::Openai | Provider::Claude | Provider::Deepgram | Provider::Elevenlabs => {
                ("api_key", json!({ "api_key": key }))
            }
        };
        let body = json!({
            "integration_id": integration_id(provider), "credential_name": format!("Our {provider}"),
            "credential_type": kind, "credentials": fields,
        });
        id_of(&self.post(user, "/v1/integrations/credentials", body).await, "credential_id")
    }

    /// An integration that is installed with a credential.
    pub async fn installation(&self, user: &User, provider: Provider, credential: Uuid) -> Uuid {
        let body = json!({ "integration_id": integration_id(provider), "credential_id": credential });
        id_of(&self.post(user, "/v1/integrations/install", body).await, "installation_id")
    }

    /// An agent with little more than what is required.
    pub async fn agent(&self, user: &User, integrations: &[Uuid]) -> Uuid {
        let mut body = agent_body("Ada");
        body["integrations"] = json!(integrations);
        id_of(&self.post(user, "/v1/voice-agents", body).await, "id")
    }

    /// A number of Twilio's that the account with this key owns.
    pub async fn phone_number(&self, user: &User, number: &str, key: &str, agent: Option<Uuid>) -> Uuid {
        let credential = self.credential(user, Provider::Twilio, key).await;
        self.vendors.number(number, key);
        let body =
            json!({ "provider": "twilio", "phone_number": number, "credential_id": credential, "agent_id": agent });
        id_of(&self.post(user, "/v1/phone-numbers", body).await, "id")
    }
}

#[track_caller]
fn id_of(answer: &Answer, key: &str) -> Uuid {
    let id: &Value = &answer.data()[key];
    id.as_str().and_then(|id| Uuid::try_parse(id).ok()).unwrap_or_else(|| panic!("{key} is an id: {:#}", answer.body))
}
