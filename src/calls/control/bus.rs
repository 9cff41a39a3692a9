//! From node to node over Redis: what is asked of a call, and what its node says to that.
//!
//! Every node listens on a channel of its own name. A question names the call, its tenant and whom to answer; an answer, the question. What
//! is lost is not sent again: whoever asked says that nobody answered. Texts and numbers that are asked for travel in clear, as rows do to
//! the database; neither is kept.

use std::{sync::Arc, time::Duration};

use dashmap::DashMap;
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use tokio_util::task::AbortOnDropHandle;
use trunkline_base::CallId;
use trunkline_control::{
    redis::{Notice, Redis},
    tenant::TenantId,
};
use trunkline_media::call::CallCommand;
use uuid::Uuid;

use super::transfer::Progress;
use crate::calls::Calls;

/// How long a node may take to answer.
const LIMIT: Duration = Duration::from_secs(2);
/// The largest message that is read.
const MAX_MESSAGE: usize = 64 * 1024;
/// Questions that are answered at once; others wait their turn.
const AT_ONCE: usize = 64;

/// What is asked of a call.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub(in crate::calls) enum Ask {
    /// To do this.
    Command { command: CallCommand },
    /// To know this of its transfer.
    Transfer {
        progress: Progress,
        /// The carrier has the caller, and asks what comes next.
        comes_back: bool,
    },
    /// Whether its caller is on their way to somebody else.
    Moving,
}

/// What a call's node says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "told", rename_all = "snake_case")]
pub(in crate::calls) enum Told {
    /// It is done, or will be.
    Done,
    /// The call is ending.
    Over,
    /// The call takes no more at the moment.
    Busy,
    /// There is no such call of this tenant here.
    Unknown,
    /// What the carrier is to be answered.
    Document { text: String },
    /// The caller is on their way to somebody else: the end of the stream means nothing.
    Moving,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Message {
    Question { id: Uuid, from: String, tenant: Uuid, call: CallId, ask: Ask },
    Answer { id: Uuid, told: Told },
}

/// The way to other nodes.
pub(in crate::calls) struct Bus {
    redis: Redis,
    node: String,
    waiting: Arc<DashMap<Uuid, oneshot::Sender<Told>>>,
}

/// A question that is waited for, and forgotten when it no longer is.
struct Waiting<'a>(&'a Bus, Uuid);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.remove(&self.1);
    }
}

impl Bus {
    pub(in crate::calls) fn new(redis: Redis, node: &str) -> Self {
        Self { redis, node: node.to_owned(), waiting: Arc::default() }
    }

    /// Asks a node; `None`: it does not answer, or cannot be asked.
    pub(super) async fn ask(&self, node: &str, tenant: TenantId, call: CallId, ask: &Ask) -> Option<Told> {
        let id = Uuid::now_v7();
        let (answer, answered) = oneshot::channel();
        self.waiting.insert(id, answer);
        let _waiting = Waiting(self, id);
        let question =
            Message::Question { id, from: self.node.clone(), tenant: tenant.as_uuid(), call, ask: ask.clone() };
        let asking = async {
            self.send(node, &question).await?;
            answered.await.ok()
        };
        let told = tokio::time::timeout(LIMIT, asking).await.ok().flatten();
        let outcome = if told.is_some() { "answered" } else { "unanswered" };
        metrics::counter!("trunkline_call_commands_relayed_total", "outcome" => outcome).increment(1);
        told
    }

    /// `None`: nobody listens, so that nobody is waited for.
    async fn send(&self, node: &str, message: &Message) -> Option<()> {
        let bytes = serde_json::to_vec(message).ok()?;
        let heard = self.redis.publish(&channel(node), &bytes).await.ok()?;
        (heard > 0).then_some(())
    }
}

fn channel(node: &str) -> String {
    format!("trunkline:calls:{node}")
}

impl Calls {
    /// Listens to other nodes, for as long as the handle lives. Nothing without Redis.
    pub fn listen_to_nodes(&self) -> Option<AbortOnDropHandle<()>> {
        let bus = self.0.bus.as_ref()?;
        let notices = bus.redis.subscribe(vec![channel(&bus.node)]);
        Some(AbortOnDropHandle::new(tokio::spawn(listen(self.clone(), notices))))
    }
}

async fn listen(calls: Calls, notices: trunkline_control::redis::Subscription) {
    let messages = notices.filter_map(|notice| {
        std::future::ready(match notice {
            Notice::Message { bytes, .. } => Some(bytes),
            Notice::Subscribed | Notice::Gap => None,
        })
    });
    messages.for_each_concurrent(AT_ONCE, |bytes| take(&calls, bytes)).await;
}

async fn take(calls: &Calls, bytes: Vec<u8>) {
    let Some(bus) = &calls.0.bus else { return };
    let message = if bytes.len() > MAX_MESSAGE { None } else { serde_json::from_slice(&bytes).ok() };
    match message {
        Some(Message::Question { id, from, tenant, call, ask }) => {
            let told = calls.ask_here(TenantId::new(tenant), call, &ask).await;
            // Whoever asked notices that nobody answers.
            let _ = bus.send(&from, &Message::Answer { id, told }).await;
        }
        Some(Message::Answer { id, told }) => {
            if let Some((_, waiting)) = bus.waiting.remove(&id) {
                let _ = waiting.send(told);
            }
        }
        None => metrics::counter!("trunkline_call_commands_unreadable_total").increment(1),
    }
}
