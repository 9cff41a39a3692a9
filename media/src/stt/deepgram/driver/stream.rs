//! One connection's life: audio out, messages in, fillers, liveness, and the orderly end.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_tungstenite::tungstenite::{Error as WsError, Message};

use super::{
    super::{
        assemble::Verdict,
        connect::{Socket, send},
        error::{SttError, clean},
        ring::Piece,
        schedule::{Filler, Schedule},
        wire::{self, ClientMessage, Family, ServerMessage},
    },
    Exit, Session,
};
use crate::{audio::Samples, stt::SttEvent};

/// How long the vendor may take for the rest when the call is over.
const CLOSING: Duration = Duration::from_millis(500);
/// Of that, how long Flux may take to end the caller's turn.
const ENDING_TURN: Duration = Duration::from_millis(250);

/// A connection and what is only true of it.
struct Connection {
    socket: Socket,
    schedule: Schedule,
    /// When replayed audio may go on.
    resume: Option<Instant>,
    /// When the vendor said something last, and how much of the caller's audio it was sent since.
    heard: Instant,
    unheard: Samples,
}

impl Session {
    /// Uses the socket until the session is closed or the connection is lost.
    pub(super) async fn stream(&mut self, socket: Socket) -> Result<(), Exit> {
        let now = self.clock.now();
        let schedule = Schedule::new(self.family, now);
        let mut connection = Connection { socket, schedule, resume: None, heard: now, unheard: Samples(0) };
        let exit = self.converse(&mut connection).await;
        match exit {
            Ok(()) => self.finish(connection).await,
            Err(exit) => {
                self.inbox.lost(self.clock.now());
                Err(exit)
            }
        }
    }

    /// Until the session is closed.
    async fn converse(&mut self, connection: &mut Connection) -> Result<(), Exit> {
        while !self.inbox.is_closed() {
            self.pump(connection).await?;
            self.check_liveness(connection)?;
            let wake = connection.schedule.filler(self.assembler.is_open()).0;
            let wake = connection.resume.map_or(wake, |resume| resume.min(wake));
            tokio::select! {
                biased;
                () = self.inbox.collect() => {}
                message = connection.socket.next() => self.receive(connection, message).await?,
                () = sleep_until(wake) => {}
            }
        }
        Ok(())
    }

    /// Sends what is due: audio, as far as it is allowed, then `Finalize` behind it, or else a filler.
    async fn pump(&mut self, connection: &mut Connection) -> Result<(), SttError> {
        let rate = self.config.format.rate;
        let chunk = rate.samples_in(self.family.chunk());
        let now = self.clock.now();
        let due = connection.schedule.filler(self.assembler.is_open()).0;
        // What waits for the rest of its chunk waits no longer than until a gap is filled.
        let coalesce = self.family.coalesces() && now < due;
        connection.resume = None;
        while let Some(piece) = self.inbox.next(chunk, coalesce) {
            if let Err(later) = connection.schedule.admit(piece.length.duration(rate), now) {
                connection.resume = Some(later);
                return Ok(());
            }
            self.send_piece(connection, &piece).await?;
        }
        if self.inbox.finalize_due() {
            let message = match self.family {
                Family::Nova => ClientMessage::Finalize,
                Family::Flux => ClientMessage::ForceEndTurn,
            };
            self.send_text(connection, message).await?;
            self.inbox.finalize_asked(now);
        }
        let (due, filler) = connection.schedule.filler(self.assembler.is_open());
        if now >= due {
            self.fill(connection, filler, chunk).await?;
        }
        Ok(())
    }

    async fn send_piece(&mut self, connection: &mut Connection, piece: &Piece) -> Result<(), SttError> {
        self.assembler.sent_audio(piece.place, piece.length);
        self.inbox.sent(piece);
        self.sent += piece.length;
        connection.unheard += piece.length;
        connection.schedule.sent_audio(self.clock.now());
        self.send(connection, Message::Binary(piece.data.clone())).await
    }

    async fn fill(&mut self, connection: &mut Connection, filler: Filler, chunk: Samples) -> Result<(), SttError> {
        connection.schedule.sent_filler(filler, self.clock.now());
        match filler {
            Filler::KeepAlive => self.send_text(connection, ClientMessage::KeepAlive).await,
            Filler::Silence => {
                self.assembler.sent_silence(chunk);
                self.sent += chunk;
                let format = self.config.format;
                let bytes = chunk.0 as usize * format.encoding.bytes_per_sample();
                let silence = Bytes::from(vec![format.silence_byte(); bytes]);
                self.send(connection, Message::Binary(silence)).await
            }
        }
    }

