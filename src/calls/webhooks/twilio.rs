//! `POST /webhooks/twilio?kind=…`: a call rings (`voice`), its status changes (`status`), its stream reports (`stream`), or it comes
//! back because its stream ended (`resume`); or it is handed over (`dial`, `consult`). Nothing is believed, and nothing stored, before the signature verifies.

use std::sync::Arc;

use axum::{
    Form,
    extract::{OriginalUri, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use trunkline_base::{CallId, Personal};
use trunkline_control::{
    error::{ApiError, ErrorBody, ErrorCode},
    http::Params,
    lookup,
    tenant::TenantId,
    vendors::Provider,
};
use trunkline_media::{
    event::EndReason,
    telephony::{
        CarrierStatus,
        twilio::{answered_by, twiml},
    },
};

use crate::calls::{
    Calls,
    account::{CarrierAccount, Signed, signer},
    control,
    recording::TwilioRecording,
    registry::Resumption,
    ring::{Answered, Caller},
    state::Report,
};

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::calls) struct Kind {
    /// `voice`, `status`, `amd`, `stream`, `recording`, `resume`, `dial` or `consult`, as in the address that was handed out. Without it,
    /// the fields tell.
    #[param(pattern = "^(voice|status|amd|stream|recording|resume|dial|consult)$", example = "voice")]
    kind: Option<String>,
    /// Whose event it is: required for `stream`, `resume`, `dial` and `consult`.
    #[param(value_type = Option<uuid::Uuid>)]
    conversation: Option<String>,
}

type Fields = Vec<(String, String)>;

/// A request of the carrier, as it came.
pub(in crate::calls) struct Incoming {
    url: String,
    headers: HeaderMap,
    fields: Fields,
}

impl Incoming {
    fn signed(&self) -> Signed<'_> {
        Signed { url: &self.url, headers: &self.headers, fields: Some(&self.fields) }
    }

    pub(in crate::calls) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(in crate::calls) fn or_empty(&self, name: &str) -> &str {
        self.field(name).unwrap_or_default()
    }

    /// What it says of its call; `None` for a word that is not known.
    fn report(&self) -> Option<Report> {
        let status = match (self.or_empty("CallStatus"), self.or_empty("SipResponseCode")) {
            ("queued", _) => CarrierStatus::Queued,
            ("initiated", _) => CarrierStatus::Initiated,
            ("ringing", _) => CarrierStatus::Ringing,
            ("in-progress" | "answered", _) => CarrierStatus::Answered,
            ("completed", _) => CarrierStatus::Completed,
            // Somebody who does not want to be called, whatever else it is called (RFC 3261 §21.6).
            ("busy", "603") => CarrierStatus::Rejected,
            ("busy", _) => CarrierStatus::Busy,
            ("no-answer", _) => CarrierStatus::NoAnswer,
            ("canceled", _) => CarrierStatus::Canceled,
            // RFC 3261 §21.4, §21.6: there is nobody of that number, and somebody who does not want to be called.
            ("failed", "404" | "410" | "484" | "604") => CarrierStatus::InvalidNumber,
            ("failed", "603") => CarrierStatus::Rejected,
            ("failed", _) => CarrierStatus::Failed,
            _ => return None,
        };
        Some(Report { status, seq: self.field("SequenceNumber").and_then(|seq| seq.parse().ok()) })
    }

    /// What it is about, where the address doesn't say.
    fn kind(&self) -> &'static str {
        if self.field("StreamEvent").is_some() {
            "stream"
        } else if self.field("RecordingStatus").is_some() {
            "recording"
        } else if self.field("CallbackSource").is_some() {
            "status"
        } else if self.field("AnsweredBy").is_some() && self.field("CallStatus").is_none() {
            "amd"
        } else {
            "voice"
        }
    }
}

