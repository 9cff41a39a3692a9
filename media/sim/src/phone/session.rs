//! One media stream from the upgrade to its end: the only part of the phone that waits.

use std::{
    pin::{Pin, pin},
    time::Duration,
};

use futures_util::{SinkExt, StreamExt};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::{
    PhoneConfig,
    activity::Activity,
    caller::{Act, Caller},
    impair::Line,
    log::Log,
    playback::{Playback, TICK_BYTES},
    report::{MarkRecord, PhoneEventKind, PhoneReport, StreamEnd},
    wire::{Inbound, Sids, Wire},
};
use crate::net::{Reach, Socket, cut};

/// How long one message may take to be written before the server counts as too slow a reader.
const WRITE_LIMIT: Duration = Duration::from_secs(2);
/// The caller's audio that a slow reader has held up for longer is discarded.
const STALE: Duration = Duration::from_secs(1);
/// How long the phone waits for the server's half of a close.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);
/// How long after a failed write the phone looks for the close frame that explains it.
const LAST_WORDS: Duration = Duration::from_millis(250);
/// The clock goes on at least this often, however much the server sends.
const STARVED: Duration = Duration::from_millis(100);

/// Which stream, where it leads, and with which headers it is opened.
pub(crate) struct Opening<'a> {
    pub(crate) sids: &'a Sids,
    pub(crate) url: &'a str,
    pub(crate) headers: Vec<(&'static str, String)>,
}

/// Runs a stream until something ends it: the caller, the server, the line, or `stop`.
pub(crate) async fn run(
    reach: &Reach,
    opening: Opening<'_>,
    wire: impl Wire,
    config: &PhoneConfig,
    caller: &mut Caller,
    stop: impl Future<Output = StreamEnd>,
) -> PhoneReport {
    let mut stop = pin!(stop);
    let opened = tokio::select! {
        biased;
        end = &mut stop => Err(end),
        opened = reach.open(opening.url, &opening.headers) => opened.map_err(|error| {
            StreamEnd::NotOpened { status: error.status(), detail: error.to_string() }
        }),
    };
    let mut log = Log::new(opening.sids, opening.url, config);
    match opened {
        Ok(socket) => Session::new(socket, wire, config, caller, log).run(stop).await,
        Err(end) => {
            if let StreamEnd::NotOpened { detail, .. } = &end {
                log.warn(Duration::ZERO, 31920, detail.clone());
            }
            log.event(Duration::ZERO, PhoneEventKind::Ended(end.clone()));
            PhoneReport { ended: end, ..log.report }
        }
    }
}

struct Session<'a, W> {
    socket: Socket,
    wire: W,
    caller: &'a mut Caller,
    playback: Playback,
    line: Option<Line>,
    /// The 20 ms just spoken: they leave when they are over, as they would from a real microphone.
    spoken: Option<(Duration, [u8; TICK_BYTES])>,
    said: Activity,
    audio: Vec<u8>,
    next_return: usize,
    congested: bool,
    record: bool,
    log: Log<'a>,
    zero: Instant,
}

impl<'a, W: Wire> Session<'a, W> {
    fn new(socket: Socket, wire: W, config: &'a PhoneConfig, caller: &'a mut Caller, log: Log<'a>) -> Self {
        Self {
            socket,
            caller,
            playback: Playback::new(config.record).with_rules(wire.rules()),
            wire,
            line: Line::new(&config.impairments),
            spoken: None,
            said: Activity::default(),
            audio: Vec::new(),
            next_return: 0,
            congested: false,
            record: config.record,
            log,
            zero: Instant::now(),
        }
    }

    async fn run(mut self, mut stop: Pin<&mut impl Future<Output = StreamEnd>>) -> PhoneReport {
        let ended = match self.start().await {
            Err(end) => end,
            Ok(()) => {
                let mut timer = pin!(sleep_until(self.zero));
                loop {
                    let step = tokio::select! {
                        biased;
                        end = &mut stop => Err(end),
                        // Before the clock: when both are due, what has arrived is heard in this tick.
                        message = self.socket.next() => self.handle_message(message).await,
                        () = &mut timer => {
                            let step = self.handle_clock().await;
                            timer.as_mut().reset(self.next_deadline());
                            step
                        }
                    };
                    if let Err(end) = step {
                        break end;
                    }
                }
            }
        };
        self.finish(ended).await
    }

