//! Moments inside the simulators that a measurement outside needs: what arrived and what left, and when.

use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedSender;

/// Something a simulator saw or did.
#[derive(Debug, Clone, PartialEq)]
pub struct SimEvent {
    /// When, on this machine's monotonic clock.
    pub at: Instant,
    /// What.
    pub kind: SimEventKind,
}

/// What a simulator saw or did.
#[derive(Debug, Clone, PartialEq)]
pub enum SimEventKind {
    /// A chat completion was asked for.
    LlmRequest {
        /// The completion's id, as the answer carries it.
        id: String,
        /// The request's `X-Client-Request-Id`.
        client_request_id: Option<String>,
        /// The last thing the user said.
        user: String,
    },
    /// A content delta left.
    LlmDelta {
        /// The completion's id.
        id: String,
        /// Its place among the content deltas, from 0.
        index: usize,
        /// The delta.
        text: String,
    },
    /// A chat completion is over.
    LlmEnd {
        /// The completion's id.
        id: String,
        /// Whether the client went away before the end.
        disconnected: bool,
    },
    /// Text arrived that is to be spoken.
    TtsText {
        /// The connection, counted from 0.
        connection: u64,
        /// Its context; empty on a connection that has none.
        context: String,
        /// The text.
        text: String,
    },
    /// A fragment of audio left.
    TtsAudio {
        /// The connection, counted from 0.
        connection: u64,
        /// Its context; empty on a connection that has none.
        context: String,
        /// How long the fragment plays.
        length: Duration,
    },
    /// The last of a context's audio has left.
    TtsFinal {
        /// The connection, counted from 0.
        connection: u64,
        /// Its context; empty on a connection that has none.
        context: String,
    },
}

/// Reports `kind` as happening now, if anyone listens.
pub(crate) fn report(events: Option<&UnboundedSender<SimEvent>>, kind: impl FnOnce() -> SimEventKind) {
    if let Some(events) = events {
        // Whoever measured may have stopped listening.
        let _ = events.send(SimEvent { at: Instant::now(), kind: kind() });
    }
}
