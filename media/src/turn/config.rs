//! How one agent takes turns. Every knob has its default, its unit and what moving it costs.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{audio::AudioFormat, llm::ToolSpec, stt::TurnDetection, telephony::Transfer};

/// How one agent takes turns.
#[derive(Debug, Clone, PartialEq)]
pub struct TurnConfig {
    /// The system message, with its variables filled in.
    pub instructions: String,
    /// The tools on offer, the built-in `end_call` among them if the agent has it.
    pub tools: Arc<[ToolSpec]>,
    /// Who proposes the end of the caller's turn.
    pub turn_detection: TurnDetection,
    /// What the carrier plays: positions in the outgoing audio are counted in its samples.
    pub format: AudioFormat,
    /// Start thinking on a guess that the turn is over. Default true: saves 150–250 ms a turn and costs up to twice the tokens.
    pub eager: bool,
    /// Said before the greeting and whatever the caller does: that the call is recorded. Default none.
    pub consent: Option<String>,
    /// Said first, as soon as the caller can hear. `None`: the agent waits to be spoken to.
    pub greeting: Option<Greeting>,
    /// Said instead when a call is taken up again whose process has died. `None`: the agent goes on without a word about it.
    pub resume: Option<String>,
    /// Said before the agent hangs up for a reason of its own (idle, longest duration, a goodbye without words). Default none.
    pub goodbye: Option<String>,
    /// Said when thinking failed. A caller who hears nothing hangs up.
    pub apology: String,
    /// Said while a second model is tried. `None`: silence.
    pub filler: Option<String>,
    /// Said before the caller is put on hold. Default none.
    pub on_hold: Option<String>,
    /// Said when the caller is taken off it. `None`: the agent goes on without a word about it.
    pub off_hold: Option<String>,
    /// Said before the caller is handed over, if the agent has said nothing else. `None`: silence.
    pub transfer_words: Option<String>,
    /// The tool by which the model hands the caller over. Default none.
    pub transfer_tool: Option<TransferTool>,
    /// How long a transfer may take once the carrier is asked. Default 90 s: longer than anybody's telephone rings.
    pub transfer_limit: Duration,
    /// The name of the tool by which the model presses keys. Default none.
    pub keys_tool: Option<String>,
    /// When a machine answers.
    pub voicemail: Voicemail,
    /// When the caller says nothing.
    pub idle: IdleConfig,
    /// The call's longest duration. Default 30 min.
    pub max_duration: Duration,
    /// Keys are collected into one turn until none came for so long. Default 2 s.
    pub dtmf_collect: Duration,
    /// The key that ends a collection at once. Default `#`.
    pub dtmf_terminator: Option<char>,
    /// Thresholds while nothing else is set for the agent's state.
    pub profile: Profile,
    /// Thresholds by the agent's state: no one setting both ignores backchannels and tolerates slow speakers.
    pub profiles: BTreeMap<AgentState, Profile>,
    /// What counts as a sign of listening rather than a turn. Compared in lower case without punctuation.
    pub backchannels: Vec<String>,
    /// A reply that is neither thinking, speaking nor being heard for so long is given up. Default 8 s.
    pub stall: Duration,
    /// How long the last mark may take to come back after the reply should have been heard. Default 2 s.
    pub mark_grace: Duration,
}

/// The first words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Greeting {
    /// The text.
    pub text: String,
    /// Whether the caller can cut it.
    pub interruptible: bool,
}

/// The tool by which the model hands the caller over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransferTool {
    /// What the model calls it.
    pub name: String,
    /// Whom it may name, and what that means.
    pub targets: Vec<(String, Transfer)>,
}

/// When a machine answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Voicemail {
    /// What to do. Default: hang up.
    pub action: VoicemailAction,
    /// What to leave.
    pub message: Option<String>,
    /// How long the agent waits for the end of the machine's greeting before it leaves its message all the same. Default 45 s.
    pub limit: Duration,
}

