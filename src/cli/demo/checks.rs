//! What must hold of the demo's call.

use std::time::Duration;

use serde_json::Value;
use trunkline_media::event::{EndReason, TurnSource};
use trunkline_sim::twilio::CallStatus;

use super::evidence::{BargeIn, Evidence};
use crate::{
    cli::audio::sound,
    journal::{Status, TurnSpeaker},
};

/// One thing that had to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What.
    pub what: String,
    /// Whether it did.
    pub held: bool,
    /// What was seen.
    pub detail: String,
}

/// The longest that the agent may still be heard after the caller began to talk over it: what it takes to know speech from noise.
const BARGE_IN: Duration = Duration::from_millis(900);
/// What is said with pauses in it that are as long as some turns' ends.
const PAUSES: &str = "jfk";
/// A silence in the middle of a reply up to which it counts as an underrun.
const UNDERRUN: Duration = Duration::from_millis(500);

/// Everything that must hold, in the order of the call.
pub(super) fn check(evidence: &Evidence) -> Vec<Check> {
    let mut checks = Checks(Vec::new());
    checks.conversation(evidence);
    checks.interruption(evidence);
    checks.pauses(evidence);
    checks.ending(evidence);
    checks.quality(evidence);
    checks.record(evidence);
    checks.0
}

/// What must hold whatever real vendors hear, think and say.
pub(super) fn check_live(evidence: &Evidence) -> Vec<Check> {
    let mut checks = Checks(Vec::new());
    let said = evidence.turns(TurnSpeaker::Agent).iter().filter(|turn| turn.source == TurnSource::Llm).count();
    checks.push("the agent answers", said > 0, format!("{said} answers"));
    let carrier = evidence.phone.as_ref().map(|phone| phone.status);
    let detail = carrier.map_or("no report", CallStatus::as_str);
    checks.push("the call is completed", carrier == Some(CallStatus::Completed), detail);
    checks.transcript(evidence);
    checks.0
}

/// A stored turn, as the API and the journal both have it.
fn told(stored: &Value) -> (&str, &str, Option<&str>) {
    let text = |key: &str| stored[key].as_str();
    (text("speaker").unwrap_or_default(), text("text").unwrap_or_default(), text("generated_text"))
}

struct Checks(Vec<Check>);

impl Checks {
    fn push(&mut self, what: impl Into<String>, held: bool, detail: impl Into<String>) {
        self.0.push(Check { what: what.into(), held, detail: detail.into() });
    }

    fn conversation(&mut self, evidence: &Evidence) {
        let agent = evidence.turns(TurnSpeaker::Agent);
        let greeting = agent.iter().find(|turn| turn.source == TurnSource::Greeting);
        let whole = greeting.is_some_and(|turn| turn.text == evidence.greeting && !turn.interrupted);
        self.push("the greeting is heard whole", whole, greeting.map_or("none was said", |_| ""));

        let caller = evidence.turns(TurnSpeaker::Customer);
        for (number, request) in evidence.requests.iter().enumerate() {
            let turn = caller.get(number);
            let heard = turn.map_or("nothing", |turn| turn.text.as_str());
            let held = same_words(heard, &request.words);
            let detail = if held { String::new() } else { format!("heard: {heard}") };
            self.push(format!("{} is recognised word for word", request.clip), held, detail);
        }
        let turns = caller.len();
        self.push("each is one turn", turns == evidence.requests.len(), format!("{turns} turns of the caller"));

        let answers: Vec<_> = agent.iter().filter(|turn| turn.source == TurnSource::Llm).collect();
        for (number, request) in evidence.requests.iter().enumerate() {
            let answer = answers.get(number).map(|turn| turn.generated_text.as_ref().unwrap_or(&turn.text));
            let held = answer.is_some_and(|answer| same_words(answer, &request.answer));
            let latency = caller.get(number).and_then(|turn| turn.latency);
            let detail = match (held, answer) {
                (true, _) => {
                    latency.map_or_else(String::new, |l| format!("after {} ms", l.response_latency.as_millis()))
                }
                (false, None) => "no answer".to_owned(),
                (false, Some(answer)) => format!("answered: {answer}"),
            };
            self.push(format!("{} is answered", request.clip), held, detail);
        }
        let (said, wanted) = (agent.len(), evidence.requests.len() + 1);
        self.push("nothing else is said", said == wanted, format!("{said} turns of the agent"));
    }

