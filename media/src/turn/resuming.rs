//! A call that is taken up again by another process: the one that had it is gone, and what was said is known from what it stored.

use serde::{Deserialize, Serialize};
use trunkline_base::Personal;

use super::{TurnMachine, history::Segment, timers::Timer};
use crate::{
    event::{Speaker, TurnSource},
    ids::{ReplyId, TurnId},
    time::MediaTime,
};

/// Where a call stood when the process that had it died.
///
/// What tools were called and what they answered is not in it: the model sees what was said, and calls again what it needs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resumed {
    /// The conversation so far, by when speech began. Signs of listening, which asked for no answer, are left out.
    pub history: Vec<PastTurn>,
    /// How long ago the call was answered: its clock goes on from here, and so do the times of all events.
    pub clock: MediaTime,
    /// The number of its next event.
    pub next_seq: u64,
    /// The number of its next turn. Replies are numbered from here as well, for each of them is a turn.
    pub next_turn: TurnId,
}

/// A turn of the conversation before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastTurn {
    /// Whose.
    pub speaker: Speaker,
    /// What was said: of the agent, what was heard.
    pub text: Personal<String>,
}

impl TurnMachine {
    /// A call that was answered in another life. The first stream to be attached is a further one, nobody is greeted, and a turn of the
    /// caller's that has no answer yet gets one.
    pub fn resumed(config: super::TurnConfig, resumed: Resumed) -> Self {
        let mut machine = Self::new(config);
        machine.seq = resumed.next_seq;
        machine.next_turn = resumed.next_turn.max(machine.next_turn);
        machine.next_reply = ReplyId(machine.next_turn.0);
        let mut open: Option<String> = None;
        for turn in &resumed.history {
            let text = turn.text.expose().trim();
            match turn.speaker {
                _ if text.is_empty() => {}
                Speaker::Caller => {
                    let open = open.get_or_insert_default();
                    if !open.is_empty() {
                        open.push(' ');
                    }
                    open.push_str(text);
                }
                Speaker::Agent => {
                    if let Some(answered) = open.take() {
                        machine.history.push_caller(&answered);
                    }
                    machine.history.push_agent(vec![Segment { text: text.to_owned(), tools: Vec::new() }], None);
                }
            }
        }
        machine.left_open = open;
        machine.is_resumed = true;
        machine
    }

    /// The first stream of a call that was taken up again.
    pub(super) fn go_on(&mut self, now: MediaTime) {
        // The longest duration is the whole call's.
        self.timers.set(Timer::MaxDuration, (MediaTime::ZERO + self.config.max_duration).max(now));
        if let Some(text) = self.config.resume.clone() {
            self.say(now, TurnSource::Resume, &text, true, None);
        } else {
            self.restart_idle(now);
            self.after_reply(now);
        }
    }

    /// The turn that the call was cut off in becomes part of the conversation, after what the agent has said about it. Says whether
    /// there is one.
    pub(super) fn take_up_open_turn(&mut self) -> bool {
        let open = self.left_open.take();
        if let Some(text) = &open {
            self.history.push_caller(text);
        }
        open.is_some()
    }
}
