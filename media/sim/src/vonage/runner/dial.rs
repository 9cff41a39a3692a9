//! A call that was placed by REST until it is answered: its ringing, who picks up, and what detection makes of them.

use std::time::{Duration, SystemTime};

use serde_json::{Map, Value};
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;

use super::{End, Next, Runner};
use crate::{
    dates::iso8601,
    phone::{Answer, Answerer, Callee, Caller, Step, Verdict, caller::Speech},
    vonage::{
        legs::{Command, Leg, LegStatus},
        webhook::{Webhook, WebhookKind},
    },
};

/// How long detection tries to find out who answers.
const PATIENCE: Duration = Duration::from_secs(30);

/// Whom a call that is placed reaches, and what is asked of it.
#[derive(Debug, Clone)]
pub(in crate::vonage) struct Placed {
    /// Who has the number.
    pub(in crate::vonage) callee: Callee,
    pub(in crate::vonage) ring_limit: Duration,
    pub(in crate::vonage) detection: Option<Detection>,
}

/// How it is found out who answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::vonage) struct Detection {
    /// A machine ends the call.
    pub(in crate::vonage) hang_up: bool,
    /// The beep is waited for, for so long.
    pub(in crate::vonage) beep: Option<Duration>,
}

impl Runner {
    /// Until the call is answered.
    pub(super) async fn dial(&mut self, placed: Placed) -> Result<(), Next> {
        let Callee { rings_for, answer } = placed.callee;
        let rings = matches!(answer, Answer::By(_) | Answer::None | Answer::Rejects) || !rings_for.is_zero();
        if rings {
            self.plan.leg.set_status(LegStatus::Ringing);
            self.tell(LegStatus::Ringing);
        }
        if answer == Answer::None || rings_for >= placed.ring_limit {
            self.pass(placed.ring_limit).await?;
            return Err(Next::End(outcome(&Answer::None)));
        }
        self.pass(rings_for).await?;
        let Answer::By(answerer) = answer else { return Err(Next::End(outcome(&answer))) };
        // What a machine says, it says before anything that its telephone is told to do.
        let sound = answerer.sound();
        let phone = &self.plan.phone;
        let sound = (!sound.0.is_empty()).then(|| Step::Say(Speech::new(&sound.0)));
        self.caller = Caller::new(sound.into_iter().chain(phone.steps.iter().cloned()), phone.patience);
        self.answer();
        if let (Some(detection), Some(address)) = (placed.detection, self.plan.events.clone()) {
            let (leg, queue) = (self.plan.leg.clone(), self.events.queue());
            let detecting = async move {
                let mut passed = Duration::ZERO;
                for (after, word, sub_state) in findings(&answerer, detection) {
                    sleep(after.saturating_sub(passed)).await;
                    passed = after;
                    let fields = event(&leg, word, sub_state);
                    queue.tell(Webhook::new(WebhookKind::Event, (&address.0, address.1), fields));
                    if detection.hang_up && word == "machine" {
                        let _ = leg.command(Command::HangUp(leg.uuid.clone()));
                    }
                }
            };
            self.detecting = Some(AbortOnDropHandle::new(tokio::spawn(detecting)));
        }
        Ok(())
    }
}

/// How a call ends that is not answered.
pub(super) fn outcome(answer: &Answer) -> End {
    let (status, detail, sip_code) = match answer {
        Answer::Busy => (LegStatus::Busy, None, 486),
        Answer::Rejects => (LegStatus::Rejected, Some("declined"), 603),
        Answer::Unreachable | Answer::Invalid => (LegStatus::Rejected, Some("invalid_number"), 404),
        Answer::Fails => (LegStatus::Failed, Some("cannot_route"), 503),
        Answer::None | Answer::By(_) => (LegStatus::Timeout, None, 487),
    };
    End { status, by: "platform", detail, sip_code: Some(sip_code) }
}

/// What is found out, and when, from the answer on. The vendor has two words: a fax is a machine, and a telephone that asks who calls is
/// taken for a person. Of whom nothing is found out, nothing is said.
fn findings(answerer: &Answerer, detection: Detection) -> Vec<(Duration, &'static str, Option<&'static str>)> {
    let (first, after) = answerer.first_verdict(PATIENCE);
    let mut found = match first {
        Verdict::Human | Verdict::Screening => vec![(after, "human", None)],
        Verdict::MachineStarts | Verdict::MachineEnds { .. } | Verdict::Fax => vec![(after, "machine", None)],
        Verdict::Unknown => Vec::new(),
    };
    if let (Some(beep), [(_, "machine", _)], false) = (detection.beep, found.as_slice(), detection.hang_up) {
        found.push(match answerer.last_verdict(PATIENCE) {
            (Verdict::MachineEnds { beep: true }, after) if after <= beep => (after, "machine", Some("beep_start")),
            _ => (beep, "machine", Some("beep_timeout")),
        });
    }
    found
}

fn event(leg: &Leg, word: &str, sub_state: Option<&str>) -> Map<String, Value> {
    let mut fields = Map::from_iter([
        ("call_uuid".to_owned(), leg.uuid.as_str().into()),
        ("conversation_uuid".to_owned(), leg.conversation_uuid().into()),
        ("from".to_owned(), leg.from.text().into()),
        ("to".to_owned(), leg.to.text().into()),
        ("status".to_owned(), word.into()),
        ("timestamp".to_owned(), iso8601(SystemTime::now()).into()),
    ]);
    if let Some(sub_state) = sub_state {
        fields.insert("sub_state".to_owned(), sub_state.into());
    }
    fields
}