    async fn start(&mut self) -> Result<(), StreamEnd> {
        for message in self.wire.opening() {
            self.send(message).await?;
        }
        self.zero = Instant::now();
        self.log.report.started = Some(self.zero.into_std());
        let stream_sid = self.log.report.sids.stream.clone();
        self.log.event(Duration::ZERO, PhoneEventKind::Started { stream_sid });
        self.log.event(Duration::ZERO, PhoneEventKind::Step(self.caller.step()));
        Ok(())
    }

    fn now(&self) -> Duration {
        self.zero.elapsed()
    }

    fn next_deadline(&self) -> Instant {
        let tick = self.playback.poll_timeout();
        let piece = self.line.as_ref().and_then(Line::poll_timeout).unwrap_or(tick);
        self.zero + tick.min(piece)
    }

    async fn handle_message(&mut self, message: Option<Result<Message, Error>>) -> Result<(), StreamEnd> {
        let now = self.now();
        match message {
            None | Some(Err(Error::ConnectionClosed | Error::AlreadyClosed)) => {
                return Err(StreamEnd::Broken("the connection was closed without a close frame".into()));
            }
            Some(Err(error)) => {
                if matches!(error, Error::Protocol(_) | Error::Utf8(_) | Error::Capacity(_)) {
                    self.log.warn(now, 31924, error.to_string());
                }
                return Err(StreamEnd::Broken(error.to_string()));
            }
            Some(Ok(Message::Close(frame))) => return Err(closed(frame)),
            Some(Ok(message @ (Message::Text(_) | Message::Binary(_)))) => {
                match self.wire.parse(&message, &mut self.audio) {
                    Ok(inbound) => self.handle_inbound(now, inbound).await?,
                    Err(invalid) => {
                        let refused = invalid.is_fatal().then(|| StreamEnd::Refused(invalid.to_string()));
                        self.log.invalid(now, invalid);
                        refused.map_or(Ok(()), Err)?;
                    }
                }
                self.return_marks().await?;
            }
            Some(Ok(_)) => {}
        }
        if now.saturating_sub(self.playback.poll_timeout()) > STARVED {
            return self.handle_clock().await;
        }
        Ok(())
    }

    async fn handle_inbound(&mut self, now: Duration, inbound: Inbound) -> Result<(), StreamEnd> {
        match inbound {
            Inbound::Media => {
                if !self.playback.handle_media(now, &self.audio) {
                    self.log.warn(now, 31931, "more audio is queued than there is room for".into());
                }
            }
            Inbound::Mark(name) => {
                let record = MarkRecord { name: name.clone(), received_at: now, returned_at: None, cleared: false };
                self.log.report.marks.push(record);
                self.playback.handle_mark(now, name);
            }
            Inbound::Clear => {
                let clearing = self.playback.handle_clear(now);
                if !self.wire.rules().returns_cleared {
                    // Those that wait are forgotten: the next to return is one that is still to come.
                    self.next_return = self.log.report.marks.len();
                }
                // What comes next is new speech, however soon it comes.
                self.log.agent(self.caller.handle_cut());
                self.log.event(now, PhoneEventKind::Cleared { dropped: clearing.dropped });
                if let Some(message) = self.wire.cleared() {
                    self.send(message).await?;
                }
            }
        }
        Ok(())
    }

    /// Every tick that is due, then whatever else is.
    async fn handle_clock(&mut self) -> Result<(), StreamEnd> {
        let now = self.now();
        let late = now.saturating_sub(self.playback.poll_timeout());
        self.log.report.worst_lateness = self.log.report.worst_lateness.max(late);
        while self.playback.poll_timeout() <= now {
            self.handle_tick(now).await?;
        }
        while let Some(piece) = self.line.as_mut().and_then(|line| line.poll_piece(now)) {
            self.send_audio(piece.timestamp_ms, &piece.audio).await?;
        }
        self.return_marks().await
    }

