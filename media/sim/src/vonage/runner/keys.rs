//! What Vonage's own voice says, and keys that are waited for.

use std::time::Duration;

use serde_json::json;
use tokio::time::sleep;

use super::{
    Next, Runner,
    people::{Company, Waited},
};
use crate::vonage::{
    ncco::{Input, Talk},
    webhook::{Webhook, WebhookKind},
};

/// How long a character takes to be said.
const CHARACTER: Duration = Duration::from_millis(60);

impl Runner {
    pub(super) async fn talk(&mut self, talk: Talk) -> Result<(), Next> {
        let lasts = CHARACTER * talk.text.chars().count() as u32;
        self.report.said.push(talk.text);
        let company = if talk.barge_in { Company::keys() } else { Company::none() };
        if let Waited::Pressed(key) = self.wait(company, sleep(lasts)).await? {
            self.pressed.push(key);
        }
        Ok(())
    }

    /// Waits for keys, tells them, and does what that is answered with.
    pub(super) async fn input(&mut self, input: Input) -> Result<(), Next> {
        let mut keys = std::mem::take(&mut self.pressed);
        while keys.len() < input.most {
            match self.wait(Company::keys(), sleep(Duration::from_secs(input.seconds))).await? {
                Waited::Pressed(key) => keys.push(key),
                Waited::Over(()) | Waited::Left | Waited::Ended => break,
            }
        }
        let address = input.event_url.map(|url| (url, input.post)).or_else(|| self.plan.events.clone());
        let Some((url, post)) = address else { return Ok(()) };
        let mut fields = self.plan.leg.event_named("input");
        fields.remove("status");
        fields.remove("direction");
        fields.insert("dtmf".into(), json!({"digits": keys, "timed_out": keys.len() < input.most}));
        let answer = self.events.ask(Webhook::new(WebhookKind::Event, (&url, post), fields)).await;
        self.reply(answer).map_or(Ok(()), Err)
    }
}
