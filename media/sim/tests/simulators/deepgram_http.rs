//! Keys, tokens, validation, files and TLS.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use crate::deepgram_client::{Client, End, KEY, LIMIT, config, linear, nova_transcript, spoken, start};
use axum::http::StatusCode;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_tungstenite::{Connector, tungstenite::Error};
use trunkline_sim::{
    deepgram::{CallbackTiming, DeepgramConfig, DeepgramSim},
    fault::{Fault, Script},
    server::TlsIdentity,
};

const NOVA: &str = "/v1/listen?model=nova-3&encoding=mulaw&sample_rate=8000&endpointing=300";

/// One request over a plain connection of its own; returns status (0 if the connection is cut), headers and body.
async fn request(
    sim: &DeepgramSim,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> (u16, String, Value) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut socket = tokio::net::TcpStream::connect(sim.addr()).await.unwrap();
    let mut head =
        format!("{method} {path} HTTP/1.1\r\nhost: sim\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
    headers.iter().for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
    socket.write_all(format!("{head}\r\n").as_bytes()).await.unwrap();
    socket.write_all(body).await.unwrap();
    let mut answer = Vec::new();
    tokio::time::timeout(LIMIT, socket.read_to_end(&mut answer)).await.unwrap().unwrap();
    let answer = String::from_utf8(answer).unwrap();
    let Some((head, body)) = answer.split_once("\r\n\r\n") else { return (0, answer, Value::Null) };
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_owned(), serde_json::from_str(body).unwrap_or_default())
}

