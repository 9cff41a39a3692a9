//! A context: text that comes in, and the task that speaks it. A socket without contexts has a single one.

use std::sync::Arc;

use tokio::{
    sync::mpsc::{Receiver, Sender, channel},
    time::{Instant, sleep_until},
};

use super::{
    Shared,
    buffer::TextBuffer,
    error::Failure,
    fragments::{Coverage, Fragment, fragments},
    log::{Connection, Happened, OpenContext},
    options::Options,
    wire::ClientMessage,
    writer::Outgoing,
};
use crate::pace::Pace;

/// How many texts may wait to be spoken before the socket stops reading.
const WAITING_TEXTS: usize = 64;

/// What a context needs of its socket.
pub(super) struct Socket {
    pub(super) shared: Arc<Shared>,
    pub(super) connection: Arc<Connection>,
    pub(super) options: Options,
    pub(super) out: Sender<Outgoing>,
}

pub(super) struct Context {
    /// Tells apart contexts that have, one after the other, the same id.
    pub(super) key: u64,
    /// Its id; empty on a socket without contexts.
    pub(super) id: String,
    /// When the client last wrote to it.
    pub(super) last_input: Instant,
    buffer: TextBuffer,
    connection: Arc<Connection>,
    /// Where to send text; nothing any more once it is closing.
    texts: Option<Sender<Text>>,
    _open: OpenContext,
}

struct Text {
    text: String,
    arrived: Instant,
}

impl Context {
    /// Opens a context as its first message says. `named` is whether its messages carry its id.
    pub(super) fn open(socket: &Socket, key: u64, id: &str, named: bool, first: &ClientMessage) -> Self {
        let (texts, waiting) = channel(WAITING_TEXTS);
        let config = &socket.shared.config;
        let speaker = Speaker {
            shared: socket.shared.clone(),
            options: socket.options.clone(),
            out: socket.out.clone(),
            context: named.then(|| id.to_owned()),
            key,
            pace: Pace::new(config.seed, socket.connection.number << 16 | key, config.jitter),
        };
        tokio::spawn(speaker.run(waiting));
        Self {
            key,
            id: id.into(),
            last_input: Instant::now(),
            buffer: TextBuffer::new(first.schedule.clone(), socket.options.auto_mode),
            connection: socket.connection.clone(),
            texts: Some(texts),
            _open: socket.connection.open(id),
        }
    }

    pub(super) fn is_closing(&self) -> bool {
        self.texts.is_none()
    }

    /// Takes a message's text.
    pub(super) async fn take(&mut self, message: &ClientMessage) {
        self.last_input = Instant::now();
        let text = message.text.as_deref().unwrap_or_default();
        self.connection.log(&self.id, Happened::Text { text: text.into(), flush: message.flush });
        let due = self.buffer.push(text, message.flush, message.try_trigger);
        self.say(due).await;
    }

    /// Speaks all that waits.
    pub(super) async fn flush(&mut self) {
        let rest = self.buffer.take();
        self.say(rest).await;
    }

    /// Lets what is being spoken end, then the context. Text that waits is forgotten.
    pub(super) fn close(&mut self) {
        if self.texts.take().is_some() {
            self.connection.log(&self.id, Happened::Closing);
        }
    }

    async fn say(&mut self, text: Option<String>) {
        if let (Some(text), Some(texts)) = (text, &self.texts) {
            // The speaker ends early only with the socket.
            let _ = texts.send(Text { text, arrived: Instant::now() }).await;
        }
    }
}

/// The task that speaks a context's texts, one after the other.
struct Speaker {
    shared: Arc<Shared>,
    options: Options,
    out: Sender<Outgoing>,
    context: Option<String>,
    key: u64,
    pace: Pace,
}

/// The socket is no longer written to.
struct Gone;

impl Speaker {
    async fn run(mut self, mut texts: Receiver<Text>) {
        while let Some(text) = texts.recv().await {
            if self.speak(text).await.is_err() {
                return;
            }
        }
        let _ = self.send(Outgoing::Final { context: self.context.clone(), key: self.key }).await;
    }

    async fn speak(&mut self, text: Text) -> Result<(), Gone> {
        let config = &self.shared.config;
        let mut due = text.arrived + self.pace.delay(config.first_byte_delay);
        let speech = match config.voice.speak(&text.text, self.options.format.rate).await {
            Ok(speech) => speech,
            Err(error) => {
                tracing::warn!(%error, "the simulated voice can't speak");
                return self
                    .send(Outgoing::Fail(Failure::new("internal_server_error", "Speech could not be generated.")))
                    .await;
            }
        };
        let coverage = self.options.coverage();
        for fragment in fragments(&speech, self.options.format, config.fragment, coverage, config.odd_fragments) {
            tokio::select! {
                () = sleep_until(due) => {}
                () = self.out.closed() => return Err(Gone),
            }
            due = due.max(Instant::now()) + self.pace.delay(self.shared.config.chunk_interval);
            self.send_fragment(fragment).await?;
        }
        Ok(())
    }

    async fn send_fragment(&self, fragment: Fragment) -> Result<(), Gone> {
        self.send(Outgoing::Audio { context: self.context.clone(), fragment }).await
    }

    async fn send(&self, outgoing: Outgoing) -> Result<(), Gone> {
        self.out.send(outgoing).await.map_err(|_| Gone)
    }
}

impl Options {
    fn coverage(&self) -> Coverage {
        match (self.aligned, self.sync_alignment) {
            (false, _) => Coverage::Nothing,
            (true, true) => Coverage::Each,
            (true, false) => Coverage::EverySecond,
        }
    }
}
