//! What a simulated Deepgram does wrong when its script says so.

use std::time::{Duration, Instant};

use crate::deepgram_client::{Client, End, LIMIT, all_closed, config, nova_transcript, spoken, start};
use tokio_tungstenite::tungstenite::Error;
use trunkline_sim::{
    deepgram::{DeepgramConfig, DeepgramSim, SimEventKind},
    fault::{Fault, Script},
};

const NOVA: &str = "/v1/listen?model=nova-3&encoding=mulaw&sample_rate=8000&interim_results=true&endpointing=300&utterance_end_ms=1000";
const FLUX: &str = "/v2/listen?model=flux-general-en&encoding=mulaw&sample_rate=8000";

async fn faulty(fault: Fault) -> DeepgramSim {
    start(DeepgramConfig { script: Script::new([Some(fault)]), ..config() }).await
}

/// The connection after the faulty one is healthy.
async fn assert_recovered(sim: &DeepgramSim) {
    let mut client = Client::connect(sim, NOVA).await.unwrap();
    client.audio(&spoken("cards_001", 0.3, 1.0)).await;
    let (messages, _) = client.close_stream().await;
    assert!(messages.iter().any(|m| m["speech_final"] == true && nova_transcript(m) == "ten of clubs"));
    drop(client);
    all_closed(sim).await;
}

#[tokio::test]
async fn a_refused_upgrade_has_the_vendors_body() {
    for (status, code) in [(429, "TOO_MANY_REQUESTS"), (402, "ASR_PAYMENT_REQUIRED"), (503, "SERVICE_UNAVAILABLE")] {
        let sim = faulty(Fault::Refuse { status, retry_after: Some(2) }).await;
        let Err(error) = Client::connect(&sim, NOVA).await else { panic!("refused") };
        let Error::Http(response) = *error else { panic!("{error}") };
        assert_eq!(response.status(), status);
        assert_eq!(response.headers()["retry-after"], "2");
        assert!(response.headers().contains_key("dg-error") && response.headers().contains_key("dg-request-id"));
        let body: serde_json::Value = serde_json::from_slice(response.body().as_deref().unwrap()).unwrap();
        assert_eq!(body["err_code"], code);
        assert_eq!(sim.log()[0].kind, SimEventKind::Refused { status });
        assert_recovered(&sim).await;
    }
}

#[tokio::test]
async fn a_hanging_upgrade_is_never_answered_and_is_forgotten_with_its_client() {
    let sim = faulty(Fault::Hang).await;
    assert!(tokio::time::timeout(Duration::from_millis(100), Client::connect(&sim, NOVA)).await.is_err());
    assert_recovered(&sim).await;
}

#[tokio::test]
async fn a_dropped_connection_has_no_close_frame() {
    for url in [NOVA, FLUX] {
        let sim = faulty(Fault::DropAfter(Duration::from_millis(1_500))).await;
        let mut client = Client::connect(&sim, url).await.unwrap();
        client.audio(&spoken("jfk", 0.0, 0.0)).await;
        assert_eq!(client.rest().await.1, End::Cut);
        drop(client);
        all_closed(&sim).await;
        let log = sim.log();
        let struck = log.iter().find(|event| matches!(event.kind, SimEventKind::Struck(_))).unwrap();
        assert!((1_500..1_600).contains(&struck.audio.as_millis()), "{:?}", struck.audio);
        assert_recovered(&sim).await;
    }
}

#[tokio::test]
async fn a_stalled_connection_stays_open_and_silent() {
    let sim = faulty(Fault::StallAfter(Duration::from_millis(700))).await;
    let mut client = Client::connect(&sim, NOVA).await.unwrap();
    let audio = spoken("goforward", 0.0, 2.0);
    client.audio(&audio).await;
    let heard = |event: &trunkline_sim::deepgram::SimEvent| matches!(event.kind, SimEventKind::Struck(_));
    sim.wait_for(LIMIT, heard).await.unwrap();
    while sim.live()[0].audio_bytes < audio.len() as u64 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert!(tokio::time::timeout(Duration::from_millis(100), client.raw()).await.is_err(), "not a word");
    assert_eq!(sim.connections(), 1);
    drop(client);
    assert_recovered(&sim).await;
}

#[tokio::test]
async fn garbage_comes_between_and_the_stream_goes_on() {
    let sim = faulty(Fault::GarbageAfter(Duration::from_millis(700))).await;
    let mut client = Client::connect(&sim, NOVA).await.unwrap();
    client.audio(&spoken("goforward", 0.0, 1.0)).await;
    let (mut garbage, mut finals) = (0, Vec::new());
    while finals.is_empty() {
        match serde_json::from_str::<serde_json::Value>(&client.raw().await.unwrap()) {
            Err(_) => garbage += 1,
            Ok(message) if message["speech_final"] == true => finals.push(nova_transcript(&message).to_owned()),
            Ok(_) => {}
        }
    }
    assert_eq!((garbage, finals), (1, vec!["go forward ten meters".to_owned()]));
}

#[tokio::test]
async fn errors_in_the_stream_are_the_vendors() {
    let after = Duration::from_millis(500);
    let sim = faulty(Fault::ErrorAfter(after, "NET-0000".into())).await;
    let mut client = Client::connect(&sim, NOVA).await.unwrap();
    client.audio(&spoken("goforward", 0.0, 1.0)).await;
    let End::Closed(Some((1011, reason))) = client.rest().await.1 else { panic!("closed with 1011") };
    assert!(reason.contains("did not provide a response message"), "{reason}");

    sim.script().push(Some(Fault::ErrorAfter(after, "INTERNAL_SERVER_ERROR".into())));
    let mut client = Client::connect(&sim, FLUX).await.unwrap();
    client.audio(&spoken("goforward", 0.0, 1.0)).await;
    let (messages, end) = client.rest().await;
    assert_eq!(messages.last().unwrap()["code"], "INTERNAL_SERVER_ERROR");
    assert!(matches!(end, End::Closed(Some((1011, _)))));
}

#[tokio::test]
async fn results_are_held_back_in_order() {
    let (hold, jitter) = (Duration::from_millis(150), Duration::from_millis(30));
    let sim = start(DeepgramConfig { first_result_delay: hold, result_jitter: jitter, ..config() }).await;
    let mut client = Client::connect(&sim, NOVA).await.unwrap();
    let began = Instant::now();
    client.audio(&spoken("cards_001", 0.3, 1.5)).await;
    let (messages, end) = client.close_stream().await;
    assert!(began.elapsed() >= hold);
    assert_eq!(end, End::Closed(Some((1000, String::new()))));
    let starts: Vec<f64> = messages.iter().filter_map(|m| m["start"].as_f64()).collect();
    assert!(starts.is_sorted(), "{starts:?}");
    assert_eq!(messages.last().unwrap()["type"], "Metadata");
}

#[tokio::test]
async fn more_connections_than_the_limit_are_too_many() {
    let sim = start(DeepgramConfig { max_connections: Some(1), ..config() }).await;
    let first = Client::connect(&sim, NOVA).await.unwrap();
    let Err(error) = Client::connect(&sim, NOVA).await else { panic!("refused") };
    assert!(matches!(*error, Error::Http(response) if response.status() == 429));
    drop(first);
    all_closed(&sim).await;
    assert_recovered(&sim).await;
}

#[tokio::test]
async fn dropping_the_simulator_cuts_its_connections() {
    let sim = start(config()).await;
    let mut client = Client::connect(&sim, NOVA).await.unwrap();
    drop(sim);
    assert_eq!(client.rest().await.1, End::Cut);
}
