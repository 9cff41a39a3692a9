//! Post-call analysis, by the agent's own model: what was said, how the caller felt, what came of it, and what the agent's schema asks for.
//!
//! The transcript is what strangers said, so it is data: it goes to the model as a JSON string in a message of its own, behind instructions
//! that say so, and what comes back counts only as far as it is one of the values that were asked for. A caller who talks the model into
//! something can thus choose among outcomes, and nothing more. Agents whose provider is not OpenAI (or compatible) cannot take calls yet, and
//! their conversations, if there are any, are not analysed: that job says so.

mod answer;
mod prompt;
mod schemas;

use std::time::Duration;

use futures_util::future::BoxFuture;
use serde_json::Value;
use trunkline_base::{CallId, Clock, Personal, SystemClock};
use trunkline_control::{
    Control,
    agents::{
        config::{AgentConfig, AiProvider},
        store as agents,
    },
    conversations::{
        analysis,
        calls::{self as stored, StoredTurn},
        journal::{self, UsageRow},
    },
    credentials::store as credentials,
    jobs::{Job, Kind, queue},
    live::News,
    vendors::Provider,
};
use trunkline_media::llm::openai::{
    LlmError,
    complete::{Asked, Completion, Question, Role, complete},
};
use trunkline_media::net::Http;
use uuid::Uuid;

use self::{
    answer::Wanted,
    schemas::{Schema, Schemas},
};
use super::{JobError, Policy, Settled, Task};
use crate::compose::{CallKeys, Composer};

/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(90);
/// How much of a transcript the model is given, in characters: some 12,000 tokens. A model with less room gets less.
const LONGEST: usize = 48_000;
/// The least that it is given.
const SHORTEST: usize = 6_000;

/// The pauses between attempts: nine hours in all.
const WAITS: [Duration; 6] = [
    Duration::from_secs(10),
    Duration::from_secs(60),
    Duration::from_secs(5 * 60),
    Duration::from_secs(30 * 60),
    Duration::from_secs(2 * 60 * 60),
    Duration::from_secs(6 * 60 * 60),
];

/// Analyses conversations.
pub(super) struct Analyst {
    control: Control,
    composer: Composer,
    schemas: Schemas,
}

/// What there is to analyse.
struct Case {
    config: AgentConfig,
    keys: CallKeys,
    turns: Vec<StoredTurn>,
}

/// Tokens, as far as servers count them.
#[derive(Debug, Default, Clone, Copy)]
struct Tokens {
    prompt: u64,
    completion: u64,
}

impl Analyst {
    pub(super) fn new(control: Control, composer: Composer) -> Self {
        Self { control, composer, schemas: Schemas::default() }
    }

    async fn analyse(&self, job: &Job) -> Result<Settled, JobError> {
        let id = CallId::from(job.subject);
        let Some(case) = self.read(job, id).await? else {
            // Erased, or its agent no longer wants it.
            let mut tx = self.control.db.begin(job.tenant).await?;
            let done = queue::done(&mut tx, job.tenant, job).await?;
            tx.commit().await?;
            return if done { Ok(Settled::Done) } else { Err(JobError::Lost) };
        };
        if case.config.ai_config.provider != AiProvider::Openai {
            return Err(JobError::Dead(
                "the agent's AI provider cannot analyse conversations yet; openai can".to_owned(),
            ));
        }
        let schema = match &case.config.analysis_config.extraction_schema {
            None => None,
            Some(schema) => Some(self.schemas.compiled(schema).map_err(JobError::Dead)?),
        };
        let analyst = self.composer.analyst(&case.config, &case.keys);
        let (http, asked) = analyst.map_err(|error| JobError::Dead(error.to_string()))?;
        let wanted = Wanted::new(&case.config.analysis_config, schema);
        let mut tokens = Tokens::default();
        let outcome = ask(&http, &asked, &wanted, &case.turns, &mut tokens).await;
        let written = outcome.is_ok();
        let mut tx = self.control.db.begin(job.tenant).await?;
        let result = match outcome {
            Ok(analysis) => {
                if !queue::done(&mut tx, job.tenant, job).await? {
                    return Err(JobError::Lost);
                }
                analysis::write(&mut tx, job.tenant, id, &analysis).await?;
                Ok(Settled::Done)
            }
            // The worker ends the claim.
            Err(error) => Err(error),
        };
        // Behind the call's own counts, as calls write them: two writers that want both must not wait for each other.
        journal::record_usage(&mut tx, job.tenant, id, tokens.rows(!written), SystemClock.wall().into()).await?;
        tx.commit().await?;
        if written {
            self.control.live.tell(job.tenant, &[(id, News::State)]);
        }
        result
    }

