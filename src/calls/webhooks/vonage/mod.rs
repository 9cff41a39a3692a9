//! `/webhooks/vonage`: a call wants an answer (`answer`, by GET or POST), something becomes of a call (`event`), or of the leg to our
//! media socket (`stream`), whose end is answered with what comes next; or a call is handed over (`dial`, `consult`). Nothing is believed, and nothing stored, before the token verifies.
//!
//! Each token is good for one effect. What comes again is answered with what its call still waits for, in case that the carrier has lost
//! our answer, and changes nothing else.

mod incoming;

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{OriginalUri, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use trunkline_base::{CallId, Personal};
use trunkline_control::{
    error::{ApiError, ErrorBody},
    http::Params,
    lookup,
    tenant::TenantId,
    vendors::Provider,
};
use trunkline_media::{
    event::EndReason,
    telephony::{
        AnsweredBy, CarrierStatus,
        vonage::{
            ACCOUNT_HEADER, CALL_HEADER, TOKEN_HEADER,
            event::{Answerer, EventKind, EventWebhook},
            ncco::{Ncco, SocketLeg},
        },
    },
};
use url::form_urlencoded;

use self::incoming::{Content, Incoming, Signer};
use crate::calls::{
    Calls,
    account::CarrierAccount,
    control,
    registry::Resumption,
    ring::{Answered, Caller},
    state::Report,
};

/// How much of a caller's name is kept, where they have no number.
const MAX_NAME: usize = 64;

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::calls) struct Kind {
    /// `answer`, `event`, `stream`, `dial` or `consult`, as in the address that was handed out. Without it, the fields tell.
    #[param(pattern = "^(answer|event|stream|dial|consult)$", example = "answer")]
    kind: Option<String>,
    /// Whose event it is: required for `stream`, `dial` and `consult`.
    #[param(value_type = Option<uuid::Uuid>)]
    conversation: Option<String>,
}

/// A call of Vonage's
///
/// Answered with an NCCO. Served at `/v1/webhooks/vonage` too.
#[utoipa::path(
    get,
    path = "/webhooks/vonage",
    operation_id = "answer_vonage_call",
    tag = "webhooks",
    params(
        Kind,
        ("to" = Option<String>, Query, description = "The number called, without its plus", example = "14155550101"),
        ("from" = Option<String>, Query, description = "Who calls", example = "14155550100"),
        ("uuid" = Option<String>, Query, description = "The caller's leg", example = "aaaaaaaa-bbbb-cccc-dddd-0123456789ab"),
    ),
    responses(
        (
            status = 200, description = "An NCCO", body = Vec<Object>,
            example = json!([{ "action": "connect", "eventType": "synchronous",
                "eventUrl": ["https://trunkline.example.com/webhooks/vonage?kind=stream&conversation=018f0000-0000-7000-8000-000000000001"],
                "endpoint": [{ "type": "websocket", "uri": "wss://trunkline.example.com/media/vonage/018f0000-0000-7000-8000-000000000001",
                    "content-type": "audio/l16;rate=16000", "headers": {}, "authorization": { "type": "vonage" } }] }]),
        ),
        (status = 403, description = "WEBHOOK_SIGNATURE_INVALID", body = ErrorBody),
        (status = 422, description = "VALIDATION_ERROR", body = ErrorBody),
        (status = 503, description = "OVERLOADED: the database is unavailable", body = ErrorBody),
    )
)]
pub(in crate::calls) async fn vonage_get(
    State(calls): State<Calls>,
    OriginalUri(uri): OriginalUri,
    Params(query): Params<Kind>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let fields = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
    receive(&calls, query, Incoming { headers, content: Content::Query(fields) }).await
}

