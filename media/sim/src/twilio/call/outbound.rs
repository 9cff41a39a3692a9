//! A call that was placed by REST until it is answered: its turn to be dialled, its ringing, who picks up, and what detection makes of
//! them.

use std::time::Duration;

use tokio::time::{Instant as Deadline, sleep};
use tokio_util::task::AbortOnDropHandle;

use super::{
    fields::detection_fields,
    runner::{Next, Runner},
    status::{CallStatus, StatusEvent},
};
use crate::{
    phone::{Answer, Answerer, Callee, Verdict},
    twilio::{
        phone::{Caller, Speech, Step},
        twiml::Method,
        webhook::{Webhook, WebhookKind},
    },
};

/// What is asked of a call that is placed, and whom it reaches.
#[derive(Debug, Clone)]
pub(crate) struct Outbound {
    /// When it is its turn: until then it is queued.
    pub(crate) turn: Deadline,
    /// Who has the number.
    pub(crate) callee: Callee,
    /// How long it may ring.
    pub(crate) ring_limit: Duration,
    /// Whether it is found out who, or what, answers.
    pub(crate) detection: Option<Detection>,
}

/// How it is found out who answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Detection {
    /// `DetectMessageEnd`: told when a machine's greeting is over. Else as soon as it is known.
    pub(crate) waits_for_end: bool,
    /// `AsyncAmd`: the call goes on meanwhile.
    pub(crate) background: bool,
    /// Where it is told, in the background.
    pub(crate) callback: Option<String>,
    /// How long it may take.
    pub(crate) patience: Duration,
}

impl Runner {
    /// Until the call is answered, and its first document is to be asked for.
    pub(super) async fn dial(&mut self, outbound: Outbound) -> Result<(), Next> {
        self.pass(outbound.turn.saturating_duration_since(Deadline::now())).await?;
        self.tell(StatusEvent::Initiated);
        let Callee { rings_for, answer } = outbound.callee;
        let rings = matches!(answer, Answer::By(_) | Answer::None | Answer::Rejects) || !rings_for.is_zero();
        if rings {
            self.become_status(CallStatus::Ringing, StatusEvent::Ringing);
        }
        if answer == Answer::None || rings_for >= outbound.ring_limit {
            self.pass(outbound.ring_limit).await?;
            return Err(self.unanswered(CallStatus::NoAnswer, 487));
        }
        self.pass(rings_for).await?;
        match answer {
            Answer::By(answerer) => {
                self.pick_up(&answerer);
                match outbound.detection {
                    Some(detection) => self.detect(&answerer, detection).await,
                    None => Ok(()),
                }
            }
            Answer::Busy => Err(self.unanswered(CallStatus::Busy, 486)),
            Answer::Rejects => Err(self.unanswered(CallStatus::Busy, 603)),
            Answer::Unreachable | Answer::Invalid => Err(self.unanswered(CallStatus::Failed, 404)),
            Answer::Fails | Answer::None => Err(self.unanswered(CallStatus::Failed, 503)),
        }
    }

    fn unanswered(&mut self, status: CallStatus, sip_response: u16) -> Next {
        self.sip_response = Some(sip_response);
        Next::End(status)
    }

    /// What a machine says, it says before anything that its telephone is told to do.
    fn pick_up(&mut self, answerer: &Answerer) {
        let sound = answerer.sound();
        let phone = &self.plan.phone;
        let sound = (!sound.0.is_empty()).then(|| Step::Say(Speech::new(&sound.0)));
        self.caller = Caller::new(sound.into_iter().chain(phone.steps.iter().cloned()), phone.patience);
        self.answer();
    }

    async fn detect(&mut self, answerer: &Answerer, detection: Detection) -> Result<(), Next> {
        let Detection { waits_for_end, background, callback, patience } = detection;
        let (verdict, after) =
            if waits_for_end { answerer.last_verdict(patience) } else { answerer.first_verdict(patience) };
        let (word, after) = if after > patience { ("unknown", patience) } else { (word(verdict), after) };
        if !background {
            self.pass(after).await?;
            self.plan.state.set_answered_by(word);
            self.plan.fields.extend(detection_fields(word, after));
            return Ok(());
        }
        let Some(url) = callback else {
            self.error(21262, "AsyncAmd without AsyncAmdStatusCallback".into());
            return Ok(());
        };
        let (state, queue) = (self.plan.state.clone(), self.callbacks.queue());
        let detecting = async move {
            sleep(after).await;
            state.set_answered_by(word);
            let mut fields =
                vec![("AccountSid".to_owned(), state.account_sid.clone()), ("CallSid".to_owned(), state.sid.clone())];
            fields.extend(detection_fields(word, after));
            let _ = queue.send(Webhook { kind: WebhookKind::Amd, method: Method::Post, url, fields });
        };
        self.detecting = Some(AbortOnDropHandle::new(tokio::spawn(detecting)));
        Ok(())
    }
}

/// The vendor's word. It has none for a telephone that asks who calls: a short question and then silence is what people are like.
const fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Human | Verdict::Screening => "human",
        Verdict::MachineStarts => "machine_start",
        Verdict::MachineEnds { beep: true } => "machine_end_beep",
        Verdict::MachineEnds { beep: false } => "machine_end_silence",
        Verdict::Fax => "fax",
        Verdict::Unknown => "unknown",
    }
}
