//! The API as its user sees it: over HTTP, with a token.

use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Value, json};
use trunkline_base::{Clock, Secret, SystemClock};
use trunkline_control::{
    auth::{Role, development_token},
    tenant::TenantId,
};
use uuid::Uuid;

use crate::config::Vendors;

/// How long a request may take: installing an integration asks its vendor.
const LIMIT: Duration = Duration::from_secs(20);

/// How long a request may take that waits for a carrier.
const PATIENT: Duration = Duration::from_secs(40);

/// How long a stream may last.
const STREAM: Duration = Duration::from_secs(3600);

/// A user of the API.
#[derive(Debug, Clone)]
pub struct Api {
    http: reqwest::Client,
    url: String,
    token: Secret,
}

/// Why a request was not done.
#[derive(Debug, thiserror::Error)]
pub enum ApiFailure {
    #[error("{method} {path}: {cause}")]
    Unreachable { method: &'static str, path: String, cause: String },
    #[error("{method} {path}: {status}: {body}")]
    Refused { method: &'static str, path: String, status: u16, body: Value },
    #[error("{0} has no integration {1}")]
    NoIntegration(&'static str, &'static str),
}

/// What a tenant has set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    /// The agent's id.
    pub agent: String,
    /// What is to be set at the carrier for its number.
    pub webhook_url: String,
}

impl Api {
    /// At this address, without a trailing slash.
    pub fn new(url: &str, token: Secret) -> Self {
        let http = reqwest::Client::builder().no_proxy().timeout(LIMIT).build().expect("a client without options");
        Self { http, url: url.to_owned(), token }
    }

    /// The owner of a new tenant, for an hour, as whoever has the secret that signs tokens may make one.
    pub fn of_new_owner(url: &str, secret: &Secret) -> Self {
        let now = SystemClock.wall().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let (user, tenant) = (Uuid::now_v7(), TenantId::new(Uuid::now_v7()));
        Self::new(url, development_token(secret, user, tenant, Role::Owner, now, now + 3600))
    }

    /// Reads something: what is in its envelope.
    pub async fn get(&self, path: &str) -> Result<Value, ApiFailure> {
        self.send("GET", path, self.http.get(format!("{}{path}", self.url))).await
    }

    /// Removes something: what is in its envelope.
    pub async fn delete(&self, path: &str) -> Result<Value, ApiFailure> {
        self.send("DELETE", path, self.http.delete(format!("{}{path}", self.url))).await
    }

    /// What it is known by.
    pub const fn token(&self) -> &Secret {
        &self.token
    }

    /// Reads something that is no JSON: all of it.
    pub async fn download(&self, path: &str) -> Result<Vec<u8>, ApiFailure> {
        let response = self.answered("GET", path, self.http.get(format!("{}{path}", self.url))).await?;
        let body = response.bytes().await.map_err(|cause| unreachable("GET", path, cause))?;
        Ok(body.to_vec())
    }

    /// Makes something: what is in its envelope.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value, ApiFailure> {
        self.send("POST", path, self.http.post(format!("{}{path}", self.url)).json(body)).await
    }

    /// Changes something: what is in its envelope.
    pub async fn patch(&self, path: &str, body: &Value) -> Result<Value, ApiFailure> {
        self.send("PATCH", path, self.http.patch(format!("{}{path}", self.url)).json(body)).await
    }

    /// Makes something with an `Idempotency-Key`, if there is one: whatever it is answered, with its status and its `Retry-After`.
    pub async fn post_with_key(
        &self,
        path: &str,
        body: &Value,
        key: Option<&str>,
    ) -> Result<(u16, Option<u64>, Value), ApiFailure> {
        let request = self.http.post(format!("{}{path}", self.url)).json(body).timeout(PATIENT);
        let request = key.iter().fold(request, |request, key| request.header("idempotency-key", *key));
        let response = request.bearer_auth(self.token.expose()).send().await;
        let response = response.map_err(|cause| unreachable("POST", path, cause))?;
        let wait = response.headers().get("retry-after").and_then(|wait| wait.to_str().ok()?.parse().ok());
        let status = response.status().as_u16();
        Ok((status, wait, response.json().await.map_err(|cause| unreachable("POST", path, cause))?))
    }

