//! The conversation as it is told at the terminal, while it happens.

use std::time::Duration;

use trunkline_media::{
    event::{CallEvent, CallEventKind, EndReason, InterruptionCause, Speaker, TurnSource},
    time::MediaTime,
};

use crate::cli::{
    console::{Console, Style},
    units::clock,
    waterfall::Waterfalls,
};

/// Columns before what is said.
const INDENT: &str = "                 ";

/// Tells a call, event by event.
pub(super) struct Conversation {
    console: Console,
    waterfalls: Waterfalls,
    /// What was generated and what was heard of the reply that was just cut.
    cut: Option<(String, String)>,
}

impl Conversation {
    pub(super) fn new(console: Console) -> Self {
        Self { console, waterfalls: Waterfalls::default(), cut: None }
    }

    pub(super) fn handle_event(&mut self, event: &CallEvent) {
        let at = event.at;
        if let Some(waterfall) = self.waterfalls.handle_event(event) {
            for line in waterfall.lines() {
                self.console.line(format!("{INDENT}{}", self.console.paint(Style::Dim, &line)));
            }
        }
        match &event.kind {
            CallEventKind::Answered => self.note(at, "the call is answered"),
            CallEventKind::Interruption { cause: InterruptionCause::BargeIn, .. } => {
                self.note(at, "the caller talks over the agent: it stops");
            }
            CallEventKind::FalseInterruption { paused_for, .. } => {
                self.note(
                    at,
                    &format!("the agent had paused for {} ms for nothing, and goes on", paused_for.as_millis()),
                );
            }
            CallEventKind::ReplyEnded { generated, heard, interrupted: true, .. } => {
                self.cut = Some((generated.expose().clone(), heard.text.expose().clone()));
            }
            CallEventKind::TurnEnded { speaker, text, started, source, .. } => {
                self.turn(*started, *speaker, text.expose(), *source);
            }
            CallEventKind::ToolCalled { name, .. } => self.note(at, &format!("the model calls {name}")),
            CallEventKind::Dtmf { .. } => self.note(at, "a key is pressed"),
            CallEventKind::VendorFault { provider, phase, cause, recovered } => {
                let outcome = if *recovered { "recovered" } else { "not recovered" };
                self.bad(at, &format!("{provider} failed ({phase}): {cause}; {outcome}"));
            }
            CallEventKind::Ended { reason } => self.note(at, ended(*reason)),
            _ => {}
        }
    }

    fn turn(&mut self, started: MediaTime, speaker: Speaker, text: &str, source: TurnSource) {
        let (who, style) = match speaker {
            Speaker::Caller => ("caller", Style::Caller),
            Speaker::Agent => ("agent", Style::Agent),
        };
        let said = match self.cut.take().filter(|_| speaker == Speaker::Agent) {
            // The text of an interrupted turn is what was heard.
            Some((generated, heard)) => {
                let lost = generated.strip_prefix(heard.as_str()).unwrap_or("");
                let marker = self.console.paint(Style::Bad, "▏");
                let lost = self.console.paint(Style::Dim, &format!("[not heard:{lost}]"));
                format!("{} {marker} {lost}", self.console.paint(style, &heard))
            }
            None => self.console.paint(style, text),
        };
        let aside = match source {
            TurnSource::Backchannel => " (asks for no answer)",
            TurnSource::Idle => " (the caller was silent)",
            TurnSource::Apology => " (instead of an answer)",
            _ => "",
        };
        let who = self.console.paint(Style::Bold, &format!("{who:>7}"));
        self.console.line(format!("{}  {who}  {said}{aside}", clock(started.since_start())));
    }

    fn note(&self, at: MediaTime, text: &str) {
        self.write(at.since_start(), Style::Dim, text);
    }

    fn bad(&self, at: MediaTime, text: &str) {
        self.write(at.since_start(), Style::Bad, text);
    }

    fn write(&self, at: Duration, style: Style, text: &str) {
        self.console.line(format!("{}  {:>7}  {}", clock(at), "·", self.console.paint(style, text)));
    }
}

const fn ended(reason: EndReason) -> &'static str {
    match reason {
        EndReason::CallerHangup => "the caller has hung up",
        EndReason::AgentHangup => "the agent has hung up",
        EndReason::ApiHangup => "the call was ended from outside",
        EndReason::Transferred => "the caller was handed over",
        EndReason::Voicemail => "a machine has answered",
        EndReason::MaxDuration => "the call has reached its longest duration",
        EndReason::Idle => "the caller said nothing for too long: the agent has hung up",
        EndReason::MediaLost => "the media socket was lost",
        EndReason::VendorFailed => "a vendor failed for good",
        EndReason::CarrierFailed => "the carrier failed",
        EndReason::Drained => "the server was stopped",
    }
}
