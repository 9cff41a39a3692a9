//! A leg to another telephone, and a conversation of several legs. Nothing is heard of either here: a caller's script goes on in the next
//! media stream.

use std::time::Duration;

use tokio::time::{Instant as Deadline, sleep, sleep_until};

use super::{End, Next, Runner, dial::outcome, interrupted, stream::ended};
use crate::{
    phone::{Answer, StreamEnd},
    vonage::{
        legs::{LegStatus, NewLeg, Party},
        ncco::{Connect, Conversation},
    },
};

impl Runner {
    /// Connects the call to a telephone, until one of both hangs up: the other's patience is how long it talks.
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
        self.while_bridged(&leg, if given_up { ring_limit } else { callee.rings_for }).await?;
        let failure = if given_up { Some(outcome(&Answer::None)) } else { None };
        let failure = failure.or_else(|| (!matches!(callee.answer, Answer::By(_))).then(|| outcome(&callee.answer)));
        if let Some(end) = failure {
            leg.set_status(end.status);
            let mut fields = leg.event(end.status);
            fields.extend(end.detail.map(|detail| ("detail".to_owned(), detail.into())));
            fields.extend(end.sip_code.map(|code| ("sip_code".to_owned(), code.into())));
            if !connect.synchronous {
                self.tell_fields(address, fields);
                return Ok(());
            }
            let Some((url, post)) = address else { return Ok(()) };
            let kind = crate::vonage::webhook::WebhookKind::Event;
            let answer = self.events.ask(crate::vonage::webhook::Webhook::new(kind, (&url, post), fields)).await;
            return self.reply(answer).map_or(Ok(()), Err);
        }
        leg.set_status(LegStatus::Answered);
        self.tell_fields(address.clone(), leg.event(LegStatus::Answered));
        let talked = self.while_bridged(&leg, phone.patience).await;
        let by = if talked == Err(Next::End(End::by("platform"))) { "platform" } else { "user" };
        self.complete(&leg, address, by);
        // The one who was called hung up: what the document says next is done.
        talked
    }

    /// Lets time pass with another leg on the line.
    async fn while_bridged(&mut self, leg: &crate::vonage::legs::Leg, duration: Duration) -> Result<(), Next> {
        let own = self.plan.leg.clone();
        tokio::select! {
            (end, next) = ended(&mut self.commands, &own, leg) => match next {
                Some(next) if end == StreamEnd::Redirected => Err(self.obey(next)),
                Some(next) => Err(next),
                None => Ok(()),
            },
            () = sleep_until(self.deadline) => Err(Next::End(End::by("platform"))),
            () = sleep(duration) => Ok(()),
        }
    }

    /// Takes part in a conversation until it ends, or the leg is taken out of it.
    pub(super) async fn converse(&mut self, conversation: Conversation) -> Result<(), Next> {
        let leg = self.plan.leg.clone();
        self.report.conversations.push(conversation.name.clone());
        let over = self.plan.shared.enter(&leg.application_id, &conversation.name, &leg.uuid);
        let deadline: Deadline = self.deadline;
        let next = tokio::select! {
            next = interrupted(&mut self.commands, &leg) => Some(next),
            () = over.cancelled() => None,
            () = sleep_until(deadline) => Some(Next::End(End::by("platform"))),
        };
        self.plan.shared.leave(&leg.application_id, &conversation.name, &leg.uuid, conversation.end_on_exit);
        match next {
            Some(next) => Err(self.obey(next)),
            None => Ok(()),
        }
    }
}