/// A carrier's event
///
/// Answered with TwiML where the call asks what comes next, with nothing otherwise. Served at `/v1/webhooks/twilio` too.
#[utoipa::path(
    post,
    path = "/webhooks/twilio",
    operation_id = "receive_twilio_webhook",
    tag = "webhooks",
    params(Kind),
    request_body(
        content = BTreeMap<String, String>, content_type = "application/x-www-form-urlencoded",
        description = "Twilio's fields, signed by X-Twilio-Signature",
        example = json!({ "AccountSid": "AC00000000000000000000000000000001", "CallSid": "CA00000000000000000000000000000001",
            "CallStatus": "ringing", "From": "+14155550111", "To": "+14155550100" }),
    ),
    responses(
        (status = 200, description = "TwiML", content_type = "text/xml", body = String),
        (status = 204, description = "Noted"),
        (status = 403, description = "WEBHOOK_SIGNATURE_INVALID", body = ErrorBody),
        (status = 413, description = "PAYLOAD_TOO_LARGE", body = ErrorBody),
        (status = 415, description = "UNSUPPORTED_MEDIA_TYPE", body = ErrorBody),
        (status = 422, description = "VALIDATION_ERROR", body = ErrorBody),
        (status = 503, description = "OVERLOADED: the database is unavailable", body = ErrorBody),
    )
)]
pub(in crate::calls) async fn twilio(
    State(calls): State<Calls>,
    OriginalUri(uri): OriginalUri,
    Params(query): Params<Kind>,
    headers: HeaderMap,
    Form(fields): Form<Fields>,
) -> Result<Response, ApiError> {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let incoming = Incoming { url: format!("{}{path}", calls.0.public_url), headers, fields };
    let conversation = query.conversation.as_deref().and_then(|id| id.parse::<CallId>().ok());
    match (query.kind.as_deref().unwrap_or_else(|| incoming.kind()), conversation) {
        ("voice", Some(id)) => answered(&calls, id, &incoming).await,
        ("voice", None) => voice(&calls, &incoming).await,
        ("resume", Some(id)) => resume(&calls, id, &incoming).await,
        ("status", _) => status(&calls, conversation, &incoming).await,
        ("stream", Some(id)) => stream(&calls, id, &incoming).await,
        ("recording", _) => recording(&calls, conversation, &incoming).await,
        ("amd", _) => detected(&calls, conversation, &incoming).await,
        ("dial", Some(id)) => match authorised(&calls, id, &incoming).await? {
            Some((tenant, account)) => control::dialled(&calls, tenant, id, account, &incoming).await,
            None => Ok(document(twiml::hang_up())),
        },
        ("consult", Some(id)) => match authorised(&calls, id, &incoming).await? {
            Some((tenant, _)) => control::consult(&calls, tenant, id, &incoming).await,
            None => Ok(document(twiml::hang_up())),
        },
        _ => Err(ApiError::field(
            "kind",
            "must be voice, resume, status, amd, stream, recording, dial or consult; resume, stream, dial and consult need a conversation",
        )),
    }
}

/// The request is nobody's, or somebody else's than it says.
fn refused() -> ApiError {
    metrics::counter!("trunkline_webhooks_refused_total").increment(1);
    let message = "The signature does not verify with this account's token and PUBLIC_URL";
    ApiError::new(ErrorCode::WebhookSignatureInvalid, message)
}