    /// `None`: nothing is left to analyse, or nobody wants it.
    async fn read(&self, job: &Job, id: CallId) -> Result<Option<Case>, JobError> {
        let tenant = job.tenant;
        let mut tx = self.control.db.begin(tenant).await?;
        let Some(call) = stored::read(&mut tx, tenant, id).await? else { return Ok(None) };
        let Some(agent) = agents::get_version(&mut tx, tenant, call.agent, call.agent_version).await? else {
            return Ok(None);
        };
        let turns = stored::history(&mut tx, tenant, id).await?.turns;
        if !agent.config.analysis_config.enabled || turns.iter().all(|turn| turn.by_agent) {
            return Ok(None);
        }
        let found = credentials::for_call(&mut tx, tenant, &agent.config.integrations).await?;
        tx.commit().await?;
        let mut keys = Vec::new();
        // The others' are not needed, and stay closed.
        for (provider, credential) in found.into_iter().filter(|(provider, _)| *provider == Provider::Openai) {
            let fields = self.control.vault.open(&credential.encrypted);
            keys.push((provider, fields.map_err(|error| JobError::Dead(error.to_string()))?));
        }
        Ok(Some(Case { config: agent.config, keys: keys.into_iter().collect(), turns }))
    }
}

impl Tokens {
    fn add(&mut self, completion: &Completion) {
        self.prompt += completion.prompt_tokens;
        self.completion += completion.completion_tokens;
    }

    fn rows(self, wasted: bool) -> Vec<UsageRow> {
        let counts = [("prompt_tokens", self.prompt), ("completion_tokens", self.completion)];
        let row = |(unit, quantity): (&str, u64)| UsageRow {
            id: Uuid::now_v7(),
            provider: "llm".to_owned(),
            unit: unit.to_owned(),
            quantity: i64::try_from(quantity).unwrap_or(i64::MAX),
            wasted,
            turn_seq: None,
        };
        counts.into_iter().filter(|(_, quantity)| *quantity > 0).map(row).collect()
    }
}

/// Asks the model, and once more if its answer is not what was asked for.
async fn ask(
    http: &Http,
    asked: &Asked,
    wanted: &Wanted,
    turns: &[StoredTurn],
    tokens: &mut Tokens,
) -> Result<analysis::Analysis, JobError> {
    let mut room = LONGEST;
    let (mut messages, first) = loop {
        let messages = vec![
            (Role::System, Personal::new(prompt::instructions(wanted))),
            (Role::User, Personal::new(prompt::transcript(turns, room))),
        ];
        let question = Question { messages, schema: wanted.form(), limit: ANSWER };
        match complete(http, asked, &question).await {
            Ok(answer) => break (question.messages, answer),
            Err(error) if is_too_long(&error) && room > SHORTEST => room = (room / 2).max(SHORTEST),
            Err(error) => return Err(refused(&error)),
        }
    };
    tokens.add(&first);
    let problems = match wanted.read(&first) {
        Ok(analysis) => return Ok(analysis),
        Err(problems) => problems,
    };
    tracing::debug!(problems = problems.len(), "an analysis is asked for again");
    messages.push((Role::Assistant, first.text));
    messages.push((Role::User, Personal::new(prompt::repair(&problems))));
    let question = Question { messages, schema: wanted.form(), limit: ANSWER };
    let second = complete(http, asked, &question).await.map_err(|error| refused(&error))?;
    tokens.add(&second);
    wanted.read(&second).map_err(|problems| {
        let mut what: Vec<&str> = problems.iter().map(|problem| problem.key).collect();
        what.dedup();
        JobError::Dead(format!("the model's answer is not what was asked for, after one repair: {}", what.join(", ")))
    })
}

fn is_too_long(error: &LlmError) -> bool {
    matches!(error, LlmError::Refused { code, .. } if code.code() == "context_length_exceeded")
}

/// A limit that is reached, or a server that fails, may do better later; a key that is refused will not.
fn refused(error: &LlmError) -> JobError {
    if error.is_transient() || matches!(error, LlmError::Timeout(_) | LlmError::Garbage) {
        let after = error.retry_after();
        return JobError::Again { reason: format!("the model did not answer: {error}"), after };
    }
    JobError::Dead(format!("the model refuses: {error}"))
}

impl Task for Analyst {
    fn policy(&self) -> Policy {
        // The question, less of it three times, each in three forms at worst, and the repair: but all that is refused is refused at once.
        Policy { kind: Kind::Analysis, at_once: 8, per_tenant: 4, waits: &WAITS, limit: 3 * ANSWER }
    }

    fn run<'a>(&'a self, job: &'a Job) -> BoxFuture<'a, Result<Settled, JobError>> {
        Box::pin(self.analyse(job))
    }
}

/// What may not be in a text that is stored.
fn storable(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(text.replace('\0', "\u{fffd}")),
        Value::Array(items) => items.into_iter().map(storable).collect(),
        Value::Object(object) => {
            object.into_iter().map(|(key, value)| (key.replace('\0', "\u{fffd}"), storable(value))).collect()
        }
        other => other,
    }
}
