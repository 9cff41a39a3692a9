//! A healthy vendor: what a call says to it and hears from it.

use std::time::Duration;

use crate::deepgram_support::{
    Call, KEY, config, expected, is_final_with,
    peer::{Fate, Peer},
};
use trunkline_base::{Clock, SystemClock};
use trunkline_media::stt::{SttCommand, SttEvent, SttLimits};

#[tokio::test]
async fn nova_hears_words_at_their_times_and_an_endpoint() {
    let peer = Peer::start([]).await;
    let mut call = Call::open(config(&peer.url(), "nova-3"));
    peer.until(|seen| seen.len() == 1 && seen[0].audio.len() > 100).await;
    let begin = call.at;
    call.say(1..=10).await;
    let hint = call.until_while_silent(|event| matches!(event, SttEvent::EndpointHint { .. })).await;
    assert_eq!(call.words(), expected(1..=10), "{}", call.log());
    let last_word_end = begin + Duration::from_millis(9 * 400 + 300);
    assert_eq!(hint, SttEvent::EndpointHint { last_word_end: Some(last_word_end) });
    assert!(call.events.contains(&SttEvent::SpeechStarted { at: begin }), "{}", call.log());
    let first = call.events.iter().find_map(|event| match event {
        SttEvent::Final { start, .. } => Some(*start),
        _ => None,
    });
    assert_eq!(first, Some(begin), "silence that was sent before the caller spoke is not on the call's clock");
    assert!(call.events.iter().any(|event| matches!(event, SttEvent::Interim { .. })));
    let seen = &peer.seen()[0];
    assert_eq!(seen.authorization, format!("Token {KEY}"));
    assert!(seen.path.starts_with("/v1/listen?model=nova-3&encoding=mulaw&sample_rate=8000"), "{}", seen.path);
    assert!(seen.sizes.iter().filter(|size| **size == 160).count() > 100, "frames go straight through");
}

#[tokio::test]
async fn flux_guesses_resumes_and_ends_a_turn() {
    let peer = Peer::start([]).await;
    let mut call = Call::open(config(&peer.url(), "flux-general-en"));
    let begin = call.at;
    call.say(1..=3).await;
    call.send(0xFF, 20).await;
    call.say(4..=5).await;
    call.until_while_silent(|event| matches!(event, SttEvent::EndOfTurn { .. })).await;
    let kinds: Vec<_> = call
        .events
        .iter()
        .filter_map(|event| match event {
            SttEvent::SpeechStarted { .. } => Some("started".to_owned()),
            SttEvent::EagerEndOfTurn { text, .. } => Some(format!("eager {}", text.expose())),
            SttEvent::TurnResumed => Some("resumed".to_owned()),
            SttEvent::EndOfTurn { text, start, .. } => {
                assert_eq!(*start, begin);
                Some(format!("end {}", text.expose()))
            }
            _ => None,
        })
        .collect();
    assert_eq!(kinds, ["started", "eager w1 w2 w3", "resumed", "eager w1 w2 w3 w4 w5", "end w1 w2 w3 w4 w5"]);
    let seen = &peer.seen()[0];
    assert!(seen.path.starts_with("/v2/listen?"), "{}", seen.path);
    let whole = seen.sizes.iter().filter(|size| **size == 640).count();
    assert!(whole + 3 >= seen.sizes.len(), "audio goes in chunks of 80 ms: {:?}", seen.sizes);
    assert!(!seen.texts.iter().any(|text| text.contains("KeepAlive")));
}

#[tokio::test]
async fn a_socket_opened_while_it_rings_gets_silence_in_real_time_and_stays_open() {
    for model in ["nova-3", "flux-general-en"] {
        let peer = Peer::start([]).await;
        let mut call = Call::open(config(&peer.url(), model));
        let clock = SystemClock;
        let opened = clock.now();
        peer.until(|seen| seen.len() == 1 && seen[0].audio.len() >= 8_000).await;
        assert!(clock.now() - opened > Duration::from_millis(800), "not faster than real time");
        assert!(peer.seen()[0].audio.iter().all(|sample| *sample == 0xFF));
        call.say(1..=1).await;
        call.until_while_silent(|event| is_final_with(event, "w1")).await;
        assert_eq!(peer.seen().len(), 1, "{model} was opened again: {}", call.log());
    }
}

