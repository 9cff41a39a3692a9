//! `POST /webhooks/twilio?kind=…`: a call rings (`voice`), its status changes (`status`), its stream reports (`stream`), or it comes
//! back because its stream ended (`resume`). Every request must be signed with the account's token.

use std::collections::BTreeMap;

use axum::{
    Form,
    extract::{OriginalUri, Query, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use subtle::ConstantTimeEq;
use trunkline_base::CallId;
use trunkline_media::{
    event::EndReason,
    telephony::twilio::{
        signature::{Body, Keys, SETTINGS_HEADER, SIGNATURE_HEADER, SignedRequest, verify},
        twiml,
    },
};

use super::{
    Calls,
    live::Ringing,
    registry::{Refused, Resumption},
};

#[derive(Debug, Deserialize)]
pub(super) struct Kind {
    kind: Option<String>,
    conversation: Option<String>,
}

type Fields = Vec<(String, String)>;

pub(super) async fn twilio(
    State(calls): State<Calls>,
    OriginalUri(uri): OriginalUri,
    Query(query): Query<Kind>,
    headers: HeaderMap,
    Form(fields): Form<Fields>,
) -> Response {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let url = format!("{}{path}", calls.0.public_url);
    if let Err(cause) = check(&calls, &url, &headers, &fields) {
        metrics::counter!("trunkline_webhooks_refused_total").increment(1);
        tracing::warn!(cause, "webhook refused");
        let body = "the request's signature does not verify with this account's token and PUBLIC_URL\n";
        return (StatusCode::FORBIDDEN, body).into_response();
    }
    let conversation = query.conversation.as_deref().and_then(|id| id.parse::<CallId>().ok());
    match (query.kind.as_deref(), conversation) {
        (Some("voice") | None, _) => voice(&calls, &fields),
        (Some("resume"), Some(id)) => resume(&calls, id, &fields),
        (Some("status"), _) => status(&calls, conversation, &fields),
        (Some("stream"), Some(id)) => stream(id, &fields),
        (Some(_), _) => (
            StatusCode::UNPROCESSABLE_ENTITY,
            "kind must be voice, resume, status or stream; resume and stream need a conversation",
        )
            .into_response(),
    }
}

/// The account must be ours and the signature made with its token.
fn check(calls: &Calls, url: &str, headers: &HeaderMap, fields: &Fields) -> Result<(), String> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let vendors = &calls.0.settings.vendors;
    let request = SignedRequest {
        url,
        signature: header(SIGNATURE_HEADER),
        settings: header(SETTINGS_HEADER),
        body: Body::Form(fields),
    };
    verify(Keys::token(&vendors.twilio_auth_token), &request).map_err(|error| error.to_string())?;
    let account = field(fields, "AccountSid").unwrap_or_default();
    if bool::from(account.as_bytes().ct_eq(vendors.twilio_account_sid.as_bytes())) {
        Ok(())
    } else {
        Err("another account".into())
    }
}

/// A call rings. A repeated webhook of the same call is answered with the same conversation.
fn voice(calls: &Calls, fields: &Fields) -> Response {
    let Some(call_sid) = field(fields, "CallSid").filter(|sid| !sid.is_empty()) else {
        return (StatusCode::UNPROCESSABLE_ENTITY, "CallSid is missing\n").into_response();
    };
    if !calls.0.composer.is_active() {
        return document(twiml::reject());
    }
    let context = BTreeMap::from([
        ("from_number".to_owned(), field(fields, "From").unwrap_or_default().to_owned()),
        ("to_number".to_owned(), field(fields, "To").unwrap_or_default().to_owned()),
    ]);
    match calls.ring(Ringing { call_sid: call_sid.to_owned(), context }) {
        Ok((id, token)) => document(connect(calls, id, token.expose())),
        Err(Refused::Known(id)) => match calls.0.registry.renew_token(id) {
            Some(token) => document(connect(calls, id, token.expose())),
            None => document(twiml::hang_up()),
        },
        Err(refused) => {
            tracing::warn!(%refused, "call refused");
            metrics::counter!("trunkline_calls_total", "end_reason" => "overloaded").increment(1);
            document(twiml::reject())
        }
    }
}

/// The stream ended and the carrier asks what comes next: nothing if we meant it, another stream if we did not.
fn resume(calls: &Calls, id: CallId, fields: &Fields) -> Response {
    match calls.0.registry.resume(id) {
        Resumption::Stream(token) => document(connect(calls, id, token.expose())),
        Resumption::TooMany => {
            // No stream will come any more: the call need not wait for one.
            calls.0.registry.hang_up(id, field(fields, "CallSid").unwrap_or_default(), EndReason::MediaLost);
            document(twiml::hang_up())
        }
        Resumption::Over => document(twiml::hang_up()),
    }
}

/// A terminal status ends a call whose socket may never tell. Others are only noted; repeats and stragglers change nothing. A number's
/// own status callback, which is set at the carrier, names no conversation: then the carrier's call tells which it is.
fn status(calls: &Calls, conversation: Option<CallId>, fields: &Fields) -> Response {
    let registry = &calls.0.registry;
    let call_sid = field(fields, "CallSid").unwrap_or_default();
    let terminal =
        matches!(field(fields, "CallStatus"), Some("completed" | "busy" | "no-answer" | "failed" | "canceled"));
    if terminal && let Some(id) = conversation.or_else(|| registry.find_by_sid(call_sid)) {
        registry.hang_up(id, call_sid, EndReason::CallerHangup);
    }
    StatusCode::NO_CONTENT.into_response()
}

fn stream(id: CallId, fields: &Fields) -> Response {
    if field(fields, "StreamEvent") == Some("stream-error") {
        tracing::warn!(call = %id, "the carrier reports a stream error");
        metrics::counter!("trunkline_stream_errors_total").increment(1);
    }
    StatusCode::NO_CONTENT.into_response()
}

fn connect(calls: &Calls, id: CallId, token: &str) -> String {
    twiml::connect_stream(&calls.stream_url(id), &[("token", token)], &calls.webhook_url("resume", id))
}

fn document(twiml: String) -> Response {
    ([(header::CONTENT_TYPE, "text/xml; charset=utf-8")], twiml).into_response()
}

fn field<'a>(fields: &'a Fields, name: &str) -> Option<&'a str> {
    fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}
