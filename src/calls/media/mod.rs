//! Media sockets: each is admitted by its upgrade's signature, which the carrier's own file checks, and then by the token that its stream
//! begins with.
//!
//! A socket may reach a node that does not know its call: the process that handed out the token is gone, or a balancer chose. Then the
//! token is looked up, and the call is taken over.

pub(super) mod twilio;
pub(super) mod vonage;

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{WebSocketUpgrade, ws::WebSocket},
    response::Response,
};
use futures_util::{SinkExt, StreamExt};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout_at},
};
use trunkline_base::{CallId, Clock, SystemClock};
use trunkline_control::{
    error::{ApiError, ErrorCode},
    lookup,
    tenant::TenantId,
    vendors::Provider,
};
use trunkline_media::{
    call::Attachment,
    telephony::{BadMessageLimit, CLOSE_POLICY, Inbound, MAX_TEXT, MediaCodec, SocketMessage, Started, Verdict},
    time::MediaTime,
};

use super::{Calls, account::CarrierAccount, socket::AxumSocket, token};

/// How long a socket may take from its upgrade to its `start`.
const START: Duration = Duration::from_secs(5);
/// How long a socket that is refused may take to close.
const CLOSE: Duration = Duration::from_secs(2);

/// A socket that has been upgraded for a call, and is still to show its token.
struct Admission {
    calls: Calls,
    tenant: TenantId,
    id: CallId,
    account: Arc<CarrierAccount>,
}

fn no_such_call() -> ApiError {
    ApiError::not_found(ErrorCode::ConversationNotFound)
}

fn not_signed(id: CallId) -> ApiError {
    tracing::warn!(call = %id, "media socket refused: its signature does not verify");
    metrics::counter!("trunkline_media_refused_total", "cause" => "signature").increment(1);
    ApiError::new(ErrorCode::WebhookSignatureInvalid, "The upgrade's signature does not verify")
}

impl Admission {
    /// Answers the upgrade, and goes on with the socket.
    fn upgrade(self, upgrade: WebSocketUpgrade, codec: impl MediaCodec + 'static) -> Response {
        upgrade
            .read_buffer_size(4 * 1024)
            .write_buffer_size(0)
            .max_write_buffer_size(512 * 1024)
            // Above what is answered with 1008, so that it is seen and counted.
            .max_message_size(4 * MAX_TEXT)
            .max_frame_size(4 * MAX_TEXT)
            .on_upgrade(move |socket| self.admit(socket, Box::new(codec)))
    }

    /// Waits for the beginning of the stream that shows the call's token, and hands the socket to the call.
    async fn admit(self, socket: WebSocket, mut codec: Box<dyn MediaCodec>) {
        let Self { calls, tenant, id, account } = self;
        let mut socket = AxumSocket::new(socket);
        match started(&mut socket, &mut *codec).await {
            Ok(started) => {
                let token = started.parameters.get("token").map_or("", String::as_str);
                let mut way_in = calls.0.registry.admits(id, &started.call_sid, token);
                if way_in.is_none() {
                    way_in = calls.find_way_in(tenant, id, account.clone(), &started.call_sid, token).await;
                }
                let Some(way_in) = way_in else { return refuse(id, socket, "token").await };
                let (gone, stream) = (socket.gone(), calls.0.registry.begin_stream(id));
                let provider_call_id = started.call_sid.clone();
                let attachment = Attachment { socket, codec, started };
                if way_in.send(attachment).await.is_err() {
                    tracing::info!(call = %id, "the call ended before its stream began");
                    return;
                }
                let Some(stream) = stream else { return };
                // A task of its own, smaller than this one, for as long as the stream lasts.
                tokio::spawn(async move {
                    let _ = gone.await;
                    calls.0.registry.end_stream(id, stream);
                    let asking = calls.ask_after(tenant, id, &account, &provider_call_id, stream);
                    Box::pin(asking).await;
                });
            }
            Err(cause) => refuse(id, socket, cause).await,
        }
    }
}

impl Calls {
    /// The account of a call that this process does not know, as long as it is not over.
    async fn account_of_open_call(
        &self,
        tenant: TenantId,
        id: CallId,
        provider: Provider,
    ) -> Result<Option<CarrierAccount>, ApiError> {
        let call = self.stored_call(tenant, id).await?.filter(|call| !call.over).ok_or_else(no_such_call)?;
        self.account_of_call(&call, provider).await
    }

    /// The way into a call that another process knew, for a token that is still good.
    async fn find_way_in(
        &self,
        tenant: TenantId,
        id: CallId,
        account: Arc<CarrierAccount>,
        provider_call_id: &str,
        token: &str,
    ) -> Option<mpsc::Sender<Attachment<AxumSocket>>> {
        if self.0.registry.contains(id) {
            return None;
        }
        let take_over = async {
            let found = lookup::stream_token(&self.control().db, &token::hash(token)).await?;
            let now: chrono::DateTime<chrono::Utc> = SystemClock.wall().into();
            let good =
                found.is_some_and(|found| found.tenant == tenant && found.conversation == id && found.expires_at > now);
            if !good {
                return Ok(None);
            }
            // It mints a token of its own, which its socket does not need to show: it has shown a good one.
            let taken = self.take_over(tenant, id, account, provider_call_id).await?;
            Ok(taken.and_then(|token| self.0.registry.admits(id, provider_call_id, token.expose())))
        };
        take_over.await.unwrap_or_else(|error: ApiError| {
            tracing::warn!(call = %id, cause = error.message, "a media socket's token could not be looked up");
            None
        })
    }
}

async fn started(socket: &mut AxumSocket, codec: &mut dyn MediaCodec) -> Result<Started, &'static str> {
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
