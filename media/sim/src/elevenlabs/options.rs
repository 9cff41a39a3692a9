//! What a socket's URL and headers ask for.

use std::{collections::BTreeMap, time::Duration};

use axum::http::HeaderMap;

use super::{
    Shared, account,
    config::AlignmentMode,
    error::{ApiError, Failure},
    format::Format,
    wire::bearer,
};

/// A socket's options.
#[derive(Debug, Clone)]
pub(super) struct Options {
    pub(super) format: Format,
    pub(super) auto_mode: bool,
    pub(super) sync_alignment: bool,
    /// Whether any alignment is sent.
    pub(super) aligned: bool,
    pub(super) inactivity: Duration,
    /// Whether the key came with the handshake; else the first message must bring it.
    pub(super) authorised: bool,
    /// What is wrong that the vendor says only on the open socket.
    pub(super) failure: Option<Failure>,
}

/// The longest inactivity timeout that may be asked for, and the one that is given otherwise.
const INACTIVITY: (u64, u64) = (180, 20);
/// The models that speak only on the dialogue sockets.
const DIALOGUE_ONLY: [&str; 3] = ["eleven_v3", "eleven_v4", "eleven_v4_turbo"];

impl Options {
    pub(super) fn parse(
        shared: &Shared,
        voice: &str,
        headers: &HeaderMap,
        query: &BTreeMap<String, String>,
    ) -> Result<Self, ApiError> {
        let authorised = match headers.get("xi-api-key").map(|value| value.to_str().unwrap_or_default()) {
            Some(key) => shared.check_key(Some(key)).map(|()| true)?,
            None => match query.get("authorization") {
                Some(value) => shared.check_key(Some(bearer(value))).map(|()| true)?,
                None => false,
            },
        };
        let seconds = match query.get("inactivity_timeout") {
            None => INACTIVITY.1,
            Some(text) => {
                text.parse().ok().filter(|seconds| (1..=INACTIVITY.0).contains(seconds)).ok_or_else(|| {
                    ApiError::invalid("inactivity_timeout", "inactivity_timeout must be a number of seconds up to 180.")
                })?
            }
        };
        Ok(Self {
            format: output_format(query)?,
            auto_mode: flag(query, "auto_mode")?,
            sync_alignment: flag(query, "sync_alignment")?,
            aligned: shared.config.alignment == AlignmentMode::Vendor,
            inactivity: Duration::from_secs(seconds),
            authorised,
            failure: failure(shared, voice, query.get("model_id").map(String::as_str)),
        })
    }
}

/// The format asked for. Without one, the vendor sends MP3, which the simulator can't stream.
pub(super) fn output_format(query: &BTreeMap<String, String>) -> Result<Format, ApiError> {
    format(query, Format::parse)
}

/// The format asked for of a whole file.
pub(super) fn file_format(query: &BTreeMap<String, String>) -> Result<Format, ApiError> {
    format(query, Format::of_file)
}

fn format(query: &BTreeMap<String, String>, parse: impl FnOnce(&str) -> Option<Format>) -> Result<Format, ApiError> {
    let name = query.get("output_format").map_or("mp3_44100_128", String::as_str);
    parse(name).ok_or_else(|| {
        ApiError::invalid("output_format", format!("The output format '{name}' is not supported by this simulator."))
    })
}

fn flag(query: &BTreeMap<String, String>, name: &'static str) -> Result<bool, ApiError> {
    match query.get(name).map(String::as_str) {
        None | Some("false" | "False" | "0") => Ok(false),
        Some("true" | "True" | "1") => Ok(true),
        Some(other) => Err(ApiError::invalid(name, format!("'{other}' is neither true nor false."))),
    }
}

fn failure(shared: &Shared, voice: &str, model: Option<&str>) -> Option<Failure> {
    if let Err(error) = shared.check_voice(voice) {
        return Some(error.into());
    }
    let model = model?;
    if DIALOGUE_ONLY.contains(&model) {
        let message = format!("The model '{model}' is not supported on this socket; use text to dialogue.");
        return Some(Failure::new("invalid_parameters", message));
    }
    account::check_model(model).err().map(Into::into)
}