/// A call of Vonage's, or an event of one
///
/// Answered with an NCCO where the call asks what comes next, with nothing otherwise. Served at `/v1/webhooks/vonage` too.
#[utoipa::path(
    post,
    path = "/webhooks/vonage",
    operation_id = "receive_vonage_webhook",
    tag = "webhooks",
    params(Kind),
    request_body(
        content = Object, content_type = "application/json",
        description = "Vonage's fields, signed by the token in Authorization",
        example = json!({ "to": "14155550101", "from": "14155550100", "uuid": "aaaaaaaa-bbbb-cccc-dddd-0123456789ab",
            "conversation_uuid": "CON-aaaaaaaa-bbbb-cccc-dddd-0123456789ab", "status": "answered", "direction": "inbound",
            "timestamp": "2026-01-01T00:00:00.000Z" }),
    ),
    responses(
        (status = 200, description = "An NCCO, or nothing", body = Vec<Object>, example = json!([])),
        (status = 403, description = "WEBHOOK_SIGNATURE_INVALID", body = ErrorBody),
        (status = 413, description = "PAYLOAD_TOO_LARGE", body = ErrorBody),
        (status = 422, description = "VALIDATION_ERROR", body = ErrorBody),
        (status = 503, description = "OVERLOADED: the database is unavailable", body = ErrorBody),
    )
)]
pub(in crate::calls) async fn vonage_post(
    State(calls): State<Calls>,
    Params(query): Params<Kind>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, ApiError> {
    receive(&calls, query, Incoming { headers, content: Content::Body(body) }).await
}

async fn receive(calls: &Calls, query: Kind, incoming: Incoming) -> Result<Response, ApiError> {
    let conversation = query.conversation.as_deref().and_then(|id| id.parse::<CallId>().ok());
    match (query.kind.as_deref().unwrap_or_else(|| incoming.kind()), conversation) {
        ("answer", Some(id)) => answered(calls, id, &incoming).await,
        ("answer", None) => answer(calls, &incoming).await,
        ("event", _) => event(calls, conversation, &incoming).await,
        ("stream", Some(id)) => stream(calls, id, &incoming).await,
        (kind @ ("dial" | "consult"), Some(id)) => handed_over(calls, id, kind, &incoming).await,
        _ => {
            anybodys(calls, &incoming).await?;
            let message =
                "must be answer, event, stream, dial or consult; stream, dial and consult need a conversation";
            Err(ApiError::field("kind", message))
        }
    }
}

/// A call rings. A repeated webhook of the same call is answered with the same conversation.
async fn answer(calls: &Calls, incoming: &Incoming) -> Result<Response, ApiError> {
    let Ok(call) = incoming.answer() else {
        anybodys(calls, incoming).await?;
        return Err(ApiError::field("uuid", "is missing, as is who was called, or they cannot be read"));
    };
    let to = number(&call.to);
    let Some(number) = lookup::number(&calls.control().db, Provider::Vonage, &to).await? else {
        // Nobody's number; but whose account it is, is told that nobody answers.
        anybodys(calls, incoming).await?;
        return Ok(document(&Ncco::empty()));
    };
    let account = calls.account_of_number(Provider::Vonage, &number).await?;
    let signer = incoming.signer(account.into_iter().map(Arc::new).collect())?;
    tracing::Span::current().record("tenant_id", tracing::field::display(number.tenant));
    if call.reason.is_some() {
        tracing::warn!("the carrier asks at the fallback address: it could not be answered at the first");
    }
    let account = Arc::new(signer.account.at(call.region_url.as_deref()));
    let caller = Caller {
        provider_call_id: call.uuid.clone(),
        from: Personal::new(self::number(call.from.as_deref().unwrap_or_default())),
        to: Personal::new(to),
        region_url: call.region_url,
        receipt: Some(signer.receipt()),
    };
    Ok(match calls.ring(number.tenant, number.agent, account.clone(), caller).await? {
        Answered::Stream(id, token) => connect(calls, id, &account, &call.uuid, token.expose()),
        Answered::Over | Answered::Rejected => document(&Ncco::empty()),
    })
}

/// A call that we placed is answered, and the carrier asks what to do with it.
async fn answered(calls: &Calls, id: CallId, incoming: &Incoming) -> Result<Response, ApiError> {
    let Ok(call) = incoming.answer() else {
        anybodys(calls, incoming).await?;
        return Err(ApiError::field("uuid", "is missing, as is who was called, or they cannot be read"));
    };
    let Some((tenant, signer)) = authorised(calls, id, incoming).await? else {
        return Ok(document(&Ncco::empty()));
    };
    let receipt = signer.receipt();
    let account = Arc::new(signer.account.at(call.region_url.as_deref()));
    let token = if calls.is_replay(tenant, &receipt).await {
        calls.answer_again(tenant, id).await
    } else {
        let answered = calls.answer(tenant, id, account.clone(), &call.uuid, call.region_url.as_deref()).await?;
        calls.keep_receipt(tenant, &receipt).await;
        match answered {
            Answered::Stream(_, token) => Some(token),
            Answered::Over | Answered::Rejected => None,
        }
    };
    Ok(match token {
        Some(token) => connect(calls, id, &account, &call.uuid, token.expose()),
        None => document(&Ncco::empty()),
    })
}

/// As we write numbers. A caller without one has a name, or nothing.
fn number(theirs: &str) -> String {
    let digits = theirs.trim_start_matches('+');
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return format!("+{digits}").chars().take(MAX_NAME).collect();
    }
    theirs.chars().filter(|c| !c.is_control()).take(MAX_NAME).collect()
}

