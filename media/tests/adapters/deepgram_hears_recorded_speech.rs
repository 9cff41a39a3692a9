//! The Deepgram session against the simulated vendor, whose words are earned by recognising recordings of people.

use std::{sync::Arc, time::Duration};

use crate::deepgram_support::{Call, KEY, PATIENCE, config};
use bytes::Bytes;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use trunkline_media::{
    audio::g711,
    net::Net,
    stt::{SttAudio, SttCommand, SttConfig, SttEvent, SttLimits},
    time::MediaTime,
};
use trunkline_sim::{
    deepgram::{DeepgramConfig, DeepgramSim, SimEventKind},
    fault::{Fault, Script},
    recogniser::Library,
    server::TlsIdentity,
};

fn library() -> Arc<Library> {
    Arc::new(Library::load(concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/audio")).unwrap())
}

async fn sim(faults: impl IntoIterator<Item = Option<Fault>>) -> DeepgramSim {
    let config = DeepgramConfig { script: Script::new(faults), ..DeepgramConfig::new(KEY, library()) };
    DeepgramSim::start(([127, 0, 0, 1], 0).into(), config, None).await.unwrap()
}

impl Call {
    /// Plays a recording; returns when it began.
    async fn play(&mut self, name: &str) -> MediaTime {
        let begin = self.at;
        let mut bytes = Vec::new();
        g711::mulaw_encode(library().get(name).unwrap().samples(), &mut bytes);
        for frame in bytes.chunks(160) {
            let _ = self.session.audio.send(SttAudio { at: self.at, data: Bytes::copy_from_slice(frame) });
            self.at += Duration::from_millis(20);
            tokio::time::sleep(self.pace).await;
        }
        begin
    }

    fn text(&self) -> String {
        self.words().join(" ")
    }
}

fn is_end(event: &SttEvent) -> bool {
    matches!(event, SttEvent::EndpointHint { .. } | SttEvent::EndOfTurn { .. })
}

#[tokio::test]
async fn nova_over_tls_hears_words_where_they_were_said() {
    let identity = TlsIdentity::generate().unwrap();
    let authority = CertificateDer::from_pem_slice(identity.ca_pem().as_bytes()).unwrap();
    let sim = DeepgramSim::start(([127, 0, 0, 1], 0).into(), DeepgramConfig::new(KEY, library()), Some(&identity));
    let sim = sim.await.unwrap();
    let net = Net::new(&[authority]).unwrap();
    let mut call = Call::open_over(net, config(&sim.http_url(), "nova-3"));
    let begin = call.play("goforward").await;
    let hint = call.until_while_silent(is_end).await;
    assert_eq!(call.text(), "go forward ten meters");
    let (_, _, end) = library().get("goforward").unwrap().words().last().unwrap();
    let SttEvent::EndpointHint { last_word_end: Some(told) } = hint else { panic!("{hint:?}") };
    let wrong = told.saturating_since(begin).as_secs_f64() - end;
    assert!(wrong.abs() < 0.06, "{wrong}");
    assert!(call.events.iter().any(|event| matches!(event, SttEvent::SpeechStarted { at } if *at > begin)));
}

#[tokio::test]
async fn flux_guesses_at_jfks_pauses_and_ends_one_turn() {
    let sim = sim([]).await;
    let mut call = Call::open(config(&sim.http_url(), "flux-general-en"));
    call.play("jfk").await;
    let end = call.until_while_silent(is_end).await;
    assert_eq!(call.text(), library().get("jfk").unwrap().transcript());
    let mut guess = None;
    let (mut eager, mut resumed) = (0, 0);
    for event in &call.events {
        match event {
            SttEvent::EagerEndOfTurn { text, .. } => (guess, eager) = (Some(text.clone()), eager + 1),
            SttEvent::TurnResumed => (guess, resumed) = (None, resumed + 1),
            _ => {}
        }
    }
    assert!(resumed >= 2 && eager == resumed + 1, "{eager} {resumed}");
    let SttEvent::EndOfTurn { text, .. } = end else { panic!() };
    assert_eq!(guess, Some(text), "the last guess was right");
}

async fn a_cut_in_mid_sentence_loses_and_doubles_no_word(model: &str) {
    let cut_at = async |cut| {
        let sim = sim([Some(Fault::DropAfter(Duration::from_millis(cut)))]).await;
        let mut call = Call::open(config(&sim.http_url(), model));
        call.play("jfk").await;
        let whole = library().get("jfk").unwrap().transcript().to_owned();
        let words = whole.split_whitespace().count();
        while call.words().len() < words {
            call.until_while_silent(is_end).await;
        }
        call.command(SttCommand::Close).await;
        call.finish().await;
        assert_eq!(call.text(), whole, "{model} cut at {cut} ms");
        assert_eq!(call.faults(), [false, true], "{model} cut at {cut} ms");
    };
    tokio::join!(cut_at(1_500), cut_at(4_400), cut_at(7_000));
}

#[tokio::test]
async fn nova_cut_in_mid_sentence_loses_and_doubles_no_word() {
    a_cut_in_mid_sentence_loses_and_doubles_no_word("nova-3").await;
}

#[tokio::test]
async fn flux_cut_in_mid_sentence_loses_and_doubles_no_word() {
    a_cut_in_mid_sentence_loses_and_doubles_no_word("flux-general-en").await;
}

#[tokio::test]
async fn a_socket_opened_at_the_ring_outlives_the_vendors_idle_limit() {
    for model in ["nova-3", "flux-general-en"] {
        let mut vendor = DeepgramConfig { idle_timeout: Duration::from_secs(1), ..DeepgramConfig::new(KEY, library()) };
        vendor.flux.idle_timeout = Duration::from_secs(1);
        let sim = DeepgramSim::start(([127, 0, 0, 1], 0).into(), vendor, None).await.unwrap();
        let mut call = Call::open(config(&sim.http_url(), model));
        let heard = sim.wait_for(PATIENCE, |event| event.audio > Duration::from_secs(3)).await;
        assert!(heard.is_some(), "silence was sent while it rang");
        call.play("cards_001").await;
        call.until_while_silent(is_end).await;
        assert_eq!(call.text(), "ten of clubs", "{model}");
        assert!(call.faults().is_empty() && sim.connections() == 1, "{}", call.log());
    }
}

#[tokio::test]
async fn nova_is_kept_alive_through_a_gap_between_utterances() {
    let vendor = DeepgramConfig { idle_timeout: Duration::from_secs(6), ..DeepgramConfig::new(KEY, library()) };
    let sim = DeepgramSim::start(([127, 0, 0, 1], 0).into(), vendor, None).await.unwrap();
    let mut call = Call::open(config(&sim.http_url(), "nova-3"));
    call.play("cards_001").await;
    call.until_while_silent(is_end).await;
    let kept = |event: &trunkline_sim::deepgram::SimEvent| matches!(&event.kind, SimEventKind::Received(text) if text.contains("KeepAlive"));
    sim.wait_for(PATIENCE, kept).await.expect("a keep-alive");
    // Longer than the vendor's limit since the last audio.
    tokio::time::sleep(Duration::from_secs(3)).await;
    call.at += Duration::from_secs(7);
    call.play("goforward").await;
    call.until_while_silent(is_end).await;
    assert_eq!(call.text(), "ten of clubs go forward ten meters");
    assert!(call.faults().is_empty() && sim.connections() == 1, "{}", call.log());
}

#[tokio::test]
async fn a_busy_vendor_is_tried_again_and_hears_all_that_was_said_meanwhile() {
    let busy = Some(Fault::Refuse { status: 429, retry_after: Some(1) });
    let sim = sim([busy.clone(), busy]).await;
    let mut call = Call::open(config(&sim.http_url(), "nova-3"));
    call.play("goforward").await;
    call.until_while_silent(is_end).await;
    assert_eq!(call.text(), "go forward ten meters");
    let SttEvent::Fault { cause, .. } = &call.events[0] else { panic!("{}", call.log()) };
    assert!(cause.contains("429") && cause.contains("TOO_MANY_REQUESTS"), "{cause}");
    assert_eq!(call.faults(), [false, true]);
}

#[tokio::test]
async fn a_stalled_vendor_is_left_and_a_wrong_key_is_not_tried_twice() {
    let stalled = sim([Some(Fault::StallAfter(Duration::from_millis(2_000)))]).await;
    let limits = SttLimits { idle: Duration::from_secs(1), ..SttLimits::default() };
    let mut call = Call::open(SttConfig { limits, ..config(&stalled.http_url(), "nova-3") });
    call.play("goforward").await;
    call.until_while_silent(is_end).await;
    assert_eq!(call.text(), "go forward ten meters");
    assert_eq!(call.faults(), [false, true]);

    let other = DeepgramConfig::new("another key", library());
    let sim = DeepgramSim::start(([127, 0, 0, 1], 0).into(), other, None).await.unwrap();
    let mut call = Call::open(config(&sim.http_url(), "flux-general-en"));
    call.finish().await;
    let Some(SttEvent::Failed { cause }) = call.events.last() else { panic!("{}", call.log()) };
    assert!(cause.contains("401") && cause.contains("INVALID_AUTH") && !cause.contains(KEY), "{cause}");
    assert_eq!(sim.log().len(), 1);
}
