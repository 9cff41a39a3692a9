//! `GET /v1/models` and `GET /v1/models/{id}`.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Extension, Json,
    extract::{Path, Query, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::{RequestId, Shared, error::ApiError};
use crate::{fault::Fault, http_fault};

/// A model in the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelEntry {
    /// Its id. One that ends with a date is also known without it.
    pub id: String,
    /// Its name for people.
    pub display_name: String,
    /// When it came out, in RFC 3339.
    pub created_at: String,
    /// Whether it takes `temperature`, `top_p` and `top_k`, where the version of the API has them.
    pub sampling: bool,
}

impl ModelEntry {
    fn new(id: &str, display_name: &str, created_at: &str, sampling: bool) -> Self {
        Self { id: id.into(), display_name: display_name.into(), created_at: created_at.into(), sampling }
    }

    /// Whether `name` is its id, or its id without the date.
    fn is(&self, name: &str) -> bool {
        let dated = || self.id.strip_prefix(name)?.strip_prefix('-').filter(|date| date.len() == 8);
        self.id == name || dated().is_some_and(|date| date.bytes().all(|byte| byte.is_ascii_digit()))
    }

    fn to_json(&self) -> Value {
        json!({
            "type": "model",
            "id": self.id,
            "display_name": self.display_name,
            "created_at": self.created_at,
            "lifecycle": "active",
            "line": self.id.split('-').nth(1),
            "capabilities": null,
            "max_input_tokens": 200_000,
            "max_tokens": 64_000,
            "deprecated_at": null,
            "retires_at": null,
        })
    }
}

/// The models the simulator has unless it is told otherwise. The vendor dates what it will not date at the epoch.
pub(super) fn default_models() -> Vec<ModelEntry> {
    const EPOCH: &str = "1970-01-01T00:00:00Z";
    vec![
        ModelEntry::new("claude-opus-5-5", "Claude Opus 5.5", EPOCH, false),
        ModelEntry::new("claude-sonnet-5-5", "Claude Sonnet 5.5", EPOCH, false),
        ModelEntry::new("claude-haiku-5-5", "Claude Haiku 5.5", EPOCH, false),
        ModelEntry::new("claude-opus-4-7", "Claude Opus 4.7", EPOCH, false),
        ModelEntry::new("claude-haiku-4-5-20251001", "Claude Haiku 4.5", "2025-10-15T00:00:00Z", true),
        ModelEntry::new("claude-sonnet-4-5-20250929", "Claude Sonnet 4.5", "2025-09-29T00:00:00Z", true),
    ]
}

impl Shared {
    /// The model of that name.
    pub(super) fn model(&self, name: &str) -> Option<&ModelEntry> {
        self.config.models.iter().find(|model| model.is(name))
    }
}

/// Runs before each request for models: the scripted fault, the key, and the API's version.
pub(super) async fn enter(
    State(shared): State<Arc<Shared>>,
    Extension(RequestId(id)): Extension<RequestId>,
    request: Request,
    next: Next,
) -> Response {
    match shared.config.models_script.next() {
        None => match shared.admit(request.headers()) {
            Ok(_) => next.run(request).await,
            Err(error) => error.response(&id),
        },
        Some(Fault::Refuse { status, retry_after }) => {
            ApiError::refusal(status, retry_after, shared.config.throttle).response(&id)
        }
        Some(Fault::ErrorAfter(after, kind)) => {
            tokio::time::sleep(after).await;
            ApiError::midway(&kind).response(&id)
        }
        Some(fault) => http_fault::answer(fault).await,
    }
}

pub(super) async fn list(
    State(shared): State<Arc<Shared>>,
    Extension(RequestId(id)): Extension<RequestId>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    page(&shared.config.models, &query).map_or_else(|error| error.response(&id), |page| Json(page).into_response())
}

pub(super) async fn read(
    State(shared): State<Arc<Shared>>,
    Extension(RequestId(id)): Extension<RequestId>,
    Path(name): Path<String>,
) -> Response {
    shared.model(&name).map_or_else(
        || ApiError::not_found(&format!("model: {name}")).response(&id),
        |model| Json(model.to_json()).into_response(),
    )
}

fn page(models: &[ModelEntry], query: &BTreeMap<String, String>) -> Result<Value, ApiError> {
    let size: usize = match query.get("limit") {
        None => 20,
        Some(text) => (text.parse().ok())
            .filter(|size| (1..=1_000).contains(size))
            .ok_or_else(|| ApiError::invalid("limit: Input should be between 1 and 1000"))?,
    };
    let place = |name: &str| {
        let of = |id: &String| models.iter().position(|model| model.id == *id);
        let cursor =
            query.get(name).map(|id| of(id).ok_or_else(|| ApiError::invalid(format!("{name}: no such model"))));
        cursor.transpose()
    };
    let (start, end) = match (place("after_id")?, place("before_id")?) {
        (Some(_), Some(_)) => return Err(ApiError::invalid("Only one of before_id and after_id may be given")),
        (Some(after), None) => (after + 1, (after + 1 + size).min(models.len())),
        (None, Some(before)) => (before.saturating_sub(size), before),
        (None, None) => (0, size.min(models.len())),
    };
    let data = &models[start..end];
    let more = if query.contains_key("before_id") { start > 0 } else { end < models.len() };
    Ok(json!({
        "data": data.iter().map(ModelEntry::to_json).collect::<Vec<_>>(),
        "has_more": more,
        "first_id": data.first().map(|model| &model.id),
        "last_id": data.last().map(|model| &model.id),
    }))
}
