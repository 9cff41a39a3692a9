//! What joins a call with others: `<Dial>` of a number or a room (`<Conference>`), and `<Gather>`, by which somebody says that they want
//! to be. Nothing is heard from side to side; the people at the telephones do what their scripts say, and hang up.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    callbacks::Callbacks,
    fields::{call_fields, join},
    runner::{Next, Runner, SAY_CHARACTER, interrupted},
    state::{CallState, Direction},
    status::{CallStatus, StatusEvent},
};
use crate::{
    phone::{
        Act, Answer, Callee, Caller,
        playback::{TICK, TICK_BYTES},
    },
    twilio::{
        twiml::{DialNoun, DialTo, GatherNoun, NumberNoun},
        webhook::WebhookKind,
    },
};

/// A `<Dial>` that a call ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DialRecord {
    /// The number or the room's name.
    pub to: String,
    /// When it began.
    pub at: Instant,
    /// How it ended, as the action is told; `None`: the call ended, or was given another document.
    pub status: Option<CallStatus>,
    /// When somebody answered, or somebody else was in the room.
    pub joined: Option<Instant>,
}

/// The rooms, by name. A room is gone with the first who leaves.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rooms(Arc<Mutex<HashMap<String, Room>>>);

#[derive(Debug, Default)]
struct Room {
    people: usize,
    /// More than one is in it.
    met: CancellationToken,
    over: CancellationToken,
}

struct Guest<'a> {
    rooms: &'a Rooms,
    name: &'a str,
    met: CancellationToken,
    over: CancellationToken,
}

impl Rooms {
    fn enter<'a>(&'a self, name: &'a str) -> Guest<'a> {
        let mut rooms = self.lock();
        let room = rooms.entry(name.to_owned()).or_default();
        room.people += 1;
        if room.people > 1 {
            room.met.cancel();
        }
        Guest { rooms: self, name, met: room.met.clone(), over: room.over.clone() }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Room>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Guest<'_> {
    fn drop(&mut self) {
        self.over.cancel();
        let mut rooms = self.rooms.lock();
        // One of the same name may have been opened since.
        if rooms.get(self.name).is_some_and(|room| room.over.is_cancelled()) {
            rooms.remove(self.name);
        }
    }
}

/// What ends a wait.
enum Waited<T> {
    Over(T),
    /// The other side hangs up.
    Left,
    /// The person at the telephone presses a key.
    Pressed(char),
}

impl Runner {
    /// Joins the call with others until that is over; then the action's document is run, if there is one.
    pub(super) async fn dial_verb(&mut self, noun: DialNoun, base: &str) -> Result<(), Next> {
        let to = match &noun.to {
            DialTo::Number(number) => number.number.clone(),
            DialTo::Room(name) => name.clone(),
        };
        let record = self.report.dials.len();
        self.report.dials.push(DialRecord { to, at: Instant::now(), status: None, joined: None });
        let (sid, status) = match &noun.to {
            DialTo::Number(number) => {
                self.ring_number(number, Duration::from_secs(noun.timeout.into()), record).await?
            }
            DialTo::Room(name) => (None, self.sit_in(name, record).await?),
        };
        let DialRecord { joined, .. } = self.report.dials[record];
        self.report.dials[record].status = Some(status);
        let Some((url, method)) = noun.action else { return Ok(()) };
        self.further = vec![("DialCallStatus".to_owned(), status.as_str().to_owned())];
        self.further.extend(sid.map(|sid| ("DialCallSid".to_owned(), sid)));
        if let Some(joined) = joined {
            let seconds = joined.elapsed().as_secs().to_string();
            self.further.push(("DialCallDuration".to_owned(), seconds));
        }
        Err(Next::Fetch(WebhookKind::Action, method, join(base, &url)))
    }

