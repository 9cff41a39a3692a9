//! Deepgram on recordings: `POST /v1/listen` with the audio as its body and the result brought to a callback, later.
//! (Deepgram's API reference, "Pre-recorded audio" and "Callback".)

use std::{fmt, time::Duration};

use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE};
use serde::{Deserialize, Deserializer};
use trunkline_base::{Personal, Secret};
use url::Url;

use super::account::{code_of, token};
use crate::{
    account::{self, AccountError},
    net::{BaseUrl, Http},
};

/// The most utterances that are read of one recording: hours of quick talk have fewer.
const MOST: usize = 50_000;

/// A recording to be transcribed, each channel by itself.
#[derive(Debug, Clone)]
pub struct Recording {
    /// Nova's name; Flux hears nothing but live audio.
    pub model: String,
    /// BCP 47; `None`: the vendor's default.
    pub language: Option<String>,
    /// Whether numbers are left out.
    pub redact_numbers: bool,
    /// What the vendor's usage report shows.
    pub tag: String,
    /// Where the result is brought. It holds the credentials of this one request, so it goes to the vendor and nowhere else.
    pub callback: Secret,
    /// The length of the file, in bytes.
    pub length: u64,
}

/// Has a WAV file transcribed. When this returns, the vendor has all of it; the result comes to the callback.
///
/// # Errors
/// As a probe of the account: they quote neither the key nor the callback.
pub async fn transcribe(
    http: &Http,
    base_url: &BaseUrl,
    api_key: &Secret,
    recording: &Recording,
    body: reqwest::Body,
    limit: Duration,
) -> Result<(), AccountError> {
    account::within(limit, async {
        let url = listen_url(http, base_url, recording)?;
        let request = http.direct().post(url).header(reqwest::header::AUTHORIZATION, token(api_key)?);
        let request = request.header(CONTENT_TYPE, "audio/wav").header(CONTENT_LENGTH, recording.length).body(body);
        let answer = account::ask(http, base_url.trust(), request).await?;
        let accepted = answer.success(code_of)?;
        if accepted.get("request_id").is_some_and(serde_json::Value::is_string) {
            return Ok(());
        }
        Err(answer.not_that_vendor())
    })
    .await
}

fn listen_url(http: &Http, base_url: &BaseUrl, recording: &Recording) -> Result<Url, AccountError> {
    let mut url = account::resource(http, base_url, &["v1", "listen"])?;
    let mut query = url.query_pairs_mut();
    query.append_pair("model", &recording.model).append_pair("multichannel", "true");
    query.append_pair("utterances", "true").append_pair("punctuate", "true");
    if let Some(language) = &recording.language {
        query.append_pair("language", language);
    }
    if recording.redact_numbers {
        query.append_pair("redact", "numbers");
    }
    query.append_pair("tag", &recording.tag).append_pair("callback", recording.callback.expose());
    drop(query);
    Ok(url)
}

/// A stretch of speech in one channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Utterance {
    /// Which: 0 is the left one.
    pub channel: u32,
    /// When it began.
    pub start: Duration,
    /// When it ended.
    pub end: Duration,
    /// How sure the vendor is, from 0 to 1.
    pub confidence: f64,
    /// What was said.
    pub text: Personal<String>,
}

/// What was brought is no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoResult;

impl fmt::Display for NoResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a transcription's result")
    }
}

impl std::error::Error for NoResult {}

/// Reads what was brought to a callback: what was said, ordered by when it began. `None`: the vendor says that it could not do it.
///
/// Reading is tolerant, as for live results: what is missing or of the wrong kind is as good as nothing, and only what is neither a result
/// nor the vendor's error is refused.
///
/// # Errors
/// [`NoResult`].
pub fn read_result(body: &[u8]) -> Result<Option<Vec<Utterance>>, NoResult> {
    let body: Body = serde_json::from_slice(body).map_err(|_| NoResult)?;
    let Some(results) = body.results else {
        return if body.err_code.is_some() || body.category.is_some() { Ok(None) } else { Err(NoResult) };
    };
    let channels = results.channels;
    let whole = channels.into_iter().enumerate().filter_map(|(channel, heard)| {
        let best = heard.alternatives.into_iter().next()?;
        let (first, last) =
            (best.words.first().map_or(0.0, |word| word.start), best.words.last().map_or(0.0, |word| word.end));
        Some(Said {
            start: first,
            end: last,
            confidence: best.confidence,
            channel: channel as u32,
            transcript: best.transcript,
        })
    });
    // Without utterances, what a channel has is one.
    let said = if results.utterances.is_empty() { whole.collect() } else { results.utterances };
    let seconds = |seconds: f64| Duration::try_from_secs_f64(seconds).unwrap_or_default();
    let mut utterances: Vec<Utterance> = said
        .into_iter()
        .filter(|said| !said.transcript.trim().is_empty())
        .take(MOST)
        .map(|said| Utterance {
            channel: said.channel,
            start: seconds(said.start),
            end: seconds(said.end).max(seconds(said.start)),
            confidence: if said.confidence.is_finite() { said.confidence.clamp(0.0, 1.0) } else { 0.0 },
            text: Personal::new(said.transcript),
        })
        .collect();
    utterances.sort_by_key(|utterance| (utterance.start, utterance.channel));
    Ok(Some(utterances))
}

