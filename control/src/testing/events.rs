//! Server-sent events, as a client reads them.

use std::{fmt, pin::Pin, time::Duration};

use futures_util::{Stream, StreamExt};
use serde_json::Value;

/// How long an event is waited for: far longer than it takes.
const LIMIT: Duration = Duration::from_secs(60);

/// A stream of events.
pub struct Events {
    bytes: Pin<Box<dyn Stream<Item = Option<Vec<u8>>> + Send>>,
    unread: Vec<u8>,
}

/// One event.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Its name.
    pub name: String,
    /// Where to go on from.
    pub id: Option<String>,
    /// Its data; null if there are none, or they are no JSON.
    pub data: Value,
}

impl Events {
    /// Of a body's pieces.
    pub fn of<B: AsRef<[u8]>, E>(bytes: impl Stream<Item = Result<B, E>> + Send + 'static) -> Self {
        let bytes = bytes.map(|piece| piece.ok().map(|piece| piece.as_ref().to_vec()));
        Self { bytes: Box::pin(bytes), unread: Vec::new() }
    }

    /// The next block of lines, without its end; `None` behind the last one. A body that breaks off has no last one, which fails the
    /// test.
    pub async fn block(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.unread.windows(2).position(|bytes| bytes == b"\n\n") {
                let block: Vec<u8> = self.unread.drain(..end + 2).take(end).collect();
                return Some(String::from_utf8(block).expect("events are text"));
            }
            match self.bytes.next().await {
                Some(Some(piece)) => self.unread.extend(piece),
                Some(None) => panic!("the stream broke off"),
                None => {
                    assert!(self.unread.is_empty(), "the stream ends behind a whole event");
                    return None;
                }
            }
        }
    }

    /// The next event, comments left out; `None` behind the last one. Fails the test if none comes for long.
    pub async fn next(&mut self) -> Option<Event> {
        let next = async {
            loop {
                let event = Event::parse(&self.block().await?);
                if !event.data.is_null() {
                    return Some(event);
                }
            }
        };
        tokio::time::timeout(LIMIT, next).await.expect("an event comes in time")
    }

    /// Passes events over, up to the one with this name.
    pub async fn until(&mut self, name: &str) -> Event {
        loop {
            let event = self.next().await.unwrap_or_else(|| panic!("the stream ends, and there was no {name}"));
            if event.name == name {
                return event;
            }
        }
    }

    /// All events to the last one.
    pub async fn rest(mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
        }
        events
    }
}

impl Event {
    fn parse(block: &str) -> Self {
        let mut event = Self { name: "message".into(), id: None, data: Value::Null };
        for line in block.lines() {
            match line.split_once(": ").unwrap_or((line, "")) {
                ("event", name) => event.name = name.to_owned(),
                ("id", id) => event.id = Some(id.to_owned()),
                ("data", data) => event.data = serde_json::from_str(data).unwrap_or_default(),
                _ => {}
            }
        }
        event
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Events")
    }
}
