//! Recordings: had and deleted by the application that they were made for.

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};

use super::{Shared, error::ApiError};

/// `GET /v1/files/{file}`.
pub(super) async fn hear(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Path(file): Path<String>,
) -> Result<Response, ApiError> {
    let application = shared.config.application(&headers)?;
    let wav = shared.recordings.get(&application.id, &file).ok_or_else(ApiError::not_found)?;
    Ok(([(header::CONTENT_TYPE, "audio/wav")], wav).into_response())
}

/// `DELETE /v1/files/{file}`. No page of the vendor's has it.
pub(super) async fn delete(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Path(file): Path<String>,
) -> Result<Response, ApiError> {
    let application = shared.config.application(&headers)?;
    if !shared.recordings.delete(&application.id, &file) {
        return Err(ApiError::not_found());
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}