#[derive(Deserialize)]
struct Body {
    results: Option<Results>,
    err_code: Option<serde_json::Value>,
    category: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Results {
    #[serde(default, deserialize_with = "or_default")]
    channels: Vec<Channel>,
    #[serde(default, deserialize_with = "or_default")]
    utterances: Vec<Said>,
}

#[derive(Deserialize)]
struct Channel {
    #[serde(default, deserialize_with = "or_default")]
    alternatives: Vec<Alternative>,
}

#[derive(Deserialize)]
struct Alternative {
    #[serde(default, deserialize_with = "or_default")]
    transcript: String,
    #[serde(default, deserialize_with = "or_default")]
    confidence: f64,
    #[serde(default, deserialize_with = "or_default")]
    words: Vec<Word>,
}

#[derive(Deserialize)]
struct Word {
    #[serde(default, deserialize_with = "or_default")]
    start: f64,
    #[serde(default, deserialize_with = "or_default")]
    end: f64,
}

#[derive(Deserialize)]
struct Said {
    #[serde(default, deserialize_with = "or_default")]
    start: f64,
    #[serde(default, deserialize_with = "or_default")]
    end: f64,
    #[serde(default, deserialize_with = "or_default")]
    confidence: f64,
    #[serde(default, deserialize_with = "or_default")]
    channel: u32,
    #[serde(default, deserialize_with = "or_default")]
    transcript: String,
}

fn or_default<'de, T: Default + Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(body: serde_json::Value) -> Result<Option<Vec<Utterance>>, NoResult> {
        read_result(body.to_string().as_bytes())
    }

    #[test]
    fn what_was_said_is_ordered_by_when_it_began() {
        let said = |channel: u32, start: f64, text: &str| json!({ "start": start, "end": start + 1.5, "confidence": 0.9, "channel": channel, "transcript": text, "words": [], "id": "x" });
        let body = json!({
            "metadata": { "request_id": "r", "channels": 2 },
            "results": { "channels": [], "utterances": [said(0, 4.0, "Go on."), said(0, 9.0, " "), said(1, 0.25, "Hello.")] },
        });
        let utterances = read(body).unwrap().unwrap();
        let shown: Vec<_> = utterances
            .iter()
            .map(|it| (it.channel, it.start.as_millis(), it.end.as_millis(), it.text.expose().as_str()))
            .collect();
        assert_eq!(shown, [(1, 250, 1750, "Hello."), (0, 4000, 5500, "Go on.")]);
        assert!(!format!("{utterances:?}").contains("Hello"));
    }

    #[test]
    fn a_channel_without_utterances_is_one() {
        let words = json!([{ "word": "go", "start": 1.0, "end": 1.2 }, { "word": "on", "start": 1.3, "end": 1.6 }]);
        let body = json!({ "results": { "channels": [
            { "alternatives": [{ "transcript": "go on", "confidence": 2.5, "words": words }] },
            { "alternatives": [{ "transcript": "", "confidence": null, "words": null }] },
            { "alternatives": [] },
        ], "utterances": null } });
        let [one]: [Utterance; 1] = read(body).unwrap().unwrap().try_into().unwrap();
        assert_eq!((one.channel, one.start.as_millis(), one.end.as_millis(), one.confidence), (0, 1000, 1600, 1.0));
    }

    #[test]
    fn what_is_neither_a_result_nor_an_error_is_refused() {
        assert_eq!(read(json!({ "err_code": "Bad Request", "err_msg": "no audio" })), Ok(None));
        assert_eq!(read(json!({ "results": {} })), Ok(Some(Vec::new())));
        for wrong in
            [json!({}), json!([]), json!("x"), json!({ "results": 7 }), json!({ "results": { "utterances": [1] } })]
        {
            assert_eq!(read(wrong.clone()), Err(NoResult), "{wrong}");
        }
        let odd = json!({ "results": { "utterances": [{ "start": -1.0, "end": 1e300, "transcript": "x" }] } });
        assert_eq!(read(odd).unwrap().unwrap()[0].start, Duration::ZERO);
    }
}
