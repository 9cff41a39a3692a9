//! One answer's latency as a small waterfall: what happened between the caller's last word and the agent's first sound.

use std::{collections::BTreeMap, time::Duration};

use trunkline_media::{
    event::{CallEvent, CallEventKind, TurnLatency},
    ids::ReplyId,
    time::MediaTime,
};

/// The stages of one answer, placed on a line that begins with the caller's last word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Waterfall {
    pub(super) stages: Vec<Stage>,
    pub(super) total: Duration,
    pub(super) speculative: bool,
}

/// Finds the waterfalls in a call's events.
#[derive(Debug, Default)]
pub(super) struct Waterfalls {
    /// When each reply began to be prepared.
    replies: BTreeMap<ReplyId, MediaTime>,
}

/// One stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stage {
    pub(super) name: &'static str,
    pub(super) from: Duration,
    pub(super) to: Duration,
}

/// Text columns of the longest line.
const COLUMNS: u128 = 48;
/// The least that the longest line stands for, so that lines of different answers compare.
const FULL_SCALE: Duration = Duration::from_millis(960);

impl Waterfalls {
    /// The waterfall of the answer whose first sound this event tells of.
    pub(super) fn handle_event(&mut self, event: &CallEvent) -> Option<Waterfall> {
        match &event.kind {
            CallEventKind::ReplyStarted { reply, .. } => {
                self.replies.insert(*reply, event.at);
                None
            }
            CallEventKind::Latency(latency) => {
                let last_word = event.at.saturating_sub(latency.response_latency);
                let thinking = self.replies.remove(&latency.reply).map(|began| began.saturating_since(last_word));
                Some(Waterfall::new(latency, thinking))
            }
            _ => None,
        }
    }
}

impl Waterfall {
    /// `thinking`: from the caller's last word to the moment at which the answer began to be prepared. When a guess began is not told:
    /// it is placed as late as it can have been.
    pub(super) fn new(latency: &TurnLatency, thinking: Option<Duration>) -> Self {
        let total = latency.response_latency;
        let playout_from = total.saturating_sub(latency.playout);
        let text_from = playout_from.saturating_sub(latency.ttfb.unwrap_or_default());
        let mut stages = vec![Stage { name: "endpoint_delay", from: Duration::ZERO, to: latency.endpoint_delay }];
        if let Some(ttft) = latency.ttft {
            let latest = text_from.saturating_sub(ttft);
            let from = thinking.filter(|_| !latency.speculative).unwrap_or(latest).min(latest);
            stages.push(Stage { name: "ttft", from, to: from + ttft });
        }
        if latency.ttfb.is_some() {
            stages.push(Stage { name: "ttfb", from: text_from, to: playout_from });
        }
        stages.push(Stage { name: "playout", from: playout_from, to: total });
        Self { stages, total, speculative: latency.speculative }
    }

    /// A line a stage, then the sum.
    pub(super) fn lines(&self) -> Vec<String> {
        let longest =
            self.stages.iter().map(|stage| stage.to).max().unwrap_or_default().max(self.total).max(FULL_SCALE);
        let column = |at: Duration| (at.as_micros() * COLUMNS / longest.as_micros().max(1)) as usize;
        let mut lines: Vec<_> = self
            .stages
            .iter()
            .map(|stage| {
                let (from, to) = (column(stage.from), column(stage.to));
                let bar = if to > from { "█".repeat(to - from) } else { "▏".into() };
                let ms = stage.to.saturating_sub(stage.from).as_millis();
                format!("{:>14} {ms:>5} ms  {}{bar}", stage.name, " ".repeat(from))
            })
            .collect();
        let note = if self.speculative { "  (thought on a guess before the turn was over)" } else { "" };
        lines.push(format!("{:>14} {:>5} ms{note}", "response", self.total.as_millis()));
        lines
    }
}

#[cfg(test)]
mod tests {
    use trunkline_media::ids::TurnId;

    use super::*;

    #[test]
    fn stages_stand_where_they_happened() {
        let ms = Duration::from_millis;
        let latency = TurnLatency {
            turn: TurnId(1),
            reply: ReplyId(1),
            endpoint_delay: ms(300),
            transcription_delay: Some(ms(300)),
            ttft: Some(ms(200)),
            ttfb: Some(ms(100)),
            playout: ms(20),
            response_latency: ms(480),
            speculative: true,
        };
        let patient = TurnLatency { endpoint_delay: ms(100), speculative: false, ..latency };
        let waterfall = Waterfall::new(&latency, Some(ms(120)));
        let stages = |waterfall: &Waterfall| -> Vec<_> {
            waterfall.stages.iter().map(|s| (s.name, s.from.as_millis(), s.to.as_millis())).collect()
        };
        assert_eq!(
            stages(&waterfall),
            [("endpoint_delay", 0, 300), ("ttft", 160, 360), ("ttfb", 360, 460), ("playout", 460, 480)]
        );
        let lines = waterfall.lines();
        assert_eq!(lines[1], format!("{:>14}   200 ms  {}{}", "ttft", " ".repeat(8), "█".repeat(10)));
        assert!(lines[4].contains("480 ms") && lines[4].contains("guess"));
        assert_eq!(stages(&Waterfall::new(&patient, Some(ms(102))))[1], ("ttft", 102, 302));
    }
}
