//! `stream-input`: one utterance a socket.

use serde_json::Value;
use tokio::time::Instant;

use super::{
    context::{Context, Socket},
    error::Failure,
    socket::Protocol,
    wire::ClientMessage,
    writer::Outgoing,
};

/// The utterance, once the first message has opened it.
#[derive(Default)]
pub(super) struct Stream {
    utterance: Option<Context>,
    settings: Option<Value>,
    opened: Option<Instant>,
}

impl Protocol for Stream {
    async fn on_message(&mut self, socket: &Socket, message: ClientMessage) -> Result<(), Failure> {
        let text = message.text.as_deref().ok_or_else(|| Failure::invalid("'text' is required."))?;
        let Some(utterance) = &mut self.utterance else {
            if text != " " {
                return Err(Failure::invalid("The text of the first message must be a single space."));
            }
            self.utterance = Some(Context::open(socket, 0, "", false, &message));
            self.settings = message.settings;
            return Ok(());
        };
        if let Some(settings) = &message.settings
            && !repeats(self.settings.as_ref(), settings)
        {
            return Err(Failure::invalid("Settings can't be changed after the first message."));
        }
        // What comes after the end of the sequence is not listened to.
        if utterance.is_closing() {
            return Ok(());
        }
        utterance.take(&message).await;
        if text.is_empty() {
            utterance.flush().await;
            utterance.close();
        }
        Ok(())
    }

    fn deadline(&self, socket: &Socket) -> Option<Instant> {
        match &self.utterance {
            Some(utterance) if utterance.is_closing() => None,
            Some(utterance) => Some(utterance.last_input + socket.options.inactivity),
            None => self.opened.map(|opened| opened + socket.options.inactivity),
        }
    }

    async fn on_deadline(&mut self, socket: &Socket) -> Result<(), Failure> {
        Err(Failure::timed_out(socket.options.inactivity.as_secs()))
    }

    async fn on_final(&mut self, socket: &Socket, _key: u64) {
        let _ = socket.out.send(Outgoing::Close).await;
    }
}

impl Stream {
    /// A socket that was opened now.
    pub(super) fn new() -> Self {
        Self { opened: Some(Instant::now()), ..Self::default() }
    }
}

/// Whether `given` says only what `first` has said. The later messages' name for the generation settings is another.
fn repeats(first: Option<&Value>, given: &Value) -> bool {
    let said = |name: &str| {
        let other = if name == "generator_config" { "generation_config" } else { name };
        first.and_then(|first| first.get(name).or_else(|| first.get(other)))
    };
    given.as_object().is_some_and(|fields| fields.iter().all(|(name, value)| said(name) == Some(value)))
}
