//! One WebSocket: moves messages between the client and a [`Protocol`], holds results back as long as they are scripted to take,
//! and lets faults strike.

use std::{
    collections::VecDeque,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use axum::extract::ws::{CloseFrame, Message as Frame, WebSocket};
use rand::{Rng, SeedableRng, rngs::StdRng};
use tokio::time::{Instant, sleep_until, timeout};

use crate::fault::Fault;

use super::{
    Shared,
    log::{Connection, Message, SimEventKind},
    protocol::{Outgoing, Protocol},
};

/// How long a client may take to accept a message.
const WRITE_LIMIT: Duration = Duration::from_secs(10);
/// How long a client may take to answer a close frame.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);
/// The most of a client's message that is logged, in bytes.
const LOGGED_TEXT: usize = 4_096;
/// What a `GarbageAfter` sends: half of a message.
const GARBAGE: &str = "{\"type\":\"Results\",\"channel\":{\"alternat";

/// When a client that sends nothing is given up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    pub(super) limit: Duration,
    /// Whether a text message counts before the first audio.
    pub(super) text_before_audio: bool,
    /// Whether a ping counts.
    pub(super) pings: bool,
}

/// A connection's presence in the log; it ends when this is dropped.
pub(super) struct Presence {
    pub(super) shared: Arc<Shared>,
    pub(super) connection: Arc<Connection>,
    code: Option<u16>,
}

impl Presence {
    pub(super) fn new(shared: Arc<Shared>, connection: Arc<Connection>) -> Self {
        shared.log.enter(&connection);
        Self { shared, connection, code: None }
    }

    pub(super) fn log(&self, kind: SimEventKind) {
        self.shared.log.add(&self.connection, kind);
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.shared.log.leave(&self.connection);
        self.log(SimEventKind::Closed { code: self.code, audio_bytes: self.connection.audio_bytes() });
    }
}

/// A connection's state.
pub(super) struct Socket {
    presence: Presence,
    protocol: Box<dyn Protocol>,
    fault: Option<Fault>,
    patience: Patience,
    last_sign: Instant,
    heard_audio: bool,
    stalled: bool,
    queue: VecDeque<(Instant, Outgoing)>,
    first_result: bool,
    unrecognised: u64,
    rng: StdRng,
}

/// Whether the conversation goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    On,
    /// The connection is cut at once.
    Cut,
    /// A close frame was sent or received.
    Closing,
}

impl Socket {
    pub(super) fn new(
        presence: Presence,
        protocol: Box<dyn Protocol>,
        fault: Option<Fault>,
        patience: Patience,
    ) -> Self {
        let seed = presence.shared.config.seed.wrapping_add(presence.connection.id());
        Self {
            presence,
            protocol,
            fault,
            patience,
            last_sign: Instant::now(),
            heard_audio: false,
            stalled: false,
            queue: VecDeque::new(),
            first_result: true,
            unrecognised: 0,
            rng: StdRng::seed_from_u64(seed),
        }
    }

    /// Serves the connection to its end.
    pub(super) async fn run(mut self, mut ws: WebSocket) {
        let shutdown = self.presence.shared.shutdown.clone();
        let ended = tokio::select! {
            () = shutdown.cancelled() => Next::Cut,
            ended = self.converse(&mut ws) => ended,
        };
        if ended == Next::Closing {
            let farewell = async { while let Some(Ok(_)) = ws.recv().await {} };
            let _ = timeout(CLOSE_LIMIT, farewell).await;
        }
    }

    async fn converse(&mut self, ws: &mut WebSocket) -> Next {
        loop {
            self.collect();
            while let Some((due, _)) = self.queue.front()
                && *due <= Instant::now()
            {
                let Some((_, outgoing)) = self.queue.pop_front() else { break };
                match self.send(ws, outgoing).await {
                    Next::On => {}
                    ended => return ended,
                }
            }
            match self.strike(ws).await {
                // A failure that was just scripted has something to send.
                Next::On if self.protocol_has_output() => continue,
                Next::On => {}
                ended => return ended,
            }
            let due = self.queue.front().map(|(due, _)| *due);
            let patience_ends = self.last_sign + self.patience.limit;
            tokio::select! {
                frame = ws.recv() => match frame {
                    Some(Ok(frame)) => if self.receive(frame) == Next::Closing { return Next::Closing },
                    Some(Err(_)) | None => return Next::Cut,
                },
                () = sleep_until(due.unwrap_or(patience_ends)), if due.is_some() => {}
                () = sleep_until(patience_ends), if !self.stalled && due.is_none() => {
                    self.last_sign = Instant::now();
                    self.protocol.handle_idle();
                }
            }
        }
    }

