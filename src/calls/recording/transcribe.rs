//! `POST /v1/conversations/{conversation_id}/transcribe`: a recording is sent to Deepgram once more, and what is heard in it comes back to
//! `POST /webhooks/deepgram`.
//!
//! The vendor signs nothing, so the address that it is given holds credentials that were minted for this one request (HTTP Basic). Only
//! their hash is kept; the address goes to the vendor and into no log. The answer to the client waits until the vendor has the recording:
//! what it is refused with is then known, and nothing has to be remembered for later.

use std::time::Duration;

use axum::{
    body::to_bytes,
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{DateTime, Utc};
use serde::Serialize;
use trunkline_base::{CallId, Clock, Secret, SystemClock};
use trunkline_control::{
    agents::{config::AgentConfig, store as agents},
    auth::{Allowed, Member},
    conversations::calls as stored,
    credentials::store as credentials,
    error::{ApiError, ErrorBody, ErrorCode},
    http::{Envelope, PathId, Reply, WriteRefusals},
    lookup,
    recordings::transcription::{self, Entry},
    tenant::TenantId,
    tenants::store as tenants,
};
use trunkline_media::{
    account::AccountError,
    net::BaseUrl,
    stt::deepgram::recorded::{self, Recording, Utterance},
};
use url::Url;
use utoipa::ToSchema;
use uuid::Uuid;

use super::route::{open, unavailable, whole};
use crate::{
    calls::{Calls, token},
    compose::CallKeys,
};

/// Who the vendor says that it is.
const USER: &str = "trunkline";
/// How long the vendor may take. It tries to bring a result for five minutes.
const VALID_FOR: Duration = Duration::from_secs(3 * 3600);
/// How long sending a recording may take: half an hour of a call is 58 MB.
const SEND_LIMIT: Duration = Duration::from_secs(25);
/// The largest result that is read: every word of hours of talk has its times.
const MAX_RESULT: usize = 16 * 1024 * 1024;
/// What hears a recording where the agent's own model only hears what is live.
const NOVA: &str = "nova-3";

/// A new transcript is on its way.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Requested {
    conversation_id: Uuid,
    /// What hears it.
    #[schema(example = "nova-3")]
    model: String,
    /// `requested`: it will be the conversation's `retranscription`.
    #[schema(example = "requested")]
    status: &'static str,
}

/// What a recording is sent with.
struct Access {
    base_url: BaseUrl,
    key: Secret,
    model: String,
    language: Option<String>,
    redact_numbers: bool,
}

/// Transcribe a recording anew
///
/// Sends the recording, each side by itself, to the agent's speech vendor. What it hears becomes the conversation's `retranscription`;
/// its `transcript`, which is what was heard live, stays as it is. Asking again replaces the one before when the new one is there.
#[utoipa::path(
    post, path = "/v1/conversations/{conversation_id}/transcribe", tag = "conversations", operation_id = "transcribe_recording",
    security(("bearer" = [])),
    params(("conversation_id" = Uuid, Path)),
    responses(
        (status = 202, description = "The vendor has the recording", body = Envelope<Requested>),
        (status = 409, description = "There is no recording yet; or the agent's credential is missing or fails its test", body = ErrorBody),
        (status = 502, description = "The vendor does not take it", body = ErrorBody),
        WriteRefusals,
    )
)]
pub(super) async fn transcribe(
    State(calls): State<Calls>,
    caller: Allowed<Member>,
    id: PathId,
) -> Result<Reply<Requested>, ApiError> {
    let id = id.or(ErrorCode::ConversationNotFound)?;
    let tenant = caller.tenant;
    let found = calls.find_recording(tenant, id).await?;
    let joined = whole(&found).map_err(|error| ApiError::conflict(error.message))?;
    let access = calls.hearing(tenant, id).await?;
    let (secret, hash) = token::mint(SystemClock.now());
    let recording = Recording {
        model: access.model.clone(),
        language: access.language,
        redact_numbers: access.redact_numbers,
        tag: id.to_string(),
        callback: callback(&calls.0.public_url, &secret)?,
        length: joined.len(),
    };
    let bytes = open(&calls.0.recordings.0.objects, joined.stretches(0..joined.len())).await.map_err(unavailable)?;
    let mut tx = calls.control().db.begin(tenant).await?;
    transcription::request(&mut tx, tenant, id, hash.bytes(), VALID_FOR, &recording.model).await?;
    tx.commit().await?;
    let http = calls.0.composer.vendors_http();
    let body = reqwest::Body::wrap_stream(bytes);
    let sent = recorded::transcribe(http, &access.base_url, &access.key, &recording, body, SEND_LIMIT).await;
    if let Err(error) = sent {
        let mut tx = calls.control().db.begin(tenant).await?;
        transcription::refused(&mut tx, tenant, id, hash.bytes()).await?;
        tx.commit().await?;
        return Err(refused(&error));
    }
    metrics::counter!("trunkline_retranscriptions_total", "state" => "requested").increment(1);
    Ok(Reply::accepted(
        "The recording is being transcribed",
        Requested { conversation_id: id, model: access.model, status: "requested" },
    ))
}