/// Somebody's account, if it signed the request.
async fn anybodys(calls: &Calls, incoming: &Incoming) -> Result<Signer, ApiError> {
    let claims = incoming.claims()?;
    let mut accounts = match &claims.application_id {
        Some(application) => calls.anybodys_accounts(Provider::Vonage, application).await?,
        None => Vec::new(),
    };
    accounts.extend(calls.platform_account(Provider::Vonage));
    incoming.signer(accounts.into_iter().map(Arc::new).collect())
}

/// Who may speak of a conversation: the account that it is on here, or those of its tenant.
async fn authorised(calls: &Calls, id: CallId, incoming: &Incoming) -> Result<Option<(TenantId, Signer)>, ApiError> {
    if let Some((tenant, account)) = calls.0.registry.owner(id) {
        return Ok(Some((tenant, incoming.signer(vec![account])?)));
    }
    let claims = incoming.claims()?;
    let Some(tenant) = lookup::conversation(&calls.control().db, id).await? else {
        anybodys(calls, incoming).await?;
        return Ok(None);
    };
    let mut accounts: Vec<CarrierAccount> = match calls.stored_call(tenant, id).await? {
        Some(call) => calls.account_of_call(&call, Provider::Vonage).await?.into_iter().collect(),
        None => Vec::new(),
    };
    // The number may have moved since; the account has not.
    if let Some(application) = &claims.application_id {
        accounts.extend(calls.accounts(tenant, Provider::Vonage, application).await?);
    }
    Ok(Some((tenant, incoming.signer(accounts.into_iter().map(Arc::new).collect())?)))
}

/// Something became of a leg. Repeats and stragglers change nothing. An application's own event address names no conversation: then
/// the leg tells which it is.
async fn event(calls: &Calls, conversation: Option<CallId>, incoming: &Incoming) -> Result<Response, ApiError> {
    let Ok(event) = incoming.event() else {
        anybodys(calls, incoming).await?;
        return Err(ApiError::field("uuid", "is missing, or cannot be read"));
    };
    let uuid = event.uuid.as_deref().unwrap_or_default();
    let id = match conversation {
        Some(id) => Some(id),
        None => lookup::call(&calls.control().db, Provider::Vonage, uuid).await?.map(|(_, id)| id),
    };
    let id = match (id, &event.kind, &event.conversation_uuid) {
        // It names no leg either.
        (None, EventKind::Recorded { .. }, Some(theirs)) => {
            let signer = anybodys(calls, incoming).await?;
            calls.call_of_conversation(&signer.account, theirs).await?
        }
        (id, ..) => id,
    };
    let Some(id) = id else {
        anybodys(calls, incoming).await?;
        return Ok(StatusCode::OK.into_response());
    };
    if let Some((tenant, signer)) = authorised(calls, id, incoming).await? {
        if !event.is_socket() && !uuid.is_empty() {
            calls.settle_by_word(tenant, id, &signer.account, uuid).await?;
        }
        take(calls, tenant, id, &event, &signer).await?;
    }
    Ok(StatusCode::OK.into_response())
}

/// What an event says of a leg, wherever it came.
async fn take(
    calls: &Calls,
    tenant: TenantId,
    id: CallId,
    event: &EventWebhook,
    signer: &Signer,
) -> Result<(), ApiError> {
    match (&event.kind, event.uuid.as_deref()) {
        (EventKind::Status(status), Some(uuid)) => {
            let report = Report { status: *status, seq: None };
            calls.on_report(tenant, id, uuid, report, Some(&signer.receipt())).await?;
        }
        (EventKind::AnsweredBy(answerer), Some(uuid)) => {
            let by = match answerer {
                Answerer::Human => AnsweredBy::Human,
                Answerer::Machine => AnsweredBy::Machine,
                // Whether or not it has beeped: it is silent, and records.
                Answerer::Beep | Answerer::NoBeep => AnsweredBy::MachineReady,
            };
            calls.on_answered_by(tenant, id, uuid, by).await?;
        }
        (EventKind::Recorded { url, duration, .. }, _) => {
            calls.on_vonage_recording(tenant, id, &signer.account, url, *duration).await?;
        }
        (EventKind::Problem(_), _) => {
            // In the vendor's words, which may quote what it was told.
            tracing::warn!(call = %id, "the carrier could not do what its document says");
            metrics::counter!("trunkline_stream_errors_total").increment(1);
        }
        _ => {}
    }
    Ok(())
}

