//! Campaigns through the API, and as those see them who dial.

mod api;
mod calls;
mod contacts;

use axum::{
    body::Body,
    http::{Request, header},
};
use chrono::Utc;
use serde_json::{Map, Value, json};
use trunkline_base::{CallId, E164};
use uuid::Uuid;

use super::claims::{self, Claim, Contact, Running};
use crate::{
    conversations::{
        dials::{self, NewDial},
        journal::{self, Ended},
    },
    db::Tx,
    testing::{Answer, Api, User},
    vendors::Provider,
};

const LONG: std::time::Duration = std::time::Duration::from_secs(60);

/// A tenant with a campaign that calls at any time, as quickly as it can.
struct World {
    api: Api,
    ada: User,
    agent: Uuid,
    campaign: Uuid,
}

impl World {
    async fn new(changes: Value) -> Self {
        let api = Api::new().await;
        let ada = api.owner();
        let agent = api.agent(&ada, &[]).await;
        let mut body = json!({
            "name": "Renewals", "agent_id": agent, "calls_per_second": 100, "concurrency": 2,
            "calling_hours": { "start": "00:00", "end": "00:00" },
        });
        body.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        let made = api.post(&ada, "/v1/campaigns", body).await;
        let campaign = made.data()["id"].as_str().unwrap().parse().unwrap();
        Self { api, ada, agent, campaign }
    }

    fn path(&self, rest: &str) -> String {
        format!("/v1/campaigns/{}{rest}", self.campaign)
    }

    async fn get(&self) -> Value {
        self.api.get(&self.ada, &self.path("")).await.data().clone()
    }

    async fn post(&self, rest: &str) -> Answer {
        self.api.post(&self.ada, &self.path(rest), Value::Null).await
    }

    /// Adds these, and starts.
    async fn started_with(&self, numbers: &[&str]) {
        let contacts: Vec<Value> = numbers.iter().map(|number| json!({ "phone_number": number })).collect();
        self.api.post(&self.ada, &self.path("/contacts"), json!({ "contacts": contacts })).await.data();
        self.post("/start").await.data();
    }

    /// Sends a file.
    async fn upload(&self, file: impl Into<Body>) -> Answer {
        let request = Request::post(self.path("/contacts"))
            .header(header::AUTHORIZATION, format!("Bearer {}", self.ada.token.expose()))
            .header(header::CONTENT_TYPE, "text/csv; charset=utf-8")
            .body(file.into())
            .unwrap();
        self.api.request(request).await
    }

    /// The contact with this number.
    async fn contact(&self, number: &str) -> Value {
        let all = self.api.get(&self.ada, &self.path("/contacts")).await;
        let mut all = all.data()["contacts"].as_array().unwrap().iter();
        all.find(|it| it["phone_number"] == number).unwrap().clone()
    }

    async fn tx(&self) -> Tx {
        self.api.control.db.begin(self.ada.tenant).await.unwrap()
    }

    async fn look(&self) -> Option<Running> {
        let mut tx = self.tx().await;
        let look = claims::look(&mut tx, self.ada.tenant, self.campaign, Utc::now()).await.unwrap();
        tx.commit().await.unwrap();
        look
    }

    /// Claims somebody, as the dialler does; `None`: nobody is to be called.
    async fn claim(&self) -> Option<(Contact, CallId)> {
        let campaign = self.look().await?;
        loop {
            let mut tx = self.tx().await;
            match claims::claim(&mut tx, self.ada.tenant, &campaign).await.unwrap() {
                Claim::Nobody => return None,
                Claim::DoNotCall => tx.commit().await.unwrap(),
                Claim::Contact(contact) => {
                    let id = self.dial(&mut tx, &campaign, &contact).await;
                    tx.commit().await.unwrap();
                    return Some((contact, id));
                }
            }
        }
    }

    async fn dial(&self, tx: &mut Tx, campaign: &Running, contact: &Contact) -> CallId {
        let (id, tenant) = (CallId::generate(), self.ada.tenant);
        let from: E164 = "+15005550006".parse().unwrap();
        let dial = NewDial {
            id,
            agent: self.agent,
            agent_version: 1,
            provider: Provider::Twilio,
            from: &from,
            to: &contact.number,
            context: &Map::new(),
            metadata: &Map::new(),
            node: "a node",
            key: Some(&contact.key()),
            contact: Some(contact.id),
            held_for: LONG,
            rings_for: LONG,
        };
        dials::begin(tx, tenant, &dial, Utc::now()).await.unwrap();
        claims::begin(tx, tenant, campaign, contact, id, LONG).await.unwrap();
        id
    }

    /// The carrier has a call.
    async fn placed(&self, id: CallId) {
        let mut tx = self.tx().await;
        assert!(dials::send(&mut tx, self.ada.tenant, id, LONG).await.unwrap());
        dials::adopt(&mut tx, self.ada.tenant, id, Provider::Twilio, &id.to_string()).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// A call is over, and its carrier says so.
    async fn ends(&self, id: CallId, status: &'static str, reason: &str) {
        self.close(id, status, reason).await;
        self.hangs_up(id).await;
    }

    async fn close(&self, id: CallId, status: &'static str, reason: &str) {
        let mut tx = self.tx().await;
        let ended = Ended { at: Utc::now(), status, reason: reason.to_owned() };
        assert!(journal::close(&mut tx, self.ada.tenant, id, &ended, None).await.unwrap());
        tx.commit().await.unwrap();
    }

    async fn hangs_up(&self, id: CallId) {
        self.run("update call_legs set status_rank = 4 where conversation_id = $1", id.as_uuid()).await;
    }

    async fn run(&self, statement: &'static str, id: Uuid) {
        let owner = self.api.scratch.superuser().await;
        sqlx::query(statement).bind(id).execute(owner.pool()).await.unwrap();
    }

    /// Calls that have one of the campaign's places.
    async fn slots(&self) -> i64 {
        let owner = self.api.scratch.superuser().await;
        let slots = sqlx::query_scalar("select count(*) from slots where kind = 'campaign'");
        slots.fetch_one(owner.pool()).await.unwrap()
    }

    /// Everybody who waits for another attempt is called now.
    async fn time_passes(&self) {
        self.run("update contacts set due_at = due_at - interval '1 day' where campaign_id = $1", self.campaign).await;
    }
}
