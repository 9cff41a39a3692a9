//! The resources: the account, its numbers, its calls and their recordings.

use std::sync::Arc;

use axum::{
    Json,
    http::{Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use url::form_urlencoded;

use super::{ApiError, Request, calls};
use crate::twilio::carrier::{AccountStatus, Carrier, Number};

/// How many items a page has that nobody says otherwise of, and at most.
const PAGE: (usize, usize) = (50, 1_000);

pub(super) fn answer(carrier: &Arc<Carrier>, request: &Request) -> Result<Response, ApiError> {
    let path: Vec<&str> = request.path.iter().map(String::as_str).collect();
    let places_call = request.method == Method::POST && path == ["Calls"];
    if carrier.config.test_credentials && !places_call {
        return Err(ApiError::TEST_CREDENTIALS);
    }
    match (&request.method, path.as_slice()) {
        (&Method::GET, []) => Ok(Json(account(&request.account, carrier.config.account_status)).into_response()),
        (&Method::POST, ["Calls"]) => Ok((StatusCode::CREATED, Json(calls::place(carrier, request)?)).into_response()),
        (&Method::GET, ["Calls"]) => Ok(Json(calls::list(carrier, request)).into_response()),
        (&Method::GET, ["Calls", sid]) => {
            let call = carrier.call(&request.account, sid).ok_or(ApiError::NOT_FOUND)?;
            Ok(Json(call.to_json()).into_response())
        }
        (&Method::POST, ["Calls", sid]) => calls::update(carrier, request, sid),
        (&Method::POST, ["Calls", sid, "Recordings"]) => calls::record(carrier, request, sid),
        (&Method::DELETE, ["Recordings", sid]) => {
            let deleted = carrier.recordings.delete(&request.account, sid);
            if deleted { Ok(StatusCode::NO_CONTENT.into_response()) } else { Err(ApiError::NOT_FOUND) }
        }
        (&Method::GET, ["Recordings", file]) => {
            let sid = file.strip_suffix(".wav").unwrap_or(file);
            let wav = carrier.recordings.get(&request.account, sid).ok_or(ApiError::NOT_FOUND)?;
            Ok(([(header::CONTENT_TYPE, "audio/x-wav")], wav).into_response())
        }
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

pub(super) fn page(request: &Request, resource: &str, key: &str, items: Vec<Value>) -> Value {
    let number = |name: &str| {
        let given = request.query.iter().find(|(key, _)| key == name);
        given.and_then(|(_, value)| value.parse::<usize>().ok())
    };
    let size = number("PageSize").unwrap_or(PAGE.0).clamp(1, PAGE.1);
    let page = number("Page").unwrap_or(0);
    let path = format!("/2010-04-01/Accounts/{}/{resource}.json", request.account);
    let uri = |page: usize| {
        let filters = request.query.iter().filter(|(name, _)| !matches!(name.as_str(), "Page" | "PageSize"));
        let query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(filters)
            .append_pair("PageSize", &size.to_string())
            .append_pair("Page", &page.to_string())
            .finish();
        format!("{path}?{query}")
    };
    let begin = size.saturating_mul(page);
    let more = items.len() > begin.saturating_add(size);
    let items: Vec<_> = items.into_iter().skip(begin).take(size).collect();
    json!({
        "first_page_uri": uri(0),
        "uri": uri(page),
        "next_page_uri": more.then(|| uri(page + 1)),
        "previous_page_uri": page.checked_sub(1).map(uri),
        "page": page,
        "page_size": size,
        "start": begin,
        "end": begin + items.len().saturating_sub(1),
        key: items,
    })
}
