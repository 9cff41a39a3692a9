//! What the carrier is asked besides hanging up: keys, one sequence after the other, and one transfer at a time.

use std::collections::VecDeque;

use tokio::sync::mpsc;

use super::{BoxFuture, actor::Call, socket::MediaSocket};
use crate::{
    telephony::{Keys, TransferOutcome, TransferStep},
    time::MediaTime,
    turn::Input,
};

/// The model's call that keys are of, if any, and what the carrier says.
pub(super) type Pressed = (Option<String>, Result<(), String>);

/// What a call has asked its carrier for.
pub(super) struct Asked {
    /// The transfer under way.
    pub(super) transfer: Option<mpsc::Receiver<TransferStep>>,
    /// Keys that wait for those before them, and for a stream.
    pub(super) keys: VecDeque<(Keys, Option<String>)>,
    pub(super) pressing: Option<BoxFuture<'static, Pressed>>,
    /// Whether the stream may end because of what was asked.
    pub(super) away: bool,
    /// Whether the last frame of the caller's was listened to.
    pub(super) listened: bool,
}

impl Default for Asked {
    fn default() -> Self {
        Self { transfer: None, keys: VecDeque::new(), pressing: None, away: false, listened: true }
    }
}

impl<S: MediaSocket> Call<S> {
    /// Has the next keys pressed. A carrier that ends the stream for them is not asked for more until there is another.
    pub(super) fn press_keys(&mut self) {
        if self.asked.pressing.is_some() || self.line.is_none() || self.asked.away {
            return;
        }
        let Some((keys, call)) = self.asked.keys.pop_front() else { return };
        self.asked.away = self.carrier.keys_end_the_stream();
        let (press, limit) = (self.carrier.send_keys(keys), self.config.limits.hang_up);
        self.asked.pressing = Some(Box::pin(async move {
            let result = tokio::time::timeout(limit, press).await;
            (call, result.unwrap_or_else(|_| Err("no answer in time".to_owned())))
        }));
    }

    pub(super) fn on_keys_pressed(&mut self, call: Option<String>, result: Result<(), String>) {
        self.asked.pressing = None;
        if result.is_err() && self.line.is_some() {
            self.asked.away = false;
        }
        let now = self.now();
        self.machine.handle_input(now, Input::KeysSent { call, error: result.err() });
    }

    pub(super) fn on_transfer_step(&mut self, step: Option<TransferStep>) {
        match step {
            Some(TransferStep::Moving) => self.asked.away = true,
            Some(TransferStep::Stayed) => self.asked.away = false,
            Some(TransferStep::Over(outcome)) => self.on_transfer_over(outcome),
            None => self.on_transfer_over(TransferOutcome::failed("the carrier said nothing more of it")),
        }
    }

    /// Takes what has been told of a transfer already. The step before the stream's end is told before it, but comes by another way: a busy
    /// machine may show both at once, and the end first.
    pub(super) fn take_transfer_steps(&mut self) {
        while let Some(Ok(step)) = self.asked.transfer.as_mut().map(mpsc::Receiver::try_recv) {
            self.on_transfer_step(Some(step));
        }
    }

    fn on_transfer_over(&mut self, outcome: TransferOutcome) {
        let now = self.now();
        self.give_up_transfer(now);
        self.machine.handle_input(now, Input::TransferOver { outcome });
    }

    /// A caller who was moved has to come back by another stream.
    pub(super) fn give_up_transfer(&mut self, now: MediaTime) {
        if self.asked.transfer.take().is_some() && self.line.is_none() {
            self.reattach_by = Some(now + self.config.limits.reattach);
        }
    }
}

/// The next step of a transfer; pends for ever while there is none.
pub(super) async fn transferring(transfer: &mut Option<mpsc::Receiver<TransferStep>>) -> Option<TransferStep> {
    match transfer {
        Some(steps) => steps.recv().await,
        None => std::future::pending().await,
    }
}

/// What the carrier says of the keys that it was asked to press.
pub(super) async fn pressing(pressing: &mut Option<BoxFuture<'static, Pressed>>) -> Pressed {
    match pressing {
        Some(pressed) => pressed.as_mut().await,
        None => std::future::pending().await,
    }
}
