//! `/v1/calls`: calls are checked, placed, told about and changed, each at the address of the region that it lives in.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use axum::{
    Extension, Json,
    body::Bytes,
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::{
    Region, Shared,
    checks::check,
    error::ApiError,
    legs::{Command, Destination, Leg, Party},
    ncco,
    runner::{Detection, Placed, Source},
};
use crate::{
    dates::iso8601,
    fault::Fault,
    http_fault,
    phone::{Answer, Callee},
    twilio::CreateFault,
};

/// A call that was asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct PlacedCall {
    /// The id of the leg.
    pub uuid: String,
    /// The id of the conversation, as `CON-…`.
    pub conversation_uuid: String,
    /// The application that asked.
    pub application_id: String,
    /// Its state, in the vendor's word.
    pub status: &'static str,
    /// The request's body.
    pub request: Value,
    /// The commands for it that were obeyed, oldest first.
    pub commands: Vec<Value>,
}

impl PlacedCall {
    pub(super) fn of(leg: &Leg) -> Option<Self> {
        Some(Self {
            uuid: leg.uuid.clone(),
            conversation_uuid: leg.conversation_uuid(),
            application_id: leg.application_id.clone(),
            status: leg.status().word(),
            request: leg.request.clone()?,
            commands: leg.recorded(),
        })
    }
}

/// When the latest calls were asked for.
#[derive(Debug, Default)]
pub(super) struct Recent(VecDeque<Instant>);

impl Recent {
    /// Lets no more than `most` calls begin within a second.
    fn admit(&mut self, most: usize) -> Result<(), ApiError> {
        let now = Instant::now();
        self.0.retain(|at| now.duration_since(*at) < Duration::from_secs(1));
        if self.0.len() >= most {
            return Err(ApiError::rate());
        }
        self.0.push_back(now);
        Ok(())
    }
}

type Answered = Result<Response, ApiError>;
type Here = (State<Arc<Shared>>, Extension<Region>);

/// `POST /v1/calls`.
pub(super) async fn create((State(shared), Extension(region)): Here, headers: HeaderMap, body: Bytes) -> Answered {
    let place = || place(&shared, region.0, &headers, &body);
    let fault = shared.config.creates.next();
    let Some(fault) = fault else { return place() };
    let (CreateFault::Hang { dials } | CreateFault::Cut { dials } | CreateFault::Error { dials, .. }) = fault else {
        let CreateFault::Refuse { status, .. } = fault else { unreachable!("all others dial or do not") };
        return Err(ApiError::refusal(status, None));
    };
    if dials {
        place()?;
    }
    match fault {
        CreateFault::Hang { .. } => Ok(http_fault::answer(Fault::Hang).await),
        CreateFault::Cut { .. } => Ok(http_fault::answer(Fault::DropAfter(Duration::ZERO)).await),
        CreateFault::Error { status, .. } | CreateFault::Refuse { status, .. } => Err(ApiError::refusal(status, None)),
    }
}

fn place(shared: &Arc<Shared>, region: usize, headers: &HeaderMap, body: &[u8]) -> Answered {
    let application = shared.config.application(headers)?;
    let request: Value = serde_json::from_slice(body).unwrap_or_default();
    let invalid = |wrong| ApiError::invalid(wrong, shared.config.observed_errors);
    let wrong = check(&request);
    if !wrong.is_empty() {
        return Err(invalid(wrong));
    }
    let to = party(&request["to"][0]);
    let (callee, phone) = match &to {
        Party::Phone(number) => shared.config.callees.of(&format!("+{number}")),
        // Nobody is there: it rings.
        Party::Socket(_) | Party::Other(_) => (Callee::fails(Answer::None), Default::default()),
    };
    if callee.answer == Answer::Invalid {
        return Err(invalid(vec![("to".into(), "is not a number that can be called".into())]));
    }
    shared.admit(|recent| recent.admit(shared.config.calls_per_second))?;
    let url = |name: &str| request[name][0].as_str().map(str::to_owned);
    let posts = |name: &str, default: bool| request[name].as_str().map_or(default, |method| method == "POST");
    let source = match url("answer_url") {
        Some(answer_url) => Source::Url((answer_url, posts("answer_method", false))),
        None => Source::Actions(ncco::parse_value(&request["ncco"]).unwrap_or_default()),
    };
    let events = url("event_url").or_else(|| Some(application.event_url.clone()).filter(|url| !url.is_empty()));
    let seconds = |name: &str, default: u64| Duration::from_secs(request[name].as_u64().unwrap_or(default));
    let placed = Placed { callee, ring_limit: seconds("ringing_timer", 60), detection: detection(&request) };
    let leg = shared.place(super::Order {
        application_id: application.id.clone(),
        from: if request["from"].is_null() { Party::Phone("unknown".into()) } else { party(&request["from"]) },
        to,
        source,
        events: events.map(|url| (url, posts("event_method", true))),
        phone,
        placed,
        time_limit: seconds("length_timer", 7_200),
        region,
        request,
    });
    let answer = json!({
        "uuid": leg.uuid,
        "status": "started",
        "direction": "outbound",
        "conversation_uuid": leg.conversation_uuid(),
    });
    Ok((StatusCode::CREATED, Json(answer)).into_response())
}

