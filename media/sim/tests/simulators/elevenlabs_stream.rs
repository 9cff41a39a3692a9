//! One utterance a socket: text is buffered by the schedule, comes back as speech that can be read, and ends the documented way.

use std::time::Duration;

use crate::elevenlabs_common::{
    KEY, LIMIT, Received, Socket, VOICE, audio, config, disconnected, failure, heard, initialise, jsons, logged, start,
};
use futures_util::SinkExt;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use trunkline_sim::{
    elevenlabs::{AlignmentKeys, AlignmentMode, ElevenLabsConfig, Happened, KeyStyle},
    voice::CodedVoice,
};

#[tokio::test]
async fn an_utterance_comes_back_as_speech_and_ends_with_a_final_message() {
    let sim = start(config()).await;
    let mut socket = Socket::stream(&sim, "&model_id=eleven_flash_v2_5").await;
    socket.send(initialise()).await;
    socket.send(json!({"text": "Hello there. ", "try_trigger_generation": true})).await;
    socket.send(json!({"text": "How are you? "})).await;
    socket.send(json!({"text": ""})).await;
    let received = socket.until_final().await;
    let messages = jsons(&received);
    let (last, fragments) = messages.split_last().unwrap();
    assert_eq!(last, &json!({"isFinal": true, "audio": null}));
    assert_eq!(socket.receive().await, Received::Closed(1_000, String::new()));
    assert!(fragments.iter().all(|fragment| fragment["isFinal"].is_null() && fragment.get("message").is_none()));
    assert_eq!(heard(fragments), "hello there. how are you? ");
    assert_eq!(audio(fragments).len(), 26 * 400);
    assert!(fragments.iter().all(|fragment| audio(std::slice::from_ref(fragment)).len() == 800));
    disconnected(&sim).await;
    assert_eq!(sim.text(""), "Hello there. How are you? ");
    assert_eq!(sim.audio(""), Duration::from_millis(26 * 50));
}

#[tokio::test]
async fn nothing_is_spoken_before_the_schedule_says_so() {
    let sim = start(config()).await;
    let mut socket = Socket::stream(&sim, "").await;
    socket.send(json!({"text": " ", "generation_config": {"chunk_length_schedule": [50, 60]}})).await;
    let word = "twelve chars";
    for count in 1..=9 {
        socket.send(json!({"text": format!("{word} ")})).await;
        if count == 3 {
            logged(&sim, |entry| matches!(&entry.what, Happened::Text { text, .. } if text.contains(word))).await;
            assert_eq!(sim.audio(""), Duration::ZERO);
        }
    }
    // Four words reach 50 characters, five more 60.
    let mut messages = Vec::new();
    while audio(&messages).len() < 9 * 13 * 400 {
        messages.push(socket.json().await);
    }
    assert_eq!(heard(&messages), format!("{word} ").repeat(9));

    socket.send(json!({"text": "Short. "})).await;
    socket.send(json!({"text": "Now. ", "flush": true})).await;
    messages.clear();
    while audio(&messages).len() < 12 * 400 {
        messages.push(socket.json().await);
    }
    assert_eq!(heard(&messages), "short. now. ");
}

#[tokio::test]
async fn auto_mode_speaks_each_message() {
    let sim = start(config()).await;
    let mut socket = Socket::stream(&sim, "&auto_mode=true").await;
    socket.send(initialise()).await;
    for text in ["One. ", "Two. "] {
        socket.send(json!({"text": text})).await;
        let mut messages = Vec::new();
        while audio(&messages).len() < 5 * 400 {
            messages.push(socket.json().await);
        }
        assert_eq!(heard(&messages), text.to_lowercase());
    }
}

