//! A carrier that does as it is told, and remembers what that was.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use tokio::sync::mpsc;

use crate::{
    call::{BoxFuture, Carrier},
    event::EndReason,
    telephony::{Keys, Transfer, TransferStep},
};

/// A carrier that confirms everything that it is asked.
#[derive(Debug, Clone, Default)]
pub struct FakeCarrier {
    asked: Arc<Mutex<Asked>>,
    keys_end_the_stream: Arc<AtomicBool>,
    keys_fail: Arc<AtomicBool>,
}

#[derive(Debug, Default)]
struct Asked {
    hang_ups: Vec<EndReason>,
    keys: Vec<String>,
    transfers: Vec<FakeTransfer>,
}

/// A transfer that was asked for. The test tells how it goes.
#[derive(Debug, Clone)]
pub struct FakeTransfer {
    /// To whom.
    pub transfer: Transfer,
    steps: mpsc::Sender<TransferStep>,
}

impl FakeTransfer {
    /// The next step.
    pub fn step(&self, step: TransferStep) {
        // Given up in the meantime, which the test can ask.
        let _ = self.steps.try_send(step);
    }

    /// Whether the call has given it up, or knows how it ended.
    pub fn is_given_up(&self) -> bool {
        self.steps.is_closed()
    }
}

impl FakeCarrier {
    /// Why it was asked to hang up, each time.
    pub fn hang_ups(&self) -> Vec<EndReason> {
        self.asked().hang_ups.clone()
    }

    /// Which keys it was asked to press, each time.
    pub fn keys(&self) -> Vec<String> {
        self.asked().keys.clone()
    }

    /// The transfers that it was asked for.
    pub fn transfers(&self) -> Vec<FakeTransfer> {
        self.asked().transfers.clone()
    }

    /// From now on it ends the stream to press keys.
    pub fn end_the_stream_for_keys(&self) {
        self.keys_end_the_stream.store(true, Ordering::Release);
    }

    /// From now on it presses no keys.
    pub fn refuse_keys(&self) {
        self.keys_fail.store(true, Ordering::Release);
    }

    fn asked(&self) -> MutexGuard<'_, Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Carrier for FakeCarrier {
    fn hang_up(&self, reason: EndReason) -> BoxFuture<'static, Result<(), String>> {
        self.asked().hang_ups.push(reason);
        Box::pin(async { Ok(()) })
    }

    fn send_keys(&self, keys: Keys) -> BoxFuture<'static, Result<(), String>> {
        self.asked().keys.push(keys.expose().to_owned());
        let fails = self.keys_fail.load(Ordering::Acquire);
        Box::pin(async move { if fails { Err("refused".to_owned()) } else { Ok(()) } })
    }

    fn keys_end_the_stream(&self) -> bool {
        self.keys_end_the_stream.load(Ordering::Acquire)
    }

    fn transfer(&self, transfer: Transfer) -> mpsc::Receiver<TransferStep> {
        let (steps, told) = mpsc::channel(4);
        self.asked().transfers.push(FakeTransfer { transfer, steps });
        told
    }
}
