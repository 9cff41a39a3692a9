//! A call's recording by the vendor: asked for with the call or while it is on, and told when it is there.

use std::{
    collections::HashMap,
    io::Cursor,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use uuid::Uuid;

use super::state::CallState;
use crate::{
    audio::{TELEPHONE_RATE, mulaw_decode},
    dates,
    twilio::{
        phone::PhoneReport,
        playback::SILENCE,
        signature::Form,
        twiml::Method,
        webhook::{Webhook, WebhookKind},
    },
};

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Recorder {
    /// `RE…`
    pub(crate) sid: String,
    /// `OutboundAPI` or `StartCallRecordingAPI`.
    pub(crate) source: &'static str,
    /// Each side its own channel.
    pub(crate) dual: bool,
    /// Where it is told.
    pub(crate) callback: Option<String>,
    /// What of it is told: `in-progress`, `completed`, `absent`.
    pub(crate) events: Vec<String>,
    pub(crate) began: SystemTime,
}

impl Recorder {
    /// What a request's fields ask for.
    pub(crate) fn new<'a>(source: &'static str, field: impl Fn(&str) -> Option<&'a str>) -> Self {
        let events = field("RecordingStatusCallbackEvent").unwrap_or("completed");
        Self {
            sid: format!("RE{}", Uuid::new_v4().simple()),
            source,
            dual: field("RecordingChannels") == Some("dual"),
            callback: field("RecordingStatusCallback").map(str::to_owned),
            events: events.split(' ').map(str::to_owned).collect(),
            began: SystemTime::now(),
        }
    }

    /// What tells of it, if that is wanted. `url` is where it can be had.
    pub(crate) fn callback(&self, state: &CallState, url: &str, status: &str, duration: Duration) -> Option<Webhook> {
        let to = self.callback.clone().filter(|_| self.events.iter().any(|event| event == status))?;
        let url = format!("{url}/2010-04-01/Accounts/{}/Recordings/{}", state.account_sid, self.sid);
        let fields: Form = [
            ("AccountSid", state.account_sid.clone()),
            ("CallSid", state.sid.clone()),
            ("RecordingSid", self.sid.clone()),
            ("RecordingUrl", url),
            ("RecordingStatus", status.to_owned()),
            ("RecordingDuration", duration.as_secs_f64().round().to_string()),
            ("RecordingChannels", if self.dual { "2" } else { "1" }.to_owned()),
            ("RecordingStartTime", dates::rfc2822(self.began)),
            ("RecordingSource", self.source.to_owned()),
            ("RecordingTrack", "both".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        Some(Webhook { kind: WebhookKind::Recording, method: Method::Post, url: to, fields })
    }
}

/// Recordings that can be had: WAV files by the account and the recording's SID. Cloning shares them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Recordings(Arc<Mutex<Kept>>);

/// What was recorded, by account and recording.
type Kept = HashMap<(String, String), Vec<u8>>;

impl Recordings {
    pub(crate) fn get(&self, account: &str, sid: &str) -> Option<Vec<u8>> {
        let recordings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        recordings.get(&(account.to_owned(), sid.to_owned())).cloned()
    }

    /// Deletes one; false if there was none.
    pub(crate) fn delete(&self, account: &str, sid: &str) -> bool {
        let mut recordings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        recordings.remove(&(account.to_owned(), sid.to_owned())).is_some()
    }

    pub(crate) fn put(&self, account: &str, sid: &str, wav: Vec<u8>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert((account.to_owned(), sid.to_owned()), wav);
    }
}

/// What was recorded of these streams: the caller, and the agent as the caller heard it.
pub(crate) fn wav(streams: &[PhoneReport], dual: bool) -> Vec<u8> {
    let spec = hound::WavSpec {
        channels: if dual { 2 } else { 1 },
        sample_rate: TELEPHONE_RATE,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut file = Cursor::new(Vec::new());
    let mut write = || -> hound::Result<()> {
        let mut writer = hound::WavWriter::new(&mut file, spec)?;
        let at = |bytes: &[u8], index: usize| mulaw_decode(bytes.get(index).copied().unwrap_or(SILENCE));
        for stream in streams {
            for index in 0..stream.said.len().max(stream.playback.heard.len()) {
                let (said, heard) = (at(&stream.said, index), at(&stream.playback.heard, index));
                if dual {
                    writer.write_sample(said)?;
                    writer.write_sample(heard)?;
                } else {
                    writer.write_sample(said.saturating_add(heard))?;
                }
            }
        }
        writer.finalize()
    };
    write().expect("writing to memory does not fail");
    file.into_inner()
}
