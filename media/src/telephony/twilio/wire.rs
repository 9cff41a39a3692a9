//! The JSON of Twilio's Media Streams: the one place that knows its keys.
//!
//! Everything is optional and borrowed from the text. Keys come in any order, unknown ones are skipped, and a number may be written as
//! a string or a string as a number, for the vendor's own pages do both.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::telephony::scalar::Scalar;

/// Any message in, with the part that its `event` names filled.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Message<'a> {
    #[serde(borrow)]
    pub(super) event: Scalar<'a>,
    #[serde(borrow, rename = "streamSid")]
    pub(super) stream_sid: Scalar<'a>,
    #[serde(borrow)]
    pub(super) start: Option<Start<'a>>,
    #[serde(borrow)]
    pub(super) media: Option<Media<'a>>,
    #[serde(borrow)]
    pub(super) dtmf: Option<Dtmf<'a>>,
    #[serde(borrow)]
    pub(super) mark: Option<Mark<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Start<'a> {
    #[serde(borrow)]
    pub(super) account_sid: Scalar<'a>,
    #[serde(borrow)]
    pub(super) stream_sid: Scalar<'a>,
    #[serde(borrow)]
    pub(super) call_sid: Scalar<'a>,
    #[serde(borrow)]
    pub(super) media_format: Option<MediaFormat<'a>>,
    #[serde(borrow)]
    pub(super) custom_parameters: Option<BTreeMap<String, Scalar<'a>>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct MediaFormat<'a> {
    #[serde(borrow)]
    pub(super) encoding: Scalar<'a>,
    #[serde(borrow)]
    pub(super) sample_rate: Scalar<'a>,
    #[serde(borrow)]
    pub(super) channels: Scalar<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Media<'a> {
    #[serde(borrow)]
    pub(super) track: Scalar<'a>,
    #[serde(borrow)]
    pub(super) timestamp: Scalar<'a>,
    #[serde(borrow)]
    pub(super) payload: Scalar<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Dtmf<'a> {
    #[serde(borrow)]
    pub(super) digit: Scalar<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Mark<'a> {
    #[serde(borrow)]
    pub(super) name: Scalar<'a>,
}
