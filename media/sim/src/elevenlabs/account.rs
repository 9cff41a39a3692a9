//! The account: voices, models and the user.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json,
    extract::{Path, Query, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::{Shared, config::VoiceEntry, error::ApiError};
use crate::{fault::Fault, http_fault};

/// Model ids, names, and the most characters of a request.
const MODELS: [(&str, &str, usize); 7] = [
    ("eleven_flash_v2_5", "Eleven Flash v2.5", 40_000),
    ("eleven_turbo_v2_5", "Eleven Turbo v2.5", 40_000),
    ("eleven_flash_v2", "Eleven Flash v2", 30_000),
    ("eleven_turbo_v2", "Eleven Turbo v2", 30_000),
    ("eleven_multilingual_v2", "Eleven Multilingual v2", 10_000),
    ("eleven_v3", "Eleven v3", 5_000),
    ("eleven_monolingual_v1", "Eleven English v1", 10_000),
];

/// Looks up a model: the most characters of a request.
pub(super) fn check_model(id: &str) -> Result<usize, ApiError> {
    let model = MODELS.iter().find(|model| model.0 == id);
    model
        .map(|model| model.2)
        .ok_or_else(|| ApiError::invalid("model_id", format!("A model with model ID {id} does not exist.")))
}

type Answer = Result<Response, ApiError>;

pub(super) async fn models() -> Answer {
    let describe = |(id, name, most): (&str, &str, usize)| {
        json!({
            "model_id": id,
            "name": name,
            "can_do_text_to_speech": true,
            "can_do_voice_conversion": false,
            "can_be_finetuned": false,
            "can_use_style": true,
            "can_use_speaker_boost": true,
            "languages": [{"language_id": "en", "name": "English"}, {"language_id": "de", "name": "German"}],
            "maximum_text_length_per_request": most,
            "concurrency_group": "turbo",
        })
    };
    Ok(Json(MODELS.map(describe)).into_response())
}

pub(super) async fn subscription() -> Answer {
    Ok(Json(plan()).into_response())
}

pub(super) async fn user() -> Answer {
    Ok(Json(
        json!({"user_id": "simulated", "first_name": null, "is_onboarding_completed": true, "subscription": plan()}),
    )
    .into_response())
}

pub(super) async fn voices(State(shared): State<Arc<Shared>>) -> Answer {
    let all: Vec<Value> = shared.config.voices.iter().map(describe).collect();
    Ok(Json(json!({"voices": all})).into_response())
}

pub(super) async fn voice(State(shared): State<Arc<Shared>>, Path(id): Path<String>) -> Answer {
    let found = shared.config.voices.iter().find(|voice| voice.voice_id == id);
    found.map(|voice| Json(describe(voice)).into_response()).ok_or_else(|| ApiError::voice_not_found(&id))
}

/// The list in pages. Its token is the number of voices before the page; clients must not care.
pub(super) async fn voices_paged(
    State(shared): State<Arc<Shared>>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Answer {
    let size: usize = match query.get("page_size") {
        None => 10,
        Some(text) => text
            .parse()
            .ok()
            .filter(|size| (1..=100).contains(size))
            .ok_or_else(|| ApiError::invalid("page_size", "page_size must be a number from 1 to 100."))?,
    };
    let start: usize = match query.get("next_page_token") {
        None => 0,
        Some(token) => token
            .strip_prefix("after-")
            .and_then(|number| number.parse().ok())
            .ok_or_else(|| ApiError::invalid("next_page_token", "next_page_token is invalid."))?,
    };
    let mut found: Vec<&VoiceEntry> = shared.config.voices.iter().filter(|voice| wanted(voice, &query)).collect();
    if query.get("sort").is_some_and(|sort| sort == "name") {
        found.sort_by(|one, other| one.name.cmp(&other.name));
    }
    if query.get("sort_direction").is_some_and(|direction| direction == "desc") {
        found.reverse();
    }
    let page: Vec<Value> = found.iter().skip(start).take(size).map(|voice| describe(voice)).collect();
    let end = start + page.len();
    let has_more = end < found.len();
    let counted = query.get("include_total_count").is_none_or(|include| include != "false");
    Ok(Json(json!({
        "voices": page,
        "has_more": has_more,
        "total_count": if counted { found.len() } else { 0 },
        "next_page_token": has_more.then(|| format!("after-{end}")),
    }))
    .into_response())
}

/// Runs before every request for the account: the scripted fault, and the key.
pub(super) async fn enter(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    match shared.config.account_script.next() {
        None => match shared.check_header(request.headers()) {
            Ok(()) => next.run(request).await,
            Err(error) => error.into_response(),
        },
        Some(Fault::Refuse { status, retry_after }) => ApiError::refusal(status, retry_after).into_response(),
        Some(Fault::ErrorAfter(after, code)) => {
            tokio::time::sleep(after).await;
            ApiError::of_account(&code).into_response()
        }
        Some(fault) => http_fault::answer(fault).await,
    }
}

fn wanted(voice: &VoiceEntry, query: &BTreeMap<String, String>) -> bool {
    let lower = |text: &String| text.to_lowercase();
    let is = |name: &str, value: Option<&String>| {
        query.get(name).is_none_or(|wanted| value.map(lower) == Some(lower(wanted)))
    };
    let found = query.get("search").map(lower).is_none_or(|search| {
        voice.name.to_lowercase().contains(&search)
            || voice.labels.values().any(|label| label.to_lowercase().contains(&search))
    });
    let listed = query.get("voice_ids").is_none_or(|ids| ids.split(',').any(|id| id == voice.voice_id));
    let labels = &voice.labels;
    found
        && listed
        && is("category", Some(&voice.category))
        && is("gender", labels.get("gender"))
        && is("language", labels.get("language"))
}

fn describe(voice: &VoiceEntry) -> Value {
    json!({
        "voice_id": voice.voice_id,
        "name": voice.name,
        "category": voice.category,
        "labels": voice.labels,
        "description": null,
        "preview_url": null,
        "settings": null,
        "verified_languages": [],
        "high_quality_base_model_ids": ["eleven_flash_v2_5", "eleven_multilingual_v2"],
    })
}

fn plan() -> Value {
    json!({
        "tier": "creator",
        "character_count": 1_234,
        "character_limit": 100_000,
        "max_credit_limit_extension": 0,
        "can_extend_character_limit": false,
        "allowed_to_extend_character_limit": false,
        "next_character_count_reset_unix": 1_798_761_600,
        "voice_slots_used": 3,
        "voice_limit": 30,
        "voice_add_edit_counter": 0,
        "can_extend_voice_limit": false,
        "can_use_instant_voice_cloning": true,
        "can_use_professional_voice_cloning": false,
        "professional_voice_limit": 1,
        "professional_voice_slots_used": 0,
        "professional_voice_slots_used_in_workspace": 0,
        "status": "active",
        "currency": "usd",
        "current_overage": {"amount": "0", "currency": "usd"},
        "open_invoices": [],
        "has_open_invoices": false,
    })
}
