//! Status callbacks on their way: one after the other by default, or late, twice or out of order.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use tokio::{sync::mpsc, task::JoinHandle, time::sleep};

use super::status::{StatusCallback, StatusEvent};
use crate::{
    dates,
    twilio::{
        signature::Form,
        twiml::Method,
        webhook::{Sender, Webhook, WebhookKind, WebhookRecord},
    },
};

/// What goes wrong with the delivery of status callbacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CallbackDelivery {
    /// Each is sent this long after its event.
    pub delay: Duration,
    /// Each is sent twice.
    pub duplicate: bool,
    /// Each pair arrives in the wrong order.
    pub reorder: bool,
    /// Those of these events are lost on the way.
    pub lost: &'static [StatusEvent],
}

/// All webhooks of a call, in the order in which they were answered.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sent(Arc<Mutex<Vec<WebhookRecord>>>);

impl Sent {
    pub(crate) fn push(&self, record: WebhookRecord) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(record);
    }

    pub(crate) fn take(&self) -> Vec<WebhookRecord> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The status callbacks of one call.
pub(crate) struct Callbacks {
    callback: Option<StatusCallback>,
    delivery: CallbackDelivery,
    sequence: u32,
    held: Option<Webhook>,
    queue: mpsc::UnboundedSender<Webhook>,
    task: JoinHandle<()>,
}

impl Callbacks {
    pub(crate) fn new(
        callback: Option<StatusCallback>,
        delivery: CallbackDelivery,
        sender: Sender,
        auth_token: String,
        limit: Duration,
        sent: Sent,
    ) -> Self {
        let (queue, mut webhooks) = mpsc::unbounded_channel::<Webhook>();
        let task = tokio::spawn(async move {
            while let Some(webhook) = webhooks.recv().await {
                sleep(delivery.delay).await;
                sent.push(webhook.send(&sender, &auth_token, limit).await);
            }
        });
        Self { callback, delivery, sequence: 0, held: None, queue, task }
    }

    /// Tells an event if it is wanted. `call` are the fields of every webhook of the call, with its status; `duration` is that of a
    /// call that is over.
    pub(crate) fn tell(&mut self, event: StatusEvent, mut call: Form, duration: Option<Duration>) {
        let Some(callback) = self.callback.as_ref().filter(|callback| callback.events.contains(&event)) else { return };
        if event == StatusEvent::Initiated {
            // A state that exists nowhere but here.
            set(&mut call, "CallStatus", "initiated".into());
        }
        set(&mut call, "Timestamp", dates::rfc2822(SystemTime::now()));
        set(&mut call, "CallbackSource", "call-progress-events".into());
        set(&mut call, "SequenceNumber", self.sequence.to_string());
        self.sequence += 1;
        if let Some(duration) = duration {
            let seconds = duration.as_secs_f64();
            set(&mut call, "CallDuration", seconds.round().to_string());
            // Minutes begun, as billed.
            set(&mut call, "Duration", (seconds / 60.0).ceil().to_string());
        }
        let webhook =
            Webhook { kind: WebhookKind::Status, method: Method::Post, url: callback.url.clone(), fields: call };
        if self.delivery.lost.contains(&event) {
            return;
        }
        if self.delivery.reorder {
            match self.held.take() {
                None => self.held = Some(webhook),
                Some(earlier) => {
                    self.send(webhook);
                    self.send(earlier);
                }
            }
        } else {
            self.send(webhook);
        }
    }

    /// The way to be sent.
    pub(crate) fn queue(&self) -> mpsc::UnboundedSender<Webhook> {
        self.queue.clone()
    }

    /// Sends a callback of another kind: of one of the call's streams, of its recording.
    pub(crate) fn tell_other(&self, webhook: Webhook) {
        let _ = self.queue.send(webhook);
    }

    /// Waits until all are delivered or have failed.
    pub(crate) async fn finish(mut self) {
        if let Some(held) = self.held.take() {
            self.send(held);
        }
        drop(self.queue);
        let _ = self.task.await;
    }

    fn send(&self, webhook: Webhook) {
        if self.delivery.duplicate {
            let _ = self.queue.send(webhook.clone());
        }
        let _ = self.queue.send(webhook);
    }
}

fn set(form: &mut Form, name: &str, value: String) {
    match form.iter_mut().find(|(key, _)| key == name) {
        Some((_, present)) => *present = value,
        None => form.push((name.to_owned(), value)),
    }
}
