//! Calls that come from Vonage's simulator and go to it.

use serde_json::{Value, json};
use trunkline_sim::{
    phone::{Callee, PhoneConfig, Step},
    vonage::{CallReport, InboundCall, LegStatus, OngoingCall},
};

use super::MSISDN;
use crate::world::{LIMIT, Scene, World, ms};

/// Who calls, as Vonage writes it.
pub(crate) const CALLER: &str = "14155550100";

impl Scene {
    /// Whom its calls reach at Vonage.
    pub(crate) fn vonage_callee(self, callee: Callee, phone: PhoneConfig) -> Self {
        self.vonage.callees.set_others(callee, phone);
        self
    }
}

impl World {
    /// Somebody calls by way of Vonage.
    pub(crate) fn ring_vonage(&self, steps: impl IntoIterator<Item = Step>) -> OngoingCall {
        let url = format!("{}/webhooks/vonage", self.url);
        let call = InboundCall {
            from: CALLER.into(),
            to: MSISDN.into(),
            answer_url: Some(url.clone()),
            event_url: Some(url),
            phone: PhoneConfig { steps: steps.into_iter().collect(), ..PhoneConfig::default() },
            ..InboundCall::default()
        };
        self.vonage.ring(call).unwrap()
    }

    /// The next call that Vonage places.
    pub(crate) async fn placed_at_vonage(&self) -> OngoingCall {
        tokio::time::timeout(LIMIT, self.vonage.next_placed()).await.expect("a call is placed")
    }

    /// Waits until Vonage rings somebody, by a number without its plus.
    pub(crate) async fn vonage_rings(&self, number: &str) {
        let ringing = async {
            while !self.vonage.legs_to(number).contains(&LegStatus::Ringing) {
                tokio::time::sleep(ms(20)).await;
            }
        };
        tokio::time::timeout(LIMIT, ringing).await.expect("it rings");
    }

    /// How many calls Vonage was asked to place.
    pub(crate) fn creates_at_vonage(&self) -> usize {
        let asked = self.vonage.requests().entries();
        asked.iter().filter(|it| it.method == "POST" && it.path == "/v1/calls").count()
    }
}

/// Somebody to be called from Vonage's number.
pub(crate) fn to(number: &str) -> Value {
    json!({ "phone_number": number, "from_number": format!("+{MSISDN}") })
}

/// All that a call has to tell, once it is over.
pub(crate) async fn report(call: OngoingCall) -> CallReport {
    tokio::time::timeout(ms(120_000), call.report()).await.expect("the call comes to its end").unwrap()
}

/// The conversation's id of a call, which its stream's address tells.
pub(crate) fn id_of(report: &CallReport) -> String {
    report.streams[0].url.rsplit('/').next().unwrap().to_owned()
}
