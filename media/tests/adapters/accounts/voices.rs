use std::time::Duration;

use serde_json::{Value, json};
use trunkline_base::{Personal, Secret};
use trunkline_media::{
    account::{AccountError, Unreachable},
    net::BaseUrl,
    tts::elevenlabs::voices::{MOST_VOICES, Utterance, VoiceList, speak, voices},
};
use trunkline_sim::{
    elevenlabs::{ElevenLabsConfig, ElevenLabsSim, VoiceEntry},
    fault::Fault,
};

use super::{here, http, is_inside, refusal, refuse, script};
use crate::responder::{Answer, Responder};

const KEY: &str = "sk_simulated";

async fn start(count: usize, faults: impl IntoIterator<Item = Fault>) -> ElevenLabsSim {
    let entry = |n| VoiceEntry::new(&format!("voice{n}"), &format!("Voice {n}"), "female");
    let config = ElevenLabsConfig {
        api_key: KEY.into(),
        voices: (0..count).map(entry).collect(),
        account_script: script(faults),
        ..ElevenLabsConfig::default()
    };
    ElevenLabsSim::start(here(), config, None).await.unwrap()
}

async fn list(url: &str, key: &str) -> Result<VoiceList, AccountError> {
    voices(&http(), &BaseUrl::operator(url), &Secret::new(key)).await
}

#[tokio::test]
async fn all_pages_are_read_and_no_more_than_there_is_room_for() {
    for (count, read, more) in
        [(0, 0, false), (3, 3, false), (250, 250, false), (1000, 1000, false), (1001, MOST_VOICES, true)]
    {
        let sim = start(count, []).await;
        let found = list(&sim.server().http_url(), KEY).await.unwrap();
        assert_eq!((found.voices.len(), found.more), (read, more), "{count}");
        let last = found.voices.last().map(|voice| voice.name.clone());
        assert_eq!(last, read.checked_sub(1).map(|n| format!("Voice {n}")));
    }
}

#[tokio::test]
async fn a_vendor_that_says_more_and_more_is_believed_only_while_more_comes() {
    let page = json!({ "voices": [{ "voice_id": "v1", "name": "One" }], "has_more": true, "next_page_token": "again" });
    let server = Responder::start([page.clone(), page].map(|page| Answer::status(200, page.to_string()))).await;
    let found = list(&server.url(), KEY).await.unwrap();
    assert_eq!((found.voices.len(), found.more), (1, true));
    let paths: Vec<String> = server.seen().into_iter().map(|seen| seen.path).collect();
    let first = "/v2/voices?page_size=100&include_total_count=false";
    assert_eq!(paths, [first.to_owned(), format!("{first}&next_page_token=again")]);
}

#[tokio::test]
async fn each_failure_of_the_list_has_its_kind() {
    let code = |code: &str| Fault::ErrorAfter(Duration::ZERO, code.into());
    let table = [
        (code("missing_permissions"), AccountError::NoPermission(refusal(401, "missing_permissions"))),
        (code("quota_exceeded"), AccountError::Quota(refusal(401, "quota_exceeded"))),
        (refuse(500), AccountError::Vendor(refusal(500, "internal_server_error"))),
        (refuse(404), AccountError::NotThatVendor { status: 404 }),
        (Fault::GarbageAfter(Duration::ZERO), AccountError::NotThatVendor { status: 200 }),
        (Fault::DropAfter(Duration::ZERO), AccountError::Unreachable(Unreachable::Lost)),
    ];
    let sim = start(3, table.iter().map(|(fault, _)| fault.clone())).await;
    let url = sim.server().http_url();
    for (fault, expected) in table {
        assert_eq!(list(&url, KEY).await, Err(expected), "{fault:?}");
    }
    assert_eq!(list(&url, "wrong").await, Err(AccountError::WrongKey(refusal(401, "invalid_api_key"))));
    let outcome = voices(&http(), &BaseUrl::user(&url), &Secret::new(KEY)).await;
    assert!(is_inside(&outcome.map(|_| ())));
}

async fn say(url: &str) -> Result<Vec<u8>, AccountError> {
    let text = Personal::new("Grüß Gott".to_owned());
    let utterance = Utterance { voice_id: "v1", text: &text, model: "eleven_flash_v2_5", language: Some("de-AT") };
    speak(&http(), &BaseUrl::operator(url), &Secret::new(KEY), &utterance).await
}

fn audio(body: &str) -> Answer {
    Answer::status(200, body).header("Content-Type", "audio/mpeg")
}

#[tokio::test]
async fn a_text_is_spoken_whole() {
    let server = Responder::start([audio("ID3 and so on")]).await;
    assert_eq!(say(&server.url()).await.unwrap(), b"ID3 and so on");
    let seen = &server.seen()[0];
    assert_eq!(
        (seen.method.as_str(), seen.path.as_str()),
        ("POST", "/v1/text-to-speech/v1?output_format=mp3_44100_128")
    );
    assert_eq!(seen.headers["xi-api-key"], KEY);
    let expected = json!({ "text": "Grüß Gott", "model_id": "eleven_flash_v2_5", "language_code": "de" });
    assert_eq!(serde_json::from_str::<Value>(&seen.body).unwrap(), expected);
}

#[tokio::test]
async fn what_is_no_speech_is_no_answer() {
    let detail = |code: &str| json!({ "detail": { "code": code, "status": code, "message": "no" } }).to_string();
    let table = [
        (
            Answer::status(200, "{}").header("Content-Type", "application/json"),
            AccountError::NotThatVendor { status: 200 },
        ),
        (
            Answer::status(200, "<html>").header("Content-Type", "text/html"),
            AccountError::NotThatVendor { status: 200 },
        ),
        (audio(&"x".repeat(5 << 20)), AccountError::NotThatVendor { status: 200 }),
        (
            Answer::status(404, detail("voice_not_found")),
            AccountError::NoVoiceOfThisId(refusal(404, "voice_not_found")),
        ),
        (
            Answer::status(400, detail("voice_not_found")),
            AccountError::NoVoiceOfThisId(refusal(400, "voice_not_found")),
        ),
        (Answer::status(400, detail("invalid_parameters")), AccountError::Request(refusal(400, "invalid_parameters"))),
        (
            Answer::status(422, json!({ "detail": [{ "loc": [], "msg": "m" }] }).to_string()),
            AccountError::Request(refusal(422, "")),
        ),
        (Answer::status(401, detail("quota_exceeded")), AccountError::Quota(refusal(401, "quota_exceeded"))),
        (Answer::status(404, "no"), AccountError::NotThatVendor { status: 404 }),
        (Answer::Drop, AccountError::Unreachable(Unreachable::Lost)),
    ];
    for (answer, expected) in table {
        let server = Responder::start([answer]).await;
        assert_eq!(say(&server.url()).await, Err(expected));
    }
}
