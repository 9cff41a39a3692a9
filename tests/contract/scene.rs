//! A tenant who has some of everything, for requests to name.

use serde_json::{Map, Value, json};
use trunkline::cli::api::Api;
use trunkline_base::Secret;
use trunkline_control::{db::Db, tenant::TenantId};
use uuid::Uuid;

use crate::program;

/// How many there are of what may be removed: the first stays.
const SOME: usize = 24;
/// The simulated carrier's number.
const NUMBER: &str = "+15005550006";

/// The tenant.
pub(crate) struct Scene {
    /// Its owner's.
    pub(crate) token: Secret,
    /// Ids by what stands before them in a path. Under `credentials`: bodies of credentials that would be kept. Under `installable`:
    /// credentials that are installed nowhere yet. Under `account` and `number`: what the first credential and the number consist of.
    pub(crate) ids: Value,
}

impl Scene {
    pub(crate) async fn set(url: &str, settings: &[(String, String)], db: &Db) -> Self {
        let tenant = Uuid::now_v7();
        let token = program::output(&["token", "--tenant", &tenant.to_string()], settings).await;
        let token = Secret::new(token);
        let api = Api::new(url, token.clone());
        let mut ids = Map::new();

        let catalogue = api.get("/v1/integrations?limit=100").await.unwrap();
        let catalogue = catalogue["integrations"].as_array().unwrap();
        let integration =
            |provider: &str| catalogue.iter().find(|it| it["provider"] == provider).map(|it| it["id"].clone()).unwrap();
        ids.insert("/v1/integrations/".into(), catalogue.iter().map(|it| it["id"].clone()).collect());
        let setting = |name: &str| settings.iter().find(|(it, _)| it == name).map(|(_, value)| value.as_str()).unwrap();
        let key = |provider: &str, name: &str| {
            json!({
                "integration_id": integration(provider),
                "credential_name": provider,
                "credential_type": "api_key",
                "credentials": { "api_key": setting(name) },
            })
        };
        let account = json!({
            "integration_id": integration("twilio"),
            "credential_name": "twilio",
            "credential_type": "basic_auth",
            "credentials": { "account_sid": setting("TWILIO_ACCOUNT_SID"), "auth_token": setting("TWILIO_AUTH_TOKEN") },
        });
        let forms = [
            key("deepgram", "DEEPGRAM_API_KEY"),
            key("openai", "OPENAI_API_KEY"),
            key("elevenlabs", "ELEVENLABS_API_KEY"),
            account.clone(),
        ];

        // The first of each is the carrier's, which the number needs.
        let (mut credentials, mut installations) = (Vec::new(), Vec::new());
        for form in std::iter::once(&account).chain(forms.iter().cycle().take(SOME)) {
            let id = api.post("/v1/integrations/credentials", form).await.unwrap()["credential_id"].clone();
            let install = json!({ "integration_id": form["integration_id"], "credential_id": id, "config": {} });
            let installed = api.post("/v1/integrations/install", &install).await.unwrap();
            credentials.push(id);
            installations.push(installed["installation_id"].clone());
        }
        // Some that nothing uses, so that they can be removed.
        for form in forms.iter().cycle().take(SOME) {
            let id = api.post("/v1/integrations/credentials", form).await.unwrap()["credential_id"].clone();
            credentials.push(id);
        }

        let mut installable = Vec::new();
        for form in &forms {
            let id = api.post("/v1/integrations/credentials", form).await.unwrap()["credential_id"].clone();
            installable.push(json!({ "integration_id": form["integration_id"], "credential_id": id }));
        }

        let mut agent: Value = serde_json::from_str(include_str!("../../fixtures/scenarios/demo/agent.json")).unwrap();
        agent["integrations"] = json!([installations[0]]);
        let mut agents = Vec::new();
        for _ in 0..SOME {
            agents.push(api.post("/v1/voice-agents", &agent).await.unwrap()["id"].clone());
        }
        let number = json!({
            "provider": "twilio", "phone_number": NUMBER, "credential_id": credentials[0], "agent_id": agents[0],
        });
        let number = api.post("/v1/phone-numbers", &number).await.unwrap()["id"].clone();

        let agent_id = agents[0].as_str().unwrap().parse().unwrap();
        let mut conversations = Vec::new();
        for _ in 0..SOME {
            conversations.push(conversation(db, TenantId::new(tenant), agent_id).await.to_string());
        }
        let (mut keys, mut members) = (Vec::new(), Vec::new());
        for _ in 0..SOME {
            let key = json!({ "name": "a program", "role": "viewer" });
            keys.push(api.post("/v1/api-keys", &key).await.unwrap()["id"].clone());
            let member = json!({ "user_id": Uuid::now_v7(), "role": "viewer" });
            members.push(api.post("/v1/members", &member).await.unwrap()["user_id"].clone());
        }
        let (mut webhooks, mut deliveries, mut dead) = (Vec::new(), Vec::new(), Vec::new());
        // One may have twenty, and the first stays: there is room for others.
        for _ in 0..8 {
            let hook = json!({ "url": "http://127.0.0.1:65535/hook", "events": ["call.ended"] });
            webhooks.push(api.post("/v1/webhooks", &hook).await.unwrap()["id"].clone());
        }
        let hook = webhooks[0].as_str().unwrap().parse().unwrap();
        for _ in 0..SOME {
            let (delivery, job) = told(db, TenantId::new(tenant), hook).await;
            deliveries.push(delivery.to_string());
            dead.push(job.to_string());
        }
        let (mut campaigns, mut listed) = (Vec::new(), Vec::new());
        for n in 0..SOME {
            let campaign = json!({ "name": "a campaign", "agent_id": agents[0] });
            let campaign = api.post("/v1/campaigns", &campaign).await.unwrap()["id"].clone();
            let contacts =
                json!({ "contacts": [{ "phone_number": "+14155550111", "context": { "customer_name": "Ann" } }] });
            api.post(&format!("/v1/campaigns/{}/contacts", campaign.as_str().unwrap()), &contacts).await.unwrap();
            campaigns.push(campaign);
            let number = format!("+1415555{:04}", 2000 + n);
            api.post("/v1/do-not-call", &json!({ "phone_number": number })).await.unwrap();
            listed.push(number);
        }
        ids.insert("/v1/campaigns/".into(), campaigns.into());
        ids.insert("/v1/do-not-call/".into(), listed.into());
        ids.insert("/v1/webhooks/".into(), webhooks.into());
        ids.insert("/v1/webhooks/{id}/deliveries/".into(), deliveries.into());
        ids.insert("/v1/jobs/dead/".into(), dead.into());
        ids.insert("/v1/api-keys/".into(), keys.into());
        ids.insert("/v1/members/".into(), members.into());
        ids.insert("/v1/integrations/credentials/".into(), credentials.into());
        ids.insert("/v1/integrations/installed/".into(), installations.into());
        ids.insert("/v1/voice-agents/".into(), agents.into());
        ids.insert("/v1/phone-numbers/".into(), json!([number]));
        ids.insert("/v1/conversations/".into(), conversations.into());
        ids.insert("credentials".into(), forms.to_vec().into());
        ids.insert("installable".into(), installable.into());
        ids.insert("account".into(), account["credentials"].clone());
        ids.insert("number".into(), NUMBER.into());
        Self { token, ids: ids.into() }
    }
}