/// A call rings. A repeated webhook of the same call is answered with the same conversation.
async fn voice(calls: &Calls, incoming: &Incoming) -> Result<Response, ApiError> {
    let account_sid = incoming.or_empty("AccountSid");
    let number = lookup::number(&calls.control().db, Provider::Twilio, incoming.or_empty("To")).await?;
    let Some(number) = number else {
        // Nobody's number; but whose account it is, is told that nobody answers.
        signer(calls.anybodys_accounts(Provider::Twilio, account_sid).await?, &incoming.signed())
            .ok_or_else(refused)?;
        return Ok(document(twiml::reject()));
    };
    let account = calls.account_of_number(Provider::Twilio, &number).await?;
    let account = account.filter(|account| account.account_ref() == account_sid);
    let account = signer(account.into_iter().collect(), &incoming.signed()).ok_or_else(refused)?;
    tracing::Span::current().record("tenant_id", tracing::field::display(number.tenant));
    let call_sid = incoming.field("CallSid").filter(|sid| !sid.is_empty());
    let call_sid = call_sid.ok_or_else(|| ApiError::field("CallSid", "is missing"))?;
    let caller = Caller {
        provider_call_id: call_sid.to_owned(),
        from: Personal::new(incoming.or_empty("From").to_owned()),
        to: Personal::new(incoming.or_empty("To").to_owned()),
        region_url: None,
        receipt: None,
    };
    Ok(match calls.ring(number.tenant, number.agent, account, caller).await? {
        Answered::Stream(id, token) => connect(calls, id, token.expose()),
        Answered::Over => document(twiml::hang_up()),
        Answered::Rejected => document(twiml::reject()),
    })
}

/// A call that we placed is answered, and the carrier asks what to do with it.
async fn answered(calls: &Calls, id: CallId, incoming: &Incoming) -> Result<Response, ApiError> {
    let Some((tenant, account)) = authorised(calls, id, incoming).await? else {
        return Ok(document(twiml::hang_up()));
    };
    Ok(match calls.answer(tenant, id, account, incoming.or_empty("CallSid"), None).await? {
        Answered::Stream(id, token) => connect(calls, id, token.expose()),
        Answered::Over | Answered::Rejected => document(twiml::hang_up()),
    })
}

/// Who may speak of a conversation: the account that it is on here, or those of its tenant.
async fn authorised(
    calls: &Calls,
    id: CallId,
    incoming: &Incoming,
) -> Result<Option<(TenantId, Arc<CarrierAccount>)>, ApiError> {
    let sid = incoming.or_empty("AccountSid");
    if let Some((tenant, account)) = calls.0.registry.owner(id) {
        // It speaks for itself alone: what is kept of a request names the account, and is asked for with that account's keys.
        if !account.twilio().is_some_and(|twilio| twilio.sid() == sid && twilio.signed(&incoming.signed())) {
            return Err(refused());
        }
        return Ok(Some((tenant, account)));
    }
    let Some(tenant) = lookup::conversation(&calls.control().db, id).await? else {
        signer(calls.anybodys_accounts(Provider::Twilio, sid).await?, &incoming.signed()).ok_or_else(refused)?;
        return Ok(None);
    };
    let account =
        signer(calls.accounts(tenant, Provider::Twilio, sid).await?, &incoming.signed()).ok_or_else(refused)?;
    Ok(Some((tenant, account)))
}

/// The stream ended and the carrier asks what comes next: nothing if we meant it, another stream if we did not.
async fn resume(calls: &Calls, id: CallId, incoming: &Incoming) -> Result<Response, ApiError> {
    let Some((tenant, account)) = authorised(calls, id, incoming).await? else {
        return Ok(document(twiml::hang_up()));
    };
    let call_sid = incoming.or_empty("CallSid");
    match calls.0.registry.resume(id) {
        Resumption::Stream(token) => {
            calls.keep_token(tenant, id, &token).await;
            Ok(connect(calls, id, token.expose()))
        }
        Resumption::TooMany => {
            // No stream will come any more: the call need not wait for one.
            calls.0.registry.hang_up(id, call_sid, EndReason::MediaLost);
            Ok(document(twiml::hang_up()))
        }
        Resumption::Over => Ok(document(twiml::hang_up())),
        Resumption::Unknown => Ok(match calls.take_over(tenant, id, account, call_sid).await? {
            Some(token) => connect(calls, id, token.expose()),
            None => document(twiml::hang_up()),
        }),
    }
}

