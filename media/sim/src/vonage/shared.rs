//! What the REST APIs and the calls share: the legs, the conversations, and where it all listens.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use serde_json::Value;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    VonageConfig,
    call::OngoingCall,
    calls::Recent,
    legs::{Command, Leg, NewLeg, Party, conversation_uuid},
    runner::{Address, Placed, Plan, Runner, Source},
    signature::Signer,
    webhook::Sender,
};
use crate::{phone::PhoneConfig, twilio::call::Recordings};

/// What the REST APIs and the calls share.
pub(super) struct Shared {
    pub(super) config: VonageConfig,
    pub(super) sender: Sender,
    pub(super) legs: Mutex<Vec<Arc<Leg>>>,
    pub(super) recent: Mutex<Recent>,
    /// Conversations by application and name.
    pub(super) rooms: Mutex<HashMap<(String, String), Room>>,
    /// Bases of the REST APIs, by region, once they listen.
    pub(super) urls: OnceLock<Vec<String>>,
    pub(super) recordings: Recordings,
    pub(super) placed: mpsc::UnboundedSender<OngoingCall>,
    pub(super) ended: CancellationToken,
}

#[derive(Default)]
pub(super) struct Room {
    members: Vec<String>,
    /// More than one is in it.
    met: CancellationToken,
    over: CancellationToken,
}

/// A call to be placed.
pub(super) struct Order {
    pub(super) application_id: String,
    pub(super) from: Party,
    pub(super) to: Party,
    pub(super) source: Source,
    pub(super) events: Option<Address>,
    pub(super) phone: PhoneConfig,
    pub(super) placed: Placed,
    pub(super) time_limit: Duration,
    pub(super) region: usize,
    pub(super) request: Value,
}

impl Shared {
    /// All legs, oldest first.
    pub(super) fn legs(&self) -> Vec<Arc<Leg>> {
        lock(&self.legs).clone()
    }

    pub(super) fn register(&self, leg: Leg) -> Arc<Leg> {
        let leg = Arc::new(leg);
        lock(&self.legs).push(leg.clone());
        leg
    }

    pub(super) fn admit<T>(&self, admit: impl FnOnce(&mut Recent) -> T) -> T {
        admit(&mut lock(&self.recent))
    }

    pub(super) fn region_url(&self, region: usize) -> String {
        self.urls.get().and_then(|urls| urls.get(region)).cloned().unwrap_or_default()
    }

    /// Who signs for an application, if its webhooks are signed.
    pub(super) fn signer(&self, application_id: &str) -> Option<Signer> {
        let application = self.config.applications.iter().find(|application| application.id == application_id)?;
        (application.signed_callbacks && !self.config.events.unsigned).then(|| Signer {
            api_key: self.config.api_key.clone(),
            secret: self.config.signature_secret.clone(),
            application_id: application_id.to_owned(),
        })
    }

    /// Places a call, which has begun when this returns.
    pub(super) fn place(self: &Arc<Self>, order: Order) -> Arc<Leg> {
        let (commander, commands) = mpsc::unbounded_channel();
        let leg = NewLeg {
            application_id: order.application_id.clone(),
            conversation_uuid: conversation_uuid(),
            from: order.from,
            to: order.to,
            outbound: true,
            headers: None,
            request: Some(order.request),
            region: order.region,
        };
        let leg = self.register(Leg::new(leg, commander.clone()));
        let call = self.run(
            Plan {
                shared: self.clone(),
                leg: leg.clone(),
                signer: self.signer(&order.application_id),
                source: order.source,
                fallback: None,
                events: order.events,
                fields: serde_json::Map::new(),
                phone: order.phone,
                time_limit: order.time_limit,
                placed: Some(order.placed),
            },
            commander,
            commands,
        );
        let _ = self.placed.send(call);
        leg
    }

    pub(super) fn run(
        &self,
        plan: Plan,
        commander: mpsc::UnboundedSender<Command>,
        commands: mpsc::UnboundedReceiver<Command>,
    ) -> OngoingCall {
        let (leg, ended) = (plan.leg.clone(), self.ended.clone());
        let runner = Runner::new(plan, commander, commands);
        let task = tokio::spawn(async move { ended.run_until_cancelled_owned(Box::pin(runner.run())).await });
        OngoingCall { leg, task }
    }

    /// A leg enters a conversation; the tokens say when it has met somebody in it, and when that is over.
    pub(super) fn enter(&self, application_id: &str, name: &str, uuid: &str) -> (CancellationToken, CancellationToken) {
        let mut rooms = lock(&self.rooms);
        let room = rooms.entry((application_id.to_owned(), name.to_owned())).or_default();
        room.members.push(uuid.to_owned());
        if room.members.len() > 1 {
            room.met.cancel();
        }
        (room.met.clone(), room.over.clone())
    }

    /// A leg leaves a conversation, and may end it for the others.
    pub(super) fn leave(&self, application_id: &str, name: &str, uuid: &str, end: bool) {
        let mut rooms = lock(&self.rooms);
        let key = (application_id.to_owned(), name.to_owned());
        let Some(room) = rooms.get_mut(&key) else { return };
        room.members.retain(|member| member != uuid);
        if end {
            room.over.cancel();
        }
        if end || room.members.is_empty() {
            rooms.remove(&key);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