/// What to do when a machine answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum VoicemailAction {
    /// Hang up.
    #[default]
    HangUp,
    /// Leave the message after the beep, then hang up.
    LeaveMessage,
    /// Talk to it as to a human.
    Continue,
}

impl Default for Voicemail {
    fn default() -> Self {
        Self { action: VoicemailAction::default(), message: None, limit: Duration::from_secs(45) }
    }
}

/// When the caller says nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdleConfig {
    /// Silence before a prompt. Default 10 s.
    pub after: Duration,
    /// Said in turn; none: the agent only waits.
    pub prompts: Vec<String>,
    /// So many prompts in a row are answered by silence before the agent hangs up. Default 2.
    pub hang_up_after: u32,
}

/// What the agent is doing, as far as thresholds go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AgentState {
    /// It waits for the caller.
    Listening,
    /// It prepares a reply, and nothing of it is heard yet.
    Thinking,
    /// The caller hears it.
    Speaking,
    /// It waits for a tool.
    ToolRunning,
}

/// Thresholds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Profile {
    /// The shortest silence that ends a turn which sounds complete. Default 500 ms; less cuts people off.
    pub min_endpoint: Duration,
    /// The silence that ends any turn. Default 3 s.
    pub max_endpoint: Duration,
    /// Whether the caller can cut the agent.
    pub interruptions: bool,
    /// Speech shorter than this, without words, is noise: the agent goes on as soon as it stops. Default 500 ms.
    pub min_speech: Duration,
    /// Words that it takes to cut the agent; 0 and 1 both mean one, for without a word it may be noise.
    pub min_words: u32,
    /// How long the agent waits, paused, for words after longer speech has stopped. Default 2 s.
    pub false_after: Duration,
}

impl Default for Profile {
    fn default() -> Self {
        Self {
            min_endpoint: Duration::from_millis(500),
            max_endpoint: Duration::from_secs(3),
            interruptions: true,
            min_speech: Duration::from_millis(500),
            min_words: 0,
            false_after: Duration::from_secs(2),
        }
    }
}

impl Default for IdleConfig {
    fn default() -> Self {
        Self { after: Duration::from_secs(10), prompts: vec!["Are you still there?".into()], hang_up_after: 2 }
    }
}

impl Default for TurnConfig {
    fn default() -> Self {
        Self {
            instructions: String::new(),
            tools: Arc::new([]),
            turn_detection: TurnDetection::Endpointing,
            format: AudioFormat::MULAW_8K,
            eager: true,
            consent: None,
            greeting: None,
            resume: Some("Sorry, we were cut off for a moment.".into()),
            goodbye: None,
            apology: "Sorry, I did not get that. Could you say it again?".into(),
            filler: Some("One moment, please.".into()),
            on_hold: None,
            off_hold: Some("Thank you for waiting.".into()),
            transfer_words: Some("One moment, please, I am connecting you.".into()),
            transfer_tool: None,
            transfer_limit: Duration::from_secs(90),
            keys_tool: None,
            voicemail: Voicemail::default(),
            idle: IdleConfig::default(),
            max_duration: Duration::from_secs(1800),
            dtmf_collect: Duration::from_secs(2),
            dtmf_terminator: Some('#'),
            profile: Profile::default(),
            profiles: BTreeMap::new(),
            backchannels: default_backchannels(),
            stall: Duration::from_secs(8),
            mark_grace: Duration::from_secs(2),
        }
    }
}

impl TurnConfig {
    /// The thresholds for what the agent is doing.
    pub fn profile(&self, state: AgentState) -> &Profile {
        self.profiles.get(&state).unwrap_or(&self.profile)
    }
}

/// English signs of listening, used when the agent names none.
pub fn default_backchannels() -> Vec<String> {
    [
        "mm-hm", "mhm", "mmhmm", "mm", "hm", "hmm", "uh-huh", "uh huh", "yeah", "yep", "yes", "ok", "okay", "right",
        "sure", "i see", "got it", "ah", "oh",
    ]
    .map(String::from)
    .to_vec()
}
