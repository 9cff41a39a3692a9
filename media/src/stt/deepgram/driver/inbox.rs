//! What the call gives: audio, collected for as long as it may be needed, and commands.

use std::{future::Future, time::Duration};

use tokio::{
    sync::{
        broadcast::{self, error::RecvError, error::TryRecvError},
        mpsc,
    },
    time::Instant,
};

use super::super::{
    ring::{Piece, ReplayRing},
    time_map::Place,
};
use crate::{
    audio::{AudioFormat, Samples},
    stt::{SttAudio, SttCommand},
};

/// The call's ends of the channels, and the audio that came.
pub(super) struct Inbox {
    audio: broadcast::Receiver<SttAudio>,
    commands: mpsc::Receiver<SttCommand>,
    ring: ReplayRing,
    /// What was not yet sent on the present connection begins here.
    cursor: Samples,
    frame: Samples,
    finalize: Finalize,
    closed: bool,
}

/// A wish to hear now what was heard so far.
#[derive(Debug, Clone, Copy)]
enum Finalize {
    No,
    /// Once all audio that came before it is sent.
    Wanted,
    /// Sent at this time, and not answered.
    Asked(Instant),
}

/// The vendor doesn't answer when nothing was left to say; a later connection is not asked again then.
const ANSWER: Duration = Duration::from_secs(2);

impl Inbox {
    pub(super) fn new(
        audio: broadcast::Receiver<SttAudio>,
        commands: mpsc::Receiver<SttCommand>,
        format: AudioFormat,
        replay: Duration,
    ) -> Self {
        Self {
            audio,
            commands,
            ring: ReplayRing::new(format, replay),
            cursor: Samples(0),
            frame: format.samples_in_bytes(format.frame_bytes()),
            finalize: Finalize::No,
            closed: false,
        }
    }

    /// Waits for audio or a command, and takes in all that there is.
    pub(super) async fn collect(&mut self) {
        if self.closed {
            return std::future::pending().await;
        }
        tokio::select! {
            biased;
            command = self.commands.recv() => match command {
                Some(SttCommand::Finalize) => {
                    self.drain();
                    self.finalize = Finalize::Wanted;
                }
                Some(SttCommand::Close) | None => {
                    self.drain();
                    self.closed = true;
                }
            },
            audio = self.audio.recv() => {
                match audio {
                    Ok(audio) => self.keep(audio),
                    Err(RecvError::Lagged(frames)) => dropped("backlog", frames),
                    Err(RecvError::Closed) => self.closed = true,
                }
                self.drain();
            }
        }
    }

    /// Collects until the future is ready; `None` if the session was closed before.
    pub(super) async fn collect_during<F: Future>(&mut self, future: F) -> Option<F::Output> {
        tokio::pin!(future);
        while !self.closed {
            tokio::select! {
                biased;
                () = self.collect() => {}
                output = &mut future => return Some(output),
            }
        }
        None
    }

    /// Takes in what is there already: a command is about the audio before it.
    fn drain(&mut self) {
        loop {
            match self.audio.try_recv() {
                Ok(audio) => self.keep(audio),
                Err(TryRecvError::Lagged(frames)) => dropped("backlog", frames),
                Err(TryRecvError::Empty | TryRecvError::Closed) => return,
            }
        }
    }

    fn keep(&mut self, audio: SttAudio) {
        let begin = self.ring.push(audio);
        let lost = begin.saturating_sub(self.cursor);
        if lost > Samples(0) {
            self.cursor = begin;
            dropped("replay", lost.0.div_ceil(self.frame.0.max(1)));
        }
    }

    pub(super) const fn is_closed(&self) -> bool {
        self.closed
    }

    /// The oldest audio that can still be sent.
    pub(super) fn front(&self) -> Place {
        self.ring.front()
    }

    /// A new connection was opened; all from `position` on has to be sent, and what was asked and not answered asked again.
    pub(super) fn rewind(&mut self, position: Samples) {
        self.acknowledge(position);
        self.cursor = position;
    }

    /// Nothing before `position` has to be sent again.
    pub(super) fn acknowledge(&mut self, position: Samples) {
        self.ring.forget(position);
    }

    /// The next audio to send, if there is any; with `coalesce`, only if it is a whole chunk or cannot become one.
    pub(super) fn next(&self, chunk: Samples, coalesce: bool) -> Option<Piece> {
        let coalesce = coalesce && !matches!(self.finalize, Finalize::Wanted);
        self.ring.piece(self.cursor, chunk).filter(|piece| piece.complete || !coalesce)
    }

    /// That piece was sent.
    pub(super) fn sent(&mut self, piece: &Piece) {
        self.cursor = piece.place.position + piece.length;
    }

    /// Whether `Finalize` is to be sent now: it is wanted, and all audio was sent.
    pub(super) fn finalize_due(&self) -> bool {
        matches!(self.finalize, Finalize::Wanted) && self.cursor == self.ring.end()
    }

    pub(super) const fn finalize_asked(&mut self, now: Instant) {
        self.finalize = Finalize::Asked(now);
    }

    pub(super) const fn finalize_answered(&mut self) {
        if matches!(self.finalize, Finalize::Asked(_)) {
            self.finalize = Finalize::No;
        }
    }

    /// The connection was lost at `now`.
    pub(super) fn lost(&mut self, now: Instant) {
        if let Finalize::Asked(at) = self.finalize {
            let answerable = now.saturating_duration_since(at) < ANSWER;
            self.finalize = if answerable { Finalize::Wanted } else { Finalize::No };
        }
    }
}

fn dropped(reason: &'static str, frames: u64) {
    metrics::counter!("trunkline_stt_dropped_frames_total", "reason" => reason).increment(frames);
}