    async fn handle_tick(&mut self, now: Duration) -> Result<(), StreamEnd> {
        let at = self.playback.poll_timeout();
        if let Some((began, frame)) = self.spoken.take() {
            match &mut self.line {
                _ if self.congested && now.saturating_sub(at) > STALE => self.log.report.lost += 1,
                Some(line) => line.handle_frame(began, &frame),
                None => self.send_audio(began.as_millis() as u64, &frame).await?,
            }
        }
        let (caller, mut heard) = (&mut *self.caller, None);
        self.playback.handle_timeout(at, |at, frame| heard = caller.handle_agent(at, frame));
        self.log.agent(heard);
        let step = self.caller.step();
        let mut frame = [0; TICK_BYTES];
        let act = self.caller.poll_frame(&mut frame);
        if self.caller.step() != step {
            self.log.event(at, PhoneEventKind::Step(self.caller.step()));
        }
        self.log.caller(self.said.handle_frame(at, &frame));
        if self.record {
            self.log.report.said.extend_from_slice(&frame);
        }
        self.spoken = Some((at, frame));
        match act {
            None => Ok(()),
            Some(Act::Press(key)) => {
                self.log.event(at, PhoneEventKind::Dtmf(key));
                let message = self.wire.dtmf(key);
                self.send(message).await
            }
            Some(Act::HangUp) => Err(StreamEnd::HungUp),
            Some(Act::GiveUp) => Err(StreamEnd::GaveUp { step: self.caller.step() }),
            Some(Act::Drop) => Err(StreamEnd::Dropped),
        }
    }

    async fn send_audio(&mut self, timestamp_ms: u64, audio: &[u8]) -> Result<(), StreamEnd> {
        for message in self.wire.media(timestamp_ms, audio) {
            self.log.report.sent += 1;
            self.send(message).await?;
        }
        Ok(())
    }

    async fn return_marks(&mut self) -> Result<(), StreamEnd> {
        while let Some(mark) = self.playback.poll_mark() {
            // Marks return in the order in which they came.
            if let Some(record) = self.log.report.marks.get_mut(self.next_return) {
                record.returned_at = Some(mark.at);
                record.cleared = mark.cleared;
            }
            self.next_return += 1;
            let message = self.wire.mark(&mark.name);
            self.log.event(mark.at, PhoneEventKind::MarkReturned { name: mark.name, cleared: mark.cleared });
            self.send(message).await?;
        }
        Ok(())
    }

    async fn send(&mut self, message: Message) -> Result<(), StreamEnd> {
        match timeout(WRITE_LIMIT, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(self.last_words(error).await),
            Err(_) => {
                self.congested = true;
                self.log.warn(self.now(), 31930, "the server reads too slowly: audio is discarded".into());
                Ok(())
            }
        }
    }

    /// A write failed: a close frame that says why may lie unread.
    async fn last_words(&mut self, error: Error) -> StreamEnd {
        let reading = async {
            while let Some(Ok(message)) = self.socket.next().await {
                if let Message::Close(frame) = message {
                    return Some(closed(frame));
                }
            }
            None
        };
        timeout(LAST_WORDS, reading).await.ok().flatten().unwrap_or_else(|| StreamEnd::Broken(error.to_string()))
    }

    async fn finish(mut self, ended: StreamEnd) -> PhoneReport {
        let duration = self.now();
        match &ended {
            StreamEnd::Dropped | StreamEnd::Refused(_) => {}
            StreamEnd::ClosedByServer { .. } => {
                // Only our half of the close is left to send.
                let _ = timeout(CLOSE_LIMIT, self.socket.flush()).await;
            }
            StreamEnd::Broken(_) | StreamEnd::NotOpened { .. } => {}
            StreamEnd::HungUp
            | StreamEnd::GaveUp { .. }
            | StreamEnd::Completed
            | StreamEnd::Redirected
            | StreamEnd::TimeLimit => {
                let told = match self.wire.stop() {
                    Some(stop) => self.send(stop).await.is_ok(),
                    None => true,
                };
                if told {
                    self.close().await;
                }
            }
        }
        self.log.agent(self.caller.handle_cut());
        self.log.caller(self.said.handle_end());
        self.log.event(duration, PhoneEventKind::Ended(ended.clone()));
        if matches!(ended, StreamEnd::Dropped | StreamEnd::Refused(_)) {
            cut(self.socket);
        }
        let lost = self.log.report.lost + self.line.map_or(0, |line| line.lost());
        PhoneReport { playback: self.playback.into_report(), duration, lost, ended, ..self.log.report }
    }

    async fn close(&mut self) {
        let closing = async {
            let _ = self.socket.close(None).await;
            while !matches!(self.socket.next().await, Some(Ok(Message::Close(_)) | Err(_)) | None) {}
        };
        let _ = timeout(CLOSE_LIMIT, closing).await;
    }
}

fn closed(frame: Option<tokio_tungstenite::tungstenite::protocol::CloseFrame>) -> StreamEnd {
    StreamEnd::ClosedByServer {
        code: frame.as_ref().map(|frame| frame.code.into()),
        reason: frame.map(|frame| frame.reason.to_string()).unwrap_or_default(),
    }
}
