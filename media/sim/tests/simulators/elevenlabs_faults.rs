//! Every scripted fault strikes where it says, counted in audio sent.

use std::time::Duration;

use crate::elevenlabs_common::{
    KEY, Received, Socket, VOICE, audio, config, disconnected, failure, heard, initialise, jsons, logged, start,
    with_fault,
};
use serde_json::json;
use trunkline_sim::{
    elevenlabs::{ElevenLabsConfig, ElevenLabsSim, Happened},
    fault::{Fault, Script},
    server::TlsIdentity,
};

const TEXT: &str = "This takes a second and a half. ";
/// Five fragments of the ten.
const MIDDLE: Duration = Duration::from_millis(500);

async fn speak(sim: &ElevenLabsSim, kind: &str) -> Socket {
    let mut socket = Socket::open(sim, kind, "", Some(KEY)).await.unwrap();
    socket.send(initialise()).await;
    socket.send(json!({"text": TEXT, "flush": true})).await;
    socket
}

#[tokio::test]
async fn refusals_carry_the_vendors_body() {
    let refuse = |status, retry_after| Some(Fault::Refuse { status, retry_after });
    let script =
        Script::new([refuse(401, None), refuse(403, None), refuse(429, Some(3)), refuse(429, None), refuse(500, None)]);
    let sim = start(ElevenLabsConfig { script, ..config() }).await;
    let expected = [
        (401, "invalid_api_key"),
        (403, "only_for_creator+"),
        (429, "rate_limit_exceeded"),
        (429, "concurrent_limit_exceeded"),
        (500, "internal_server_error"),
    ];
    for (status, code) in expected {
        let response = Socket::open(&sim, "multi-stream-input", "", Some(KEY)).await.err().unwrap();
        assert_eq!(response.status().as_u16(), status);
        assert_eq!(response.body()["detail"]["code"], code);
        assert_eq!(response.headers().get("retry-after").is_some(), code == "rate_limit_exceeded");
    }
    assert!(Socket::open(&sim, "multi-stream-input", "", Some(KEY)).await.is_ok());
}

#[tokio::test]
async fn a_hanging_socket_opens_and_says_nothing() {
    let sim = start(with_fault(Fault::Hang)).await;
    let mut socket = speak(&sim, "stream-input").await;
    socket.send(json!({"text": ""})).await;
    assert!(tokio::time::timeout(Duration::from_millis(500), socket.receive()).await.is_err());
    drop(socket);
    disconnected(&sim).await;
}

#[tokio::test]
async fn a_drop_cuts_the_socket_without_a_close_frame() {
    for kind in ["stream-input", "multi-stream-input"] {
        let sim = start(with_fault(Fault::DropAfter(MIDDLE))).await;
        let received = speak(&sim, kind).await.until_final().await;
        assert_eq!(received.last().unwrap(), &Received::Cut);
        assert_eq!(audio(&jsons(&received)).len(), 5 * 800);
        disconnected(&sim).await;
    }
}

#[tokio::test]
async fn a_stall_keeps_the_socket_open_and_silent() {
    let sim = start(with_fault(Fault::StallAfter(MIDDLE))).await;
    let mut socket = speak(&sim, "stream-input").await;
    socket.send(json!({"text": ""})).await;
    let mut messages = Vec::new();
    while let Ok(received) = tokio::time::timeout(Duration::from_millis(800), socket.receive()).await {
        messages.push(received);
    }
    assert_eq!(audio(&jsons(&messages)).len(), 5 * 800);
    assert_eq!((messages.len(), sim.connections()), (5, 1));
}

#[tokio::test]
async fn garbage_interrupts_but_does_not_end_the_socket() {
    let sim = start(with_fault(Fault::GarbageAfter(MIDDLE))).await;
    let mut socket = speak(&sim, "stream-input").await;
    socket.send(json!({"text": ""})).await;
    let received = socket.until_final().await;
    assert!(matches!(received[5], Received::Garbage(_)));
    assert_eq!(heard(&jsons(&received)), TEXT.to_lowercase());
}

#[tokio::test]
async fn an_error_ends_the_socket_in_the_middle() {
    let sim = start(with_fault(Fault::ErrorAfter(MIDDLE, "quota_exceeded".into()))).await;
    let mut socket = speak(&sim, "multi-stream-input").await;
    let (code, close, reason) = failure(&mut socket).await;
    assert_eq!((code.as_str(), close), ("quota_exceeded", 1_008));
    assert!(reason.contains("quota"));
    assert_eq!(sim.audio("default"), MIDDLE);
    logged(&sim, |entry| entry.what == Happened::Failed("quota_exceeded".into())).await;
}

#[tokio::test]
async fn samples_may_be_cut_in_two() {
    let sim = start(ElevenLabsConfig { odd_fragments: true, ..config() }).await;
    let url = format!("{}/v1/text-to-speech/{VOICE}/stream-input?output_format=pcm_8000", sim.server().ws_url());
    let mut socket = Socket::open_url(&url, Some(KEY)).await.unwrap();
    for message in [initialise(), json!({"text": TEXT}), json!({"text": ""})] {
        socket.send(message).await;
    }
    let messages = jsons(&socket.until_final().await);
    assert_eq!(audio(&messages[..1]).len(), 1_601);
    assert_eq!(audio(&messages).len(), TEXT.len() * 800);
}

#[tokio::test]
async fn dropping_the_simulator_cuts_its_sockets() {
    let sim = start(ElevenLabsConfig { first_byte_delay: Duration::from_secs(60), ..config() }).await;
    let mut socket = speak(&sim, "stream-input").await;
    logged(&sim, |entry| entry.what == Happened::Opened).await;
    drop(sim);
    assert_eq!(socket.receive().await, Received::Cut);
}

#[tokio::test]
async fn it_serves_over_tls() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let identity = TlsIdentity::generate().unwrap();
    let sim = ElevenLabsSim::start("127.0.0.1:0".parse().unwrap(), config(), Some(&identity)).await.unwrap();
    let authority = reqwest::Certificate::from_pem(identity.ca_pem().as_bytes()).unwrap();
    let client = reqwest::Client::builder().tls_certs_only([authority]).build().unwrap();
    let url = format!("{}/v1/user/subscription", sim.server().http_url());
    assert!(url.starts_with("https://"));
    assert_eq!(client.get(url).header("xi-api-key", KEY).send().await.unwrap().status(), 200);
}
