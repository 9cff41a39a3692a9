//! What happens on the phone's line, told as it happens.

use tokio::sync::mpsc;
use trunkline_sim::twilio::phone::{PhoneEvent, PhoneEventKind, StreamEnd};

use super::script::CallerStep;
use crate::cli::{
    console::{Console, Style},
    units::clock,
};

/// Tells what happens on the line.
pub(super) struct Telling {
    console: Console,
    steps: Vec<CallerStep>,
}

impl Telling {
    pub(super) const fn new(console: Console, steps: Vec<CallerStep>) -> Self {
        Self { console, steps }
    }

    /// Tells everything until the phone is gone.
    pub(super) async fn run(self, mut events: mpsc::UnboundedReceiver<PhoneEvent>) {
        while let Some(event) = events.recv().await {
            if let Some((who, style, text)) = self.words(&event.kind) {
                let text = self.console.paint(style, &text);
                self.console.line(format!("{}  {who:>7}  {text}", clock(event.at)));
            }
        }
    }

    fn words(&self, kind: &PhoneEventKind) -> Option<(&'static str, Style, String)> {
        let dim = |text: String| Some(("·", Style::Dim, text));
        match kind {
            PhoneEventKind::Started { stream_sid } => dim(format!("the stream {stream_sid} has begun")),
            PhoneEventKind::Step(index) => {
                let step = self.steps.get(*index)?;
                Some(("caller", Style::Caller, doing(step)))
            }
            PhoneEventKind::AgentStartedSpeaking => Some(("agent", Style::Agent, "speaks".into())),
            PhoneEventKind::AgentStoppedSpeaking => Some(("agent", Style::Agent, "is silent".into())),
            PhoneEventKind::CallerStartedSpeaking => Some(("caller", Style::Caller, "speaks".into())),
            PhoneEventKind::CallerStoppedSpeaking => Some(("caller", Style::Caller, "is silent".into())),
            PhoneEventKind::MarkReturned { name, cleared } => {
                dim(format!("mark {name:?} returns{}", if *cleared { " because of the clear" } else { "" }))
            }
            PhoneEventKind::Cleared { dropped } => {
                Some(("agent", Style::Agent, format!("takes back {} ms that were not heard yet", dropped / 8)))
            }
            PhoneEventKind::Dtmf(key) => Some(("caller", Style::Caller, format!("presses {key}"))),
            PhoneEventKind::Warning(warning) => {
                Some(("·", Style::Bad, format!("error {} in the carrier's log: {}", warning.code, warning.detail)))
            }
            PhoneEventKind::Ended(end) => dim(ended(end)),
        }
    }
}

fn doing(step: &CallerStep) -> String {
    match step {
        CallerStep::Say(sound) => format!("will say {sound}"),
        CallerStep::BargeIn { say, after_ms } => {
            format!("will talk over the agent with {say} when it has spoken for {after_ms} ms")
        }
        CallerStep::PauseMs(ms) => format!("says nothing for {ms} ms"),
        CallerStep::WaitAgent { quiet_ms } => format!("waits for the agent, and {quiet_ms} ms of quiet"),
        CallerStep::Dtmf(keys) => format!("will press {keys}"),
        CallerStep::HangUp => "hangs up".into(),
        CallerStep::Drop => "breaks the connection".into(),
        CallerStep::WaitEnd { timeout_ms } => format!("listens to the end, for {timeout_ms} ms at most"),
    }
}

/// How a stream ended, in words.
pub(super) fn ended(end: &StreamEnd) -> String {
    match end {
        StreamEnd::NotOpened { detail, .. } => format!("the stream could not be opened: {detail}"),
        StreamEnd::ClosedByServer { code, reason } => {
            let code = code.map_or_else(|| "without a code".to_owned(), |code| format!("with {code}"));
            let reason = if reason.is_empty() { String::new() } else { format!(" ({reason})") };
            format!("the server has closed the stream {code}{reason}")
        }
        StreamEnd::Broken(cause) => format!("the connection broke: {cause}"),
        StreamEnd::Refused(cause) => {
            format!("the carrier has cut the connection over audio that it does not take: {cause}")
        }
        StreamEnd::HungUp => "the caller has hung up".into(),
        StreamEnd::GaveUp { step } => format!("the caller has lost patience with step {} and hung up", step + 1),
        StreamEnd::Dropped => "the caller's script has cut the connection".into(),
        StreamEnd::Completed => "the server has ended the call through the carrier's REST API".into(),
        StreamEnd::Redirected => "the server has given the call another document".into(),
        StreamEnd::TimeLimit => "the call has lasted as long as it may".into(),
    }
}