    async fn send_text(&self, connection: &mut Connection, message: ClientMessage) -> Result<(), SttError> {
        self.send(connection, Message::text(message.json())).await
    }

    async fn send(&self, connection: &mut Connection, message: Message) -> Result<(), SttError> {
        send(&mut connection.socket, message, self.config.limits.write, &self.config.api_key).await
    }

    /// Transcripts against audio: a vendor that was sent enough and says nothing is dead, whatever its socket says.
    fn check_liveness(&self, connection: &Connection) -> Result<(), SttError> {
        let limit = self.config.limits.idle;
        let unheard = connection.unheard.duration(self.config.format.rate);
        let quiet = self.clock.now().saturating_duration_since(connection.heard);
        if unheard >= limit && quiet >= limit { Err(SttError::Stalled(limit)) } else { Ok(()) }
    }

    /// Takes one frame of the vendor's.
    async fn receive(
        &mut self,
        connection: &mut Connection,
        frame: Option<Result<Message, WsError>>,
    ) -> Result<(), Exit> {
        let key = &self.config.api_key;
        let text = match frame {
            Some(Ok(Message::Text(text))) => text,
            Some(Ok(Message::Binary(_))) => {
                bad_message();
                return Ok(());
            }
            Some(Ok(Message::Close(Some(frame)))) => {
                let cause = format!("{} {}", u16::from(frame.code), frame.reason);
                return Err(SttError::Closed(clean(&cause, key)).into());
            }
            Some(Ok(Message::Close(None))) => return Err(SttError::Closed("no code".into()).into()),
            // Pings are answered by the library.
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => return Ok(()),
            Some(Err(error)) => return Err(SttError::from_stream(&error, key).into()),
            None => return Err(SttError::Closed("end of stream".into()).into()),
        };
        let Ok(message) = wire::parse(&text) else {
            bad_message();
            return Ok(());
        };
        connection.heard = self.clock.now();
        connection.unheard = Samples(0);
        let greeting = matches!(message, ServerMessage::Connected {});
        let mut events = Vec::new();
        match self.assembler.handle(message, &mut events) {
            // A connection that says hello and fails has not succeeded.
            Verdict::Fine if greeting => {}
            Verdict::Fine => self.mended().await?,
            Verdict::Odd(problem) => {
                bad_message();
                tracing::debug!(tag = self.config.tag, code = clean(&problem.code, key), "odd message");
            }
            Verdict::Fatal(problem) => return Err(SttError::from_problem(&problem, key).into()),
        }
        self.inbox.acknowledge(self.assembler.acknowledged());
        for event in events {
            if matches!(event, SttEvent::EndpointHint { .. } | SttEvent::EndOfTurn { .. }) {
                self.inbox.finalize_answered();
            }
            self.tell(event).await?;
        }
        Ok(())
    }

    /// The connection works.
    async fn mended(&mut self) -> Result<(), Exit> {
        self.failures = 0;
        if !std::mem::take(&mut self.faulty) {
            return Ok(());
        }
        let phase = crate::stt::SttPhase::Stream;
        self.tell(SttEvent::Fault { phase, cause: "connected again".into(), recovered: true }).await
    }

    /// The call is over: sends the rest, takes the rest, closes. Each part has a limit, and nothing in it can fail the session.
    async fn finish(&mut self, mut connection: Connection) -> Result<(), Exit> {
        let end = self.clock.now() + CLOSING;
        let outcome = timeout_at(end, self.take_leave(&mut connection, end)).await;
        tracing::debug!(tag = self.config.tag, ?outcome, "recogniser closed");
        let _ = timeout(ENDING_TURN, connection.socket.close(None)).await;
        Ok(())
    }

    async fn take_leave(&mut self, connection: &mut Connection, end: Instant) -> Result<(), Exit> {
        let chunk = self.config.format.rate.samples_in(self.family.chunk());
        while let Some(piece) = self.inbox.next(chunk, false) {
            self.send_piece(connection, &piece).await?;
        }
        if self.family == Family::Flux && self.assembler.is_open() {
            // Closing a stream doesn't end its turn.
            self.send_text(connection, ClientMessage::ForceEndTurn).await?;
            let until = end - (CLOSING - ENDING_TURN);
            while self.assembler.is_open() {
                let Ok(frame) = timeout_at(until, connection.socket.next()).await else { break };
                self.receive(connection, frame).await?;
            }
        }
        self.send_text(connection, ClientMessage::CloseStream).await?;
        loop {
            let frame = connection.socket.next().await;
            self.receive(connection, frame).await?;
        }
    }
}

/// What is no message of the protocol is counted and otherwise ignored.
fn bad_message() {
    metrics::counter!("trunkline_stt_bad_messages_total").increment(1);
}
