//! What became of a call, and why there was none.

use std::{fmt::Display, io, path::Path, time::Duration};

use trunkline_sim::twilio::{
    CallReport, CallStatus,
    phone::{PhoneReport, StreamEnd},
    webhook::{WebhookKind, WebhookRecord},
};

use super::telling;
use crate::cli::console::Console;

/// Why there was no call.
#[derive(Debug, thiserror::Error)]
pub enum CallFailed {
    #[error("the carrier's side cannot be set up: {0}")]
    Carrier(io::Error),
    #[error("the number {0} cannot be called")]
    Number(String),
    #[error("the carrier's side ended before the call")]
    Abandoned,
    #[error("the server cannot be reached at {url}: {cause}")]
    Unreachable { url: String, cause: String },
    #[error(
        "the server answered {url} with 403: it does not believe the signature. Its TWILIO_AUTH_TOKEN and TWILIO_ACCOUNT_SID must be \
         those given here, and its PUBLIC_URL must be the address that is called"
    )]
    Forbidden { url: String },
    #[error("the server answered {url} with {status}: {body}")]
    Status { url: String, status: u16, body: String },
    #[error("the server's answer is no document that the carrier understands: {0}")]
    Document(String),
    #[error("the server does not take the call: it answered with a rejection ({0})")]
    Rejected(&'static str),
    #[error("the server's document opens no media stream")]
    NoStream,
    #[error(
        "the media stream was refused with 403: the server does not believe the signature, or did not expect the stream"
    )]
    StreamForbidden,
    #[error("the media stream could not be opened: {0}")]
    Stream(String),
    #[error("{path}: {cause}")]
    File { path: String, cause: String },
}

impl CallFailed {
    pub(super) fn file(path: &Path, cause: &dyn Display) -> Self {
        Self::File { path: path.display().to_string(), cause: cause.to_string() }
    }
}

/// The streams of a call that was rung; without one, why there is none.
pub(super) fn streams(report: CallReport) -> Result<Vec<PhoneReport>, CallFailed> {
    if !report.streams.is_empty() {
        return Ok(report.streams);
    }
    if let Some(voice) = report.webhooks.iter().find(|webhook| webhook.kind == WebhookKind::Voice) {
        answered(voice)?;
    }
    match report.status {
        CallStatus::Busy => Err(CallFailed::Rejected("busy")),
        CallStatus::NoAnswer => Err(CallFailed::Rejected("rejected")),
        _ => Err(report.errors.into_iter().next().map_or(CallFailed::NoStream, |error| {
            CallFailed::Document(format!("error {}, {}", error.code, error.detail))
        })),
    }
}

fn answered(voice: &WebhookRecord) -> Result<(), CallFailed> {
    /// As much of an answer as is worth showing.
    const SHOWN: usize = 200;
    let url = voice.url.clone();
    match &voice.answer {
        Err(error) => Err(CallFailed::Unreachable { url, cause: error.to_string() }),
        Ok(answer) if answer.status == 403 => Err(CallFailed::Forbidden { url }),
        Ok(answer) if !(200..300).contains(&answer.status) => {
            let body = answer.body.trim().chars().take(SHOWN).collect();
            Err(CallFailed::Status { url, status: answer.status, body })
        }
        Ok(_) => Ok(()),
    }
}

/// Why none of these streams began.
pub(super) fn no_stream(streams: &[PhoneReport]) -> CallFailed {
    match streams.last().map(|stream| &stream.ended) {
        Some(StreamEnd::NotOpened { status: Some(403), .. }) => CallFailed::StreamForbidden,
        Some(end) => CallFailed::Stream(telling::ended(end)),
        None => CallFailed::NoStream,
    }
}

/// Figures of one stream, in a line.
pub(super) fn summary(console: &Console, stream: &PhoneReport) {
    if stream.started.is_none() {
        return;
    }
    let heard = Duration::from_micros(125 * stream.playback.played);
    let mut line = format!(
        "The stream lasted {:.1} s. {:.1} s of audio were played, {} marks returned, {} clears.",
        stream.duration.as_secs_f64(),
        heard.as_secs_f64(),
        stream.marks.iter().filter(|mark| mark.returned_at.is_some()).count(),
        stream.playback.clears.len(),
    );
    if stream.invalid_count > 0 {
        line += &format!(" {} messages were not understood.", stream.invalid_count);
    }
    console.line(line);
}
