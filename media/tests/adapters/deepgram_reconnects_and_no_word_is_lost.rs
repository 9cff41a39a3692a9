//! A vendor may fail at any byte: the session connects again and replays, and every word is told once.

use std::time::Duration;

use crate::deepgram_support::{
    Call, config, expected, is_final_with,
    peer::{Fate, Peer},
};
use trunkline_media::stt::{SttCommand, SttConfig, SttEvent, SttLimits};

/// Says 14 words (5.6 s) over connections with such fates, and expects each once.
async fn every_word_is_told_once(model: &str, fates: &[Fate], limits: SttLimits, outages: usize) {
    let peer = Peer::start(fates.iter().cloned()).await;
    let mut call = Call::open(SttConfig { limits, ..config(&peer.url(), model) });
    peer.until(|seen| seen.len() == 1).await;
    call.say(1..=14).await;
    call.until_while_silent(|event| is_final_with(event, "w14")).await;
    call.command(SttCommand::Close).await;
    call.finish().await;
    assert_eq!(call.words(), expected(1..=14), "{model} {fates:?}: {}", call.log());
    assert_eq!(call.faults(), [false, true].repeat(outages), "{model} {fates:?}: {}", call.log());
    let mut last = None;
    for event in &call.events {
        if let SttEvent::Final { start, end, .. } | SttEvent::EndOfTurn { start, end, .. } = event {
            assert!(last <= Some(*start) && start <= end, "times run backwards: {}", call.log());
            last = Some(*end);
        }
    }
}

#[tokio::test]
async fn tcp_is_cut_in_mid_utterance() {
    for model in ["nova-3", "flux-general-en"] {
        // 23_345 samples are 2.9 s: within a word, whatever silence came before.
        every_word_is_told_once(model, &[Fate::Drop(23_345)], SttLimits::default(), 1).await;
    }
}

#[tokio::test]
async fn tcp_is_cut_again_and_again() {
    for model in ["nova-3", "flux-general-en"] {
        let fates = [Fate::Drop(10_000), Fate::Drop(12_000), Fate::Close(15_001)];
        every_word_is_told_once(model, &fates, SttLimits::default(), 3).await;
    }
}

#[tokio::test]
async fn the_vendor_falls_silent() {
    for model in ["nova-3", "flux-general-en"] {
        let limits = SttLimits { idle: Duration::from_millis(600), ..SttLimits::default() };
        every_word_is_told_once(model, &[Fate::Stall(20_000)], limits, 1).await;
    }
}

#[tokio::test]
async fn the_vendor_refuses_for_a_while() {
    let busy = Fate::Refuse(429, "dg-error: slow down\r\n", r#"{"err_code":"TOO_MANY_REQUESTS","err_msg":"x"}"#);
    let fates = [Fate::Drop(20_000), busy.clone(), Fate::Refuse(503, "", ""), Fate::Hang];
    let limits = SttLimits { connect: Duration::from_millis(300), ..SttLimits::default() };
    every_word_is_told_once("nova-3", &fates, limits, 1).await;
    every_word_is_told_once("flux-general-en", &[busy], SttLimits::default(), 1).await;
}

#[tokio::test]
async fn what_finalize_asked_is_asked_again() {
    let peer = Peer::start([Fate::Stall(8_000)]).await;
    let limits = SttLimits { idle: Duration::from_secs(1), ..SttLimits::default() };
    let mut call = Call::open(SttConfig { limits, ..config(&peer.url(), "nova-3") });
    peer.until(|seen| seen.len() == 1).await;
    call.say(1..=4).await;
    call.command(SttCommand::Finalize).await;
    peer.until(|seen| seen[0].texts.iter().any(|text| text.contains("Finalize"))).await;
    // The vendor's connection is noticed to be dead only while audio flows.
    call.until_while_silent(|event| matches!(event, SttEvent::Fault { .. })).await;
    call.until(|event| is_final_with(event, "w4")).await;
    assert_eq!(call.words(), expected(1..=4), "{}", call.log());
}

#[tokio::test]
async fn the_vendor_stops_reading() {
    // The kernel takes minutes of telephone audio for a peer that doesn't read: silence gives it away before a write blocks.
    let limits = SttLimits { idle: Duration::from_millis(600), ..SttLimits::default() };
    every_word_is_told_once("nova-3", &[Fate::StopReading], limits, 1).await;
}