/// A call that is over, as its node would have written it.
async fn conversation(db: &Db, tenant: TenantId, agent: Uuid) -> Uuid {
    let id = Uuid::now_v7();
    let mut tx = db.begin(tenant).await.unwrap();
    sqlx::query(
        "insert into conversations (tenant_id, id, agent_id, agent_version, channel, provider, direction, customer_phone, our_number,
            status, end_reason, start_time, answered_at, end_time, duration_seconds, outcome, tags)
         values ($1, $2, $3, 1, 'phone', 'twilio', 'inbound', '+14155550111', '+15005550006', 'completed', 'caller_hangup',
            now() - interval '1 minute', now() - interval '55 seconds', now(), 55, 'resolved', '{first}')",
    )
    .bind(tenant.as_uuid())
    .bind(id)
    .bind(agent)
    .execute(tx.connection())
    .await
    .unwrap();
    sqlx::query(
        "insert into turns (tenant_id, conversation_id, seq, speaker, started_ms, ended_ms, text, generated_text, interrupted, source)
         values ($1, $2, 1, 'agent', 0, 1500, 'Hello, this is', 'Hello, this is the workshop.', true, 'greeting'),
                ($1, $2, 2, 'customer', 1600, 3000, 'Where are you?', null, false, 'stt')",
    )
    .bind(tenant.as_uuid())
    .bind(id)
    .execute(tx.connection())
    .await
    .unwrap();
    tx.commit().await.unwrap();
    id
}

/// Something that a webhook could not be told, and an analysis that gave up.
async fn told(db: &Db, tenant: TenantId, hook: Uuid) -> (Uuid, Uuid) {
    let (delivery, job) = (Uuid::now_v7(), Uuid::now_v7());
    let mut tx = db.begin(tenant).await.unwrap();
    sqlx::query(
        "insert into webhook_deliveries (tenant_id, id, endpoint_id, event, payload, status, attempts, response_status, error, attempted_at)
         values ($1, $2, $3, 'call.ended', '{\"type\": \"call.ended\"}', 'failed', 12, 500, 'it was answered with 500', now())",
    )
    .bind(tenant.as_uuid())
    .bind(delivery)
    .bind(hook)
    .execute(tx.connection())
    .await
    .unwrap();
    sqlx::query(
        "insert into jobs (tenant_id, id, kind, subject, state, attempts, error, dead_at)
         values ($1, $2, 'analysis', $2, 'dead', 7, 'the model refuses: HTTP status 401, no code', now())",
    )
    .bind(tenant.as_uuid())
    .bind(job)
    .execute(tx.connection())
    .await
    .unwrap();
    tx.commit().await.unwrap();
    (delivery, job)
}
