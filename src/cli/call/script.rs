//! What a caller does, as data: the steps of a `--script` file, which the command line's flags are turned into as well.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use trunkline_sim::twilio::phone::{Speech, Step};

use super::sound::{SoundError, Sounds};

/// A caller's script.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallerScript {
    /// What the caller does, one after the other.
    pub steps: Vec<CallerStep>,
}

/// One thing that a caller does. Sounds are WAV files, relative to the script's folder, or names of built-in recordings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum CallerStep {
    /// Says it to the end, whatever the agent does.
    Say(String),
    /// Waits until the agent has spoken for so long since the caller's last words, then talks over it.
    BargeIn {
        /// What is said.
        say: String,
        /// How long the agent gets to speak.
        after_ms: u64,
    },
    /// Says nothing for so long.
    PauseMs(u64),
    /// Waits until the agent has spoken, and has then been quiet for so long.
    WaitAgent {
        /// How much quiet is enough.
        #[serde(default = "quiet_ms")]
        quiet_ms: u64,
    },
    /// Presses keys.
    Dtmf(String),
    /// Hangs up.
    HangUp,
    /// Breaks the media socket; the call goes on in the next one.
    Drop,
    /// Listens until the other side ends the call; hangs up after so long.
    WaitEnd {
        /// How long the caller listens.
        #[serde(default = "timeout_ms")]
        timeout_ms: u64,
    },
}

/// Quiet after which an agent has finished: longer than the stops between its sentences.
pub(crate) const fn quiet_ms() -> u64 {
    900
}

/// How long a caller listens for the end.
pub(crate) const fn timeout_ms() -> u64 {
    20_000
}

/// Why a script cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    #[error("cannot read the script {path}: {cause}")]
    File { path: PathBuf, cause: std::io::Error },
    #[error("the script {path} is not valid: {cause}")]
    Json { path: PathBuf, cause: serde_json::Error },
    #[error("{0:?} cannot be pressed: keys are 0 to 9, *, #, and A to D")]
    Key(char),
    #[error(transparent)]
    Sound(#[from] SoundError),
}

impl CallerScript {
    /// Reads a script from its file.
    pub fn load(path: &Path) -> Result<Self, ScriptError> {
        let text = std::fs::read_to_string(path).map_err(|cause| ScriptError::File { path: path.to_owned(), cause })?;
        serde_json::from_str(&text).map_err(|cause| ScriptError::Json { path: path.to_owned(), cause })
    }

    /// The phone's steps. Every sound is loaded now, so that a missing file is known before anybody is called.
    pub fn steps(&self, sounds: &Sounds) -> Result<Vec<Step>, ScriptError> {
        self.steps.iter().map(|step| step.load(sounds)).collect()
    }
}

impl CallerStep {
    /// The sound that is said, if any.
    pub fn sound(&self) -> Option<&str> {
        match self {
            Self::Say(sound) | Self::BargeIn { say: sound, .. } => Some(sound),
            _ => None,
        }
    }

    fn load(&self, sounds: &Sounds) -> Result<Step, ScriptError> {
        let speech = |name: &str| sounds.load(name).map(|samples| Speech::new(&samples));
        Ok(match self {
            Self::Say(sound) => Step::Say(speech(sound)?),
            Self::BargeIn { say, after_ms } => {
                Step::SayWhen { speaking_for: Duration::from_millis(*after_ms), speech: speech(say)? }
            }
            Self::PauseMs(ms) => Step::Silence(Duration::from_millis(*ms)),
            Self::WaitAgent { quiet_ms } => Step::WaitForAgentToFinish { quiet: Duration::from_millis(*quiet_ms) },
            Self::Dtmf(keys) => {
                let wrong = keys.chars().find(|key| !matches!(key, '0'..='9' | '*' | '#' | 'A'..='D'));
                match wrong {
                    Some(key) => return Err(ScriptError::Key(key)),
                    None => Step::Dtmf(keys.clone()),
                }
            }
            Self::HangUp => Step::HangUp,
            Self::Drop => Step::Drop,
            Self::WaitEnd { timeout_ms } => Step::WaitForEnd { timeout: Duration::from_millis(*timeout_ms) },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(steps: &str) -> serde_json::Result<CallerScript> {
        serde_json::from_str(&format!("{{\"steps\": [{steps}]}}"))
    }

    #[test]
    fn a_script_becomes_the_phones_steps() {
        let script = parse(
            r#"{"wait_agent": {}}, {"say": "goforward"}, {"pause_ms": 40}, {"barge_in": {"say": "jfk", "after_ms": 1200}},
               {"dtmf": "12#"}, "drop", {"wait_end": {"timeout_ms": 5000}}, "hang_up""#,
        )
        .unwrap();
        let steps = script.steps(&Sounds::built_in().unwrap()).unwrap();
        let ms = Duration::from_millis;
        assert_eq!(steps[0], Step::WaitForAgentToFinish { quiet: ms(900) });
        assert!(matches!(&steps[1], Step::Say(speech) if speech.duration() > ms(2700)));
        assert_eq!(steps[2], Step::Silence(ms(40)));
        assert!(matches!(&steps[3], Step::SayWhen { speaking_for, .. } if *speaking_for == ms(1200)));
        assert_eq!(
            steps[4..],
            [Step::Dtmf("12#".into()), Step::Drop, Step::WaitForEnd { timeout: ms(5000) }, Step::HangUp]
        );
    }

    #[test]
    fn what_is_wrong_with_a_script_is_said() {
        let sounds = Sounds::built_in().unwrap();
        assert!(parse(r#"{"shout": "x"}"#).unwrap_err().to_string().contains("unknown variant `shout`"));
        assert!(parse(r#"{"barge_in": {"say": "x"}}"#).unwrap_err().to_string().contains("after_ms"));
        let error = parse(r#"{"say": "no-such-sound.wav"}"#).unwrap().steps(&sounds).unwrap_err().to_string();
        assert!(error.contains("no-such-sound.wav") && error.contains("goforward"), "{error}");
        let error = parse(r#"{"dtmf": "1x"}"#).unwrap().steps(&sounds).unwrap_err().to_string();
        assert!(error.contains("'x' cannot be pressed"), "{error}");
        let error = CallerScript::load(Path::new("no/such/script.json")).unwrap_err().to_string();
        assert!(error.contains("no/such/script.json"), "{error}");
    }
}
