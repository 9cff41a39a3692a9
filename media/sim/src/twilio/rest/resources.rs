//! The resources: the account, its numbers and its calls.

use std::sync::Arc;

use axum::{
    Json,
    http::{Method, StatusCode},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::{ApiError, Request};
use crate::twilio::{
    call::{Command, Source, StatusCallback, StatusEvent},
    carrier::{AccountStatus, Carrier, Number, Order},
    twiml,
};

/// Longest document that a request may carry.
const TWIML_LIMIT: usize = 4_000;

pub(super) fn answer(carrier: &Arc<Carrier>, request: &Request) -> Result<Response, ApiError> {
    let path: Vec<&str> = request.path.iter().map(String::as_str).collect();
    let places_call = request.method == Method::POST && path == ["Calls"];
    if carrier.config.test_credentials && !places_call {
        return Err(ApiError::TEST_CREDENTIALS);
    }
    match (&request.method, path.as_slice()) {
        (&Method::GET, []) => Ok(Json(account(&request.account, carrier.config.account_status)).into_response()),
        (&Method::POST, ["Calls"]) => place(carrier, request),
        (&Method::GET, ["Calls"]) => {
            let calls: Vec<_> = carrier.calls(&request.account).iter().map(|call| call.to_json()).collect();
            Ok(Json(page(request, "Calls", "calls", calls)).into_response())
        }
        (&Method::GET, ["Calls", sid]) => {
            let call = carrier.call(&request.account, sid).ok_or(ApiError::NOT_FOUND)?;
            Ok(Json(call.to_json()).into_response())
        }
        (&Method::POST, ["Calls", sid]) => update(carrier, request, sid),
        (&Method::GET, ["IncomingPhoneNumbers"]) => {
            let wanted = request.query.iter().find(|(name, _)| name == "PhoneNumber").map(|(_, value)| value);
            // It matches parts of numbers too.
            let matches = |number: &Number| wanted.is_none_or(|wanted| number.phone_number.contains(wanted.as_str()));
            let numbers = carrier.numbers(&request.account);
            let numbers = numbers.iter().filter(|number| matches(number)).map(number).collect();
            Ok(Json(page(request, "IncomingPhoneNumbers", "incoming_phone_numbers", numbers)).into_response())
        }
        (&Method::GET | &Method::POST, ["IncomingPhoneNumbers", sid]) => {
            let changed = carrier.change_number(&request.account, sid, &request.form).ok_or(ApiError::NOT_FOUND)?;
            Ok(Json(number(&changed)).into_response())
        }
        (_, [] | ["Calls" | "IncomingPhoneNumbers", ..]) if request.method != Method::GET => Err(ApiError::METHOD),
        _ => Err(ApiError::NOT_FOUND),
    }
}

fn place(carrier: &Arc<Carrier>, request: &Request) -> Result<Response, ApiError> {
    let to = request.field("To").filter(|to| !to.is_empty()).ok_or(ApiError::NO_TO)?;
    let digits = to.strip_prefix('+').unwrap_or_default();
    if !(7..=15).contains(&digits.len()) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(ApiError::TO);
    }
    let from = request.field("From").unwrap_or_default();
    if !carrier.numbers(&request.account).iter().any(|number| number.phone_number == from) {
        return Err(ApiError::FROM);
    }
    let source = source(request)?.ok_or(ApiError::NO_URL)?;
    let events: Vec<_> = request
        .form
        .iter()
        .filter(|(name, _)| name == "StatusCallbackEvent")
        .flat_map(|(_, names)| names.split(' ').filter_map(StatusEvent::parse))
        .collect();
    let status_callback = request.field("StatusCallback").map(|url| {
        let mut callback = StatusCallback::completed(url);
        if !events.is_empty() {
            callback.events = events;
        }
        callback
    });
    let call = carrier.place(Order {
        account_sid: request.account.clone(),
        from: from.to_owned(),
        to: to.to_owned(),
        source,
        fallback_url: request.field("FallbackUrl").map(str::to_owned),
        status_callback,
    });
    Ok((StatusCode::CREATED, Json(call)).into_response())
}

fn update(carrier: &Carrier, request: &Request, sid: &str) -> Result<Response, ApiError> {
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

fn account(sid: &str, status: AccountStatus) -> Value {
    json!({
        "sid": sid,
        "friendly_name": "Simulated account",
        "status": status.word(),
        "type": "Full",
        "owner_account_sid": sid,
        // The real one returns the token here, which is why nobody may log this body.
        "auth_token": "a token that must never be logged",
        "date_created": "Mon, 04 Nov 2024 12:00:00 +0000",
        "date_updated": "Mon, 04 Nov 2024 12:00:00 +0000",
        "uri": format!("/2010-04-01/Accounts/{sid}.json"),
        "subresource_uris": {"calls": format!("/2010-04-01/Accounts/{sid}/Calls.json")},
    })
}

fn number(number: &Number) -> Value {
    json!({
        "sid": number.sid,
        "account_sid": number.account_sid,
        "phone_number": number.phone_number,
        "friendly_name": number.phone_number,
        "voice_url": number.voice_url,
        "voice_method": "POST",
        "voice_application_sid": "",
        "status_callback": number.status_callback,
        "status_callback_method": "POST",
        "capabilities": {"voice": true, "sms": false, "mms": false, "fax": false},
        "uri": format!("/2010-04-01/Accounts/{}/IncomingPhoneNumbers/{}.json", number.account_sid, number.sid),
    })
}

fn page(request: &Request, resource: &str, key: &str, items: Vec<Value>) -> Value {
    let uri = format!("/2010-04-01/Accounts/{}/{resource}.json?PageSize=50&Page=0", request.account);
    json!({
        "first_page_uri": uri,
        "uri": uri,
        "next_page_uri": null,
        "previous_page_uri": null,
        "page": 0,
        "page_size": 50,
        "start": 0,
        "end": items.len().saturating_sub(1),
        key: items,
    })
}
