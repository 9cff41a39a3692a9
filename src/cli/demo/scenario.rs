//! The demo's conversation: an agent, what its model answers, and what its caller does. All of it is data.

use trunkline_control::agents::config::AgentConfig;
use trunkline_sim::openai::Rules;

use crate::cli::{
    call::{CallerScript, CallerStep, Sounds},
    simulate::DEMO_RULES,
};

const AGENT: &str = include_str!("../../../fixtures/scenarios/demo/agent.json");
const CALLER: &str = include_str!("../../../fixtures/scenarios/demo/caller.json");

/// The demo's conversation.
pub(super) struct Scenario {
    pub(super) agent: AgentConfig,
    /// The agent as it is sent to the API.
    pub(super) document: serde_json::Value,
    pub(super) rules: Rules,
    pub(super) caller: CallerScript,
}

/// Something that the caller says, and what is to come of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    /// The recording's name.
    pub(super) clip: String,
    /// Its words.
    pub(super) words: String,
    /// What the agent is to answer.
    pub(super) answer: String,
    /// The caller talks over the agent with it.
    pub(super) barges_in: bool,
    /// Index of the step in which it is said.
    pub(super) step: usize,
}

impl Scenario {
    pub(super) fn load() -> Self {
        Self {
            agent: AgentConfig::from_json(AGENT).expect("the embedded agent is valid: a test reads it"),
            document: serde_json::from_str(AGENT).expect("the embedded agent is JSON: a test reads it"),
            rules: serde_json::from_str(DEMO_RULES).expect("the embedded rules are valid: a test reads them"),
            caller: serde_json::from_str(CALLER).expect("the embedded script is valid: a test reads it"),
        }
    }

    pub(super) fn greeting(&self) -> &str {
        self.agent.call_config.greeting.text.as_deref().unwrap_or_default()
    }

    /// What the caller says, in order.
    pub(super) fn requests(&self, sounds: &Sounds) -> Vec<Request> {
        let said = self.caller.steps.iter().enumerate().filter_map(|(index, step)| Some((index, step, step.sound()?)));
        said.map(|(index, step, clip)| {
            let words = sounds.recording(clip).map_or_else(String::new, |recording| recording.transcript().to_owned());
            Request {
                clip: clip.to_owned(),
                answer: self.answer(&words).to_owned(),
                words,
                barges_in: matches!(step, CallerStep::BargeIn { .. }),
                step: index,
            }
        })
        .collect()
    }

    /// Index of the step in which the caller talks over the agent.
    pub(super) fn barge_in_step(&self) -> Option<usize> {
        self.caller.steps.iter().position(|step| matches!(step, CallerStep::BargeIn { .. }))
    }

    fn answer(&self, words: &str) -> &str {
        let rule = self.rules.rules.iter().find(|rule| rule.when.as_ref().is_some_and(|when| words.contains(when)));
        rule.map_or("", |rule| &rule.reply)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_has_an_answer_of_its_own() {
        let scenario = Scenario::load();
        let sounds = Sounds::built_in().unwrap();
        assert!(scenario.caller.steps(&sounds).is_ok());
        let requests = scenario.requests(&sounds);
        assert_eq!(requests.len(), 6);
        assert!(requests.iter().all(|request| !request.words.is_empty() && !request.answer.is_empty()));
        assert_eq!(requests.iter().filter(|request| request.barges_in).count(), 1);
        assert!(!scenario.greeting().is_empty());
    }
}