async fn refusal(sim: &DeepgramSim, path: &str, header: Option<(&'static str, String)>) -> (u16, Value) {
    let Err(error) = Client::connect_with(&format!("{}{path}", sim.ws_url()), header, None).await else {
        panic!("{path} is refused")
    };
    let Error::Http(response) = *error else { panic!("{error}") };
    assert!(response.headers().contains_key("dg-request-id") && response.headers().contains_key("dg-error"));
    (response.status().as_u16(), serde_json::from_slice(response.body().as_deref().unwrap()).unwrap())
}

#[tokio::test]
async fn only_the_right_key_opens_a_socket() {
    let sim = start(config()).await;
    for header in
        [None, Some(("authorization", "Token wrong".into())), Some(("sec-websocket-protocol", "token, wrong".into()))]
    {
        let (status, body) = refusal(&sim, NOVA, header).await;
        assert_eq!((status, &body["err_code"]), (401, &"INVALID_AUTH".into()));
        assert_eq!(body["err_msg"], "Invalid credentials.");
        assert!(body["request_id"].is_string());
    }
    let header = ("sec-websocket-protocol", format!("token, {KEY}"));
    let client = Client::connect_with(&format!("{}{NOVA}", sim.ws_url()), Some(header), None).await.unwrap();
    assert_eq!(client.response.headers()["sec-websocket-protocol"], "token");
}

#[tokio::test]
async fn a_granted_token_opens_a_socket_and_nothing_else() {
    let sim = start(config()).await;
    let authorization = format!("Token {KEY}");
    let key = [("authorization", authorization.as_str())];
    let (status, _, granted) = request(&sim, "POST", "/v1/auth/grant", &key, br#"{"ttl_seconds":60}"#).await;
    assert_eq!((status, &granted["expires_in"]), (200, &60.0.into()));
    let bearer = format!("Bearer {}", granted["access_token"].as_str().unwrap());
    let header = ("authorization", bearer.clone());
    Client::connect_with(&format!("{}{NOVA}", sim.ws_url()), Some(header), None).await.unwrap();
    let (status, _, body) = request(&sim, "GET", "/v1/projects", &[("authorization", &bearer)], b"").await;
    assert_eq!((status, &body["err_code"]), (403, &"INSUFFICIENT_PERMISSIONS".into()));
}

#[tokio::test]
async fn keys_can_be_checked() {
    let sim = start(config()).await;
    let authorization = format!("Token {KEY}");
    for path in ["/v1/projects", "/v1/auth/token"] {
        let (status, _, body) = request(&sim, "GET", path, &[("authorization", &authorization)], b"").await;
        assert_eq!(status, 200);
        assert!(body["projects"][0]["project_id"].is_string() || body["api_key_id"].is_string());
        let (status, head, body) = request(&sim, "GET", path, &[("authorization", "Token wrong")], b"").await;
        assert_eq!((status, &body["err_code"]), (401, &"INVALID_AUTH".into()));
        assert!(head.contains("dg-error: Invalid credentials."));
    }
    assert_eq!(request(&sim, "GET", "/v1/nothing", &[], b"").await.0, 404);
}

#[tokio::test]
async fn a_request_that_makes_no_sense_is_refused() {
    let sim = start(config()).await;
    for path in [
        "/v1/listen?model=nova-9",
        "/v1/listen?model=flux-general-en&encoding=mulaw&sample_rate=8000",
        "/v1/listen?model=nova-3&encoding=mulaw",
        "/v1/listen?model=nova-3&keywords=a",
        "/v1/listen?model=nova-3&utterance_end_ms=1000",
        "/v2/listen?model=nova-3&encoding=mulaw&sample_rate=8000",
        "/v2/listen?model=flux-general-en&encoding=mulaw&sample_rate=8000&interim_results=true",
    ] {
        let (status, body) = refusal(&sim, path, Some(("authorization", format!("Token {KEY}")))).await;
        assert_eq!((status, &body["err_code"]), (400, &"Bad Request".into()), "{path}");
    }
}

fn wav(mulaw: &[u8]) -> Vec<u8> {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 8_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut bytes = std::io::Cursor::new(Vec::new());
    let mut writer = hound::WavWriter::new(&mut bytes, spec).unwrap();
    linear(mulaw, 1).chunks(2).for_each(|pair| writer.write_sample(i16::from_le_bytes([pair[0], pair[1]])).unwrap());
    writer.finalize().unwrap();
    bytes.into_inner()
}

#[tokio::test]
async fn a_file_is_transcribed_at_once() {
    let sim = start(config()).await;
    let authorization = format!("Token {KEY}");
    let headers = [("authorization", authorization.as_str()), ("content-type", "audio/wav")];
    let audio = [spoken("goforward", 0.5, 1.0), spoken("cards_001", 0.0, 0.5)].concat();
    for (path, body) in [
        ("/v1/listen?model=nova-3&utterances=true&extra=call:7", wav(&audio)),
        ("/v1/listen?model=nova-3&utterances=true&extra=call:7&encoding=mulaw&sample_rate=8000", audio.clone()),
    ] {
        let (status, head, body) = request(&sim, "POST", path, &headers, &body).await;
        assert_eq!(status, 200);
        assert!(head.contains("dg-request-id"));
        let heard = &body["results"]["channels"][0]["alternatives"][0];
        assert_eq!(heard["transcript"], "go forward ten meters ten of clubs");
        assert_eq!(heard["words"].as_array().unwrap().len(), 7);
        let utterances = body["results"]["utterances"].as_array().unwrap();
        assert_eq!((utterances.len(), &utterances[1]["transcript"]), (2, &"ten of clubs".into()));
        assert_eq!(body["metadata"]["extra"], json!({ "call": "7" }));
        assert_eq!(body["metadata"]["channels"], 1);
    }
    let (status, ..) = request(&sim, "POST", "/v1/listen?model=nova-3", &headers, b"no sound at all").await;
    assert_eq!(status, 400);
}

#[tokio::test]
async fn a_callback_is_tried_again_until_it_is_taken() {
    let callback = CallbackTiming { interval: Duration::from_millis(10), ..CallbackTiming::default() };
    let sim = start(DeepgramConfig { callback, ..config() }).await;
    let (sender, mut received) = mpsc::unbounded_channel();
    let first = Arc::new(AtomicBool::new(true));
    let receiver = axum::Router::new().route(
        "/done",
        axum::routing::post(async move |axum::Json(body): axum::Json<Value>| {
            sender.send(body).unwrap();
            if first.swap(false, Ordering::SeqCst) { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK }
        }),
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/done", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, receiver).await });
    let authorization = format!("Token {KEY}");
    let path = format!("/v1/listen?model=nova-3&callback={url}");
    let audio = wav(&spoken("cards_001", 0.3, 0.5));
    let (status, _, answer) = request(&sim, "POST", &path, &[("authorization", &authorization)], &audio).await;
    assert_eq!(status, 200);
    for _ in 0..2 {
        let body = tokio::time::timeout(LIMIT, received.recv()).await.unwrap().unwrap();
        assert_eq!(body["metadata"]["request_id"], answer["request_id"]);
        assert_eq!(body["results"]["channels"][0]["alternatives"][0]["transcript"], "ten of clubs");
    }
}

#[tokio::test]
async fn http_requests_have_a_script_of_their_own() {
    let refuse = Fault::Refuse { status: 503, retry_after: Some(1) };
    let garbage = Fault::GarbageAfter(Duration::ZERO);
    let cut = Fault::DropAfter(Duration::ZERO);
    let sim =
        start(DeepgramConfig { rest_script: Script::new([Some(refuse), Some(garbage), Some(cut)]), ..config() }).await;
    let authorization = format!("Token {KEY}");
    let key = [("authorization", authorization.as_str())];
    let (status, head, _) = request(&sim, "GET", "/v1/projects", &key, b"").await;
    assert!(status == 503 && head.contains("retry-after: 1"));
    assert_eq!(request(&sim, "GET", "/v1/projects", &key, b"").await.2, Value::Null);
    assert_eq!(request(&sim, "GET", "/v1/projects", &key, b"").await.0, 0);
    assert_eq!(request(&sim, "GET", "/v1/projects", &key, b"").await.0, 200);
}

#[tokio::test]
async fn it_speaks_tls() {
    let identity = TlsIdentity::generate().unwrap();
    let sim = DeepgramSim::start(([127, 0, 0, 1], 0).into(), config(), Some(&identity)).await.unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(identity.ca_pem().as_bytes()).unwrap()).unwrap();
    let tls = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let url = format!("wss://localhost:{}{NOVA}", sim.addr().port());
    let header = ("authorization", format!("Token {KEY}"));
    let mut client = Client::connect_with(&url, Some(header), Some(Connector::Rustls(Arc::new(tls)))).await.unwrap();
    client.audio(&spoken("goforward", 0.3, 1.0)).await;
    let (messages, end) = client.close_stream().await;
    assert!(messages.iter().any(|m| m["speech_final"] == true && nova_transcript(m) == "go forward ten meters"));
    assert_eq!(end, End::Closed(Some((1000, String::new()))));
}