    fn interruption(&mut self, evidence: &Evidence) {
        let (held, detail) = match evidence.barge_in() {
            BargeIn::Never => (false, "the caller never did".into()),
            BargeIn::Silence => (false, "the agent was silent when the caller began".into()),
            BargeIn::NotStopped => (false, "it went on".into()),
            BargeIn::Stopped { after } => {
                let (after, allowed) = (after.as_millis(), BARGE_IN.as_millis());
                let detail = format!("silent {after} ms after the caller's first sound; {allowed} are allowed");
                (after <= allowed, detail)
            }
        };
        self.push("talking over the agent stops it", held, detail);
        let cuts = evidence.cuts();
        let (held, detail) = match cuts.as_slice() {
            [cut] => {
                let heard = cut.heard.text.expose();
                let rest = cut.generated.strip_prefix(heard.as_str());
                // It ends where a word ends, and neither all of it nor nothing was heard.
                let sane = rest.is_some_and(|rest| !rest.trim().is_empty() && !rest.starts_with(char::is_alphanumeric));
                let words = |text: &str| text.split_whitespace().count();
                let detail = format!("{} of {} words", words(heard), words(&cut.generated));
                (sane && !heard.is_empty(), detail)
            }
            cuts => (false, format!("{} replies were cut", cuts.len())),
        };
        self.push("what was heard of it is known to the word", held, detail);
    }

    /// What the API returns at the end.
    fn record(&mut self, evidence: &Evidence) {
        let stored = &evidence.stored;
        let ending = [&stored["status"], &stored["end_reason"]];
        let detail = format!("{}, {}", ending[0], ending[1]);
        self.push("the conversation is stored", ending == ["completed", "agent_hangup"], detail);
        self.transcript(evidence);
    }

    fn transcript(&mut self, evidence: &Evidence) {
        let turns = evidence.journal.turns();
        let heard: Vec<_> = turns
            .iter()
            .filter(|turn| !turn.text.is_empty())
            .map(|turn| {
                let speaker = if turn.speaker == TurnSpeaker::Agent { "agent" } else { "customer" };
                (speaker, turn.text.as_str(), turn.generated_text.as_deref())
            })
            .collect();
        let transcript: Vec<_> = evidence.stored["transcript"].as_array().into_iter().flatten().map(told).collect();
        let detail = format!("{} turns", transcript.len());
        self.push("the stored transcript is what was heard", !heard.is_empty() && transcript == heard, detail);
    }

    fn pauses(&mut self, evidence: &Evidence) {
        let request = evidence.requests.iter().find(|request| request.clip == PAUSES);
        let span = request.and_then(|request| evidence.span(request.step));
        let (held, detail) = match span {
            None => (false, "it was not said".into()),
            Some(span) => {
                let (guesses, turns) = (evidence.taken_back_within(&span), evidence.caller_turns_within(&span).len());
                let detail = format!("{guesses} guesses were taken back while it was said; {turns} turn");
                (guesses > 0 && turns == 1, detail)
            }
        };
        self.push(format!("the pauses inside {PAUSES} do not end the turn"), held, detail);
    }