#[tokio::test]
async fn every_format_has_its_bytes() {
    let sim = start(config()).await;
    for (format, rate) in [
        ("pcm_8000", 8_000),
        ("pcm_16000", 16_000),
        ("pcm_22050", 22_050),
        ("pcm_24000", 24_000),
        ("pcm_44100", 44_100),
    ] {
        let url = format!("{}/v1/text-to-speech/{VOICE}/stream-input?output_format={format}", sim.server().ws_url());
        let mut socket = Socket::open_url(&url, Some(KEY)).await.unwrap();
        socket.send(initialise()).await;
        socket.send(json!({"text": "Rates. "})).await;
        socket.send(json!({"text": ""})).await;
        let bytes = audio(&jsons(&socket.until_final().await));
        let samples: Vec<i16> = bytes.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
        assert_eq!(samples.len(), (7 * rate as usize).div_ceil(20));
        assert_eq!(CodedVoice::default().read(&samples, rate), "rates. ");
    }
    for refused in ["mp3_44100_128", "alaw_8000", "nonsense"] {
        let url = format!("{}/v1/text-to-speech/{VOICE}/stream-input?output_format={refused}", sim.server().ws_url());
        let response = Socket::open_url(&url, Some(KEY)).await.err().unwrap();
        assert_eq!(response.status(), 400);
        assert_eq!(response.body()["detail"]["code"], "invalid_parameters");
        assert_eq!(response.body()["detail"]["param"], "output_format");
    }
}

/// The characters and times of all alignments, counted from the beginning of the audio.
fn times(messages: &[Value], durations: &str, starts: &str) -> Vec<(String, u64, u64)> {
    let (mut all, mut before) = (Vec::new(), 0);
    for message in messages {
        if let Some(alignment) = message["alignment"].as_object() {
            assert_eq!(message["alignment"], message["normalizedAlignment"]);
            for (index, ch) in alignment["chars"].as_array().unwrap().iter().enumerate() {
                let ms = |key: &str| alignment[key][index].as_u64().unwrap();
                all.push((ch.as_str().unwrap().to_owned(), before + ms(starts), ms(durations)));
            }
        }
        before += audio(std::slice::from_ref(message)).len() as u64 / 8;
    }
    all
}

#[tokio::test]
async fn alignment_counts_from_each_chunk() {
    let spellings = [
        (AlignmentKeys::Documented, "charsDurationsMs", "charStartTimesMs"),
        (AlignmentKeys::Singular, "charDurationsMs", "charStartTimesMs"),
        (AlignmentKeys::Plural, "charsDurationsMs", "charsStartTimesMs"),
    ];
    let text = "Aligned to each chunk. ";
    let expected: Vec<(String, u64, u64)> =
        text.chars().zip(0..).map(|(ch, index)| (ch.to_string(), index * 50, 50)).collect();
    for (alignment, durations, starts) in spellings {
        let sim =
            start(ElevenLabsConfig { key_style: KeyStyle { alignment, ..KeyStyle::default() }, ..config() }).await;
        for sync in [true, false] {
            let mut socket = Socket::stream(&sim, &format!("&sync_alignment={sync}")).await;
            socket.send(initialise()).await;
            socket.send(json!({"text": text, "flush": true})).await;
            socket.send(json!({"text": ""})).await;
            let mut messages = jsons(&socket.until_final().await);
            messages.pop();
            assert_eq!(times(&messages, durations, starts), expected);
            assert_eq!(messages.iter().any(|message| message["alignment"].is_null()), !sync);
        }
    }
    let sim = start(ElevenLabsConfig { alignment: AlignmentMode::Null, ..config() }).await;
    let mut socket = Socket::stream(&sim, "&sync_alignment=true").await;
    socket.send(initialise()).await;
    socket.send(json!({"text": text})).await;
    socket.send(json!({"text": ""})).await;
    let messages = jsons(&socket.until_final().await);
    assert!(messages.iter().all(|message| message["alignment"].is_null()) && heard(&messages) == text.to_lowercase());
}

