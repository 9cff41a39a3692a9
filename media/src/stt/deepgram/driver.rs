//! The session's task: one connection after another, until the call is over or it is hopeless.

mod inbox;
mod stream;

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{broadcast, mpsc},
    time::{sleep, timeout},
};
use trunkline_base::Clock;

use self::inbox::Inbox;
use super::{
    assemble::Assembler,
    connect::{Socket, connect},
    error::SttError,
    schedule::{backoff, seed},
    wire::Family,
};
use crate::{
    audio::Samples,
    net::Net,
    stt::{SttAudio, SttCommand, SttConfig, SttEvent},
};

/// Longest wait that a vendor may ask for with `Retry-After`: a caller doesn't wait longer.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(5);

/// All that outlives a connection.
pub(super) struct Session {
    config: SttConfig,
    family: Family,
    net: Net,
    clock: Arc<dyn Clock>,
    inbox: Inbox,
    events: mpsc::Sender<SttEvent>,
    assembler: Assembler,
    /// Audio sent over all connections.
    sent: Samples,
    /// Connections in a row, opened or not, that brought nothing.
    failures: u32,
    /// A [`SttEvent::Fault`] was told and not taken back.
    faulty: bool,
}

/// Why a connection is done with.
#[derive(Debug)]
enum Exit {
    /// The call closed the session, or is gone.
    Over,
    /// The connection failed.
    Lost(SttError),
}

impl From<SttError> for Exit {
    fn from(error: SttError) -> Self {
        Self::Lost(error)
    }
}

impl Session {
    pub(super) fn new(
        config: SttConfig,
        net: Net,
        clock: Arc<dyn Clock>,
        audio: broadcast::Receiver<SttAudio>,
        commands: mpsc::Receiver<SttCommand>,
        events: mpsc::Sender<SttEvent>,
    ) -> Self {
        let family = Family::of(&config);
        Self {
            family,
            inbox: Inbox::new(audio, commands, config.format, config.limits.replay),
            assembler: Assembler::new(family, config.format.rate),
            config,
            net,
            clock,
            events,
            sent: Samples(0),
            failures: 0,
            faulty: false,
        }
    }

    pub(super) async fn run(mut self) {
        let exit = self.live().await;
        let usage = SttEvent::Usage { audio: self.sent.duration(self.config.format.rate) };
        // Whether anybody still listens makes no difference any more.
        let _ = self.tell(usage).await;
        if let Exit::Lost(error) = exit {
            tracing::warn!(tag = self.config.tag, %error, "speech recognition gave up");
            let _ = self.tell(SttEvent::Failed { cause: error.to_string() }).await;
        }
    }

    async fn live(&mut self) -> Exit {
        let seed = seed(&self.config.tag);
        loop {
            let error = match self.connection().await {
                Exit::Over => return Exit::Over,
                Exit::Lost(error) => error,
            };
            if error.is_permanent() || self.failures >= self.config.limits.reconnects {
                return Exit::Lost(error);
            }
            tracing::info!(tag = self.config.tag, %error, failures = self.failures, "recogniser's connection lost");
            if !self.faulty {
                self.faulty = true;
                let fault = SttEvent::Fault { phase: error.phase(), cause: error.to_string(), recovered: false };
                if let Err(exit) = self.tell(fault).await {
                    return exit;
                }
            }
            let asked = error.retry_after().unwrap_or_default().min(RETRY_AFTER_MAX);
            let pause = backoff(self.failures, seed).max(asked);
            self.failures += 1;
            metrics::counter!("trunkline_stt_reconnects_total").increment(1);
            if self.inbox.collect_during(sleep(pause)).await.is_none() {
                return Exit::Over;
            }
        }
    }

    /// Opens a connection and uses it to its end. Audio is collected meanwhile.
    async fn connection(&mut self) -> Exit {
        let (config, net) = (self.config.clone(), self.net.clone());
        let opening = Box::pin(async move { connect(&config, &net).await });
        match self.inbox.collect_during(opening).await {
            None => Exit::Over,
            Some(Err(error)) => Exit::Lost(error),
            Some(Ok(socket)) => self.use_socket(socket).await,
        }
    }

    async fn use_socket(&mut self, socket: Socket) -> Exit {
        self.inbox.rewind(self.assembler.restart(self.inbox.front()));
        Box::pin(self.stream(socket)).await.err().unwrap_or(Exit::Over)
    }

    /// Tells the call. One that takes nothing for the write limit is gone.
    async fn tell(&self, event: SttEvent) -> Result<(), Exit> {
        match timeout(self.config.limits.write, self.events.send(event)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Exit::Over),
        }
    }
}
