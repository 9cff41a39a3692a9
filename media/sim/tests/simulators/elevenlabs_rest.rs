//! Speech over HTTP, and the account's lists with their pages.

use std::time::Duration;

use crate::elevenlabs_common::{KEY, LIMIT, VOICE, config, disconnected, start, with_fault};
use base64::{Engine, engine::general_purpose::STANDARD};
use futures_util::StreamExt;
use reqwest::{Client, Response};
use serde_json::{Value, json};
use trunkline_sim::{
    audio::mulaw_decode,
    elevenlabs::{ElevenLabsConfig, ElevenLabsSim, VoiceEntry},
    fault::{Fault, Script},
    voice::CodedVoice,
};

fn client() -> Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().timeout(LIMIT).build().unwrap()
}

async fn speak(sim: &ElevenLabsSim, path: &str, body: &Value) -> Response {
    let url = format!("{}/v1/text-to-speech/{path}", sim.server().http_url());
    client().post(url).header("xi-api-key", KEY).json(body).send().await.unwrap()
}

async fn get(sim: &ElevenLabsSim, path: &str) -> Value {
    let response =
        client().get(format!("{}{path}", sim.server().http_url())).header("xi-api-key", KEY).send().await.unwrap();
    assert_eq!(response.status(), 200, "{path}");
    response.json().await.unwrap()
}

fn read(bytes: &[u8]) -> String {
    CodedVoice::default().read(&bytes.iter().copied().map(mulaw_decode).collect::<Vec<_>>(), 8_000)
}

#[tokio::test]
async fn text_is_spoken_whole_and_in_chunks() {
    let sim = start(config()).await;
    let body = json!({"text": "Over plain HTTP.", "model_id": "eleven_flash_v2_5"});
    for path in ["", "/stream"] {
        let response = speak(&sim, &format!("{VOICE}{path}?output_format=ulaw_8000"), &body).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "audio/basic");
        assert!(
            response.headers().contains_key("request-id")
                && response.headers().contains_key("current-concurrent-requests")
        );
        let bytes = response.bytes().await.unwrap();
        assert_eq!((bytes.len(), read(&bytes).as_str()), (16 * 400, "over plain http."));
    }
    disconnected(&sim).await;
}

#[tokio::test]
async fn timestamps_come_line_by_line() {
    let sim = start(config()).await;
    let body = json!({"text": "Timed.", "model_id": "eleven_flash_v2_5"});
    let text = speak(&sim, &format!("{VOICE}/stream/with-timestamps?output_format=ulaw_8000"), &body)
        .await
        .text()
        .await
        .unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 3);
    let bytes: Vec<u8> =
        lines.iter().flat_map(|line| STANDARD.decode(line["audio_base64"].as_str().unwrap()).unwrap()).collect();
    assert_eq!(read(&bytes), "timed.");
    let expected = json!({
        "characters": ["m", "e"],
        "character_start_times_seconds": [0.0, 0.05],
        "character_end_times_seconds": [0.05, 0.1],
    });
    assert_eq!((&lines[1]["alignment"], &lines[1]["normalized_alignment"]), (&expected, &expected));
    let whole: Value =
        speak(&sim, &format!("{VOICE}/with-timestamps?output_format=ulaw_8000"), &body).await.json().await.unwrap();
    assert_eq!(whole["alignment"]["characters"].as_array().unwrap().len(), 6);
}

/// Frames of the right size, one behind the other, as many as the speech is long.
#[tokio::test]
async fn a_whole_file_may_be_mp3() {
    let sim = start(config()).await;
    let body = json!({"text": "twenty characters...", "model_id": "eleven_flash_v2_5"});
    for (query, size) in [("", 417), ("?output_format=mp3_44100_64", 208)] {
        let response = speak(&sim, &format!("{VOICE}{query}"), &body).await;
        assert_eq!(
            (response.status().as_u16(), &response.headers()["content-type"]),
            (200, &"audio/mpeg".parse().unwrap())
        );
        let bytes = response.bytes().await.unwrap();
        assert_eq!(bytes.len() % size, 0);
        assert!(bytes.chunks(size).all(|frame| frame[..2] == [0xff, 0xfb] && frame[4..].iter().all(|byte| *byte == 0)));
        // A character is 50 ms.
        assert_eq!(bytes.len() / size, (20 * 44_100 / 20usize).div_ceil(1152));
    }
}

