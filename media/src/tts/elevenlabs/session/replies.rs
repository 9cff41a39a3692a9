//! The life of replies: begun by their first text, spoken in contexts, over when done, failed or cancelled.

use tokio::time::Instant;

use super::{ClientMessage, ENDED, LinkFault, Mode, Reply, Session};
use crate::{
    ids::ReplyId,
    tts::{TtsEvent, TtsLimits},
};

impl Session {
    pub(super) fn speak(&mut self, id: ReplyId, text: &str) -> bool {
        let known = self.replies.iter().position(|reply| reply.id == id);
        let Some(reply) = self.reply(id) else { return false };
        reply.text.push(text);
        known.is_none()
    }

    pub(super) fn finish(&mut self, id: ReplyId) -> bool {
        if let Some(reply) = self.reply(id) {
            reply.finishing = true;
        }
        false
    }

    pub(super) fn cancel(&mut self, id: ReplyId) {
        self.outbox.forget(id);
        if let Some(index) = self.replies.iter().position(|reply| reply.id == id) {
            let reply = self.replies.remove(index);
            let wasted = reply.text.wasted().min(reply.unbilled);
            self.outbox.usage(reply.unbilled - wasted, false);
            self.outbox.usage(wasted, true);
            match (reply.context, self.mode) {
                (None, _) => {}
                (Some(opened), Mode::Multi) => {
                    self.contexts.close(&opened.name);
                    if !opened.closed {
                        self.transmits.push_back(ClientMessage::CloseContext { context: &opened.name }.to_json());
                    }
                }
                // There is no message for it: what was asked for comes until nobody listens.
                (Some(_), Mode::Single) => self.hang_up(),
            }
        }
        self.remember(id);
    }

    /// The reply, begun if it is new; `None` if it is over.
    fn reply(&mut self, id: ReplyId) -> Option<&mut Reply> {
        if self.ended.contains(&id) {
            return None;
        }
        let index = self.replies.iter().position(|reply| reply.id == id).unwrap_or_else(|| {
            self.replies.push(Reply::new(id, self.format));
            self.replies.len() - 1
        });
        self.replies.get_mut(index)
    }

    fn remember(&mut self, id: ReplyId) {
        if self.ended.len() == ENDED {
            self.ended.pop_front();
        }
        self.ended.push_back(id);
    }

    /// Does whatever can be done now for every reply.
    pub(super) fn pump(&mut self, now: Instant) {
        if let Some(cause) = self.refused.clone() {
            self.fail_where(&cause, |_, _| true);
        }
        let mut blocked = false;
        for index in 0..self.replies.len() {
            blocked |= self.connected && !self.advance(index, now);
        }
        self.blocked = if blocked { self.blocked.or(Some(now)) } else { None };
        let spoken = |reply: &Reply| reply.finishing && reply.context.is_none() && reply.text.unsent().is_none();
        while let Some(index) = self.replies.iter().position(spoken) {
            let reply = self.replies.remove(index).id;
            self.remember(reply);
            self.outbox.push(TtsEvent::Done { reply });
        }
    }

    /// Sends what one reply has to send. False if it needs a context and there is none to be had.
    fn advance(&mut self, index: usize, now: Instant) -> bool {
        let reply = &mut self.replies[index];
        let mut messages = Vec::new();
        if let Some(text) = reply.text.unsent().map(str::to_owned)
            && !reply.context.as_ref().is_some_and(|opened| opened.closed)
        {
            if reply.context.is_none() {
                if self.contexts.len() >= self.mode.contexts() {
                    return false;
                }
                let name = reply.open(&self.tag);
                self.contexts.open(name);
                if self.mode == Mode::Multi {
                    messages.push(ClientMessage::Open { context: Some(name), settings: &self.settings }.to_json());
                }
            }
            let context = reply.context.as_ref().filter(|_| self.mode == Mode::Multi).map(|opened| &*opened.name);
            messages.push(ClientMessage::Text { context, text: &text }.to_json());
            reply.unbilled += reply.text.mark_sent();
        }
        if let Some(opened) = reply.context.as_mut().filter(|opened| reply.finishing && !opened.closed) {
            opened.closed = true;
            match self.mode {
                Mode::Multi => {
                    messages.push(ClientMessage::Flush { context: &opened.name }.to_json());
                    messages.push(ClientMessage::CloseContext { context: &opened.name }.to_json());
                }
                Mode::Single => messages.push(ClientMessage::EndOfStream.to_json()),
            }
        }
        if !messages.is_empty() {
            reply.begin_wait(now);
            self.last_sent = Some(now);
            self.transmits.extend(messages);
        }
        true
    }

    /// The vendor has said everything that it will say in a context.
    pub(super) fn end_context(&mut self, name: &str) {
        let Some(reply) = self.replies.iter_mut().find(|reply| reply.is_spoken_by(name)) else { return };
        let mut pieces = Vec::new();
        let spoken = reply.end_context(&mut pieces);
        self.outbox.usage(std::mem::take(&mut reply.unbilled), false);
        let id = reply.id;
        self.outbox.extend(pieces.into_iter().map(|piece| TtsEvent::Audio {
            reply: id,
            audio: piece.audio,
            alignment: piece.alignment,
        }));
        if !spoken {
            reply.failures += 1;
            let cause = LinkFault::Silent.to_string();
            self.outbox.push(TtsEvent::Fault { phase: "stream", cause: cause.clone(), recovered: true });
            self.fail_where(&cause, |reply, limits| reply.failures > limits.retries);
        }
    }

    pub(super) fn fail_where(&mut self, cause: &str, over: impl Fn(&Reply, &TtsLimits) -> bool) {
        let limits = self.limits;
        while let Some(index) =
            self.replies.iter().position(|reply| reply.text.unsent().is_some() && over(reply, &limits))
        {
            let reply = self.replies.remove(index).id;
            self.remember(reply);
            self.outbox.push(TtsEvent::Failed { reply, cause: cause.to_owned() });
        }
    }
}