/// What becomes of the leg to our media socket. Its end is answered with what comes next: nothing if we meant it, another leg if not.
async fn stream(calls: &Calls, id: CallId, incoming: &Incoming) -> Result<Response, ApiError> {
    let Ok(event) = incoming.event() else {
        anybodys(calls, incoming).await?;
        return Err(ApiError::field("uuid", "is missing, or cannot be read"));
    };
    let Some((tenant, signer)) = authorised(calls, id, incoming).await? else {
        return Ok(document(&Ncco::empty()));
    };
    let is_lost = match event.kind {
        EventKind::Disconnected => true,
        // What was ended at the carrier ends without asking.
        EventKind::Status(status) => event.is_socket() && status.is_terminal() && status != CarrierStatus::Completed,
        _ => false,
    };
    if calls.0.transfers.is_moving(id) || is_lost && calls.is_moving_elsewhere(tenant, id).await {
        // The caller is on their way to somebody else, or back: nothing takes the place of this leg.
        return Ok(StatusCode::OK.into_response());
    }
    if is_lost {
        return resume(calls, tenant, id, &signer).await;
    }
    if !event.is_socket() {
        take(calls, tenant, id, &event, &signer).await?;
    }
    // A document would take the place of the leg.
    Ok(StatusCode::OK.into_response())
}

/// The stream ended and the carrier asks what comes next.
async fn resume(calls: &Calls, tenant: TenantId, id: CallId, signer: &Signer) -> Result<Response, ApiError> {
    let receipt = signer.receipt();
    // The caller's leg is not the socket's, which the event is about.
    let uuid = match calls.0.registry.provider_call_id(id) {
        Some(uuid) => Some(uuid),
        None => calls.stored_call(tenant, id).await?.and_then(|call| call.provider_call_id),
    };
    let Some(uuid) = uuid else { return Ok(document(&Ncco::empty())) };
    let account = &signer.account;
    let next = |token: &str| connect(calls, id, account, &uuid, token);
    if calls.is_replay(tenant, &receipt).await {
        return Ok(match calls.answer_again(tenant, id).await {
            Some(token) => next(token.expose()),
            None => document(&Ncco::empty()),
        });
    }
    let answer = match calls.0.registry.resume(id) {
        Resumption::Stream(token) => {
            calls.keep_token(tenant, id, &token).await;
            next(token.expose())
        }
        Resumption::TooMany => {
            // No stream will come any more: the call need not wait for one.
            calls.0.registry.hang_up(id, &uuid, EndReason::MediaLost);
            document(&Ncco::empty())
        }
        Resumption::Over => document(&Ncco::empty()),
        Resumption::Unknown => match calls.take_over(tenant, id, account.clone(), &uuid).await? {
            Some(token) => next(token.expose()),
            None => document(&Ncco::empty()),
        },
    };
    calls.keep_receipt(tenant, &receipt).await;
    Ok(answer)
}

/// What becomes of the leg to somebody whom a caller is handed to.
async fn handed_over(calls: &Calls, id: CallId, kind: &str, incoming: &Incoming) -> Result<Response, ApiError> {
    let Ok(event) = incoming.event() else {
        anybodys(calls, incoming).await?;
        return Err(ApiError::field("uuid", "is missing, or cannot be read"));
    };
    let Some((tenant, signer)) = authorised(calls, id, incoming).await? else {
        return Ok(document(&Ncco::empty()));
    };
    let receipt = signer.receipt();
    match kind {
        "dial" => control::dialled_on_vonage(calls, tenant, id, signer.account, &event, &receipt).await,
        _ => control::consult_on_vonage(calls, tenant, id, &event, &receipt).await,
    }
}

fn connect(calls: &Calls, id: CallId, account: &CarrierAccount, uuid: &str, token: &str) -> Response {
    document(&stream_document(calls, id, account, uuid, token))
}

/// The document that connects a call to its media socket.
pub(in crate::calls) fn stream_document(
    calls: &Calls,
    id: CallId,
    account: &CarrierAccount,
    uuid: &str,
    token: &str,
) -> Ncco {
    let (uri, event_url) = (calls.stream_url(Provider::Vonage, id), calls.webhook_url(Provider::Vonage, "stream", id));
    let headers = [(CALL_HEADER, uuid), (ACCOUNT_HEADER, account.account_ref()), (TOKEN_HEADER, token)];
    let leg = SocketLeg { uri: &uri, rate: account.line().rate, headers: &headers, event_url: &event_url, from: None };
    Ncco::empty().socket(&leg).unwrap_or_else(|error| {
        tracing::error!(call = %id, %error, "a call cannot be connected");
        Ncco::empty()
    })
}

fn document(ncco: &Ncco) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], ncco.to_json()).into_response()
}
