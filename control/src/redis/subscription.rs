//! What is sent to channels, across losses of the connection.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{Stream, StreamExt};
use redis::Client;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::{
    CONNECT,
    keeper::{SLOWEST, SOONEST},
    said,
};

/// Messages that wait for a reader. One who is slower than this is told of a gap.
const WAITING: usize = 1024;
/// How often a silent connection is asked whether it is alive.
const PING: Duration = Duration::from_secs(15);
/// How long it may take to answer that.
const PONG: Duration = Duration::from_secs(5);

/// What a subscription says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// From now on nothing is missed. Comes first.
    Subscribed,
    /// Something was sent.
    Message {
        /// Where to.
        channel: String,
        /// What.
        bytes: Vec<u8>,
    },
    /// What was sent in the meantime is missed: the connection was lost and is back, or the reader was too slow.
    Gap,
}

/// A stream of [`Notice`]s that never ends. Dropping it unsubscribes.
#[derive(Debug)]
pub struct Subscription {
    notices: mpsc::Receiver<Notice>,
    _task: AbortOnDropHandle<()>,
}

impl Subscription {
    pub(super) fn start(client: Client, channels: Vec<String>) -> Self {
        let (sender, notices) = mpsc::channel(WAITING);
        let task = tokio::spawn(async move { Reader { client, channels, sender, missed: false }.run().await });
        Self { notices, _task: AbortOnDropHandle::new(task) }
    }
}

impl Stream for Subscription {
    type Item = Notice;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Notice>> {
        self.notices.poll_recv(context)
    }
}

struct Reader {
    client: Client,
    channels: Vec<String>,
    sender: mpsc::Sender<Notice>,
    /// Whether something was dropped that the reader has not been told of.
    missed: bool,
}

impl Reader {
    async fn run(mut self) {
        let mut wait = SOONEST;
        let mut first = true;
        let mut told = false;
        loop {
            match self.subscribe().await {
                Ok(connection) => {
                    (wait, told) = (SOONEST, false);
                    let notice = if std::mem::take(&mut first) { Notice::Subscribed } else { Notice::Gap };
                    self.tell(notice);
                    self.read(connection).await;
                    tracing::warn!("a subscription to Redis is lost: it is made again");
                }
                Err(cause) => {
                    if !std::mem::replace(&mut told, true) {
                        tracing::warn!(cause, "a subscription to Redis cannot be made: trying until it can");
                    }
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(SLOWEST);
                }
            }
        }
    }

    async fn subscribe(&self) -> Result<redis::aio::PubSub, String> {
        let subscribe = async {
            let mut connection = self.client.get_async_pubsub().await?;
            connection.subscribe(&self.channels).await?;
            Ok(connection)
        };
        match tokio::time::timeout(CONNECT, subscribe).await {
            Ok(connection) => connection.map_err(|error: redis::RedisError| said(&error)),
            Err(_) => Err("it did not answer in time".to_owned()),
        }
    }

    /// Until the connection is lost, or does not answer any more.
    async fn read(&mut self, connection: redis::aio::PubSub) {
        let (mut sink, mut messages) = connection.split();
        loop {
            match tokio::time::timeout(PING, messages.next()).await {
                Ok(Some(message)) => {
                    let channel = message.get_channel_name().to_owned();
                    self.tell(Notice::Message { channel, bytes: message.get_payload_bytes().to_vec() });
                }
                Ok(None) => return,
                Err(_) => {
                    // A connection can be dead without anybody saying so.
                    let pong = tokio::time::timeout(PONG, sink.ping::<redis::Value>()).await;
                    if !matches!(pong, Ok(Ok(_))) {
                        return;
                    }
                }
            }
        }
    }

    /// Never waits: what a slow reader has no room for is dropped, and it is told so when it has.
    fn tell(&mut self, notice: Notice) {
        if self.missed && self.sender.try_send(Notice::Gap).is_ok() {
            self.missed = false;
        }
        if self.missed || self.sender.try_send(notice).is_err() {
            self.missed = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_reader_misses_messages_and_is_told_so() {
        let client = Client::open("redis://127.0.0.1:1").unwrap();
        let (sender, mut notices) = mpsc::channel(2);
        let mut reader = Reader { client, channels: Vec::new(), sender, missed: false };
        let message = |n: u8| Notice::Message { channel: "a".into(), bytes: vec![n] };
        let mut heard = Vec::new();
        for n in 0..4 {
            reader.tell(message(n));
        }
        heard.extend([notices.try_recv().unwrap(), notices.try_recv().unwrap()]);
        reader.tell(message(4));
        heard.extend([notices.try_recv().unwrap(), notices.try_recv().unwrap()]);
        reader.tell(message(5));
        heard.push(notices.try_recv().unwrap());
        assert_eq!(heard, [message(0), message(1), Notice::Gap, message(4), message(5)]);
        assert!(notices.try_recv().is_err());
    }
}