    fn receive(&mut self, frame: Frame) -> Next {
        match frame {
            Frame::Binary(bytes) if bytes.is_empty() => self.protocol.handle_close_stream(),
            Frame::Binary(bytes) => {
                self.last_sign = Instant::now();
                self.protocol.handle_audio(&bytes);
                let total = Duration::from_secs_f64(self.protocol.audio_s());
                self.presence.connection.hear(bytes.len(), total);
                if !self.heard_audio {
                    self.heard_audio = true;
                    self.presence.log(SimEventKind::FirstAudio);
                }
                let unrecognised = self.protocol.unrecognised();
                self.presence.shared.unrecognised.fetch_add(unrecognised - self.unrecognised, Ordering::Relaxed);
                self.unrecognised = unrecognised;
            }
            Frame::Text(text) => {
                if self.heard_audio || self.patience.text_before_audio {
                    self.last_sign = Instant::now();
                }
                let logged = text.as_str().get(..LOGGED_TEXT).unwrap_or(text.as_str()).to_owned();
                self.presence.log(SimEventKind::Received(logged));
                self.protocol.handle_text(text.as_str());
            }
            Frame::Ping(_) if self.patience.pings => self.last_sign = Instant::now(),
            Frame::Ping(_) | Frame::Pong(_) => {}
            Frame::Close(frame) => {
                self.presence.code = frame.map(|frame| frame.code);
                return Next::Closing;
            }
        }
        Next::On
    }

    fn protocol_has_output(&mut self) -> bool {
        let before = self.queue.len();
        self.collect();
        self.queue.len() > before
    }

    /// Moves what the protocol has to say into the queue, with the time at which it is due.
    fn collect(&mut self) {
        while let Some(outgoing) = self.protocol.poll_outgoing() {
            if self.stalled {
                continue;
            }
            let config = &self.presence.shared.config;
            let mut due = Instant::now();
            let greeting = matches!(outgoing, Outgoing::Text { kind: Message::Connected, .. });
            if !greeting {
                due += config.result_delay + config.result_jitter.mul_f64(self.rng.random());
                if std::mem::take(&mut self.first_result) {
                    due += config.first_result_delay;
                }
            }
            if let Some((last, _)) = self.queue.back() {
                due = due.max(*last);
            }
            self.queue.push_back((due, outgoing));
        }
    }

    async fn send(&mut self, ws: &mut WebSocket, outgoing: Outgoing) -> Next {
        let (frame, next) = match outgoing {
            Outgoing::Text { kind, transcript, body } => {
                self.presence.log(SimEventKind::Sent { kind, transcript });
                (Frame::text(body), Next::On)
            }
            Outgoing::Close(close) => {
                self.presence.code = close.as_ref().map(|(code, _)| *code);
                let close = close.map(|(code, reason)| CloseFrame { code, reason: reason.into() });
                (Frame::Close(close), Next::Closing)
            }
        };
        match timeout(WRITE_LIMIT, ws.send(frame)).await {
            Ok(Ok(())) => next,
            Ok(Err(_)) | Err(_) => Next::Cut,
        }
    }

    /// Lets the fault strike if its time of audio has come.
    async fn strike(&mut self, ws: &mut WebSocket) -> Next {
        let heard = self.protocol.audio_s();
        let due = |after: &Duration| heard >= after.as_secs_f64();
        let struck = match &self.fault {
            Some(Fault::DropAfter(after) | Fault::StallAfter(after) | Fault::GarbageAfter(after)) => due(after),
            Some(Fault::ErrorAfter(after, _)) => due(after),
            // Those strike before the upgrade.
            Some(Fault::Refuse { .. } | Fault::Hang) | None => false,
        };
        let Some(fault) = self.fault.take_if(|_| struck) else { return Next::On };
        self.presence.log(SimEventKind::Struck(fault.clone()));
        match fault {
            Fault::DropAfter(_) => Next::Cut,
            Fault::StallAfter(_) => {
                self.stalled = true;
                self.queue.clear();
                Next::On
            }
            Fault::GarbageAfter(_) => {
                let garbage =
                    Outgoing::Text { kind: Message::Garbage, transcript: Arc::default(), body: GARBAGE.to_owned() };
                self.send(ws, garbage).await
            }
            Fault::ErrorAfter(_, code) => {
                self.protocol.handle_failure(&code);
                Next::On
            }
            Fault::Refuse { .. } | Fault::Hang => Next::On,
        }
    }
}
