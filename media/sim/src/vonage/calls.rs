//! `/v1/calls`: calls are checked, kept and told about. Nobody is called: a call stays as it was started until it is hung up, as one does
//! whose callee never answers.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Json,
    body::Bytes,
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::{Shared, error::ApiError};

/// A call that was asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct PlacedCall {
    /// The id of the leg.
    pub uuid: String,
    /// The id of the conversation, as `CON-…`.
    pub conversation_uuid: String,
    /// The application that asked.
    pub application_id: String,
    /// `started`, or `cancelled` once it was hung up.
    pub status: &'static str,
    /// The request's body.
    pub request: Value,
    /// The commands for it that were obeyed, oldest first.
    pub commands: Vec<Value>,
}

/// The calls, and when the latest of them were asked for.
#[derive(Debug, Default)]
pub(super) struct Calls {
    pub(super) placed: Vec<PlacedCall>,
    recent: VecDeque<Instant>,
}

type Answer = Result<Response, ApiError>;

/// How a webhook may be called.
const METHODS: [&str; 2] = ["GET", "POST"];

/// `POST /v1/calls`.
pub(super) async fn create(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Answer {
    let application = shared.config.application(&headers)?;
    let request: Value = serde_json::from_slice(&body).unwrap_or_default();
    let wrong = check(&request);
    if !wrong.is_empty() {
        return Err(ApiError::invalid(wrong, shared.config.observed_errors));
    }
    let mut calls = shared.calls();
    calls.admit(shared.config.calls_per_second)?;
    let call = PlacedCall {
        uuid: uuid::Uuid::new_v4().to_string(),
        conversation_uuid: format!("CON-{}", uuid::Uuid::new_v4()),
        application_id: application.id.clone(),
        status: "started",
        request,
        commands: Vec::new(),
    };
    let answer = json!({
        "uuid": call.uuid,
        "status": call.status,
        "direction": "outbound",
        "conversation_uuid": call.conversation_uuid,
    });
    calls.placed.push(call);
    Ok((StatusCode::CREATED, Json(answer)).into_response())
}

/// `GET /v1/calls/{uuid}`.
pub(super) async fn read(State(shared): State<Arc<Shared>>, headers: HeaderMap, Path(uuid): Path<String>) -> Answer {
    let application = shared.config.application(&headers)?;
    let calls = shared.calls();
    let call = calls.placed.iter().find(|call| call.uuid == uuid && call.application_id == application.id);
    call.map(|call| Json(call.to_json()).into_response()).ok_or_else(ApiError::not_found)
}

/// `GET /v1/calls`.
pub(super) async fn list(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Query(query): Query<BTreeMap<String, String>>,
) -> Answer {
    let application = shared.config.application(&headers)?;
    let whole = |name: &str, default: usize| {
        query.get(name).map_or(Ok(default), |text| {
            text.parse().map_err(|_| ApiError::invalid(vec![(name.into(), "must be a number".into())], false))
        })
    };
    let (size, index) = (whole("page_size", 10)?.clamp(1, 100), whole("record_index", 0)?);
    let calls = shared.calls();
    let wanted = |call: &&PlacedCall| {
        call.application_id == application.id
            && query.get("status").is_none_or(|status| call.status == status)
            && query.get("conversation_uuid").is_none_or(|uuid| call.conversation_uuid == *uuid)
    };
    let mut found: Vec<&PlacedCall> = calls.placed.iter().filter(wanted).collect();
    if query.get("order").is_some_and(|order| order == "desc") {
        found.reverse();
    }
    let page: Vec<Value> = found.iter().skip(index).take(size).map(|call| call.to_json()).collect();
    let link = |index: usize| json!({"href": format!("/v1/calls?page_size={size}&record_index={index}")});
    let mut links = json!({"self": link(index), "first": link(0)});
    if index + page.len() < found.len() {
        links["next"] = link(index + size);
    }
    Ok(Json(json!({
        "count": found.len(),
        "page_size": size,
        "record_index": index,
        "_links": links,
        "_embedded": {"calls": page},
    }))
    .into_response())
}

/// `PUT /v1/calls/{uuid}`.
pub(super) async fn modify(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Path(uuid): Path<String>,
    body: Bytes,
) -> Answer {
    let application = shared.config.application(&headers)?;
    let command: Value = serde_json::from_slice(&body).unwrap_or_default();
    let action = command.get("action").and_then(Value::as_str).unwrap_or_default();
    let wrong = match action {
        "hangup" | "mute" | "unmute" | "earmuff" | "unearmuff" => None,
        "transfer" => check_destination(command.get("destination")),
        _ => Some(("action".to_owned(), "is not a known action".to_owned())),
    };
    if let Some(wrong) = wrong {
        return Err(ApiError::invalid(vec![wrong], shared.config.observed_errors));
    }
    let mut calls = shared.calls();
    let of_it = |call: &&mut PlacedCall| call.uuid == uuid && call.application_id == application.id;
    let call = calls.placed.iter_mut().find(of_it).filter(|call| call.status == "started");
    let call = call.ok_or_else(ApiError::not_found)?;
    if action == "hangup" {
        call.status = "cancelled";
    }
    call.commands.push(command);
    Ok(StatusCode::NO_CONTENT.into_response())
}

impl Calls {
    /// Lets no more than `most` calls begin within a second.
    fn admit(&mut self, most: usize) -> Result<(), ApiError> {
        let now = Instant::now();
        self.recent.retain(|at| now.duration_since(*at) < Duration::from_secs(1));
        if self.recent.len() >= most {
            return Err(ApiError::rate());
        }
        self.recent.push_back(now);
        Ok(())
    }
}

impl PlacedCall {
    fn to_json(&self) -> Value {
        let from = match &self.request["from"] {
            Value::Null => json!({"type": "phone", "number": "unknown"}),
            from => from.clone(),
        };
        json!({
            "_links": {"self": {"href": format!("/v1/calls/{}", self.uuid)}},
            "uuid": self.uuid,
            "conversation_uuid": self.conversation_uuid,
            "to": self.request["to"][0],
            "from": from,
            "status": self.status,
            "direction": "outbound",
        })
    }
}

/// What is wrong with a request for a call, by field.
fn check(request: &Value) -> Vec<(String, String)> {
    let mut wrong = Vec::new();
    let mut complain = |name: &str, reason: &str| wrong.push((name.to_owned(), reason.to_owned()));
    let present = |name: &str| request.get(name).is_some_and(|value| !value.is_null());
    match request.get("to").and_then(Value::as_array).map(Vec::as_slice) {
        Some([to]) => {
            if let Some(reason) = endpoint_error(to) {
                complain("to", reason);
            }
        }
        _ => complain("to", "must be a list of one endpoint"),
    }
    let random = request.get("random_from_number").and_then(Value::as_bool).unwrap_or(false);
    if present("from") == random {
        complain("from", "exactly one of from and random_from_number is needed");
    } else if let Some(from) = request.get("from").filter(|from| from.is_object())
        && !is_number(&from["number"])
    {
        complain("from", "must be a number in E.164 format, without +");
    }
    if present("ncco") == present("answer_url") {
        complain("ncco", "exactly one of ncco and answer_url is needed");
    }
    if present("ncco")
        && !request["ncco"].as_array().is_some_and(|actions| actions.iter().all(|it| it["action"].is_string()))
    {
        complain("ncco", "must be a list of actions");
    }
    for name in ["answer_url", "event_url"] {
        let one =
            |urls: &Vec<Value>| matches!(&urls[..], [url] if url.as_str().is_some_and(|url| url.starts_with("http")));
        if present(name) && !request[name].as_array().is_some_and(one) {
            complain(name, "must be a list of one URL");
        }
    }
    for name in ["answer_method", "event_method"] {
        if present(name) && !request[name].as_str().is_some_and(|method| METHODS.contains(&method)) {
            complain(name, "must be GET or POST");
        }
    }
    for (name, most) in [("length_timer", 86_400), ("ringing_timer", 120)] {
        if present(name) && !request[name].as_u64().is_some_and(|seconds| (1..=most).contains(&seconds)) {
            complain(name, "is out of range");
        }
    }
    if present("machine_detection") && !matches!(request["machine_detection"].as_str(), Some("continue" | "hangup")) {
        complain("machine_detection", "must be continue or hangup");
    }
    wrong
}

fn endpoint_error(to: &Value) -> Option<&'static str> {
    let text = |name: &str| to.get(name).and_then(Value::as_str).unwrap_or_default();
    match text("type") {
        "phone" if !is_number(&to["number"]) => Some("must be a number in E.164 format, without +"),
        "sip" if !text("uri").starts_with("sip:") && !text("uri").starts_with("sips:") => Some("must be a SIP URI"),
        "websocket" if !text("uri").starts_with("ws://") && !text("uri").starts_with("wss://") => {
            Some("must be a WebSocket URI")
        }
        "websocket" if to.get("headers").is_some_and(|headers| headers.to_string().len() > 512) => {
            Some("headers are longer than 512 bytes")
        }
        "phone" | "sip" | "websocket" | "vbc" | "app" => None,
        _ => Some("is no known endpoint"),
    }
}

fn is_number(number: &Value) -> bool {
    let digits = number.as_str().unwrap_or_default();
    (7..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
}

fn check_destination(destination: Option<&Value>) -> Option<(String, String)> {
    let destination = destination.cloned().unwrap_or_default();
    let list = |name: &str| destination.get(name).is_some_and(Value::is_array);
    let valid = destination["type"] == "ncco" && (list("ncco") != list("url"));
    (!valid).then(|| ("destination".to_owned(), "must be an ncco, inline or by url".to_owned()))
}
