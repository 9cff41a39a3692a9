//! Streams through the router, on calls as calls write them.

mod all_calls;
mod nodes;
mod one_call;
mod readers;
mod tickets;
mod time;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use trunkline_base::{CallId, Personal};
use uuid::Uuid;

use super::{Hub, News};
use crate::{
    Control,
    conversations::{
        calls::{self, NewConversation},
        journal::{self, CallRows, Ended, EventRow, TurnRow},
    },
    db::Tx,
    testing::{Api, Event, User},
    vendors::Provider,
};

const NODE: &str = "this node";

fn start() -> DateTime<Utc> {
    "2026-03-01T10:00:00Z".parse().unwrap()
}

fn after(seconds: i64) -> DateTime<Utc> {
    start() + TimeDelta::seconds(seconds)
}

/// A tenant with an agent, and the calls that it answers.
struct World {
    api: Api,
    user: User,
    agent: Uuid,
}

impl World {
    async fn new() -> Self {
        let api = Api::new().await;
        let user = api.owner();
        let agent = api.agent(&user, &[]).await;
        Self { api, user, agent }
    }

    /// Another tenant on the same database.
    async fn another(&self) -> (User, Uuid) {
        let user = self.api.owner();
        let agent = self.api.agent(&user, &[]).await;
        (user, agent)
    }

    async fn tx(&self) -> Tx {
        self.api.control.db.begin(self.user.tenant).await.unwrap()
    }

    /// A call rings.
    async fn ring(&self) -> CallId {
        let mut tx = self.tx().await;
        let id = ring(&mut tx, &self.user, self.agent).await;
        tx.commit().await.unwrap();
        self.tell(id, News::State);
        id
    }

    fn tell(&self, id: CallId, news: News) {
        self.api.control.live.tell(self.user.tenant, &[(id, news)]);
    }

    /// The journal writes.
    async fn write(&self, id: CallId, rows: CallRows) {
        let news = if rows.answered_at.is_some() || rows.ended.is_some() { News::State } else { News::Timeline };
        self.commit(id, rows).await;
        self.tell(id, news);
    }

    /// The same, and nobody is told.
    async fn commit(&self, id: CallId, rows: CallRows) {
        let mut tx = self.tx().await;
        journal::write(&mut tx, self.user.tenant, NODE, &[(id, rows)], after(9)).await.unwrap();
        tx.commit().await.unwrap();
    }
}

async fn ring(tx: &mut Tx, user: &User, agent: Uuid) -> CallId {
    let id = CallId::generate();
    let call = NewConversation {
        id,
        agent,
        agent_version: 1,
        provider: Provider::Twilio,
        provider_call_id: format!("CA{id}"),
        customer_phone: Personal::new("+14155550100".into()),
        our_number: Personal::new("+15005550006".into()),
        context: [].into(),
        node: NODE.into(),
    };
    calls::create(tx, user.tenant, &call, start()).await.unwrap();
    id
}

fn answered() -> CallRows {
    CallRows { answered_at: Some(after(2)), ..CallRows::default() }
}

fn ended() -> CallRows {
    let ended = Ended { at: after(32), status: "completed", reason: "caller_hangup".into() };
    CallRows { ended: Some(ended), ..CallRows::default() }
}

/// A turn that is over, with the event that tells of it.
fn said(seq: i32, turn: i32, speaker: &'static str, text: &str) -> CallRows {
    let row = TurnRow {
        seq: turn,
        speaker,
        started_ms: turn * 1000,
        ended_ms: turn * 1000 + 900,
        text: text.into(),
        generated_text: None,
        interrupted: false,
        source: "speech".into(),
        latency: None,
    };
    CallRows {
        turns: vec![row],
        events: vec![event(seq, "turn_ended", json!({ "turn": turn }))],
        ..CallRows::default()
    }
}

fn event(seq: i32, kind: &str, data: Value) -> EventRow {
    EventRow { seq, at_ms: seq * 100, kind: kind.into(), data }
}

/// An event's name, and whose call it is.
fn what(event: &Event) -> (&str, &str) {
    (event.name.as_str(), event.data["id"].as_str().unwrap_or_default())
}
