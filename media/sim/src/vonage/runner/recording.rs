//! A call's recording by the vendor: asked for by an action, and told of when it is there.

use std::time::SystemTime;

use serde_json::{Map, Value};
use uuid::Uuid;

use super::Runner;
use crate::{dates::iso8601, twilio::call::wav};

/// A recording that is being made.
pub(super) struct Recorder {
    event_url: Option<String>,
    began: SystemTime,
}

impl Runner {
    pub(super) fn record(&mut self, event_url: Option<String>) {
        self.recorders.push(Recorder { event_url, began: SystemTime::now() });
    }

    /// Keeps and tells what was recorded, once the call is over. It is told of a conversation, and not of a leg.
    pub(super) fn tell_recordings(&mut self) {
        for Recorder { event_url, began } in std::mem::take(&mut self.recorders) {
            let (leg, file) = (self.plan.leg.clone(), Uuid::new_v4().to_string());
            let wav = wav(&self.report.streams, true);
            let fields = Map::from_iter([
                ("start_time".to_owned(), iso8601(began).into()),
                ("end_time".to_owned(), iso8601(SystemTime::now()).into()),
                (
                    "recording_url".to_owned(),
                    format!("{}/v1/files/{file}", self.plan.shared.region_url(leg.region)).into(),
                ),
                ("size".to_owned(), wav.len().into()),
                ("recording_uuid".to_owned(), Value::from(Uuid::new_v4().to_string())),
                ("conversation_uuid".to_owned(), leg.conversation_uuid().into()),
                ("timestamp".to_owned(), iso8601(SystemTime::now()).into()),
            ]);
            self.plan.shared.recordings.put(&leg.application_id, &file, wav);
            let address = event_url.map(|url| (url, true)).or_else(|| self.plan.events.clone());
            self.tell_fields(address, fields);
        }
    }
}
