//! Scripted faults: what a simulator does wrong, when, and how often.
//!
//! A [`Script`] is a queue of faults a simulator asks at well-defined points. Each fault names the point where it strikes, so that
//! a test reads as a sentence: "the second Deepgram socket is dropped 1.5 s into the audio".

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// What goes wrong.
#[derive(Debug, Clone, PartialEq)]
pub enum Fault {
    /// Answer the request or the WebSocket upgrade with this HTTP status and the vendor's own error body for it.
    Refuse {
        /// HTTP status, such as 401, 429, 500 or 503.
        status: u16,
        /// Value of a `Retry-After` header, in seconds, if one is sent.
        retry_after: Option<u32>,
    },
    /// Accept the connection, then never answer it.
    Hang,
    /// Cut the connection without a close frame, after this long (of audio received or sent where the simulator carries audio,
    /// else of wall-clock time since it was accepted).
    DropAfter(Duration),
    /// Fall silent after this long, measured as for `DropAfter`, but keep the connection open.
    StallAfter(Duration),
    /// Send bytes that are no message of the protocol, after this long, measured as for `DropAfter`, then go on.
    GarbageAfter(Duration),
    /// Report the vendor's own in-stream error, named by its machine code, after this long, then close as the vendor does.
    ErrorAfter(Duration, String),
}

/// The faults still to come, shared between a test and a simulator. Cloning shares the queue.
#[derive(Debug, Clone, Default)]
pub struct Script(Arc<Mutex<VecDeque<Option<Fault>>>>);

impl Script {
    /// A script in which connection `n` suffers `faults[n]`; `None` lets that one pass. Later connections are healthy.
    pub fn new(faults: impl IntoIterator<Item = Option<Fault>>) -> Self {
        Self(Arc::new(Mutex::new(faults.into_iter().collect())))
    }

    /// Adds one more connection's fate to the end of the script.
    pub fn push(&self, fault: Option<Fault>) {
        self.lock().push_back(fault);
    }

    /// Takes the fate of a connection that just arrived: called once a connection (a request, for HTTP APIs).
    pub fn next(&self) -> Option<Fault> {
        self.lock().pop_front().flatten()
    }

    /// How many connections' fates are still in the script.
    pub fn remaining(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<Option<Fault>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