    fn ending(&mut self, evidence: &Evidence) {
        let last = evidence.turns(TurnSpeaker::Agent).pop();
        let wanted = evidence.requests.last().map_or("", |request| &request.answer);
        let whole = last.is_some_and(|turn| same_words(&turn.text, wanted) && !turn.interrupted);
        let stream = evidence.stream();
        let played = stream.and_then(|stream| {
            let mark = stream.marks.iter().filter(|mark| !mark.cleared).filter_map(|mark| mark.returned_at).max()?;
            Some(stream.started? + mark)
        });
        let requests = evidence.phone.as_ref().map_or(&[][..], |phone| &phone.requests);
        let hang_up = requests.iter().find(|request| request.field("Status") == Some("completed"));
        let after = played.zip(hang_up).and_then(|(played, hang_up)| hang_up.at.checked_duration_since(played));
        let detail = after.map_or_else(
            || "not heard to its end".into(),
            |after| format!("{} ms before the hang-up", after.as_millis()),
        );
        self.push("the goodbye is heard to its end", whole && after.is_some(), detail);
        let ended = evidence.summary.as_ref().and_then(|summary| summary.reason);
        let status = hang_up.map_or("no request".into(), |request| format!("status {}", request.status));
        let held = hang_up.is_some_and(|request| request.status == 200) && ended == Some(EndReason::AgentHangup);
        self.push("the agent hangs up through the carrier's REST API", held, status);
        let carrier = evidence.phone.as_ref().map(|phone| phone.status);
        let held =
            carrier == Some(CallStatus::Completed) && evidence.journal.conversation().status == Some(Status::Completed);
        let detail = carrier.map_or("no report", CallStatus::as_str);
        self.push("the call is completed", held, detail);
    }

    fn quality(&mut self, evidence: &Evidence) {
        let count = evidence.unrecognised;
        self.push("no word is unrecognised", count == 0, if count == 0 { String::new() } else { format!("{count}") });
        let stream = evidence.stream();
        let gaps = stream.map(|stream| stream.playback.underruns(UNDERRUN));
        let counted = evidence.summary.as_ref().map(|summary| summary.underruns);
        let detail = match evidence.summary.as_ref() {
            None => "nothing was played".into(),
            Some(summary) => format!(
                "{} frames, the latest {:.1} ms late",
                summary.frames_sent,
                summary.max_lateness.as_secs_f64() * 1_000.0
            ),
        };
        self.push("the agent's speech has no gaps", gaps == Some(0) && counted == Some(0), detail);
        let bad = evidence.summary.as_ref().map_or(0, |summary| summary.bad_messages);
        let invalid = stream.map_or(0, |stream| stream.invalid_count);
        let warnings = stream.map_or(0, |stream| stream.warnings.len());
        let errors = evidence.phone.as_ref().map_or(0, |phone| phone.errors.len());
        let detail =
            format!("{bad} bad messages in, {invalid} out, {} entries in the carrier's error log", warnings + errors);
        self.push("both ends understand each other", bad + invalid + (warnings + errors) as u64 == 0, detail);
        let (held, detail) = recorded(evidence);
        self.push("the recording has both sides of the call", held, detail);
        let open: Vec<_> = evidence.open.iter().map(|(name, count)| format!("{name}: {count}")).collect();
        self.push("no connection to a vendor is left open", open.is_empty(), open.join(", "));
    }
}

/// The recording is as long as the call, and on each side there is as much sound as the phone said and heard.
fn recorded(evidence: &Evidence) -> (bool, String) {
    let (Some(recording), Some(stream)) = (&evidence.recording, evidence.stream()) else {
        return (false, "there is none".into());
    };
    let decoded = |bytes: &[u8]| bytes.iter().map(|byte| trunkline_sim::audio::mulaw_decode(*byte)).collect::<Vec<_>>();
    let close = |recorded: Duration, real: Duration| {
        !recorded.is_zero() && recorded.abs_diff(real) <= real / 10 + Duration::from_millis(100)
    };
    let (caller, agent) = (sound(&recording.caller), sound(&recording.agent));
    let held = close(recording.duration(), stream.duration)
        && close(caller, sound(&decoded(&stream.said)))
        && close(agent, sound(&decoded(&stream.playback.heard)));
    let seconds = |duration: Duration| format!("{:.1} s", duration.as_secs_f64());
    let detail =
        format!("{} long, caller {}, agent {}", seconds(recording.duration()), seconds(caller), seconds(agent));
    (held, detail)
}

/// Whether two texts have the same words, whatever their case and punctuation.
fn same_words(one: &str, other: &str) -> bool {
    let words = |text: &str| {
        let plain: String = text.to_lowercase().chars().filter(|c| c.is_alphanumeric() || c.is_whitespace()).collect();
        plain.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    words(one) == words(other)
}