#[tokio::test]
async fn a_gap_in_the_callers_audio_is_filled_where_an_utterance_is_open() {
    for model in ["nova-3", "flux-general-en"] {
        let peer = Peer::start([]).await;
        let mut call = Call::open(config(&peer.url(), model));
        call.say(1..=3).await;
        // The carrier sends nothing more. The vendor's clock is the audio: without silence it would wait for ever.
        call.until(|event| is_final_with(event, "w3")).await;
        assert_eq!(call.words(), expected(1..=3));
        let words_end = call.at.saturating_sub(Duration::from_millis(100));
        call.at += Duration::from_secs(7);
        let begin = call.at;
        call.say(4..=4).await;
        let last = call.until_while_silent(|event| is_final_with(event, "w4")).await;
        let (SttEvent::Final { start, .. } | SttEvent::EndOfTurn { start, .. }) = last else { panic!() };
        assert_eq!(start, begin, "{model}: {words_end}");
    }
}

#[tokio::test]
async fn finalize_sends_what_is_in_hand_and_is_answered() {
    let peer = Peer::start([]).await;
    for (model, message) in [("nova-3", "Finalize"), ("flux-general-en", "ForceEndTurn")] {
        let mut call = Call::open(config(&peer.url(), model));
        peer.until(|seen| seen.last().is_some_and(|seen| seen.path.contains(model) && !seen.audio.is_empty())).await;
        // 13 frames are no multiple of 80 ms, and no silence follows.
        call.send(1, 13).await;
        call.command(SttCommand::Finalize).await;
        call.until(|event| is_final_with(event, "w1")).await;
        let end = match call.events.last() {
            Some(SttEvent::EndOfTurn { end, .. }) => Some(*end),
            _ => match call.until(|event| matches!(event, SttEvent::EndpointHint { .. })).await {
                SttEvent::EndpointHint { last_word_end } => last_word_end,
                other => panic!("{other:?}"),
            },
        };
        assert_eq!(end, Some(call.at), "{model}: all that was said before the command was sent before it");
        assert!(peer.seen().last().unwrap().texts.iter().any(|text| text.contains(message)));
    }
}

#[tokio::test]
async fn closing_takes_the_rest_then_tells_usage_and_ends() {
    for model in ["nova-3", "flux-general-en"] {
        let peer = Peer::start([]).await;
        let mut call = Call::open(config(&peer.url(), model));
        peer.until(|seen| seen.len() == 1 && !seen[0].audio.is_empty()).await;
        call.say(1..=2).await;
        call.command(SttCommand::Close).await;
        call.finish().await;
        assert_eq!(call.words(), expected(1..=2), "{model}: {}", call.log());
        let seen = peer.seen();
        let sent = Duration::from_micros(seen[0].audio.len() as u64 * 125);
        assert_eq!(call.events.last(), Some(&SttEvent::Usage { audio: sent }), "{model}");
        assert!(seen[0].texts.last().unwrap().contains("CloseStream"));
        assert!(call.faults().is_empty());
    }
}

#[tokio::test]
async fn a_dropped_session_ends_in_order_when_its_commands_are_dropped_first() {
    let peer = Peer::start([]).await;
    let mut call = Call::open(config(&peer.url(), "nova-3"));
    peer.until(|seen| seen.len() == 1 && !seen[0].audio.is_empty()).await;
    call.session.commands = tokio::sync::mpsc::channel(1).0;
    call.finish().await;
    assert!(matches!(call.events.last(), Some(SttEvent::Usage { .. })));
    peer.until(|seen| seen[0].texts.iter().any(|text| text.contains("CloseStream"))).await;
}

#[tokio::test]
async fn closing_does_not_wait_for_a_vendor_that_hangs() {
    for fate in [Fate::Hang, Fate::Stall(0)] {
        let peer = Peer::start([fate]).await;
        let limits = SttLimits { connect: Duration::from_secs(60), ..SttLimits::default() };
        let mut call = Call::open(trunkline_media::stt::SttConfig { limits, ..config(&peer.url(), "nova-3") });
        peer.until(|seen| seen.len() == 1).await;
        call.command(SttCommand::Close).await;
        call.finish().await;
        assert!(matches!(call.events.last(), Some(SttEvent::Usage { .. })), "{}", call.log());
    }
}
