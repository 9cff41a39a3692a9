//! From the wire to the recogniser, voice activity and the recording.

use std::time::Duration;

use bytes::Bytes;

use super::{
    actor::Call,
    socket::{self, MediaSocket},
};
use crate::{
    audio::{Encoding, g711, vad::VadEvent},
    event::EndReason,
    ids::MarkId,
    stt::SttAudio,
    telephony::{Inbound, SocketMessage, Verdict},
    time::MediaTime,
    turn::Input,
};

impl<S: MediaSocket> Call<S> {
    pub(super) async fn on_socket_message(&mut self, now: MediaTime, message: SocketMessage) {
        let Some(line) = &mut self.line else { return };
        match line.codec.decode(&message) {
            Ok(Inbound::Audio { timestamp, payload }) => self.on_audio(now, timestamp, payload),
            Ok(Inbound::Mark { name }) => {
                // A mark that we never sent is somebody else's.
                if let Some(mark) = MarkId::parse(&name) {
                    self.machine.handle_input(now, Input::Mark { mark });
                }
            }
            Ok(Inbound::Dtmf { digit }) => self.machine.handle_input(now, Input::Dtmf { digit: digit.into_inner() }),
            Ok(Inbound::Stopped) => self.on_stopped(now).await,
            Ok(Inbound::Closed { .. }) => self.detach(now),
            Ok(Inbound::Connected | Inbound::Started(_) | Inbound::Ignored) => {}
            Err(bad) => {
                self.summary.bad_messages += 1;
                metrics::counter!("trunkline_media_bad_messages_total", "kind" => bad.label()).increment(1);
                if let Verdict::Close { code, reason } = self.bad_messages.handle_bad_message(bad, now) {
                    tracing::warn!(call = %self.config.id, reason, "media socket closed: bad messages");
                    let close = SocketMessage::close(code, reason);
                    let limit = self.config.limits.socket_write;
                    if let Some(line) = &mut self.line
                        && socket::feed(&mut line.socket, close, limit).await.is_ok()
                    {
                        let _ = socket::flush(&mut line.socket, limit).await;
                    }
                    self.detach(now);
                }
            }
        }
    }

    /// The carrier ends the stream: the caller is gone, or the carrier has the call because we asked, and it goes on.
    async fn on_stopped(&mut self, now: MediaTime) {
        self.take_transfer_steps();
        if self.asked.away {
            self.detach(now);
        } else {
            self.line = None;
            self.on_line_over(now);
            self.close(now, EndReason::CallerHangup).await;
        }
    }

    fn on_audio(&mut self, now: MediaTime, timestamp: Option<Duration>, payload: Bytes) {
        let Some(line) = &mut self.line else { return };
        let format = line.format;
        let at = timestamp.map_or(line.next_audio, |timestamp| line.attached_at + timestamp);
        line.next_audio = at + format.samples_in_bytes(payload.len()).duration(format.rate);
        self.pcm.clear();
        match format.encoding {
            Encoding::Mulaw => g711::mulaw_decode(&payload, &mut self.pcm),
            Encoding::Linear16 => {
                self.pcm.extend(payload.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])));
            }
        }
        let listens = self.machine.listens();
        if listens != self.asked.listened {
            self.asked.listened = listens;
            self.vad.reset();
            while self.vad.poll_event().is_some() {}
        }
        // On hold the recogniser hears silence, for its times go by what it hears, and its socket is closed if it hears nothing.
        let sound = if listens { payload } else { Bytes::from(vec![format.silence_byte(); payload.len()]) };
        let heard_at = at.saturating_sub(self.ear.withheld());
        let heard = self.ear.convert(sound);
        if !heard.is_empty() {
            // No recogniser listens any more when the call is about to fail for it.
            let _ = self.stt.audio.send(SttAudio { at: heard_at, data: heard });
        }
        if listens {
            self.vad.push(at, &self.pcm);
        }
        while let Some(event) = self.vad.poll_event() {
            self.machine.handle_input(
                now,
                match event {
                    VadEvent::SpeechStarted { at } => Input::SpeechStarted { at },
                    VadEvent::SpeechStopped { at } => Input::SpeechStopped { at },
                },
            );
        }
        self.record_caller(at);
    }

    /// The socket is lost; the call waits for another.
    pub(super) fn detach(&mut self, now: MediaTime) {
        self.take_transfer_steps();
        if self.line.take().is_some() {
            self.on_line_over(now);
            // From now on, and not from when the write began that has failed just now. A transfer has a limit of its own.
            self.reattach_by = self.asked.transfer.is_none().then(|| self.now() + self.config.limits.reattach);
            self.machine.handle_input(now, if self.asked.away { Input::Moved } else { Input::Detached });
        }
    }

    fn on_line_over(&mut self, now: MediaTime) {
        self.pacer.clear();
        self.cut_recording(now);
        self.ear.reset();
        self.vad.reset();
        while self.vad.poll_event().is_some() {}
    }
}