    /// Rings somebody, and leaves the two to each other.
    async fn ring_number(
        &mut self,
        noun: &NumberNoun,
        limit: Duration,
        record: usize,
    ) -> Result<(Option<String>, CallStatus), Next> {
        let (Callee { rings_for, answer }, phone) = self.plan.callees.of(&noun.number);
        let parent = self.plan.state.clone();
        let numbers = (parent.from.clone(), noun.number.clone());
        let sid = format!("CA{}", Uuid::new_v4().simple());
        let (child, _commands) = CallState::new(sid, parent.account_sid.clone(), numbers, Direction::OutboundDial);
        let mut callbacks = Callbacks::new(
            noun.callback.clone(),
            self.plan.delivery,
            self.plan.sender.clone(),
            self.plan.auth_token.clone(),
            self.plan.webhook_limit,
            self.sent.clone(),
        );
        let further = vec![("ParentCallSid".to_owned(), parent.sid.clone())];
        let mut tell = |event, status, duration| {
            child.set_status(status);
            callbacks.tell(event, call_fields(&child, &further), duration);
        };
        tell(StatusEvent::Initiated, CallStatus::Queued, None);
        tell(StatusEvent::Ringing, CallStatus::Ringing, None);
        let is_patient = answer != Answer::None && rings_for < limit;
        let rung = self.tick(None, sleep(if is_patient { rings_for } else { limit })).await;
        let outcome = match (rung, &answer) {
            (Err(next), _) => Err(next),
            (Ok(_), _) if !is_patient => Ok(CallStatus::NoAnswer),
            (Ok(_), Answer::By(answerer)) => {
                tell(StatusEvent::Answered, CallStatus::InProgress, None);
                self.report.dials[record].joined = Some(Instant::now());
                let sound = answerer.sound().duration();
                let mut target = Caller::new(phone.steps.iter().cloned(), phone.patience + sound);
                // Until either hangs up.
                match self.tick(Some(&mut target), std::future::pending::<()>()).await {
                    Err(next) => Err(next),
                    Ok(_) => Ok(CallStatus::Completed),
                }
            }
            (Ok(_), Answer::Busy | Answer::Rejects) => Ok(CallStatus::Busy),
            (Ok(_), Answer::None) => Ok(CallStatus::NoAnswer),
            (Ok(_), Answer::Unreachable | Answer::Invalid | Answer::Fails) => Ok(CallStatus::Failed),
        };
        let joined = self.report.dials[record].joined;
        let last = match &outcome {
            Ok(status) => *status,
            Err(_) if joined.is_some() => CallStatus::Completed,
            Err(_) => CallStatus::Canceled,
        };
        tell(StatusEvent::Completed, last, Some(joined.map_or(Duration::ZERO, |joined| joined.elapsed())));
        // It is told in its own time, whatever becomes of the call.
        tokio::spawn(callbacks.finish());
        outcome.map(|status| (Some(child.sid.clone()), status))
    }

    /// Is in a room until somebody leaves it.
    async fn sit_in(&mut self, name: &str, record: usize) -> Result<CallStatus, Next> {
        let rooms = self.plan.rooms.clone();
        let guest = rooms.enter(name);
        let (met, over) = (guest.met.clone(), guest.over.clone());
        let met = async move {
            tokio::select! {
                () = met.cancelled() => true,
                () = over.cancelled() => false,
            }
        };
        if matches!(self.tick(None, met).await?, Waited::Over(true)) {
            self.report.dials[record].joined = Some(Instant::now());
            let over = guest.over.clone();
            self.tick(None, async move { over.cancelled().await }).await?;
        }
        Ok(CallStatus::Completed)
    }

    /// Says something, and waits for keys.
    pub(super) async fn gather(&mut self, noun: GatherNoun, base: &str) -> Result<(), Next> {
        let characters = noun.text.chars().count() as u32;
        if !noun.text.is_empty() {
            self.report.said.push(noun.text);
        }
        let patience = SAY_CHARACTER * characters + Duration::from_secs(noun.timeout.into());
        let wait = sleep(patience);
        tokio::pin!(wait);
        let mut keys = String::new();
        while keys.len() < noun.keys as usize {
            match self.tick_for_keys(wait.as_mut()).await? {
                Waited::Pressed(key) => keys.push(key),
                Waited::Over(()) | Waited::Left => break,
            }
        }
        if keys.is_empty() {
            return Ok(());
        }
        self.further = vec![("Digits".to_owned(), keys)];
        let url = noun.action.map_or_else(|| base.to_owned(), |url| join(base, &url));
        Err(Next::Fetch(WebhookKind::Action, noun.method, url))
    }

    /// Lets time pass until something is over, with the people at the telephones doing what their scripts say.
    async fn tick<T>(&mut self, other: Option<&mut Caller>, until: impl Future<Output = T>) -> Result<Waited<T>, Next> {
        self.wait(other, until, false).await
    }

    /// The same until a key is pressed.
    async fn tick_for_keys(&mut self, until: impl Future<Output = ()>) -> Result<Waited<()>, Next> {
        self.wait(None, until, true).await
    }

    async fn wait<T>(
        &mut self,
        mut other: Option<&mut Caller>,
        until: impl Future<Output = T>,
        keys: bool,
    ) -> Result<Waited<T>, Next> {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tokio::pin!(until);
        let mut frame = [0; TICK_BYTES];
        loop {
            tokio::select! {
                biased;
                next = interrupted(&mut self.commands, &self.plan.state) => return Err(next),
                () = tokio::time::sleep_until(self.deadline) => return Err(Next::End(CallStatus::Completed)),
                over = &mut until => return Ok(Waited::Over(over)),
                _ = ticks.tick() => {
                    match self.caller.poll_frame(&mut frame) {
                        Some(Act::HangUp | Act::GiveUp) => return Err(Next::End(CallStatus::Completed)),
                        Some(Act::Press(key)) if keys => return Ok(Waited::Pressed(key)),
                        Some(Act::Press(_) | Act::Drop) | None => {}
                    }
                    let left = other.as_mut().and_then(|other| other.poll_frame(&mut frame));
                    if matches!(left, Some(Act::HangUp | Act::GiveUp)) {
                        return Ok(Waited::Left);
                    }
                }
            }
        }
    }
}
