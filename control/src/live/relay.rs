//! News between nodes, over one channel of Redis: who, which call, and what kind. What was said in a call stays in the database.
//!
//! What happens while a message is on its way goes into the next one, so that a node sends as many messages as it has round trips to
//! Redis, however many calls it has. A message that cannot be sent is dropped: listeners look by themselves, and more often while a node
//! does not hear its own voice, which it raises every second while somebody listens.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::StreamExt;
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval},
};
use tokio_util::task::AbortOnDropHandle;
use trunkline_base::{CallId, Clock, SystemClock};
use uuid::Uuid;

use super::hub::{Ears, News};
use crate::{
    redis::{Notice, Redis},
    tenant::TenantId,
};

const CHANNEL: &str = "trunkline:live";
/// How often a node speaks to itself while it has listeners.
const VOICE: Duration = Duration::from_secs(1);
/// How long it hears nothing of that before it counts as deaf.
const DEAF: Duration = Duration::from_secs(3);
/// News that wait to be sent. What is more is dropped.
const WAITING: usize = 8 * 1024;
/// News in one message.
const MOST: usize = 1024;
/// Bytes of an id.
const ID: usize = 16;
/// Bytes of a piece of news: tenant, call, kind.
const ONE: usize = 2 * ID + 1;

/// The way to other nodes and from them.
pub(super) struct Relay {
    out: mpsc::Sender<Item>,
    heard: Arc<Heard>,
    _tasks: [AbortOnDropHandle<()>; 2],
}

/// When this node last heard itself.
type Heard = Mutex<Option<Instant>>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Item {
    tenant: TenantId,
    call: CallId,
    news: News,
}

impl Relay {
    pub(super) fn start(ears: Arc<Ears>, redis: Redis) -> Self {
        let node = Uuid::now_v7();
        let (out, waiting) = mpsc::channel(WAITING);
        let heard = Arc::<Heard>::default();
        let tasks = [
            AbortOnDropHandle::new(tokio::spawn(send(node, redis.clone(), waiting, ears.clone()))),
            AbortOnDropHandle::new(tokio::spawn(receive(node, redis, ears, heard.clone()))),
        ];
        Self { out, heard, _tasks: tasks }
    }

    /// Whether what is sent comes back.
    pub(super) fn hears(&self) -> bool {
        let heard = *self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.is_some_and(|at| at.elapsed() < DEAF)
    }

    pub(super) fn tell(&self, tenant: TenantId, calls: &[(CallId, News)]) {
        for &(call, news) in calls {
            if self.out.try_send(Item { tenant, call, news }).is_err() {
                metrics::counter!("trunkline_live_relay_dropped_total").increment(1);
            }
        }
    }
}

async fn send(node: Uuid, redis: Redis, mut waiting: mpsc::Receiver<Item>, ears: Arc<Ears>) {
    let mut items = Vec::new();
    let mut voice = interval(VOICE);
    voice.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            some = waiting.recv_many(&mut items, MOST) => if some == 0 { return },
            _ = voice.tick() => if ears.is_empty() { continue },
        }
        if redis.publish(CHANNEL, &encode(node, &items)).await.is_err() {
            // Redis says itself, and once, that it is gone.
            metrics::counter!("trunkline_live_relay_dropped_total").increment(items.len() as u64);
        }
        items.clear();
    }
}

async fn receive(node: Uuid, redis: Redis, ears: Arc<Ears>, heard: Arc<Heard>) {
    let mut notices = redis.subscribe(vec![CHANNEL.to_owned()]);
    while let Some(notice) = notices.next().await {
        match notice {
            Notice::Subscribed | Notice::Gap => ears.tell_all(),
            Notice::Message { bytes, .. } => match decode(&bytes) {
                Some((from, _)) if from == node => {
                    *heard.lock().unwrap_or_else(PoisonError::into_inner) = Some(SystemClock.now());
                }
                Some((_, items)) => {
                    for Item { tenant, call, news } in items {
                        ears.tell(tenant, &[(call, news)]);
                    }
                }
                None => {
                    metrics::counter!("trunkline_live_relay_unreadable_total").increment(1);
                }
            },
        }
    }
}

/// Who sends, so that nobody hears themselves, and the news.
fn encode(node: Uuid, items: &[Item]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(ID + items.len() * ONE);
    bytes.extend_from_slice(node.as_bytes());
    for item in items {
        bytes.extend_from_slice(item.tenant.as_uuid().as_bytes());
        bytes.extend_from_slice(item.call.as_uuid().as_bytes());
        bytes.push(match item.news {
            News::State => b's',
            News::Timeline => b't',
        });
    }
    bytes
}

fn decode(bytes: &[u8]) -> Option<(Uuid, Vec<Item>)> {
    let (node, rest) = bytes.split_at_checked(ID)?;
    let items = rest.chunks(ONE).map(|one| {
        let (ids, kind) = one.split_at_checked(2 * ID)?;
        let (tenant, call) = ids.split_at(ID);
        let news = match kind {
            b"s" => News::State,
            b"t" => News::Timeline,
            _ => return None,
        };
        let (tenant, call) = (Uuid::from_slice(tenant).ok()?, Uuid::from_slice(call).ok()?);
        Some(Item { tenant: TenantId::new(tenant), call: CallId::from(call), news })
    });
    Some((Uuid::from_slice(node).ok()?, items.collect::<Option<_>>()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_is_read_as_it_was_written_and_nothing_else_is() {
        let item = |news| Item { tenant: TenantId::new(Uuid::now_v7()), call: CallId::generate(), news };
        let (node, items) = (Uuid::now_v7(), vec![item(News::State), item(News::Timeline)]);
        let bytes = encode(node, &items);
        assert_eq!(decode(&bytes), Some((node, items)));
        assert_eq!(decode(&bytes[..ID]), Some((node, Vec::new())));
        for cut in (0..ID).chain(ID + 1..ID + ONE).chain(ID + ONE + 1..bytes.len()) {
            assert_eq!(decode(&bytes[..cut]), None, "{cut}");
        }
        let mut strange = bytes;
        *strange.last_mut().unwrap() = b'x';
        assert_eq!(decode(&strange), None);
    }
}
