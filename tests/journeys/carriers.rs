//! One call, whichever carrier it goes by and whoever calls whom.

use serde_json::{Value, json};
use tokio::task::JoinHandle;
use trunkline_control::vendors::Provider;
use trunkline_sim::{
    phone::{Callee, PhoneConfig, PhoneReport, Step},
    twilio, vonage,
};

use crate::{
    vonage::{MSISDN, line},
    world::{NUMBER, World, report},
};

/// By which carrier a call goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Carrier {
    Twilio,
    Vonage,
}

impl Carrier {
    pub(crate) const BOTH: [Self; 2] = [Self::Twilio, Self::Vonage];

    /// Our number there.
    pub(crate) fn number(self) -> String {
        match self {
            Self::Twilio => NUMBER.to_owned(),
            Self::Vonage => format!("+{MSISDN}"),
        }
    }

    pub(crate) const fn provider(self) -> Provider {
        match self {
            Self::Twilio => Provider::Twilio,
            Self::Vonage => Provider::Vonage,
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Twilio => "twilio",
            Self::Vonage => "vonage",
        }
    }
}

/// A call that is on.
pub(crate) enum Ongoing {
    Twilio(twilio::OngoingCall),
    Vonage(vonage::OngoingCall),
}

/// What its telephone has to tell.
pub(crate) struct Line {
    pub(crate) streams: Vec<PhoneReport>,
    /// What the carrier's log has of it.
    pub(crate) errors: Vec<String>,
}

impl Ongoing {
    /// What the carrier calls it.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Twilio(call) => call.sid(),
            Self::Vonage(call) => call.uuid(),
        }
    }

    /// All that it has to tell, once it is over.
    pub(crate) async fn report(self) -> Line {
        match self {
            Self::Twilio(call) => {
                let report = report(call).await;
                let errors = report.errors.iter().map(|error| format!("{} {}", error.code, error.detail)).collect();
                Line { streams: report.streams, errors }
            }
            Self::Vonage(call) => {
                let report = line::report(call).await;
                Line { streams: report.streams, errors: report.errors }
            }
        }
    }

    /// The same, on a task of its own.
    pub(crate) fn reporting(self) -> JoinHandle<Line> {
        tokio::spawn(self.report())
    }
}

impl World {
    /// Somebody calls by way of a carrier.
    pub(crate) fn ring_at(&self, carrier: Carrier, steps: impl IntoIterator<Item = Step>) -> Ongoing {
        match carrier {
            Carrier::Twilio => Ongoing::Twilio(self.ring(steps)),
            Carrier::Vonage => Ongoing::Vonage(self.ring_vonage(steps)),
        }
    }

    /// Says who has a number, whoever dials it.
    pub(crate) fn has_number(&self, number: &str, callee: &Callee, phone: &PhoneConfig) {
        self.callees.set(number, callee.clone(), phone.clone());
        self.vonage_callees.set(number, callee.clone(), phone.clone());
    }

    /// Has the agent call a number by way of a carrier: whatever that is answered.
    pub(crate) async fn dial_at(&self, carrier: Carrier, number: &str) -> (u16, Value) {
        let body = json!({ "phone_number": number, "from_number": carrier.number(), "ring_timeout_s": 5 });
        let (status, _, body) = self.dial(&body, None).await;
        (status, body)
    }

    /// The next call that a carrier places.
    pub(crate) async fn placed_at(&self, carrier: Carrier) -> Ongoing {
        match carrier {
            Carrier::Twilio => Ongoing::Twilio(self.placed().await),
            Carrier::Vonage => Ongoing::Vonage(self.placed_at_vonage().await),
        }
    }

    /// Has the agent call somebody by way of a carrier: the conversation's id, and the call.
    pub(crate) async fn call_at(&self, carrier: Carrier, number: &str) -> (String, Ongoing) {
        // One after the other: the call that is placed next is this one.
        let _turn = self.dialling.lock().await;
        let (status, body) = self.dial_at(carrier, number).await;
        assert_eq!(status, 202, "{body:#}");
        (body["data"]["conversation_id"].as_str().unwrap().to_owned(), self.placed_at(carrier).await)
    }

    /// Lets the tenant's accounts place as many calls a second as tests want.
    pub(crate) async fn allow_dials(&self) {
        let credentials = self.api.get("/v1/integrations/credentials").await.unwrap();
        for credential in credentials["credentials"].as_array().unwrap() {
            let install = json!({
                "integration_id": credential["integration_id"],
                "credential_id": credential["id"],
                "config": { "calls_per_second": 20 },
            });
            self.api.post("/v1/integrations/install", &install).await.unwrap();
        }
    }

    /// A conversation's timeline, as it is stored: the kinds of its events and what each holds.
    pub(crate) async fn timeline(&self, id: &str) -> Vec<(String, Value)> {
        let mut events = Vec::new();
        for page in 1.. {
            let page = self.api.get(&format!("/v1/conversations/{id}/events?limit=100&page={page}")).await.unwrap();
            let listed = page["events"].as_array().unwrap();
            events
                .extend(listed.iter().map(|event| (event["kind"].as_str().unwrap().to_owned(), event["data"].clone())));
            if listed.len() < 100 {
                break;
            }
        }
        events
    }
}
