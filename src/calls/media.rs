//! `GET /media/twilio/{conversation}`: a media socket is admitted by its upgrade's signature, and then by the token in its `start`.

use std::time::Duration;

use axum::{
    extract::{Path, State, WebSocketUpgrade, ws::WebSocket},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use futures_util::{SinkExt, StreamExt};
use tokio::time::{Instant, timeout_at};
use trunkline_base::CallId;
use trunkline_media::{
    call::Attachment,
    telephony::{
        BadMessageLimit, CLOSE_POLICY, Inbound, MAX_TEXT, MediaCodec, SocketMessage, Started, Verdict,
        twilio::{
            TwilioCodec,
            signature::{Body, Keys, SETTINGS_HEADER, SIGNATURE_HEADER, SignedRequest, verify},
        },
    },
    time::MediaTime,
};

use super::{Calls, socket::AxumSocket};

/// How long a socket may take from its upgrade to its `start`.
const START: Duration = Duration::from_secs(5);
/// How long a socket that is refused may take to close.
const CLOSE: Duration = Duration::from_secs(2);

pub(super) async fn twilio(
    State(calls): State<Calls>,
    Path(conversation): Path<String>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, axum::extract::ws::rejection::WebSocketUpgradeRejection>,
) -> Response {
    let Some(id) = conversation.parse::<CallId>().ok().filter(|id| calls.0.registry.contains(*id)) else {
        return (StatusCode::NOT_FOUND, "no such call\n").into_response();
    };
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let url = calls.stream_url(id);
    let request = SignedRequest {
        url: &url,
        signature: header(SIGNATURE_HEADER),
        settings: header(SETTINGS_HEADER),
        body: Body::None,
    };
    if let Err(error) = verify(Keys::token(&calls.0.settings.vendors.twilio_auth_token), &request) {
        tracing::warn!(call = %id, %error, "media socket refused");
        metrics::counter!("trunkline_media_refused_total", "cause" => "signature").increment(1);
        return (StatusCode::FORBIDDEN, "the upgrade's signature does not verify\n").into_response();
    }
    match upgrade {
        Ok(upgrade) => upgrade
            .read_buffer_size(4 * 1024)
            .write_buffer_size(0)
            .max_write_buffer_size(512 * 1024)
            // Above what is answered with 1008, so that it is seen and counted.
            .max_message_size(4 * MAX_TEXT)
            .max_frame_size(4 * MAX_TEXT)
            .on_upgrade(move |socket| admit(calls, id, socket)),
        Err(rejection) => rejection.into_response(),
    }
}

/// Waits for the `start` that shows the call's token, and hands the socket to the call.
async fn admit(calls: Calls, id: CallId, socket: WebSocket) {
    let mut socket = AxumSocket::new(socket);
    let mut codec = TwilioCodec::default();
    match started(&mut socket, &mut codec).await {
        Ok(started) => {
            let token = started.parameters.get("token").map_or("", String::as_str);
            let Some(way_in) = calls.0.registry.admits(id, &started.call_sid, token) else {
                return refuse(id, socket, "token").await;
            };
            let attachment = Attachment { socket, codec: Box::new(codec), started };
            if way_in.send(attachment).await.is_err() {
                tracing::info!(call = %id, "the call ended before its stream began");
            }
        }
        Err(cause) => refuse(id, socket, cause).await,
    }
}

async fn started(socket: &mut AxumSocket, codec: &mut TwilioCodec) -> Result<Started, &'static str> {
    let opened = Instant::now();
    let mut limit = BadMessageLimit::default();
    loop {
        let message = timeout_at(opened + START, socket.next()).await.map_err(|_| "no start")?.ok_or("closed")?;
        match codec.decode(&message) {
            Ok(Inbound::Started(started)) => return Ok(*started),
            Ok(Inbound::Closed { .. } | Inbound::Stopped) => return Err("closed"),
            Ok(_) => {}
            Err(bad) => {
                metrics::counter!("trunkline_media_bad_messages_total", "kind" => bad.label()).increment(1);
                if let Verdict::Close { reason, .. } = limit.handle_bad_message(bad, MediaTime::new(opened.elapsed())) {
                    return Err(reason);
                }
            }
        }
    }
}

async fn refuse(id: CallId, mut socket: AxumSocket, cause: &'static str) {
    tracing::warn!(call = %id, cause, "media socket refused");
    metrics::counter!("trunkline_media_refused_total", "cause" => cause).increment(1);
    let closing = async {
        // Read on until the peer has closed too: a socket that is dropped with audio unread is reset, and takes the close frame with it.
        if socket.send(SocketMessage::close(CLOSE_POLICY, cause)).await.is_ok() {
            while socket.next().await.is_some() {}
        }
    };
    let _ = tokio::time::timeout(CLOSE, closing).await;
}
