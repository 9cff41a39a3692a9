//! What both sockets share: the handshake, reading, and the order of ending.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{
    extract::{
        Path, Query, State, WebSocketUpgrade,
        ws::{Message, WebSocket},
    },
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use futures_util::{StreamExt, stream::SplitStream};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until, timeout},
};
use tokio_util::task::AbortOnDropHandle;

use super::{
    Shared,
    context::Socket,
    error::{ApiError, Failure},
    log::{Connection, Happened},
    multi::Multi,
    options::Options,
    stream::Stream,
    wire::ClientMessage,
    writer::{Outgoing, Writer, Written},
};
use crate::fault::Fault;

/// How many messages may wait for a client that reads slowly.
const UNREAD_MESSAGES: usize = 64;
/// How long a client may take to answer a close frame.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// What one kind of socket makes of its messages.
pub(super) trait Protocol: Send {
    /// The client sent `message`.
    fn on_message(
        &mut self,
        socket: &Socket,
        message: ClientMessage,
    ) -> impl Future<Output = Result<(), Failure>> + Send;

    /// When [`Self::on_deadline`] is next called.
    fn deadline(&self, socket: &Socket) -> Option<Instant>;

    /// The client was quiet until the deadline.
    fn on_deadline(&mut self, socket: &Socket) -> impl Future<Output = Result<(), Failure>> + Send;

    /// The final message of the context `key` is leaving.
    fn on_final(&mut self, socket: &Socket, key: u64) -> impl Future<Output = ()> + Send;
}

type Parameters = Query<BTreeMap<String, String>>;

pub(super) async fn stream_input(
    State(shared): State<Arc<Shared>>,
    Path(voice): Path<String>,
    headers: HeaderMap,
    Query(query): Parameters,
    upgrade: WebSocketUpgrade,
) -> Response {
    accept(shared, &voice, &headers, &query, upgrade, Stream::new)
}

pub(super) async fn multi_stream_input(
    State(shared): State<Arc<Shared>>,
    Path(voice): Path<String>,
    headers: HeaderMap,
    Query(query): Parameters,
    upgrade: WebSocketUpgrade,
) -> Response {
    accept(shared, &voice, &headers, &query, upgrade, Multi::new)
}

fn accept<P: Protocol + 'static>(
    shared: Arc<Shared>,
    voice: &str,
    headers: &HeaderMap,
    query: &BTreeMap<String, String>,
    upgrade: WebSocketUpgrade,
    protocol: fn() -> P,
) -> Response {
    let connection = shared.watch.connect();
    let refuse = |error: ApiError| {
        connection.log("", Happened::Failed(error.code.clone()));
        error.into_response()
    };
    let fault = shared.config.script.next();
    if let Some(Fault::Refuse { status, retry_after }) = fault {
        return refuse(ApiError::refusal(status, retry_after));
    }
    let options = match Options::parse(&shared, voice, headers, query) {
        Ok(options) => options,
        Err(error) => return refuse(error),
    };
    upgrade.on_upgrade(move |web_socket| async move {
        let stopped = shared.stopped.clone();
        tokio::select! {
            () = stopped.cancelled() => {}
            () = run(web_socket, shared, connection, options, fault, protocol()) => {}
        }
    })
}

async fn run(
    web_socket: WebSocket,
    shared: Arc<Shared>,
    connection: Arc<Connection>,
    mut options: Options,
    fault: Option<Fault>,
    protocol: impl Protocol,
) {
    let (sink, mut incoming) = web_socket.split();
    if fault == Some(Fault::Hang) {
        while let Some(Ok(_)) = incoming.next().await {}
        return;
    }
    let (out, outgoing) = mpsc::channel(UNREAD_MESSAGES);
    let (finished, finishing) = mpsc::unbounded_channel();
    let style = shared.config.key_style;
    let writer =
        Writer { sink, outgoing, finished, fault, style, connection: connection.clone(), sent: Duration::ZERO };
    let mut writer = AbortOnDropHandle::new(tokio::spawn(writer.run()));
    let failure = options.failure.take();
    let socket = Socket { shared, connection, options, out };
    let written = {
        let serving = serve(&socket, &mut incoming, finishing, protocol, failure);
        tokio::select! {
            biased;
            written = &mut writer => Some(written.unwrap_or(Written::Cut)),
            () = serving => None,
        }
    };
    writer.abort();
    // Either side may have begun to close: the other's frame is read, or the reply to it flushed.
    if written != Some(Written::Cut) {
        let _ = timeout(CLOSE_LIMIT, async { while let Some(Ok(_)) = incoming.next().await {} }).await;
    }
}

/// Reads until the client closes.
async fn serve(
    socket: &Socket,
    incoming: &mut SplitStream<WebSocket>,
    mut finishing: mpsc::UnboundedReceiver<u64>,
    mut protocol: impl Protocol,
    failure: Option<Failure>,
) {
    let mut outcome = failure.map_or(Ok(()), Err);
    let mut authorised = socket.options.authorised;
    loop {
        if let Err(failure) = outcome {
            // The writer ends the socket; until then, nothing more is listened to.
            let _ = socket.out.send(Outgoing::Fail(failure)).await;
            while let Some(Ok(_)) = incoming.next().await {}
            return;
        }
        let deadline = protocol.deadline(socket);
        outcome = tokio::select! {
            biased;
            Some(key) = finishing.recv() => {
                protocol.on_final(socket, key).await;
                Ok(())
            }
            message = incoming.next() => match message {
                Some(Ok(Message::Text(text))) => match read(socket, &text, &mut authorised) {
                    Ok(message) => protocol.on_message(socket, message).await,
                    Err(failure) => Err(failure),
                },
                Some(Ok(Message::Binary(_))) => Err(Failure::invalid("Messages must be text.")),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => Ok(()),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
            },
            () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => protocol.on_deadline(socket).await,
        };
    }
}

fn read(socket: &Socket, text: &str, authorised: &mut bool) -> Result<ClientMessage, Failure> {
    let message = ClientMessage::parse(text)?;
    if !*authorised {
        socket.shared.check_key(message.key.as_deref())?;
        *authorised = true;
    }
    Ok(message)
}
