//! A model that answers by script.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;
use trunkline_base::Personal;

use crate::llm::{EVENT_BACKLOG, Llm, LlmEvent, LlmRequest, LlmStream, ToolCall};

/// One scripted answer.
#[derive(Debug, Clone)]
pub struct FakeReply {
    /// Request → first event.
    pub ttft: Duration,
    /// Between two events.
    pub interval: Duration,
    /// What it says, in order. `Done` is added unless the last is `Done` or `Failed`.
    pub events: Vec<LlmEvent>,
}

impl FakeReply {
    /// Words, one at a time.
    pub fn text(text: &str) -> Self {
        let events =
            text.split_inclusive(' ').map(|word| LlmEvent::Text { text: Personal::new(word.to_owned()) }).collect();
        Self { ttft: Duration::from_millis(200), interval: Duration::from_millis(10), events }
    }

    /// … and then a tool call.
    #[must_use]
    pub fn then_call(mut self, id: &str, name: &str, arguments: serde_json::Value) -> Self {
        let call = ToolCall { id: id.into(), name: name.into(), arguments: Personal::new(arguments) };
        self.events.push(LlmEvent::ToolCall { call });
        self
    }

    /// … and then a failure.
    #[must_use]
    pub fn then_fail(mut self, cause: &str) -> Self {
        self.events.push(LlmEvent::Failed { cause: cause.into() });
        self
    }
}

/// Answers with its script's replies in turn; when they are used up, with "Yes."
#[derive(Debug, Clone, Default)]
pub struct FakeLlm {
    script: Arc<Mutex<VecDeque<FakeReply>>>,
    requests: Arc<Mutex<Vec<LlmRequest>>>,
    in_flight: Arc<AtomicU64>,
    most_in_flight: Arc<AtomicU64>,
}

impl FakeLlm {
    /// With these answers.
    pub fn new(script: impl IntoIterator<Item = FakeReply>) -> Self {
        Self { script: Arc::new(Mutex::new(script.into_iter().collect())), ..Self::default() }
    }

    /// All requests so far.
    pub fn requests(&self) -> Vec<LlmRequest> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many generations there were at once, at the most.
    pub fn most_in_flight(&self) -> u64 {
        self.most_in_flight.load(Ordering::Acquire)
    }
}

/// Counts a generation for as long as it lives.
struct InFlight(Arc<AtomicU64>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Llm for FakeLlm {
    fn start(&self, request: LlmRequest) -> LlmStream {
        let generation = request.generation;
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).push(request);
        let reply = self.script.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let reply = reply.unwrap_or_else(|| FakeReply::text("Yes."));
        let now = self.in_flight.fetch_add(1, Ordering::AcqRel) + 1;
        self.most_in_flight.fetch_max(now, Ordering::AcqRel);
        let guard = InFlight(self.in_flight.clone());
        let (says, events) = mpsc::channel(EVENT_BACKLOG);
        let task = tokio::spawn(async move {
            let _guard = guard;
            let over = matches!(reply.events.last(), Some(LlmEvent::Done | LlmEvent::Failed { .. }));
            let all = reply.events.into_iter().chain((!over).then_some(LlmEvent::Done));
            for (i, event) in all.enumerate() {
                tokio::time::sleep(if i == 0 { reply.ttft } else { reply.interval }).await;
                if says.send(event).await.is_err() {
                    return;
                }
            }
        });
        LlmStream { generation, events, task: Some(AbortOnDropHandle::new(task)) }
    }
}
