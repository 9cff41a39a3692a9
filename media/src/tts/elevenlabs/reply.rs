//! One reply: its text, and the context that speaks it.

use tokio::time::Instant;

use super::{
    hold::{Piece, WordHold},
    text::SpokenText,
    wire::ServerMessage,
};
use crate::{audio::AudioFormat, ids::ReplyId};

pub(super) struct Reply {
    pub(super) id: ReplyId,
    pub(super) text: SpokenText,
    pub(super) hold: WordHold,
    /// The call has no more text for it.
    pub(super) finishing: bool,
    /// Contexts opened for it so far.
    pub(super) attempt: u32,
    /// How many of them, or of the connections for them, failed.
    pub(super) failures: u32,
    /// Characters sent that no bill has yet.
    pub(super) unbilled: u64,
    pub(super) context: Option<Opened>,
}

/// The open context of a reply.
pub(super) struct Opened {
    pub(super) name: String,
    /// The vendor was told that no more text follows.
    pub(super) closed: bool,
    /// Whether any audio came.
    pub(super) voiced: bool,
    /// Since when audio is awaited, if it is.
    pub(super) waiting: Option<Instant>,
}

impl Reply {
    pub(super) fn new(id: ReplyId, format: AudioFormat) -> Self {
        Self {
            id,
            text: SpokenText::default(),
            hold: WordHold::new(format),
            finishing: false,
            attempt: 0,
            failures: 0,
            unbilled: 0,
            context: None,
        }
    }

    /// Begins the next context, `<tag>-<reply>-<attempt>`, and gives its name.
    pub(super) fn open(&mut self, tag: &str) -> &str {
        self.attempt += 1;
        let name = format!("{tag}-{}-{}", self.id, self.attempt);
        &self.context.insert(Opened { name, closed: false, voiced: false, waiting: None }).name
    }

    /// Whether its open context has this name.
    pub(super) fn is_spoken_by(&self, context: &str) -> bool {
        self.context.as_ref().is_some_and(|opened| opened.name == context)
    }

    /// A message came in its context. Returns whether there was audio in it; what may be played goes to `out`.
    pub(super) fn hear(&mut self, message: &ServerMessage<'_>, now: Instant, out: &mut Vec<Piece>) -> bool {
        let any = self.hold.accept(message, &mut self.text, out);
        if any {
            if let Some(opened) = &mut self.context {
                opened.voiced = true;
            }
            self.restart_wait(now);
        }
        any
    }

    /// The vendor ended the context. False if it didn't do what it was opened for; the text is then to be sent again.
    pub(super) fn end_context(&mut self, out: &mut Vec<Piece>) -> bool {
        let Some(opened) = self.context.take() else { return true };
        self.hold.release(&mut self.text, out);
        self.hold.discard();
        let spoken = opened.voiced && (opened.closed || !self.text.is_owed());
        if !spoken {
            self.text.rewind();
        }
        spoken
    }

    /// The context is gone with its socket: forgets what it owed and plans to send that again.
    pub(super) fn lose_context(&mut self) {
        if self.context.take().is_some() {
            self.hold.discard();
            self.text.rewind();
        }
    }

    /// Something was sent: unless audio is awaited already, it is from now on.
    pub(super) fn begin_wait(&mut self, now: Instant) {
        let since = self.context.as_ref().and_then(|opened| opened.waiting).unwrap_or(now);
        self.restart_wait(since);
    }

    /// Starts the wait for audio, or for the final message, if any is due.
    pub(super) fn restart_wait(&mut self, since: Instant) {
        let owed = self.text.is_owed();
        if let Some(opened) = &mut self.context {
            opened.waiting = (owed || opened.closed).then_some(since);
        }
    }
}
