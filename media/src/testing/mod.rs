//! Scripted fakes of everything that a call talks to, for tests on virtual time: no socket, no vendor, no thread.
//!
//! A fake only ever does what its script says, and says what was asked of it. They are one of two levels of simulation; the other is
//! the vendors' simulators, which speak wire formats to the real drivers.

mod carrier;
mod llm;
mod socket;
mod stt;
mod tts;

pub use self::{
    carrier::{FakeCarrier, FakeTransfer},
    llm::{FakeLlm, FakeReply},
    socket::{FakeSocket, SocketEnd, pair},
    stt::FakeStt,
    tts::{FakeTts, FakeTtsScript},
};
use crate::{call::BoxFuture, event::ToolOutcome, llm::ToolCall, tools::ToolRunner};

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// Tools that answer after a while, and remember which were started and which came to their end.
#[derive(Debug, Clone, Default)]
pub struct FakeTools {
    answers: BTreeMap<String, (Duration, ToolOutcome)>,
    log: Arc<Mutex<Vec<String>>>,
}

impl FakeTools {
    /// A tool that answers so after so long.
    #[must_use]
    pub fn with(mut self, name: &str, after: Duration, outcome: ToolOutcome) -> Self {
        self.answers.insert(name.to_owned(), (after, outcome));
        self
    }

    /// `started <name>` and `finished <name>`, in order.
    pub fn log(&self) -> Vec<String> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ToolRunner for FakeTools {
    fn run(&self, call: ToolCall) -> BoxFuture<'static, ToolOutcome> {
        let log = self.log.clone();
        let note = move |what: &str, name: &str| {
            log.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{what} {name}"));
        };
        note("started", &call.name);
        let answer = self.answers.get(&call.name).cloned();
        Box::pin(async move {
            let Some((after, outcome)) = answer else { return ToolOutcome::Error("no such tool".into()) };
            tokio::time::sleep(after).await;
            note("finished", &call.name);
            outcome
        })
    }
}