/// A transcription's result
///
/// For Deepgram, with the HTTP Basic credentials of the address that it was given. What is brought again changes nothing.
#[utoipa::path(
    post, path = "/webhooks/deepgram", tag = "webhooks", operation_id = "receive_deepgram_webhook",
    request_body(content = serde_json::Value, description = "As Deepgram answers for a recording"),
    responses(
        (status = 204, description = "Kept, or known"),
        (status = 403, description = "WEBHOOK_SIGNATURE_INVALID", body = ErrorBody),
        (status = 413, description = "PAYLOAD_TOO_LARGE", body = ErrorBody),
        (status = 422, description = "VALIDATION_ERROR: it is no result", body = ErrorBody),
        (status = 503, description = "OVERLOADED: the database is unavailable", body = ErrorBody),
    )
)]
pub(super) async fn deepgram(State(calls): State<Calls>, request: Request) -> Result<Response, ApiError> {
    let hash = secret(request.headers()).map(|secret| token::hash(secret.expose()));
    let hash = hash.ok_or_else(unknown)?;
    let found = lookup::deepgram_callback(&calls.control().db, &hash).await?.ok_or_else(unknown)?;
    if found.used {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let now: DateTime<Utc> = SystemClock.wall().into();
    if found.expires_at < now {
        return Err(unknown());
    }
    tracing::Span::current().record("tenant_id", tracing::field::display(found.tenant));
    let body = to_bytes(request.into_body(), MAX_RESULT).await;
    let body = body.map_err(|_| ApiError::new(ErrorCode::PayloadTooLarge, "The result is too large, or broke off"))?;
    let result = tokio::task::spawn_blocking(move || recorded::read_result(&body)).await;
    let result = result.map_err(|error| ApiError::internal(&error))?;
    let utterances = result.map_err(|error| ApiError::new(ErrorCode::ValidationError, error.to_string()))?;
    let entries = utterances.map(|utterances| utterances.into_iter().map(entry).collect::<Vec<_>>());
    let (tenant, id) = (found.tenant, found.conversation);
    let mut tx = calls.control().db.begin(tenant).await?;
    let kept = transcription::bring(&mut tx, tenant, id.as_uuid(), &hash, entries.as_deref()).await?;
    tx.commit().await?;
    if kept {
        let state = if entries.is_some() { "done" } else { "failed" };
        metrics::counter!("trunkline_retranscriptions_total", "state" => state).increment(1);
        tracing::info!(call = %id, state, entries = entries.map_or(0, |entries| entries.len()), "a recording was transcribed anew");
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}

impl Calls {
    /// By what a conversation's recording is heard: the agent's model and credential, in the version that the call ran.
    async fn hearing(&self, tenant: TenantId, id: Uuid) -> Result<Access, ApiError> {
        let mut tx = self.control().db.begin(tenant).await?;
        let missing = || ApiError::not_found(ErrorCode::ConversationNotFound);
        let call = stored::read(&mut tx, tenant, CallId::from(id)).await?.ok_or_else(missing)?;
        let agent = agents::get_version(&mut tx, tenant, call.agent, call.agent_version).await?.ok_or_else(missing)?;
        let found = credentials::for_call(&mut tx, tenant, &agent.config.integrations).await?;
        let settings = tenants::settings(&mut tx, tenant).await?;
        tx.commit().await?;
        let no_credential = |error: &dyn std::fmt::Display| {
            ApiError::new(ErrorCode::IntegrationTestFailed, format!("The recording cannot be transcribed: {error}"))
        };
        let opened = found
            .into_iter()
            .map(|(provider, stored)| Ok((provider, self.control().vault.open(&stored.encrypted)?)))
            .collect::<Result<CallKeys, trunkline_control::vault::VaultError>>();
        let keys = opened.map_err(|error| no_credential(&error))?;
        let (base_url, key) = self.0.composer.speech(&keys).map_err(|error| no_credential(&error))?;
        let (model, language) = heard_by(&agent.config);
        Ok(Access { base_url, key, model, language, redact_numbers: settings.redaction.numbers })
    }
}

/// The agent's own model, if it hears recordings.
fn heard_by(agent: &AgentConfig) -> (String, Option<String>) {
    let speech = &agent.speech_config;
    let model = if speech.model.starts_with("flux") { NOVA.to_owned() } else { speech.model.clone() };
    (model, speech.language.clone())
}

/// The address for the vendor. It is a secret: whoever has it may bring a result.
fn callback(public_url: &str, secret: &Secret) -> Result<Secret, ApiError> {
    let broken = || ApiError::internal(&"PUBLIC_URL is no address");
    let mut url = Url::parse(public_url).map_err(|_| broken())?;
    url.set_path("/webhooks/deepgram");
    url.set_username(USER).and_then(|()| url.set_password(Some(secret.expose()))).map_err(|()| broken())?;
    Ok(Secret::new(String::from(url)))
}

/// The password of HTTP Basic credentials in our user's name.
fn secret(headers: &HeaderMap) -> Option<Secret> {
    let (scheme, credentials) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let credentials = String::from_utf8(STANDARD.decode(credentials.trim()).ok()?).ok()?;
    let (user, password) = credentials.split_once(':')?;
    (user == USER && !password.is_empty()).then(|| Secret::new(password))
}

fn unknown() -> ApiError {
    metrics::counter!("trunkline_webhooks_refused_total").increment(1);
    ApiError::new(
        ErrorCode::WebhookSignatureInvalid,
        "These are not the credentials of a transcription that is waited for",
    )
}

fn refused(error: &AccountError) -> ApiError {
    let code = match error {
        AccountError::WrongKey(_)
        | AccountError::NoPermission(_)
        | AccountError::Address(_)
        | AccountError::BaseUrl => ErrorCode::IntegrationTestFailed,
        _ => ErrorCode::ExternalApiError,
    };
    let details = serde_json::json!({ "vendor": "deepgram" });
    ApiError::new(code, format!("Deepgram does not take the recording: {error}")).details(details)
}

/// Postgres' text holds everything but the character 0.
fn entry(utterance: Utterance) -> Entry {
    let ms = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    Entry {
        speaker: if utterance.channel == 0 { "customer" } else { "agent" }.to_owned(),
        text: utterance.text.expose().replace('\0', "\u{fffd}"),
        started_ms: ms(utterance.start),
        ended_ms: ms(utterance.end),
        confidence: utterance.confidence,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_brings_back_its_own_credentials_and_shows_them_to_nobody() {
        let (minted, hash) = token::mint(SystemClock.now());
        let url = callback("https://voice.example.com", &minted).unwrap();
        assert!(!format!("{url:?}").contains(minted.expose()));
        let url = Url::parse(url.expose()).unwrap();
        assert_eq!((url.path(), url.query(), url.username()), ("/webhooks/deepgram", None, USER));
        let authorization = |user: &str, password: &str| {
            let mut headers = HeaderMap::new();
            let basic = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
            headers.insert(header::AUTHORIZATION, basic.parse().unwrap());
            secret(&headers)
        };
        let brought = authorization(url.username(), url.password().unwrap()).unwrap();
        assert_eq!(token::hash(brought.expose()), *hash.bytes());
        assert!(authorization("other", url.password().unwrap()).is_none() && authorization(USER, "").is_none());
        let mut headers = HeaderMap::new();
        for wrong in ["Bearer x", "Basic", "Basic ???", "Basic eA=="] {
            headers.insert(header::AUTHORIZATION, wrong.parse().unwrap());
            assert!(secret(&headers).is_none(), "{wrong}");
        }
    }
}
