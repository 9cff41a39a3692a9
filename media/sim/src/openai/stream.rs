//! Sending an answer's chunks at the model's pace, until the end, the client's departure, or a scripted fault.

use std::{io, time::Duration};

use bytes::Bytes;
use tokio::{
    sync::mpsc::Sender,
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{
    OpenAiConfig,
    chat::dropped,
    chunks::Step,
    error::ApiError,
    quirks::ErrorShape,
    record::{Ending, Outcome},
};
use crate::{fault::Fault, pace::Pace};

/// Long enough for what was sent to reach the socket before the connection is cut.
const FLUSH: Duration = Duration::from_millis(5);

pub(super) struct Streaming {
    sender: Sender<io::Result<Bytes>>,
    ending: Ending,
    /// What goes wrong and when.
    fault: Option<(Instant, Fault)>,
    pace: Pace,
    interval: Duration,
    error_shape: ErrorShape,
}

/// Why no more is sent.
struct Over(Outcome);

impl Streaming {
    pub(super) fn new(
        sender: Sender<io::Result<Bytes>>,
        ending: Ending,
        fault: Option<Fault>,
        pace: Pace,
        interval: Duration,
        config: &OpenAiConfig,
    ) -> Self {
        let first_byte = Instant::now();
        let fault = fault.and_then(|fault| match fault {
            Fault::DropAfter(after)
            | Fault::StallAfter(after)
            | Fault::GarbageAfter(after)
            | Fault::ErrorAfter(after, _) => Some((first_byte + after, fault)),
            Fault::Refuse { .. } | Fault::Hang => None,
        });
        Self { sender, ending, fault, pace, interval, error_shape: config.quirks.error_shape }
    }

    pub(super) async fn run(mut self, steps: Vec<Step>, stopped: CancellationToken) {
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

    /// Waits, and lets a fault strike that is due before.
    async fn wait_until(&mut self, due: Instant) -> Result<(), Over> {
        while let Some((strikes, fault)) = self.fault.take_if(|(strikes, _)| *strikes <= due.max(Instant::now())) {
            self.unless_gone(sleep_until(strikes)).await?;
            self.strike(fault).await?;
        }
        self.unless_gone(sleep_until(due)).await
    }

    async fn strike(&mut self, fault: Fault) -> Result<(), Over> {
        match fault {
            Fault::DropAfter(_) => Err(Over(Outcome::Faulted)),
            Fault::StallAfter(_) => {
                self.sender.closed().await;
                Err(Over(Outcome::Disconnected))
            }
            Fault::GarbageAfter(_) => self.send("data: {\"id\": \u{1}chatcmpl-,,\n\n".into()).await,
            Fault::ErrorAfter(_, code) => {
                let body = ApiError::midway(&code).body(self.error_shape);
                self.send(format!("data: {body}\n\n")).await?;
                Err(Over(Outcome::Errored))
            }
            Fault::Refuse { .. } | Fault::Hang => Ok(()),
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