#[tokio::test]
async fn a_key_comes_with_the_handshake_or_the_first_message() {
    let sim = start(config()).await;
    let refused = Socket::open(&sim, "stream-input", "", Some("wrong")).await.err().unwrap();
    assert_eq!(refused.status(), 401);
    assert_eq!(refused.body()["detail"]["code"], "invalid_api_key");
    assert_eq!(refused.body()["detail"]["status"], "invalid_api_key");
    for field in ["xi-api-key", "xi_api_key", "authorization"] {
        let mut socket = Socket::open(&sim, "stream-input", "", None).await.unwrap();
        let mut first = initialise();
        first[field] = if field == "authorization" { format!("Bearer {KEY}").into() } else { KEY.into() };
        socket.send(first).await;
        socket.send(json!({"text": "Yes. "})).await;
        socket.send(json!({"text": ""})).await;
        assert_eq!(heard(&jsons(&socket.until_final().await)), "yes. ");
    }
    let mut socket = Socket::open(&sim, "stream-input", &format!("&authorization=Bearer%20{KEY}"), None).await.unwrap();
    socket.send(initialise()).await;
    socket.send(json!({"text": ""})).await;
    assert_eq!(jsons(&socket.until_final().await).len(), 1);
    let mut socket = Socket::open(&sim, "stream-input", "", None).await.unwrap();
    socket.send(initialise()).await;
    assert_eq!(failure(&mut socket).await.0, "needs_authorization");
}

#[tokio::test]
async fn senseless_messages_end_the_socket() {
    let sim = start(config()).await;
    let cases = [
        vec![json!({"text": "Hello "})],
        vec![json!({"text": 5})],
        vec![json!([])],
        vec![json!({"text": " ", "voice_settings": {"speed": 2.0}})],
        vec![json!({"text": " ", "generation_config": {"chunk_length_schedule": [10]}})],
        vec![initialise(), json!({"flush": true})],
        vec![initialise(), json!({"text": "Hi ", "voice_settings": {"stability": 0.9}})],
    ];
    for messages in cases {
        let mut socket = Socket::stream(&sim, "").await;
        for message in messages {
            socket.send(message).await;
        }
        let (code, close, _) = failure(&mut socket).await;
        assert_eq!((code.as_str(), close), ("invalid_input_message", 1_008));
    }
    let mut socket = Socket::stream(&sim, "").await;
    socket.0.send(Message::Text("{\"text\": ".into())).await.unwrap();
    assert_eq!(failure(&mut socket).await.0, "invalid_input_message");

    let mut socket = Socket::stream(&sim, "").await;
    socket.send(initialise()).await;
    let mut same = initialise();
    same["text"] = "Unchanged. ".into();
    socket.send(same).await;
    socket.send(json!({"text": ""})).await;
    assert_eq!(heard(&jsons(&socket.until_final().await)), "unchanged. ");
}

#[tokio::test]
async fn unknown_voices_and_unfit_models_end_the_socket() {
    let sim = start(config()).await;
    let url = format!("{}/v1/text-to-speech/nobody/stream-input?output_format=ulaw_8000", sim.server().ws_url());
    let mut socket = Socket::open_url(&url, Some(KEY)).await.unwrap();
    assert_eq!(failure(&mut socket).await.0, "voice_not_found");
    for model in ["eleven_v3", "eleven_nothing"] {
        let mut socket = Socket::stream(&sim, &format!("&model_id={model}")).await;
        assert_eq!(failure(&mut socket).await.0, "invalid_parameters");
    }
}

#[tokio::test]
async fn silence_of_the_client_ends_the_socket() {
    let sim = start(config()).await;
    let mut socket = Socket::stream(&sim, "&inactivity_timeout=1").await;
    socket.send(initialise()).await;
    let (code, close, reason) = tokio::time::timeout(LIMIT, failure(&mut socket)).await.unwrap();
    assert_eq!((code.as_str(), close), ("input_timeout_exceeded", 1_008));
    assert!(
        reason.starts_with("Have not received a new text input within the timeout of 1 seconds.")
            && reason.len() <= 123
    );
    let refused = Socket::open(&sim, "stream-input", "&inactivity_timeout=181", Some(KEY)).await.err().unwrap();
    assert_eq!(refused.status(), 400);
    disconnected(&sim).await;
}
