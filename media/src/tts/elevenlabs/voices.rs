//! The account's voices, and a text in one of them as a file: what choosing a voice needs. Calls speak over sockets, in `driver.rs`.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Map, Value, json};
use trunkline_base::{Personal, Secret};

use super::account::{about_key, code_of, sensitive};
use crate::{
    account::{self, AccountError, Answer},
    net::{BaseUrl, Http},
};

/// How many voices are read: ten times what the vendor gives at once.
pub const MOST_VOICES: usize = 1000;
/// How many the vendor gives at once.
const PAGE: &str = "100";
/// How much of a page is read.
const MAX_PAGE: usize = 4 * 1024 * 1024;
/// How long a text may take to be spoken.
pub const SPEAK_LIMIT: Duration = Duration::from_secs(20);
/// How much audio is read: more than four minutes.
const MAX_AUDIO: usize = 4 * 1024 * 1024;
/// 128 kbit/s is what the vendor's own previews have.
const FORMAT: &str = "mp3_44100_128";

/// The voices of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VoiceList {
    /// In the vendor's order, each once.
    pub voices: Vec<ListedVoice>,
    /// Whether there are more.
    pub more: bool,
}

/// A voice as the vendor describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedVoice {
    /// Its id.
    pub voice_id: String,
    /// Its name.
    pub name: String,
    /// Such as `premade`.
    pub category: Option<String>,
    /// What it is good for.
    pub description: Option<String>,
    /// What it is known to speak, as ISO 639-1.
    pub languages: Vec<String>,
    /// A sample, over https.
    pub preview_url: Option<String>,
    /// Such as gender, accent and age.
    pub labels: BTreeMap<String, String>,
}

/// What to say, and how.
#[derive(Debug, Clone)]
pub struct Utterance<'a> {
    /// In which voice.
    pub voice_id: &'a str,
    /// The words.
    pub text: &'a Personal<String>,
    /// The model.
    pub model: &'a str,
    /// A BCP 47 tag; the model finds out what is not said.
    pub language: Option<&'a str>,
}

/// Reads the list, page by page.
pub async fn voices(http: &Http, base_url: &BaseUrl, api_key: &Secret) -> Result<VoiceList, AccountError> {
    account::limited(async {
        let mut list = VoiceList { voices: Vec::new(), more: false };
        let mut next: Option<String> = None;
        loop {
            let mut url = account::resource(http, base_url, &["v2", "voices"])?;
            url.query_pairs_mut().append_pair("page_size", PAGE).append_pair("include_total_count", "false");
            if let Some(token) = &next {
                url.query_pairs_mut().append_pair("next_page_token", token);
            }
            let request = http.direct().get(url).header("xi-api-key", sensitive(api_key)?);
            let answer = account::ask_for(http, base_url.trust(), request, MAX_PAGE).await?;
            let page = success(&answer)?;
            let found = page.get("voices").and_then(Value::as_array).ok_or_else(|| answer.not_that_vendor())?;
            let known = list.voices.len();
            for voice in found.iter().filter_map(read) {
                if list.voices.iter().all(|listed| listed.voice_id != voice.voice_id) {
                    list.voices.push(voice);
                }
            }
            list.more = page.get("has_more").and_then(Value::as_bool).unwrap_or(false);
            let token = account::text(&page, "next_page_token").filter(|token| !token.is_empty());
            // A page that brings nothing new would go on for ever.
            if !list.more || list.voices.len() == known || list.voices.len() >= MOST_VOICES || token.is_none() {
                list.more |= list.voices.len() > MOST_VOICES;
                list.voices.truncate(MOST_VOICES);
                return Ok(list);
            }
            next = token;
        }
    })
    .await
}

/// Has a text spoken, as MP3.
pub async fn speak(
    http: &Http,
    base_url: &BaseUrl,
    api_key: &Secret,
    utterance: &Utterance<'_>,
) -> Result<Vec<u8>, AccountError> {
    account::within(SPEAK_LIMIT, async {
        let mut url = account::resource(http, base_url, &["v1", "text-to-speech", utterance.voice_id])?;
        url.query_pairs_mut().append_pair("output_format", FORMAT);
        let request = http.direct().post(url).header("xi-api-key", sensitive(api_key)?).json(&body(utterance));
        let answer = account::ask_for(http, base_url.trust(), request, MAX_AUDIO).await?;
        match answer.status {
            200..=299 if matches!(answer.content_type.as_str(), "audio/mpeg" | "audio/mp3") => Ok(answer.into_body()),
            200..=299 => Err(answer.not_that_vendor()),
            _ => Err(refused(&answer)),
        }
    })
    .await
}

