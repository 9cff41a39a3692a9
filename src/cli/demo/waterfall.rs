//! One answer's latency as a small waterfall: what happened between the caller's last word and the agent's first sound.

use std::time::Duration;

use trunkline_media::event::TurnLatency;

/// The stages of one answer, placed on a line that begins with the caller's last word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Waterfall {
    pub(crate) stages: Vec<Stage>,
    pub(crate) total: Duration,
    pub(crate) speculative: bool,
}

/// One stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stage {
    pub(crate) name: &'static str,
    pub(crate) from: Duration,
    pub(crate) to: Duration,
}

/// Text columns of the longest line.
const COLUMNS: u128 = 48;
/// The least that the longest line stands for, so that lines of different answers compare.
const FULL_SCALE: Duration = Duration::from_millis(960);

impl Waterfall {
    /// `thinking`: from the caller's last word to the moment at which the answer began to be prepared, if that is known.
    pub(crate) fn new(latency: &TurnLatency, thinking: Option<Duration>) -> Self {
        let total = latency.response_latency;
        let playout_from = total.saturating_sub(latency.playout);
        let mut stages = vec![Stage { name: "endpoint_delay", from: Duration::ZERO, to: latency.endpoint_delay }];
        if let Some(ttft) = latency.ttft {
            let from = thinking.unwrap_or(latency.endpoint_delay);
            stages.push(Stage { name: "ttft", from, to: from + ttft });
        }
        if let Some(ttfb) = latency.ttfb {
            stages.push(Stage { name: "ttfb", from: playout_from.saturating_sub(ttfb), to: playout_from });
        }
        stages.push(Stage { name: "playout", from: playout_from, to: total });
        Self { stages, total, speculative: latency.speculative }
    }

    /// A line a stage, then the sum.
    pub(crate) fn lines(&self) -> Vec<String> {
        let longest = self.stages.iter().map(|stage| stage.to).max().unwrap_or_default().max(self.total).max(FULL_SCALE);
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
    use trunkline_media::ids::{ReplyId, TurnId};

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
        let waterfall = Waterfall::new(&latency, Some(ms(120)));
        let stages: Vec<_> = waterfall.stages.iter().map(|s| (s.name, s.from.as_millis(), s.to.as_millis())).collect();
        assert_eq!(stages, [
            ("endpoint_delay", 0, 300),
            ("ttft", 120, 320),
            ("ttfb", 360, 460),
            ("playout", 460, 480)
        ]);
        let lines = waterfall.lines();
        assert_eq!(lines[1], format!("{:>14}   200 ms  {}{}", "ttft", " ".repeat(6), "█".repeat(10)));
        assert!(lines[4].contains("480 ms") && lines[4].contains("guess"));
    }
}
