//! Sending an answer's chunks at the model's pace, until the end, the client's departure, or a scripted fault.

use std::{io, time::Duration};

use bytes::Bytes;
use tokio::{
    sync::mpsc::Sender,
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::record::{Ending, Outcome};
use crate::{fault::Fault, pace::Pace};

/// Long enough for what was sent to reach the socket before the connection is cut.
const FLUSH: Duration = Duration::from_millis(5);

/// A piece of the response's body.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Step {
    /// What is sent.
    pub(crate) line: String,
    /// The content that is in it, if any.
    pub(crate) content: Option<String>,
    /// Whether the model has to think for it: such steps come one token interval after the one before.
    pub(crate) paced: bool,
}

impl Step {
    /// What comes without thinking.
    pub(crate) fn extra(line: String) -> Self {
        Self { line, content: None, paced: false }
    }
}

/// What goes wrong in an answer that had begun well.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Mishap {
    /// The connection is cut.
    Cut,
    /// Nothing more is said.
    Stall,
    /// This is said, and the answer goes on.
    Noise(String),
    /// This is said, and the answer is over.
    Error(String),
}

impl Mishap {
    /// What a fault makes of a stream and when, counted from its first byte. `noise` is no event of the vendor's, and `error` writes
    /// the vendor's event for an error's code.
    pub(crate) fn of(fault: Fault, noise: &str, error: impl FnOnce(&str) -> String) -> Option<(Duration, Self)> {
        match fault {
            Fault::DropAfter(after) => Some((after, Self::Cut)),
            Fault::StallAfter(after) => Some((after, Self::Stall)),
            Fault::GarbageAfter(after) => Some((after, Self::Noise(noise.to_owned()))),
            Fault::ErrorAfter(after, code) => Some((after, Self::Error(error(&code)))),
            Fault::Refuse { .. } | Fault::Hang => None,
        }
    }
}

pub(crate) struct Streaming {
    sender: Sender<io::Result<Bytes>>,
    ending: Ending,
    /// What goes wrong and when.
    mishap: Option<(Instant, Mishap)>,
    pace: Pace,
    interval: Duration,
}

/// Why no more is sent.
struct Over(Outcome);

impl Streaming {
    pub(crate) fn new(
        sender: Sender<io::Result<Bytes>>,
        ending: Ending,
        mishap: Option<(Duration, Mishap)>,
        pace: Pace,
        interval: Duration,
    ) -> Self {
        let first_byte = Instant::now();
        let mishap = mishap.map(|(after, mishap)| (first_byte + after, mishap));
        Self { sender, ending, mishap, pace, interval }
    }

    pub(crate) async fn run(mut self, steps: Vec<Step>, stopped: CancellationToken) {
        let outcome = tokio::select! {
            outcome = self.send_all(steps) => outcome,
            () = stopped.cancelled() => Outcome::Faulted,
        };
        if outcome == Outcome::Faulted {
            sleep(FLUSH).await;
            let _ = self.sender.send(Err(dropped())).await;
        }
        self.ending.end(outcome);
    }

    async fn send_all(&mut self, steps: Vec<Step>) -> Outcome {
        let mut due = Instant::now();
        let mut paced = false;
        for step in steps {
            // The first token is there with the first byte; each later one takes an interval.
            if step.paced && std::mem::replace(&mut paced, true) {
                due += self.pace.delay(self.interval);
            }
            let sent = match self.wait_until(due).await {
                Ok(()) => self.send(step.line).await,
                Err(over) => Err(over),
            };
            match (sent, step.content) {
                (Err(Over(outcome)), _) => return outcome,
                (Ok(()), Some(content)) => self.ending.token(&content),
                (Ok(()), None) => {}
            }
        }
        Outcome::Completed
    }

    /// Waits, and lets a mishap happen that is due before.
    async fn wait_until(&mut self, due: Instant) -> Result<(), Over> {
        while let Some((strikes, mishap)) = self.mishap.take_if(|(strikes, _)| *strikes <= due.max(Instant::now())) {
            self.unless_gone(sleep_until(strikes)).await?;
            self.strike(mishap).await?;
        }
        self.unless_gone(sleep_until(due)).await
    }

    async fn strike(&mut self, mishap: Mishap) -> Result<(), Over> {
        match mishap {
            Mishap::Cut => Err(Over(Outcome::Faulted)),
            Mishap::Stall => {
                self.sender.closed().await;
                Err(Over(Outcome::Disconnected))
            }
            Mishap::Noise(noise) => self.send(noise).await,
            Mishap::Error(error) => {
                self.send(error).await?;
                Err(Over(Outcome::Errored))
            }
        }
    }

    async fn send(&self, line: String) -> Result<(), Over> {
        self.sender.send(Ok(line.into())).await.map_err(|_| Over(Outcome::Disconnected))
    }

    async fn unless_gone(&self, wait: impl Future<Output = ()>) -> Result<(), Over> {
        tokio::select! {
            biased;
            () = self.sender.closed() => Err(Over(Outcome::Disconnected)),
            () = wait => Ok(()),
        }
    }
}

/// What ends a body whose connection is cut.
pub(crate) fn dropped() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "the script drops this connection")
}
