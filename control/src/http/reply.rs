//! The envelope of what was done.

use std::time::SystemTime;

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use serde::Serialize;
use trunkline_base::{Clock, SystemClock};
use utoipa::ToSchema;

/// What a successful answer looks like.
#[derive(Debug, Serialize, ToSchema)]
pub struct Envelope<T> {
    /// Always true.
    pub success: bool,
    /// For people.
    pub message: String,
    /// What was asked for.
    pub data: T,
    /// When it was written.
    pub timestamp: DateTime<Utc>,
}

/// No data: `null`.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub struct Empty;

/// A successful answer: 200, unless it says otherwise.
#[derive(Debug)]
pub struct Reply<T> {
    status: StatusCode,
    message: &'static str,
    data: T,
}

impl<T> Reply<T> {
    /// 200.
    pub const fn ok(message: &'static str, data: T) -> Self {
        Self { status: StatusCode::OK, message, data }
    }

    /// 201.
    pub const fn created(message: &'static str, data: T) -> Self {
        Self { status: StatusCode::CREATED, message, data }
    }

    /// 202: the rest goes on without the client.
    pub const fn accepted(message: &'static str, data: T) -> Self {
        Self { status: StatusCode::ACCEPTED, message, data }
    }
}

impl<T: Serialize> IntoResponse for Reply<T> {
    fn into_response(self) -> Response {
        let body = Envelope { success: true, message: self.message.to_owned(), data: self.data, timestamp: now() };
        (self.status, Json(body)).into_response()
    }
}

/// The wall clock, as answers show it.
pub(crate) fn now() -> DateTime<Utc> {
    let wall: SystemTime = SystemClock.wall();
    wall.into()
}
