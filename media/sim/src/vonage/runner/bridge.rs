//! A leg to another telephone, and a conversation of several legs. Nothing is heard of either here: the people at the telephones do what
//! their scripts say, and hang up.

use std::time::Duration;

use serde_json::{Map, Value};
use tokio::time::sleep;

use super::{
    Address, End, Next, Runner,
    dial::outcome,
    people::{Company, Waited},
};
use crate::{
    phone::{Answer, Caller, Step, caller::Speech},
    vonage::{
        call::ConversationRecord,
        legs::{Leg, LegStatus, NewLeg, Party},
        ncco::{Connect, Conversation},
        webhook::{Webhook, WebhookKind},
    },
};

impl Runner {
    /// Connects the call to a telephone, until one of both hangs up.
    pub(super) async fn bridge(&mut self, connect: &Connect, number: &str) -> Result<(), Next> {
        let from = connect.from.clone().map_or_else(|| self.plan.leg.to.clone(), Party::Phone);
        let leg = self.join(NewLeg {
            application_id: self.plan.leg.application_id.clone(),
            conversation_uuid: self.plan.leg.conversation_uuid(),
            from,
            to: Party::Phone(number.to_owned()),
            outbound: true,
            headers: None,
            request: None,
            region: self.plan.leg.region,
        });
        let address = self.events_of(connect);
        self.tell_fields(address.clone(), leg.event(LegStatus::Started));
        let (callee, phone) = self.plan.shared.config.callees.of(&format!("+{number}"));
        let ring_limit = Duration::from_secs(connect.timeout);
        let rings =
            matches!(callee.answer, Answer::By(_) | Answer::None | Answer::Rejects) || !callee.rings_for.is_zero();
        if rings {
            leg.set_status(LegStatus::Ringing);
            self.tell_fields(address.clone(), leg.event(LegStatus::Ringing));
        }
        let given_up = callee.answer == Answer::None || callee.rings_for >= ring_limit;
        let rung = sleep(if given_up { ring_limit } else { callee.rings_for });
        let rung = self.wait(Company::leg(&leg, None), rung).await;
        if !matches!(rung, Ok(Waited::Over(()))) {
            // Whoever called is gone, or was taken elsewhere, or REST has ended the leg.
            leg.set_status(LegStatus::Cancelled);
            self.tell_fields(address, leg.event(LegStatus::Cancelled));
            return rung.map(drop);
        }
        let answerer = match callee.answer {
            Answer::By(answerer) if !given_up => answerer,
            answer => {
                let end = outcome(if given_up { &Answer::None } else { &answer });
                return self.not_reached(connect, &leg, address, end).await;
            }
        };
        leg.set_status(LegStatus::Answered);
        self.tell_fields(address.clone(), leg.event(LegStatus::Answered));
        let sound = Step::Say(Speech::new(&answerer.sound().0));
        let mut other = Caller::new([sound].into_iter().chain(phone.steps), phone.patience);
        let talked = self.wait(Company::leg(&leg, Some(&mut other)), std::future::pending::<()>()).await;
        let by = if matches!(talked, Ok(Waited::Left)) { "user" } else { "platform" };
        self.complete(&leg, address, by);
        // The one who was called hung up: what the document says next is done.
        talked.map(drop)
    }

    /// Tells how a leg has failed; a document in the reply is what comes next, if one is wanted.
    async fn not_reached(
        &mut self,
        connect: &Connect,
        leg: &Leg,
        address: Option<Address>,
        end: End,
    ) -> Result<(), Next> {
        leg.set_status(end.status);
        let mut fields: Map<String, Value> = leg.event(end.status);
        fields.extend(end.detail.map(|detail| ("detail".to_owned(), detail.into())));
        fields.extend(end.sip_code.map(|code| ("sip_code".to_owned(), code.into())));
        if !connect.synchronous {
            self.tell_fields(address, fields);
            return Ok(());
        }
        let Some((url, post)) = address else { return Ok(()) };
        let answer = self.events.ask(Webhook::new(WebhookKind::Event, (&url, post), fields)).await;
        self.reply(answer).map_or(Ok(()), Err)
    }

    /// Takes part in a conversation until it ends, or the leg is taken out of it.
    pub(super) async fn converse(&mut self, conversation: Conversation) -> Result<(), Next> {
        let (shared, leg) = (self.plan.shared.clone(), self.plan.leg.clone());
        let Conversation { name, end_on_exit, .. } = conversation;
        let (met, over) = shared.enter(&leg.application_id, &name, &leg.uuid);
        let waited = self.wait(Company::none(), over.cancelled()).await;
        shared.leave(&leg.application_id, &name, &leg.uuid, end_on_exit);
        self.report.conversations.push(ConversationRecord { name, met: met.is_cancelled() });
        waited.map(drop)
    }
}