    /// Opens a stream of events, behind the one with this id if there is one.
    pub async fn listen(&self, path: &str, last: Option<&str>) -> Result<reqwest::Response, ApiFailure> {
        let mut request = self.http.get(format!("{}{path}", self.url)).timeout(STREAM);
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        self.answered("GET", path, request).await
    }

    /// The same user, at another node.
    #[must_use]
    pub fn at(&self, url: &str) -> Self {
        Self { url: url.to_owned(), ..self.clone() }
    }

    async fn send(
        &self,
        method: &'static str,
        path: &str,
        request: reqwest::RequestBuilder,
    ) -> Result<Value, ApiFailure> {
        let response = self.answered(method, path, request).await?;
        let mut body: Value = response.json().await.map_err(|cause| unreachable(method, path, cause))?;
        Ok(body["data"].take())
    }

    /// What a request is answered, if that is good.
    async fn answered(
        &self,
        method: &'static str,
        path: &str,
        request: reqwest::RequestBuilder,
    ) -> Result<reqwest::Response, ApiFailure> {
        let request = request.bearer_auth(self.token.expose());
        let response = request.send().await.map_err(|cause| unreachable(method, path, cause))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = response.json().await.map_err(|cause| unreachable(method, path, cause))?;
        Err(ApiFailure::Refused { method, path: path.to_owned(), status: status.as_u16(), body })
    }

    /// Sets a tenant up as its owner would: credentials, installed and thereby tested; an agent that uses them; and a number that
    /// rings it. `told` hears of each step.
    pub async fn set_up(
        &self,
        vendors: &Vendors,
        agent: &Value,
        number: &str,
        mut told: impl FnMut(&str, &Value),
    ) -> Result<Tenant, ApiFailure> {
        let catalogue = self.get("/v1/integrations").await?;
        let key = |key: &Secret| json!({ "api_key": key.expose() });
        let account = json!({
            "account_sid": vendors.twilio_account_sid,
            "auth_token": vendors.twilio_auth_token.expose(),
        });
        let credentials = [
            ("deepgram", "api_key", key(&vendors.deepgram_api_key)),
            ("openai", "api_key", key(&vendors.openai_api_key)),
            ("elevenlabs", "api_key", key(&vendors.elevenlabs_api_key)),
            ("twilio", "basic_auth", account),
        ];
        let mut installations = Vec::new();
        let mut carrier = Value::Null;
        for (provider, kind, fields) in credentials {
            let integrations = catalogue["integrations"].as_array().map_or(&[][..], Vec::as_slice);
            let integration = integrations.iter().find(|entry| entry["provider"] == provider);
            let integration = integration.ok_or(ApiFailure::NoIntegration("the catalogue", provider))?["id"].clone();
            let credential = json!({
                "integration_id": integration,
                "credential_name": provider,
                "credential_type": kind,
                "credentials": fields,
            });
            let credential = self.post("/v1/integrations/credentials", &credential).await?["credential_id"].clone();
            let install = json!({ "integration_id": integration, "credential_id": credential, "config": {} });
            let installed = self.post("/v1/integrations/install", &install).await?;
            told(provider, &installed);
            installations.push(installed["installation_id"].clone());
            if provider == "twilio" {
                carrier = credential;
            }
        }
        let mut agent = agent.clone();
        agent["integrations"] = installations.into();
        let agent = self.post("/v1/voice-agents", &agent).await?;
        told("agent", &agent);
        let number = json!({
            "provider": "twilio",
            "phone_number": number,
            "credential_id": carrier,
            "agent_id": agent["id"],
        });
        let number = self.post("/v1/phone-numbers", &number).await?;
        told("number", &number);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Ok(Tenant { agent: text(&agent["id"]), webhook_url: text(&number["webhook_url"]) })
    }
}

fn unreachable(method: &'static str, path: &str, cause: reqwest::Error) -> ApiFailure {
    ApiFailure::Unreachable { method, path: path.to_owned(), cause: cause.without_url().to_string() }
}
