//! Bad messages and audio that has to be dropped do no harm and are counted.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "adapters/deepgram_support/mod.rs"]
mod deepgram_support;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use deepgram_support::{
    Call, config, expected, is_final_with,
    peer::{Fate, Peer},
};
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use trunkline_media::stt::{AUDIO_BACKLOG, SttConfig, SttLimits};

/// Counters by name and labels.
#[derive(Default, Clone)]
struct Counts(Arc<Mutex<BTreeMap<String, Arc<AtomicU64>>>>);

impl Counts {
    /// The one of this process. Each test here looks at a counter of its own.
    fn install() -> &'static Self {
        static COUNTS: OnceLock<Counts> = OnceLock::new();
        COUNTS.get_or_init(|| {
            let counts = Self::default();
            metrics::set_global_recorder(counts.clone()).ok().unwrap();
            counts
        })
    }

    fn get(&self, name: &str) -> u64 {
        self.0.lock().unwrap().get(name).map_or(0, |counter| counter.load(Ordering::Relaxed))
    }
}

impl Recorder for Counts {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        let labels: Vec<_> = key.labels().map(|label| format!("/{}", label.value())).collect();
        let name = format!("{}{}", key.name(), labels.concat());
        Counter::from_arc(self.0.lock().unwrap().entry(name).or_default().clone())
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

#[tokio::test]
async fn garbage_is_ignored_and_counted() {
    let counts = Counts::install();
    let garbage = &["", "{", "[1]", "null", r#"{"type":"Results","start":[]}"#, r#"{"type":"Hologram"}"#, "\u{0}"];
    for (n, model) in (1..).zip(["nova-3", "flux-general-en"]) {
        let peer = Peer::start([Fate::Garbage(garbage)]).await;
        let mut call = Call::open(config(&peer.url(), model));
        call.say(1..=3).await;
        call.until_while_silent(|event| is_final_with(event, "w3")).await;
        assert_eq!(call.words(), expected(1..=3));
        assert!(call.faults().is_empty(), "{}", call.log());
        // Each text, and one binary frame.
        assert_eq!(counts.get("trunkline_stt_bad_messages_total"), n * 8, "{model}");
    }
}

#[tokio::test]
async fn a_backlog_drops_the_oldest_and_counts_it() {
    let counts = Counts::install();
    let peer = Peer::start([]).await;
    let mut call = Call::open(config(&peer.url(), "nova-3"));
    peer.until(|seen| seen.len() == 1 && !seen[0].audio.is_empty()).await;
    // The runtime has one thread: the session cannot take any of these before all are sent.
    call.pace = Duration::ZERO;
    let frame = bytes::Bytes::from_static(&[7; 160]);
    for n in 0..AUDIO_BACKLOG + 40 {
        let at = call.at + Duration::from_millis(n as u64 * 20);
        call.session.audio.send(trunkline_media::stt::SttAudio { at, data: frame.clone() }).unwrap();
    }
    peer.until(|seen| seen[0].audio.iter().filter(|sample| **sample == 7).count() == AUDIO_BACKLOG * 160).await;
    assert_eq!(counts.get("trunkline_stt_dropped_frames_total/backlog"), 40);
}

#[tokio::test]
async fn audio_older_than_the_replay_is_dropped_while_there_is_no_connection() {
    let counts = Counts::install();
    let peer = Peer::start(vec![Fate::Refuse(503, "", ""); 2]).await;
    let limits = SttLimits { replay: Duration::from_secs(1), ..SttLimits::default() };
    let mut call = Call::open(SttConfig { limits, ..config(&peer.url(), "nova-3") });
    // Three seconds of audio come before the first attempt is answered.
    call.pace = Duration::ZERO;
    for word in 1..=3 {
        for _ in 0..50 {
            let data = bytes::Bytes::from(vec![word; 160]);
            call.session.audio.send(trunkline_media::stt::SttAudio { at: call.at, data }).unwrap();
            call.at += Duration::from_millis(20);
        }
    }
    call.pace = Duration::from_millis(4);
    peer.until(|seen| seen.len() == 3).await;
    call.until_while_silent(|event| is_final_with(event, "w3")).await;
    let words = call.words();
    assert!(!words.contains(&"w1".to_owned()) && words.last().is_some_and(|word| word == "w3"), "{words:?}");
    assert_eq!(counts.get("trunkline_stt_dropped_frames_total/replay"), 100);
}
