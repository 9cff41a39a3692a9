//! A leg to a media socket, from its first event to what comes after it.

use std::{pin::pin, time::Duration};

use tokio::{
    sync::mpsc,
    time::{Instant as Deadline, sleep_until},
};

use super::{Address, End, Next, Runner, hung_up, transfer};
use crate::{
    phone::{self, Opening, PhoneEventKind, Sids, StreamEnd},
    vonage::{
        events::EventQueue,
        legs::{Command, Leg, LegStatus, NewLeg, Party},
        ncco::{Authorization, Connect, SocketEndpoint},
        socket::SocketWire,
        webhook::{Webhook, WebhookKind},
    },
};

impl Runner {
    pub(super) async fn stream(&mut self, connect: &Connect, endpoint: &SocketEndpoint) -> Result<(), Next> {
        let from = connect.from.clone().map_or_else(|| self.plan.leg.to.clone(), Party::Phone);
        let leg = self.join(NewLeg {
            application_id: self.plan.leg.application_id.clone(),
            conversation_uuid: self.plan.leg.conversation_uuid(),
            from,
            to: Party::Socket(endpoint.uri.clone()),
            outbound: true,
            headers: Some(endpoint.headers.clone()),
            request: None,
            region: self.plan.leg.region,
        });
        let address = self.events_of(connect);
        for status in [LegStatus::Started, LegStatus::Ringing] {
            leg.set_status(status);
            self.tell_fields(address.clone(), leg.event(status));
        }

        let config = &self.plan.shared.config;
        let signer = self.plan.signer.as_ref();
        let mut headers = vec![("user-agent", "Vonage/1.0".to_owned())];
        match &endpoint.authorization {
            Some(Authorization::Vonage) => {
                headers.extend(signer.map(|signer| ("authorization", signer.authorization(None, None))));
            }
            Some(Authorization::Custom(value)) => headers.push(("authorization", value.clone())),
            None => {}
        }
        let sids = Sids { account: config.api_key.clone(), call: self.plan.leg.uuid.clone(), stream: leg.uuid.clone() };
        let wire = SocketWire::new(endpoint, &self.plan.leg.from.text(), config.notify_on_clear);
        let mut phone = self.plan.phone.clone();
        let watcher = phone.events.take();
        let (events, mut told) = mpsc::unbounded_channel();
        phone.events = Some(events);

        let mut next = None;
        let report = {
            let (commands, deadline) = (&mut self.commands, self.deadline);
            let limit = Deadline::now() + Duration::from_secs(connect.limit);
            let own = &self.plan.leg;
            let stop = async {
                tokio::select! {
                    (end, then) = ended(commands, own, &leg) => {
                        next = then;
                        end
                    }
                    () = sleep_until(deadline.min(limit)) => StreamEnd::TimeLimit,
                }
            };
            let opening = Opening { sids: &sids, url: &endpoint.uri, headers };
            let running = phone::run(&self.plan.shared.sender.reach, opening, wire, &phone, &mut self.caller, stop);
            let mut running = pin!(running);
            loop {
                tokio::select! {
                    biased;
                    Some(event) = told.recv() => {
                        if matches!(event.kind, PhoneEventKind::Started { .. }) {
                            leg.set_status(LegStatus::Answered);
                            tell(&self.events.queue(), address.as_ref(), &leg, &self.plan.shared.config.events.lose);
                        }
                        watcher.iter().for_each(|watcher| drop(watcher.send(event.clone())));
                    }
                    report = &mut running => break report,
                }
            }
        };
        while let Ok(event) = told.try_recv() {
            watcher.iter().for_each(|watcher| drop(watcher.send(event.clone())));
        }
        let end = report.ended.clone();
        self.report.streams.push(report);
        self.after(connect, &leg, address, end, next).await
    }

    /// What a stream's end leads to.
    async fn after(
        &mut self,
        connect: &Connect,
        leg: &Leg,
        address: Option<Address>,
        end: StreamEnd,
        next: Option<Next>,
    ) -> Result<(), Next> {
        match end {
            StreamEnd::NotOpened { status, detail } => {
                let late = status.is_none() && detail.contains("in time");
                let status = if late { LegStatus::Unanswered } else { LegStatus::Failed };
                leg.set_status(status);
                self.report.errors.push(detail);
                let fields = leg.event(status);
                if !connect.synchronous {
                    self.tell_fields(address, fields);
                    return Ok(());
                }
                self.ask(address, fields).await
            }
            StreamEnd::ClosedByServer { .. } | StreamEnd::Broken(_) | StreamEnd::Refused(_) | StreamEnd::Dropped => {
                if let StreamEnd::Refused(why) = end {
                    self.report.errors.push(why);
                }
                leg.set_status(LegStatus::Completed);
                let answered = self.ask(address.clone(), leg.event_named("disconnected")).await;
                self.tell_fields(address, leg.event(LegStatus::Completed));
                answered
            }
            StreamEnd::HungUp | StreamEnd::GaveUp { .. } => {
                self.complete(leg, address, "user");
                Err(next.unwrap_or(Next::End(End::by("user"))))
            }
            StreamEnd::TimeLimit => {
                self.complete(leg, address, "platform");
                // The leg's own limit ends the leg.
                if Deadline::now() >= self.deadline { Err(Next::End(End::by("platform"))) } else { Ok(()) }
            }
            StreamEnd::Completed | StreamEnd::Redirected => {
                self.complete(leg, address, "platform");
                match next {
                    Some(next) => Err(self.obey(next)),
                    None => Ok(()),
                }
            }
        }
    }

    /// Tells an event whose answer may be a document.
    async fn ask(
        &mut self,
        address: Option<Address>,
        fields: serde_json::Map<String, serde_json::Value>,
    ) -> Result<(), Next> {
        let Some((url, post)) = address else { return Ok(()) };
        let answer = self.events.ask(Webhook::new(WebhookKind::Event, (&url, post), fields)).await;
        self.reply(answer).map_or(Ok(()), Err)
    }

    /// A leg is over.
    pub(super) fn complete(&mut self, leg: &Leg, address: Option<Address>, by: &str) {
        leg.set_status(LegStatus::Completed);
        let mut fields = leg.event(LegStatus::Completed);
        fields.insert("disconnected_by".into(), by.into());
        self.tell_fields(address, fields);
    }
}

fn tell(queue: &EventQueue, address: Option<&Address>, leg: &Leg, lose: &[String]) {
    let Some((url, post)) = address else { return };
    if !lose.iter().any(|lost| lost == LegStatus::Answered.word()) {
        queue.tell(Webhook::new(WebhookKind::Event, (url, *post), leg.event(LegStatus::Answered)));
    }
}

/// Waits for a command that ends a leg's part, and says how the part ends and where it leads: nowhere else, if only it is over.
pub(super) async fn ended(
    commands: &mut mpsc::UnboundedReceiver<Command>,
    own: &Leg,
    joined: &Leg,
) -> (StreamEnd, Option<Next>) {
    loop {
        match commands.recv().await {
            Some(Command::HangUp(uuid)) if uuid == own.uuid => {
                return (StreamEnd::Completed, Some(Next::End(hung_up(own))));
            }
            Some(Command::HangUp(uuid)) if uuid == joined.uuid => return (StreamEnd::Completed, None),
            Some(Command::HangUp(_)) => {}
            Some(Command::CallerHangsUp) => return (StreamEnd::HungUp, Some(Next::End(End::by("user")))),
            Some(Command::Transfer(destination)) => return (StreamEnd::Redirected, Some(transfer(destination))),
            None => std::future::pending().await,
        }
    }
}