/// `GET /v1/calls/{uuid}`.
pub(super) async fn read(here: Here, headers: HeaderMap, Path(uuid): Path<String>) -> Answered {
    let leg = leg(&here, &headers, &uuid)?;
    Ok(Json(leg.to_json()).into_response())
}

/// `GET /v1/calls`.
pub(super) async fn list(
    (State(shared), Extension(region)): Here,
    headers: HeaderMap,
    Query(query): Query<BTreeMap<String, String>>,
) -> Answered {
    let application = shared.config.application(&headers)?;
    let whole = |name: &str, default: usize| {
        query.get(name).map_or(Ok(default), |text| {
            text.parse().map_err(|_| ApiError::invalid(vec![(name.into(), "must be a number".into())], false))
        })
    };
    let (size, index) = (whole("page_size", 10)?.clamp(1, 100), whole("record_index", 0)?);
    // Times of one form and zone are ordered as texts, whatever follows the seconds.
    let second = |text: &str| text.get(..19).unwrap_or(text).to_owned();
    let wanted = |leg: &&Arc<Leg>| {
        let began = second(&iso8601(leg.created()));
        leg.application_id == application.id
            && leg.region == region.0
            && leg.created() + shared.config.list_lag <= SystemTime::now()
            && query.get("status").is_none_or(|status| leg.status().word() == status)
            && query.get("conversation_uuid").is_none_or(|uuid| leg.conversation_uuid() == *uuid)
            && query.get("date_start").is_none_or(|from| began >= second(from))
            && query.get("date_end").is_none_or(|until| began <= second(until))
    };
    let legs = shared.legs();
    let mut found: Vec<&Arc<Leg>> = legs.iter().filter(wanted).collect();
    if query.get("order").is_some_and(|order| order == "desc") {
        found.reverse();
    }
    let page: Vec<Value> = found.iter().skip(index).take(size).map(|leg| leg.to_json()).collect();
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
pub(super) async fn modify(here: Here, headers: HeaderMap, Path(uuid): Path<String>, body: Bytes) -> Answered {
    let shared = here.0.0.clone();
    shared.config.application(&headers)?;
    let request: Value = serde_json::from_slice(&body).unwrap_or_default();
    let invalid = |name: &str, reason: &str| {
        ApiError::invalid(vec![(name.to_owned(), reason.to_owned())], shared.config.observed_errors)
    };
    let command = match request["action"].as_str().unwrap_or_default() {
        "hangup" => Some(Command::HangUp(uuid.clone())),
        "mute" | "unmute" | "earmuff" | "unearmuff" => None,
        "transfer" => {
            let destination = destination(&request["destination"]);
            Some(Command::Transfer(destination.map_err(|wrong| invalid("destination", &wrong))?))
        }
        _ => return Err(invalid("action", "is not a known action")),
    };
    let leg = leg(&here, &headers, &uuid)?;
    if leg.status().is_final() {
        return Err(ApiError::not_found());
    }
    // Its end takes a moment: a second request finds none all the same.
    if matches!(command, Some(Command::HangUp(_))) && !leg.close() {
        return Err(ApiError::not_found());
    }
    if let Some(command) = command
        && !leg.command(command)
    {
        return Err(ApiError::not_found());
    }
    leg.record(request);
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `PUT /v1/calls/{uuid}/{what}`.
pub(super) async fn begin_playing(
    here: Here,
    headers: HeaderMap,
    Path((uuid, what)): Path<(String, String)>,
    body: Bytes,
) -> Answered {
    let request: Value = serde_json::from_slice(&body).unwrap_or_default();
    let leg = leg(&here, &headers, &uuid)?;
    let good = |name: &str, good: &dyn Fn(&str) -> bool| request[name].as_str().is_some_and(good);
    let (field, valid, message) = match what.as_str() {
        "talk" => ("text", good("text", &|text| (1..=1_500).contains(&text.chars().count())), "Talk started"),
        "dtmf" => {
            let key = |key: char| key.is_ascii_digit() || matches!(key, '*' | '#' | 'p');
            ("digits", good("digits", &|keys| !keys.is_empty() && keys.chars().all(key)), "DTMF sent")
        }
        "stream" => ("stream_url", request["stream_url"][0].is_string(), "Stream started"),
        _ => return Err(ApiError::not_found()),
    };
    if !valid {
        return Err(ApiError::invalid(vec![(field.into(), "is not valid".into())], here.0.0.config.observed_errors));
    }
    if leg.status().is_final() {
        return Err(ApiError::not_found());
    }
    if what == "dtmf" {
        leg.press(request["digits"].as_str().unwrap_or_default());
    }
    leg.record(json!({ what: request }));
    Ok(Json(json!({"message": message, "uuid": leg.uuid})).into_response())
}

/// `DELETE /v1/calls/{uuid}/{what}`.
pub(super) async fn stop_playing(
    here: Here,
    headers: HeaderMap,
    Path((uuid, what)): Path<(String, String)>,
) -> Answered {
    let leg = leg(&here, &headers, &uuid)?;
    let message = match what.as_str() {
        "talk" => "Talk stopped",
        "stream" => "Stream stopped",
        _ => return Err(ApiError::not_found()),
    };
    leg.record(json!({ what: null }));
    Ok(Json(json!({"message": message, "uuid": leg.uuid})).into_response())
}

/// The leg that a path names, if it is the application's and lives here.
fn leg((State(shared), Extension(region)): &Here, headers: &HeaderMap, uuid: &str) -> Result<Arc<Leg>, ApiError> {
    let application = shared.config.application(headers)?;
    let legs = shared.legs();
    let found =
        legs.iter().find(|leg| leg.uuid == uuid && leg.application_id == application.id && leg.region == region.0);
    found.cloned().ok_or_else(ApiError::not_found)
}

fn party(endpoint: &Value) -> Party {
    match (endpoint, endpoint["type"].as_str()) {
        (Value::String(uri), _) => Party::Other(json!({"type": "sip", "uri": uri})),
        (_, Some("phone")) => Party::Phone(endpoint["number"].as_str().unwrap_or_default().to_owned()),
        (_, Some("websocket")) => Party::Socket(endpoint["uri"].as_str().unwrap_or_default().to_owned()),
        _ => Party::Other(endpoint.clone()),
    }
}

/// Advanced detection goes before the plain one. What the mode `default` means is not documented: here it is `detect`.
fn detection(request: &Value) -> Option<Detection> {
    let advanced = &request["advanced_machine_detection"];
    if advanced.is_object() {
        let beep = advanced["beep_timeout"].as_u64().unwrap_or(45);
        return Some(Detection {
            hang_up: advanced["behavior"] == "hangup",
            beep: (advanced["mode"] == "detect_beep").then_some(Duration::from_secs(beep)),
        });
    }
    let plain = request["machine_detection"].as_str()?;
    Some(Detection { hang_up: plain == "hangup", beep: None })
}

fn destination(destination: &Value) -> Result<Destination, String> {
    let (actions, url) = (&destination["ncco"], &destination["url"]);
    match (destination["type"].as_str(), actions, url.as_array().map(Vec::as_slice)) {
        (Some("ncco"), Value::Array(_), None) => {
            ncco::parse_value(actions).map(Destination::Actions).map_err(|error| error.to_string())
        }
        (Some("ncco"), Value::Null, Some([Value::String(url)])) => Ok(Destination::Url(url.clone())),
        _ => Err("must be an ncco, inline or by url".into()),
    }
}