/// A status moves its call on, or ends it; repeats and stragglers change nothing. A number's
/// own status callback, which is set at the carrier, names no conversation: then the carrier's call tells which it is.
async fn status(calls: &Calls, conversation: Option<CallId>, incoming: &Incoming) -> Result<Response, ApiError> {
    if let Some((tenant, id)) = whose(calls, conversation, incoming).await?
        && let Some(report) = incoming.report()
    {
        calls.on_report(tenant, id, incoming.or_empty("CallSid"), report, None).await?;
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// The conversation that a callback is about: the one that its address names, else the one of its call. `None`: nobody's.
async fn whose(
    calls: &Calls,
    conversation: Option<CallId>,
    incoming: &Incoming,
) -> Result<Option<(TenantId, CallId)>, ApiError> {
    let id = match conversation {
        Some(id) => Some(id),
        None => {
            let call = lookup::call(&calls.control().db, Provider::Twilio, incoming.or_empty("CallSid")).await?;
            call.map(|(_, id)| id)
        }
    };
    if let Some(id) = id {
        let Some((tenant, account)) = authorised(calls, id, incoming).await? else { return Ok(None) };
        calls.settle_by_word(tenant, id, &account, incoming.or_empty("CallSid")).await?;
        return Ok(Some((tenant, id)));
    }
    let accounts = calls.anybodys_accounts(Provider::Twilio, incoming.or_empty("AccountSid")).await?;
    signer(accounts, &incoming.signed()).ok_or_else(refused)?;
    Ok(None)
}

/// The carrier has recorded a call.
async fn recording(calls: &Calls, conversation: Option<CallId>, incoming: &Incoming) -> Result<Response, ApiError> {
    if let Some((tenant, id)) = whose(calls, conversation, incoming).await? {
        let told = TwilioRecording {
            account_sid: incoming.or_empty("AccountSid"),
            recording_sid: incoming.or_empty("RecordingSid"),
            status: incoming.or_empty("RecordingStatus"),
            duration: incoming.or_empty("RecordingDuration"),
        };
        calls.on_twilio_recording(tenant, id, told).await?;
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn stream(calls: &Calls, id: CallId, incoming: &Incoming) -> Result<Response, ApiError> {
    authorised(calls, id, incoming).await?;
    if incoming.field("StreamEvent") == Some("stream-error") {
        tracing::warn!(call = %id, "the carrier reports a stream error");
        metrics::counter!("trunkline_stream_errors_total").increment(1);
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// The carrier has found out who, or what, answered a call that we placed.
async fn detected(calls: &Calls, conversation: Option<CallId>, incoming: &Incoming) -> Result<Response, ApiError> {
    let call_sid = incoming.or_empty("CallSid");
    let id = match conversation {
        Some(id) => Some(id),
        None => lookup::call(&calls.control().db, Provider::Twilio, call_sid).await?.map(|(_, id)| id),
    };
    let Some(id) = id else {
        let accounts = calls.anybodys_accounts(Provider::Twilio, incoming.or_empty("AccountSid")).await?;
        signer(accounts, &incoming.signed()).ok_or_else(refused)?;
        return Ok(StatusCode::NO_CONTENT.into_response());
    };
    if let Some((tenant, _)) = authorised(calls, id, incoming).await?
        && let Some(by) = answered_by(incoming.or_empty("AnsweredBy"))
    {
        calls.on_answered_by(tenant, id, call_sid, by).await?;
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn connect(calls: &Calls, id: CallId, token: &str) -> Response {
    let (stream, resume) = (calls.stream_url(Provider::Twilio, id), calls.webhook_url(Provider::Twilio, "resume", id));
    document(twiml::connect_stream(&stream, &[("token", token)], &resume))
}

fn document(twiml: String) -> Response {
    ([(header::CONTENT_TYPE, "text/xml; charset=utf-8")], twiml).into_response()
}