#[tokio::test]
async fn errors_have_the_vendors_bodies() {
    let sim = start(config()).await;
    let good = json!({"text": "x"});
    let long = json!({"text": "x".repeat(10_001), "model_id": "eleven_multilingual_v2"});
    let cases = [
        (format!("{VOICE}/stream?output_format=mp3_44100_128"), &good, 400, "invalid_parameters"),
        (format!("{VOICE}?output_format=opus_48000_64"), &good, 400, "invalid_parameters"),
        ("nobody?output_format=ulaw_8000".into(), &good, 404, "voice_not_found"),
        (format!("{VOICE}/stream?output_format=ulaw_8000"), &long, 400, "max_character_limit_exceeded"),
    ];
    for (path, body, status, code) in cases {
        let response = speak(&sim, &path, body).await;
        assert_eq!(response.status().as_u16(), status);
        let body: Value = response.json().await.unwrap();
        assert_eq!((&body["detail"]["code"], &body["detail"]["status"]), (&code.into(), &code.into()));
    }
    let response =
        speak(&sim, &format!("{VOICE}?output_format=ulaw_8000"), &json!({"model_id": "eleven_flash_v2_5"})).await;
    assert_eq!(response.status(), 422);
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["detail"][0], json!({"loc": ["body", "text"], "msg": "Field required", "type": "missing"}));
    let url = format!("{}/v1/user", sim.server().http_url());
    for (key, code) in [(Some("wrong"), "invalid_api_key"), (None, "needs_authorization")] {
        let request = client().get(&url);
        let request = if let Some(key) = key { request.header("xi-api-key", key) } else { request };
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 401);
        assert_eq!(response.json::<Value>().await.unwrap()["detail"]["code"], code);
    }
}

#[tokio::test]
async fn faults_strike_http_too() {
    let sim = start(with_fault(Fault::DropAfter(Duration::from_millis(200)))).await;
    let path = format!("{VOICE}/stream?output_format=ulaw_8000");
    let body = json!({"text": "This is cut in the middle.", "model_id": "eleven_flash_v2_5"});
    let mut stream = speak(&sim, &path, &body).await.bytes_stream();
    let (mut bytes, mut cut) = (0, false);
    while let Some(next) = stream.next().await {
        match next {
            Ok(chunk) => bytes += chunk.len(),
            Err(_) => cut = true,
        }
    }
    assert_eq!((bytes, cut), (2 * 800, true));

    let refused = Script::new([Some(Fault::Refuse { status: 429, retry_after: None })]);
    let sim = start(ElevenLabsConfig { script: refused.clone(), account_script: refused, ..config() }).await;
    // The two scripts share their faults here: the account takes the only one.
    let url = format!("{}/v1/models", sim.server().http_url());
    assert_eq!(client().get(url).header("xi-api-key", KEY).send().await.unwrap().status(), 429);
    assert_eq!(speak(&sim, &path, &body).await.status(), 200);
}

#[tokio::test]
async fn the_account_has_its_lists() {
    let sim = start(config()).await;
    assert!(
        get(&sim, "/v1/models").await.as_array().unwrap().iter().any(|model| model["model_id"] == "eleven_flash_v2_5")
    );
    assert_eq!(get(&sim, "/v1/voices").await["voices"].as_array().unwrap().len(), 3);
    assert_eq!(get(&sim, &format!("/v1/voices/{VOICE}")).await["name"], "Rachel");
    let plan = get(&sim, "/v1/user/subscription").await;
    assert_eq!(plan["status"], "active");
    assert_eq!(get(&sim, "/v1/user").await["subscription"], plan);
}

#[tokio::test]
async fn voices_come_in_pages() {
    let voices: Vec<VoiceEntry> = (0..25)
        .map(|number| VoiceEntry::new(&format!("v{number:02}"), &format!("Voice {number:02}"), "male"))
        .collect();
    let sim = start(ElevenLabsConfig { voices, ..config() }).await;
    let mut names = Vec::new();
    let mut token = String::new();
    loop {
        let page = get(&sim, &format!("/v2/voices?sort=name&sort_direction=desc{token}")).await;
        assert_eq!(page["total_count"], 25);
        names.extend(page["voices"].as_array().unwrap().iter().map(|voice| voice["name"].as_str().unwrap().to_owned()));
        if page["has_more"] == false {
            assert!(page["next_page_token"].is_null());
            break;
        }
        token = format!("&next_page_token={}", page["next_page_token"].as_str().unwrap());
    }
    assert_eq!((names.len(), names[0].as_str(), names[24].as_str()), (25, "Voice 24", "Voice 00"));
    assert_eq!(get(&sim, "/v2/voices?page_size=100").await["voices"].as_array().unwrap().len(), 25);
    let found = get(&sim, "/v2/voices?search=voice%2017&gender=male").await;
    assert_eq!((&found["voices"][0]["voice_id"], &found["total_count"]), (&json!("v17"), &json!(1)));
    assert_eq!(get(&sim, "/v2/voices?voice_ids=v03,v04").await["total_count"], 2);
    let response = client()
        .get(format!("{}/v2/voices?page_size=101", sim.server().http_url()))
        .header("xi-api-key", KEY)
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 400);
}
