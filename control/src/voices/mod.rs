//! What an agent can sound like: the speech vendor's voices, and how they sound.
//!
//! The vendor is asked each time: it is the one place where a tenant adds and removes voices.

mod model;
#[cfg(test)]
mod tests;

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use serde_json::json;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use self::model::{Audio, PreviewRequest, VoiceList, VoicesQuery};
use crate::{
    Control,
    auth::{Allowed, Member, Viewer},
    credentials,
    error::{ApiError, ErrorBody, ErrorCode},
    http::{Body, Envelope, Page, PageQuery, Pagination, Params, ReadRefusals, Reply, WriteRefusals},
    tenant::TenantId,
    vault::Fields,
    vendors::Provider,
};

/// Who makes voices.
const SPEAKER: Provider = Provider::Elevenlabs;

pub(crate) fn router() -> OpenApiRouter<Control> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(preview))
}

/// List voices
///
/// Those that the speech vendor has for the tenant, in the vendor's order. Of more than 1000, the first are given and
/// `total_is_lower_bound` is true.
#[utoipa::path(
    get, path = "/v1/voices", tag = "voices", operation_id = "list_voices", security(("bearer" = [])), params(PageQuery, VoicesQuery),
    responses(
        (status = 200, description = "A page of them", body = Envelope<VoiceList>),
        (status = 409, description = "There is no credential to ask with, or it lacks something", body = ErrorBody),
        (status = 502, description = "The vendor failed, or refused the credential", body = ErrorBody),
        ReadRefusals,
    )
)]
async fn list(
    caller: Allowed<Viewer>,
    State(control): State<Control>,
    Params(page): Params<PageQuery>,
    Params(query): Params<VoicesQuery>,
) -> Result<Reply<VoiceList>, ApiError> {
    let page = Page::try_from(&page)?;
    let fields = fields(&control, caller.tenant, query.credential()?).await?;
    let found = control.vendors.voices(SPEAKER, &fields).await?;
    let total = i64::try_from(found.voices.len()).unwrap_or(i64::MAX);
    let pagination = Pagination { total_is_lower_bound: found.more, ..Pagination::new(page, total) };
    let (skip, take) = (page.offset().unsigned_abs() as usize, page.limit.unsigned_abs() as usize);
    let voices = found.voices.into_iter().skip(skip).take(take).collect();
    Ok(Reply::ok("Voices", VoiceList { provider: SPEAKER, voices, pagination }))
}

/// Hear a voice
///
/// The text is spoken by the vendor, and costs what the vendor asks for it.
#[utoipa::path(
    post, path = "/v1/voices/preview", tag = "voices", operation_id = "preview_voice", security(("bearer" = [])), request_body = PreviewRequest,
    responses(
        (status = 200, description = "The text, spoken", content_type = "audio/mpeg", body = inline(Audio)),
        (status = 409, description = "There is no credential to speak with, or it lacks something", body = ErrorBody),
        (status = 502, description = "The vendor failed, or refused the credential, the voice or the model", body = ErrorBody),
        WriteRefusals,
    )
)]
async fn preview(
    caller: Allowed<Member>,
    State(control): State<Control>,
    Body(body): Body<PreviewRequest>,
) -> Result<Response, ApiError> {
    let credential = body.credential_id;
    let speech = body.into_speech()?;
    let fields = fields(&control, caller.tenant, credential).await?;
    let audio = control.vendors.speak(SPEAKER, &fields, &speech).await?;
    // Whoever hears it again would pay again, but what it says is the tenant's own.
    let headers = [(header::CONTENT_TYPE, "audio/mpeg"), (header::CACHE_CONTROL, "private, no-store")];
    Ok((headers, audio).into_response())
}

/// The given credential's fields, else those of the tenant's default installation, else the platform's own.
async fn fields(control: &Control, tenant: TenantId, given: Option<Uuid>) -> Result<Fields, ApiError> {
    let mut tx = control.db.begin(tenant).await?;
    let stored = match given {
        Some(id) => {
            let stored = credentials::store::get_encrypted(&mut tx, tenant, id).await?;
            let stored = stored.ok_or_else(|| ApiError::not_found(ErrorCode::CredentialNotFound))?;
            if stored.provider != SPEAKER {
                let message = format!("is a credential of {}: voices are {SPEAKER}'s", stored.provider);
                return Err(ApiError::field("credential_id", message));
            }
            Some(stored)
        }
        None => {
            let defaults = credentials::store::for_call(&mut tx, tenant, &[]).await?;
            defaults.into_iter().find(|(provider, _)| *provider == SPEAKER).map(|(_, stored)| stored)
        }
    };
    drop(tx);
    match stored {
        Some(stored) => control.vault.open(&stored.encrypted).map_err(|error| ApiError::internal(&error)),
        None => control.vendors.platform(SPEAKER).ok_or_else(|| {
            let message = format!(
                "There is no credential for {SPEAKER}: install the integration {SPEAKER}, or name one of its credentials in credential_id"
            );
            ApiError::new(ErrorCode::IntegrationTestFailed, message).details(json!({ "vendor": SPEAKER }))
        }),
    }
}
