//! `multi-stream-input`: many utterances a socket, each in a context of its own.

use tokio::time::Instant;

use super::{
    context::{Context, Socket},
    error::Failure,
    socket::Protocol,
    wire::ClientMessage,
    writer::Outgoing,
};

/// What a context without an id is called in answers.
const DEFAULT_CONTEXT: &str = "default";

pub(super) struct Multi {
    /// Open contexts, and those whose final message has not left yet.
    contexts: Vec<Context>,
    next_key: u64,
    last_input: Instant,
    /// The client asked to close the socket: it closes with the last context.
    closing: bool,
}

impl Multi {
    pub(super) fn new() -> Self {
        Self { contexts: Vec::new(), next_key: 0, last_input: Instant::now(), closing: false }
    }

    async fn close_socket(&mut self, socket: &Socket) {
        self.closing = true;
        for context in &mut self.contexts {
            context.flush().await;
            context.close();
        }
        self.close_if_done(socket).await;
    }

    async fn close_if_done(&self, socket: &Socket) {
        if self.closing && self.contexts.is_empty() {
            let _ = socket.out.send(Outgoing::Close).await;
        }
    }

    /// The open context `id`, made if there is none.
    fn context(&mut self, socket: &Socket, id: &str, message: &ClientMessage) -> Result<&mut Context, Failure> {
        if let Some(place) = self.open_place(id) {
            // Also after a keep-alive: it has opened the context, with settings of its own.
            if message.settings.is_some() {
                return Err(Failure::invalid(format!(
                    "The context '{id}' is initialised already: its settings can't change."
                )));
            }
            return Ok(&mut self.contexts[place]);
        }
        let most = socket.shared.config.max_contexts;
        if self.contexts.len() >= most {
            let message = format!("Maximum simultaneous contexts ({most}) exceeded for this WebSocket connection.");
            return Err(Failure::new("max_active_conversations", message));
        }
        self.contexts.push(Context::open(socket, self.next_key, id, true, message));
        self.next_key += 1;
        let place = self.contexts.len() - 1;
        Ok(&mut self.contexts[place])
    }

    fn open_place(&self, id: &str) -> Option<usize> {
        self.contexts.iter().position(|context| context.id == id && !context.is_closing())
    }
}

impl Protocol for Multi {
    async fn on_message(&mut self, socket: &Socket, message: ClientMessage) -> Result<(), Failure> {
        self.last_input = Instant::now();
        if self.closing {
            return Ok(());
        }
        if message.close_socket {
            self.close_socket(socket).await;
            return Ok(());
        }
        let id = message.context_id.as_deref().filter(|id| !id.is_empty());
        let keeps_alive = message.text.as_deref() == Some("") && !message.flush && message.settings.is_none();
        if id.is_none() && keeps_alive {
            return Ok(());
        }
        let id = id.unwrap_or(DEFAULT_CONTEXT).to_owned();
        if message.close_context {
            if let Some(place) = self.open_place(&id) {
                self.contexts[place].close();
            }
            return Ok(());
        }
        self.context(socket, &id, &message)?.take(&message).await;
        Ok(())
    }

    fn deadline(&self, socket: &Socket) -> Option<Instant> {
        let open = self.contexts.iter().filter(|context| !context.is_closing());
        let first = open.map(|context| context.last_input).fold(self.last_input, Instant::min);
        (!self.closing).then(|| first + socket.options.inactivity)
    }

    async fn on_deadline(&mut self, socket: &Socket) -> Result<(), Failure> {
        let limit = socket.options.inactivity;
        if self.last_input + limit <= Instant::now() {
            return Err(Failure::timed_out(limit.as_secs()));
        }
        for context in &mut self.contexts {
            if context.last_input + limit <= Instant::now() {
                context.close();
            }
        }
        Ok(())
    }

    async fn on_final(&mut self, socket: &Socket, key: u64) {
        self.contexts.retain(|context| context.key != key);
        self.close_if_done(socket).await;
    }
}
