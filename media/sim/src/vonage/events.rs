//! Events on their way: one after the other by default, or late, twice, out of order, or not at all. A legal order of events is the
//! runner's to make; what the network makes of it is made here.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::sleep,
};

use super::{
    signature::Signer,
    webhook::{Sender, Webhook, WebhookAnswer, WebhookRecord},
};

/// What goes wrong with the delivery of events. Events that are answered with a document are neither held back nor sent twice.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EventDelivery {
    /// Each is sent this long after it happened.
    pub delay: Duration,
    /// Each is sent twice.
    pub duplicate: bool,
    /// Each pair arrives in the wrong order.
    pub reorder: bool,
    /// Those with these statuses never arrive, of whichever leg.
    pub lose: Vec<String>,
    /// None is signed, nor are answer webhooks.
    pub unsigned: bool,
}

/// All webhooks of a call, in the order in which they were answered.
#[derive(Debug, Clone, Default)]
pub(super) struct Sent(Arc<Mutex<Vec<WebhookRecord>>>);

impl Sent {
    pub(super) fn push(&self, record: WebhookRecord) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(record);
    }

    pub(super) fn take(&self) -> Vec<WebhookRecord> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

type Queued = (Webhook, Option<oneshot::Sender<Option<WebhookAnswer>>>);

/// The events of one call.
pub(super) struct Events {
    delivery: EventDelivery,
    held: Option<Webhook>,
    queue: mpsc::UnboundedSender<Queued>,
    task: JoinHandle<()>,
}

/// Where something that goes on beside the call tells its events.
#[derive(Clone)]
pub(super) struct EventQueue(mpsc::UnboundedSender<Queued>);

impl EventQueue {
    pub(super) fn tell(&self, webhook: Webhook) {
        let _ = self.0.send((webhook, None));
    }
}

impl Events {
    pub(super) fn new(
        delivery: EventDelivery,
        sender: Sender,
        signer: Option<Signer>,
        limit: Duration,
        sent: Sent,
    ) -> Self {
        let (queue, mut webhooks) = mpsc::unbounded_channel::<Queued>();
        let delay = delivery.delay;
        let task = tokio::spawn(async move {
            while let Some((webhook, reply)) = webhooks.recv().await {
                sleep(delay).await;
                let record = webhook.send(&sender, signer.as_ref(), limit).await;
                if let Some(reply) = reply {
                    let _ = reply.send(record.answer.clone().ok());
                }
                sent.push(record);
            }
        });
        Self { delivery, held: None, queue, task }
    }

    /// Tells an event.
    pub(super) fn tell(&mut self, webhook: Webhook) {
        if self.is_lost(&webhook) {
            return;
        }
        if !self.delivery.reorder {
            return self.send(webhook);
        }
        match self.held.take() {
            None => self.held = Some(webhook),
            Some(earlier) => {
                self.send(webhook);
                self.send(earlier);
            }
        }
    }

    /// Tells an event and waits for what is answered.
    pub(super) async fn ask(&mut self, webhook: Webhook) -> Option<WebhookAnswer> {
        if self.is_lost(&webhook) {
            return None;
        }
        let (reply, answer) = oneshot::channel();
        let _ = self.queue.send((webhook, Some(reply)));
        answer.await.ok().flatten()
    }

    /// For what goes on beside the call.
    pub(super) fn queue(&self) -> EventQueue {
        EventQueue(self.queue.clone())
    }

    /// Waits until all are delivered or have failed.
    pub(super) async fn finish(mut self) {
        if let Some(held) = self.held.take() {
            self.send(held);
        }
        drop(self.queue);
        let _ = self.task.await;
    }

    fn is_lost(&self, webhook: &Webhook) -> bool {
        let status = webhook.fields.get("status").and_then(serde_json::Value::as_str).unwrap_or_default();
        self.delivery.lose.iter().any(|lost| lost == status)
    }

    fn send(&self, mut webhook: Webhook) {
        if self.delivery.duplicate {
            // To the letter, its token included.
            webhook.jti = Some(uuid::Uuid::new_v4().to_string());
            let _ = self.queue.send((webhook.clone(), None));
        }
        let _ = self.queue.send((webhook, None));
    }
}