fn body(utterance: &Utterance<'_>) -> Value {
    let mut body = json!({ "text": utterance.text.expose(), "model_id": utterance.model });
    // The multilingual models find the language themselves and take no code for it.
    let takes_language = !utterance.model.starts_with("eleven_multilingual");
    if let Some(language) = utterance.language.and_then(|tag| tag.split('-').next()).filter(|_| takes_language) {
        body["language_code"] = language.to_lowercase().into();
    }
    body
}

fn success(answer: &Answer) -> Result<Value, AccountError> {
    answer.success(code_of).map_err(|error| match error {
        AccountError::WrongKey(refusal) => about_key(refusal),
        other => other,
    })
}

/// Why a text is not spoken.
fn refused(answer: &Answer) -> AccountError {
    let refusal = answer.refusal(code_of);
    match success(answer).err() {
        Some(AccountError::NotThatVendor { .. } | AccountError::Vendor(_))
            if refusal.code.as_deref() == Some("voice_not_found") =>
        {
            AccountError::NoVoiceOfThisId(refusal)
        }
        Some(AccountError::Vendor(refusal)) if matches!(refusal.status, 400 | 422) => AccountError::Request(refusal),
        Some(other) => other,
        None => answer.not_that_vendor(),
    }
}

/// One without an id is none.
fn read(voice: &Value) -> Option<ListedVoice> {
    let text = |name: &str| account::text(voice, name).filter(|text| !text.is_empty());
    let voice_id = text("voice_id")?;
    let labels: BTreeMap<String, String> =
        voice.get("labels").and_then(Value::as_object).map(labels).unwrap_or_default();
    let verified = voice.get("verified_languages").and_then(Value::as_array).into_iter().flatten();
    let mut languages: Vec<String> = Vec::new();
    for language in
        verified.filter_map(|verified| account::text(verified, "language")).chain(labels.get("language").cloned())
    {
        if !language.is_empty() && !languages.contains(&language) {
            languages.push(language);
        }
    }
    Some(ListedVoice {
        name: text("name").unwrap_or_else(|| voice_id.clone()),
        voice_id,
        category: text("category"),
        description: text("description"),
        languages,
        // It is shown to people, whose browsers go there.
        preview_url: text("preview_url").filter(|url| url.starts_with("https://")),
        labels,
    })
}

fn labels(labels: &Map<String, Value>) -> BTreeMap<String, String> {
    labels.iter().filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_voice_is_read_with_whatever_of_it_is_there() {
        let whole = json!({
            "voice_id": "v1", "name": "Rachel", "category": "premade", "description": "Calm", "settings": null,
            "preview_url": "https://storage.example.com/v1.mp3", "labels": { "gender": "female", "language": "en", "age": 3 },
            "verified_languages": [{ "language": "en", "locale": "en-US" }, { "language": "de" }, { "model_id": "x" }],
        });
        let expected = ListedVoice {
            voice_id: "v1".into(),
            name: "Rachel".into(),
            category: Some("premade".into()),
            description: Some("Calm".into()),
            languages: vec!["en".into(), "de".into()],
            preview_url: Some("https://storage.example.com/v1.mp3".into()),
            labels: [("gender", "female"), ("language", "en")].map(|(name, value)| (name.into(), value.into())).into(),
        };
        assert_eq!(read(&whole), Some(expected));
        let bare = read(&json!({ "voice_id": "v2", "labels": null, "preview_url": "javascript:alert(1)" })).unwrap();
        assert_eq!((bare.name.as_str(), bare.preview_url, bare.languages.len()), ("v2", None, 0));
        for none in [json!({}), json!({ "voice_id": "" }), json!({ "voice_id": 7 }), json!("v1"), json!(null)] {
            assert_eq!(read(&none), None, "{none}");
        }
    }

    #[test]
    fn a_language_goes_to_models_that_take_one() {
        let text = Personal::new("Servus".to_owned());
        let of = |model, language| body(&Utterance { voice_id: "v1", text: &text, model, language });
        let expected = json!({ "text": "Servus", "model_id": "eleven_flash_v2_5", "language_code": "de" });
        assert_eq!(of("eleven_flash_v2_5", Some("de-AT")), expected);
        assert_eq!(of("eleven_flash_v2_5", None).get("language_code"), None);
        assert_eq!(of("eleven_multilingual_v2", Some("de")).get("language_code"), None);
    }
}
