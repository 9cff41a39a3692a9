//! From the queue onto the wire: pacing, the last hop, marks and `clear`.

use super::{
    actor::Call,
    socket::{self, MediaSocket, WriteError},
};
use crate::{audio::outbound::OutboundItem, ids::Epoch, telephony::Outbound as Wire, time::MediaTime, turn::Input};

impl<S: MediaSocket> Call<S> {
    /// Sends what is due. The socket is lost if it cannot be written to.
    pub(super) async fn pump(&mut self, now: MediaTime) {
        if self.line.is_none() || !self.queue.is_ready() {
            self.pacer.idle();
            return;
        }
        self.pacer.start(now);
        if let Err(error) = self.send_due(now).await {
            self.on_write_error(now, error);
        }
        if !self.queue.is_ready() {
            self.pacer.idle();
        }
    }

    async fn send_due(&mut self, now: MediaTime) -> Result<(), WriteError> {
        let lateness = self.pacer.lateness(now);
        let due = self.pacer.due(now);
        let mut frames = 0;
        let mut wrote = false;
        while let Some(item) = self.next_item(due - frames) {
            match item {
                OutboundItem::Frame { epoch, data, samples, .. } => {
                    let padded = self.queue.trailing_silence();
                    frames += 1;
                    // The last hop: a frame of a cancelled reply goes no further, however it came here.
                    if self.machine.current_reply().is_none_or(|(_, current)| epoch < current) {
                        self.summary.stale_frames += 1;
                        continue;
                    }
                    let heard_from = self.pacer.heard_from(now);
                    if let Err(error) = self.feed(&Wire::Audio(data.clone())).await {
                        // It has not left: the machine counts what did, and asks for the rest from there.
                        self.queue.rewind(samples + padded, |mark| mark);
                        return Err(error);
                    }
                    self.record_agent(heard_from, &data);
                    self.pacer.sent(1, now);
                    self.summary.frames_sent += 1;
                    self.machine.handle_input(now, Input::AudioSent { epoch, samples });
                }
                OutboundItem::Mark(mark) => self.feed(&Wire::Mark(mark)).await?,
            }
            wrote = true;
        }
        if frames > 0 {
            self.summary.max_lateness = self.summary.max_lateness.max(lateness);
            metrics::histogram!("trunkline_pacing_lateness_seconds").record(lateness.as_secs_f64());
        }
        if wrote {
            self.flush().await?;
        }
        Ok(())
    }

    fn next_item(&mut self, frames_due: u32) -> Option<OutboundItem> {
        if frames_due > 0 { self.queue.next_item() } else { self.queue.next_mark().map(OutboundItem::Mark) }
    }

    /// Drops a reply here and, if any of it has left, at the carrier.
    pub(super) async fn clear(&mut self, now: MediaTime, epoch: Epoch) {
        let sent = self.queue.epoch() == Some(epoch) && self.queue.position().0 > 0;
        self.queue.clear(epoch);
        self.converter.reset();
        if !sent {
            return;
        }
        self.pacer.clear();
        self.cut_recording(now);
        let cleared = match self.feed(&Wire::Clear).await {
            Ok(()) => self.flush().await,
            Err(error) => Err(error),
        };
        if let Err(error) = cleared {
            self.on_write_error(now, error);
        }
    }

    async fn feed(&mut self, message: &Wire) -> Result<(), WriteError> {
        let Some(line) = &mut self.line else { return Ok(()) };
        let Some(message) = line.codec.encode(message) else { return Ok(()) };
        socket::feed(&mut line.socket, message, self.config.limits.socket_write).await
    }

    async fn flush(&mut self) -> Result<(), WriteError> {
        let Some(line) = &mut self.line else { return Ok(()) };
        socket::flush(&mut line.socket, self.config.limits.socket_write).await
    }

    fn on_write_error(&mut self, now: MediaTime, error: WriteError) {
        tracing::warn!(call = %self.config.id, %error, "media socket lost while writing");
        metrics::counter!("trunkline_media_write_errors_total", "cause" => if error == WriteError::SlowPeer { "slow_peer" } else { "gone" })
            .increment(1);
        self.detach(now);
    }
}
