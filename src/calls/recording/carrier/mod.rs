//! Recordings that a carrier makes: told of by its callbacks, and left with it.
//!
//! Of copying them into our store or fetching them when somebody listens, it is the latter: a tenant that has its carrier record has chosen
//! where that is kept, and a copy would be a second one to pay for and to erase. So a row names the carrier's own id, audio is fetched with
//! the account that made it (never from an address that is not the carrier's), and erasing deletes it there.

mod twilio;
mod vonage;

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::Response,
};
use futures_util::TryStreamExt;
use serde_json::json;
use trunkline_base::CallId;
use trunkline_control::{
    error::{ApiError, ErrorCode},
    recordings::store::{self, OfCarrier},
    tenant::TenantId,
    vendors::Provider,
};

pub(in crate::calls) use self::twilio::TwilioRecording;
use self::{twilio::AtTwilio, vonage::AtVonage};
use crate::calls::Calls;

/// Where a carrier has a recording, as a row says it.
enum AtCarrier {
    Twilio(AtTwilio),
    Vonage(AtVonage),
}

impl AtCarrier {
    fn read(location: &str) -> Option<Self> {
        AtTwilio::read(location).map(Self::Twilio).or_else(|| AtVonage::read(location).map(Self::Vonage))
    }
}

impl Calls {
    /// Keeps where a carrier has a recording; of a conversation that is erased, that goes too.
    async fn keep_of_carrier(
        &self,
        tenant: TenantId,
        id: CallId,
        location: &str,
        duration_ms: Option<i32>,
    ) -> Result<(), ApiError> {
        let mut tx = self.control().db.begin(tenant).await?;
        let kept = store::of_carrier(&mut tx, tenant, id, location, duration_ms).await?;
        tx.commit().await?;
        if kept {
            return Ok(());
        }
        tracing::info!(call = %id, "a carrier's recording of an erased conversation is deleted");
        self.delete_at_carrier(tenant, location).await.map_err(|cause| {
            tracing::warn!(call = %id, cause, "a carrier's recording could not be deleted");
            ApiError::overloaded("Try again", std::time::Duration::from_secs(30))
        })
    }

    /// What a carrier has recorded, as it gives it.
    pub(super) async fn hear_at_carrier(
        &self,
        tenant: TenantId,
        recording: &OfCarrier,
        method: &Method,
        headers: &HeaderMap,
    ) -> Result<Response, ApiError> {
        let range = headers.get(header::RANGE).and_then(|range| range.to_str().ok());
        let theirs = match AtCarrier::read(&recording.location).ok_or_else(gone)? {
            AtCarrier::Twilio(at) => self.hear_at_twilio(tenant, &at, range).await?,
            AtCarrier::Vonage(at) => self.hear_at_vonage(tenant, &at, range).await?,
        };
        let partial = theirs.status() == StatusCode::PARTIAL_CONTENT;
        let mut response = Response::builder()
            .status(if partial { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK })
            .header(header::CONTENT_TYPE, sound(theirs.headers().get(header::CONTENT_TYPE)))
            .header(header::CACHE_CONTROL, "private, no-cache");
        for name in [header::CONTENT_LENGTH, header::CONTENT_RANGE, header::ACCEPT_RANGES] {
            if let Some(value) = theirs.headers().get(&name) {
                response = response.header(name, value);
            }
        }
        // The library's own words would hold the address.
        let bytes = theirs.bytes_stream().map_err(|_| std::io::Error::other("the carrier's answer broke off"));
        let body = if *method == Method::HEAD { Body::empty() } else { Body::from_stream(bytes) };
        response.body(body).map_err(|error| ApiError::internal(&error))
    }

    /// Deletes what a carrier has recorded.
    pub(super) async fn delete_at_carrier(&self, tenant: TenantId, location: &str) -> Result<(), String> {
        match AtCarrier::read(location) {
            Some(AtCarrier::Twilio(at)) => self.delete_at_twilio(tenant, &at).await,
            Some(AtCarrier::Vonage(at)) => self.delete_at_vonage(tenant, &at).await,
            None => Ok(()),
        }
    }
}

/// The media type of what a carrier gives: one of them writes MP3 too. Nothing else than sound is passed on as what it says that it is.
fn sound(theirs: Option<&HeaderValue>) -> &'static str {
    match theirs.and_then(|kind| kind.to_str().ok()).map(|kind| kind.split(';').next().unwrap_or_default().trim()) {
        Some("audio/mpeg" | "audio/mp3") => "audio/mpeg",
        Some("audio/ogg") => "audio/ogg",
        _ => "audio/wav",
    }
}

fn gone() -> ApiError {
    ApiError::new(ErrorCode::NotFound, "The carrier's recording is gone")
}

fn no_account() -> ApiError {
    ApiError::new(ErrorCode::IntegrationTestFailed, "No credential holds the carrier's account any more")
}

fn no_such_range() -> ApiError {
    ApiError::new(ErrorCode::ValidationError, "The range lies behind its end").status(StatusCode::RANGE_NOT_SATISFIABLE)
}

fn fails(provider: Provider, error: &dyn std::fmt::Display) -> ApiError {
    ApiError::new(ErrorCode::ExternalApiError, format!("The carrier does not give its recording: {error}"))
        .details(json!({ "vendor": provider }))
}
