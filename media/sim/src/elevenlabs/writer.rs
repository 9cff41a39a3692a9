//! The writing half of a socket: everything leaves through here, and here the scripted faults strike.

use std::{sync::Arc, time::Duration};

use axum::extract::ws::{CloseFrame, Message};
use futures_util::{Sink, SinkExt};
use tokio::sync::mpsc::{Receiver, UnboundedSender};

use super::{
    config::KeyStyle,
    error::{CLOSE_POLICY, Failure},
    fragments::Fragment,
    log::{Connection, Happened},
    wire,
};
use crate::fault::Fault;

/// Something to be sent.
#[derive(Debug)]
pub(super) enum Outgoing {
    Audio { context: Option<String>, fragment: Fragment },
    Final { context: Option<String>, key: u64 },
    Fail(Failure),
    Close,
}

/// Why the writing ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// A close frame was sent: the client answers it.
    Closed,
    /// The connection is to be cut, or is cut already.
    Cut,
}

pub(super) struct Writer<S> {
    pub(super) sink: S,
    pub(super) outgoing: Receiver<Outgoing>,
    /// Where to tell the keys of contexts whose final message leaves.
    pub(super) finished: UnboundedSender<u64>,
    pub(super) fault: Option<Fault>,
    pub(super) style: KeyStyle,
    pub(super) connection: Arc<Connection>,
    /// How much audio was sent.
    pub(super) sent: Duration,
}

/// What a fault does to the message it meets.
enum Struck {
    Passes,
    Vanishes,
    Ends(Written),
}

impl<S: Sink<Message> + Unpin> Writer<S> {
    pub(super) async fn run(mut self) -> Written {
        let mut stalled = false;
        while let Some(outgoing) = self.outgoing.recv().await {
            if stalled {
                continue;
            }
            if matches!(outgoing, Outgoing::Audio { .. }) {
                match self.strike().await {
                    Struck::Passes => {}
                    Struck::Vanishes => {
                        stalled = true;
                        continue;
                    }
                    Struck::Ends(written) => return written,
                }
            }
            if let Some(written) = self.send(outgoing).await {
                return written;
            }
        }
        Written::Cut
    }

    async fn send(&mut self, outgoing: Outgoing) -> Option<Written> {
        let sent = match outgoing {
            Outgoing::Audio { context, fragment } => {
                let message = wire::audio(&fragment.bytes, fragment.alignment.as_ref(), context.as_deref(), self.style);
                self.sent += fragment.length;
                let happened = Happened::Audio { bytes: fragment.bytes.len(), length: fragment.length };
                self.connection.log(context.as_deref().unwrap_or_default(), happened);
                self.text(message.to_string()).await
            }
            Outgoing::Final { context, key } => {
                self.connection.log(context.as_deref().unwrap_or_default(), Happened::Final);
                // Told before it is sent: a client that has it may open the next context at once.
                let _ = self.finished.send(key);
                self.text(wire::last(context.as_deref(), self.style).to_string()).await
            }
            Outgoing::Fail(failure) => return Some(self.fail(&failure).await),
            Outgoing::Close => return Some(self.close(1_000, "").await),
        };
        sent.err()
    }

    /// Lets the fault strike if its time has come.
    async fn strike(&mut self) -> Struck {
        let sent = self.sent;
        let due = self.fault.take_if(|fault| match fault {
            Fault::DropAfter(after)
            | Fault::StallAfter(after)
            | Fault::GarbageAfter(after)
            | Fault::ErrorAfter(after, _) => sent >= *after,
            Fault::Refuse { .. } | Fault::Hang => false,
        });
        match due {
            Some(Fault::DropAfter(_)) => Struck::Ends(Written::Cut),
            Some(Fault::StallAfter(_)) => Struck::Vanishes,
            Some(Fault::GarbageAfter(_)) => match self.text("{\"audio\": \u{1}<not base64>,".into()).await {
                Ok(()) => Struck::Passes,
                Err(written) => Struck::Ends(written),
            },
            Some(Fault::ErrorAfter(_, code)) => Struck::Ends(self.fail(&Failure::scripted(&code)).await),
            Some(Fault::Refuse { .. } | Fault::Hang) | None => Struck::Passes,
        }
    }

    async fn fail(&mut self, failure: &Failure) -> Written {
        self.connection.log("", Happened::Failed(failure.code.clone()));
        match self.text(failure.frame().to_string()).await {
            Ok(()) => self.close(CLOSE_POLICY, failure.reason()).await,
            Err(written) => written,
        }
    }

    async fn close(&mut self, code: u16, reason: &str) -> Written {
        let frame = CloseFrame { code, reason: reason.into() };
        match self.sink.send(Message::Close(Some(frame))).await {
            Ok(()) => Written::Closed,
            Err(_) => Written::Cut,
        }
    }

    async fn text(&mut self, text: String) -> Result<(), Written> {
        self.sink.send(Message::Text(text.into())).await.map_err(|_| Written::Cut)
    }
}
