//! Calls: placing, listing, changing and recording them.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::{ApiError, Request};
use crate::{
    dates,
    phone::Answer,
    twilio::{
        call::{CallState, Command, Detection, Recorder, Source, StatusCallback, StatusEvent},
        carrier::{Carrier, Order},
        twiml,
    },
};

/// Longest document that a request may carry.
const TWIML_LIMIT: usize = 4_000;
/// How long a call rings that nobody says otherwise of, and at most, in seconds.
const RING: (u64, u64) = (60, 600);
/// How long detection may take that nobody says otherwise of, in seconds.
const DETECTION: u64 = 30;

/// Places a call.
pub(super) fn place(carrier: &Arc<Carrier>, request: &Request) -> Result<Value, ApiError> {
    let to = request.field("To").filter(|to| !to.is_empty()).ok_or(ApiError::NO_TO)?;
    let digits = to.strip_prefix('+').unwrap_or_default();
    if !(7..=15).contains(&digits.len()) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(ApiError::TO);
    }
    let (callee, phone) = carrier.config.callees.of(to);
    if callee.answer == Answer::Invalid {
        return Err(ApiError::NO_SUCH_TO);
    }
    let from = request.field("From").unwrap_or_default();
    if !carrier.numbers(&request.account).iter().any(|number| number.phone_number == from) {
        return Err(ApiError::FROM);
    }
    let source = source(request)?.ok_or(ApiError::NO_URL)?;
    let seconds = |name: &str| request.field(name).and_then(|seconds| seconds.parse::<u64>().ok());
    let records = request.field("Record") == Some("true");
    Ok(carrier.place(Order {
        account_sid: request.account.clone(),
        from: from.to_owned(),
        to: to.to_owned(),
        source,
        fallback_url: request.field("FallbackUrl").map(str::to_owned),
        status_callback: status_callback(request),
        callee,
        phone,
        ring_limit: Duration::from_secs(seconds("Timeout").unwrap_or(RING.0).min(RING.1)),
        time_limit: seconds("TimeLimit").map(Duration::from_secs),
        // Digits to be dialled disable detection.
        detection: detection(request).filter(|_| request.field("SendDigits").is_none()),
        recorder: records.then(|| Recorder::new("OutboundAPI", |name| request.field(name))),
    }))
}

fn status_callback(request: &Request) -> Option<StatusCallback> {
    let events: Vec<_> = request
        .form
        .iter()
        .filter(|(name, _)| name == "StatusCallbackEvent")
        .flat_map(|(_, names)| names.split(' ').filter_map(StatusEvent::parse))
        .collect();
    let mut callback = StatusCallback::completed(request.field("StatusCallback")?);
    if !events.is_empty() {
        callback.events = events;
    }
    Some(callback)
}

fn detection(request: &Request) -> Option<Detection> {
    let waits_for_end = match request.field("MachineDetection")? {
        "Enable" => false,
        "DetectMessageEnd" => true,
        _ => return None,
    };
    let patience = request.field("MachineDetectionTimeout").and_then(|seconds| seconds.parse().ok());
    Some(Detection {
        waits_for_end,
        background: request.field("AsyncAmd") == Some("true"),
        callback: request.field("AsyncAmdStatusCallback").map(str::to_owned),
        patience: Duration::from_secs(patience.unwrap_or(DETECTION)),
    })
}

/// Lists calls, the newest first.
pub(super) fn list(carrier: &Carrier, request: &Request) -> Value {
    let mut calls = carrier.calls(&request.account);
    calls.retain(|call| matches(request, call) && is_listed(call, carrier.config.list_lag));
    calls.sort_by_key(|call| std::cmp::Reverse((call.created(), call.sid.clone())));
    super::resources::page(request, "Calls", "calls", calls.iter().map(|call| call.to_json()).collect())
}

fn is_listed(call: &CallState, lag: Duration) -> bool {
    call.created().elapsed().is_ok_and(|age| age >= lag)
}

/// A call that was not answered has no `StartTime`, so that no filter by it finds the call.
fn matches(request: &Request, call: &CallState) -> bool {
    let started = |is: &dyn Fn(SystemTime, SystemTime) -> bool, wanted: &str| {
        dates::parse(wanted).zip(call.started()).is_some_and(|(wanted, started)| is(started, wanted))
    };
    request.query.iter().all(|(name, value)| match name.as_str() {
        "To" => call.to == *value,
        "From" => call.from == *value,
        "Status" => call.status().as_str() == value,
        "StartTime>" => started(&|started, wanted| started >= wanted, value),
        "StartTime<" => started(&|started, wanted| started <= wanted, value),
        "StartTime" => {
            let day = Duration::from_secs(24 * 3600);
            started(&|started, wanted| started >= wanted && started < wanted + day, value)
        }
        _ => true,
    })
}

/// Changes a call.
pub(super) fn update(carrier: &Carrier, request: &Request, sid: &str) -> Result<Response, ApiError> {
    let call = carrier.call(&request.account, sid).ok_or(ApiError::NOT_FOUND)?;
    let command = match request.field("Status") {
        Some("completed") => Command::Complete,
        Some("canceled") => Command::Cancel,
        Some(_) => return Err(ApiError::NOTHING_TO_DO),
        None => Command::Run(source(request)?.ok_or(ApiError::NOTHING_TO_DO)?),
    };
    if !call.command(command) {
        return Err(ApiError::NOT_IN_PROGRESS);
    }
    Ok(Json(call.to_json()).into_response())
}

/// Begins to record a call that is on.
pub(super) fn record(carrier: &Carrier, request: &Request, sid: &str) -> Result<Response, ApiError> {
    let call = carrier.call(&request.account, sid).ok_or(ApiError::NOT_FOUND)?;
    if call.status().is_final() {
        return Err(ApiError::NOT_IN_PROGRESS);
    }
    let recorder = Recorder::new("StartCallRecordingAPI", |name| request.field(name));
    let resource = json!({
        "sid": recorder.sid,
        "account_sid": request.account,
        "call_sid": sid,
        "status": "in-progress",
        "channels": if recorder.dual { 2 } else { 1 },
        "source": recorder.source,
        "date_created": dates::rfc2822(recorder.began),
        "duration": null,
        "uri": format!("/2010-04-01/Accounts/{}/Calls/{sid}/Recordings/{}.json", request.account, recorder.sid),
    });
    call.record(recorder);
    Ok((StatusCode::CREATED, Json(resource)).into_response())
}

/// `Url` goes before `Twiml`.
fn source(request: &Request) -> Result<Option<Source>, ApiError> {
    if let Some(url) = request.field("Url") {
        let get = request.field("Method").is_some_and(|method| method.eq_ignore_ascii_case("GET"));
        let method = if get { twiml::Method::Get } else { twiml::Method::Post };
        return Ok(Some(Source::Url(url.to_owned(), method)));
    }
    match request.field("Twiml") {
        Some(text) if text.chars().count() > TWIML_LIMIT => Err(ApiError::TWIML_TOO_LONG),
        Some(text) => Ok(Some(Source::Inline(text.to_owned()))),
        None => Ok(None),
    }
}
