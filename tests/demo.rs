//! `trunkline demo` as a newcomer runs it, but for the voice, which is coded so that it can be read back.

use std::time::Duration;

use trunkline::cli::{console::Console, demo, simulate::VoiceKind};
use trunkline_sim::{
    audio::{TELEPHONE_RATE, mulaw_decode},
    voice::{CodedVoice, normalise},
};

/// A machine that stood still for longer than the lead cannot have sent in time.
const STOOD_STILL: Duration = Duration::from_millis(100);

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_the_demo_shows_holds_and_is_what_the_phone_heard() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let out = std::env::temp_dir().join(format!("trunkline-demo-test-{}", std::process::id()));
    let console = Console::keeping();
    let report = demo::run(Some(out.clone()), VoiceKind::Coded, None, console.clone()).await.unwrap();
    let summary = report.evidence.summary.as_ref().unwrap();
    let excused = |what: &str| what == "the agent's speech has no gaps" && summary.max_lateness > STOOD_STILL;
    let missed: Vec<_> = report.checks.iter().filter(|check| !check.held && !excused(&check.what)).collect();
    assert!(missed.is_empty(), "{missed:#?}\n{}", console.kept());
    assert!(report.checks.len() >= 28, "{}", report.checks.len());

    // The stored transcript against the sound at the caller's ear: each word that is said to have been heard was.
    let stream = &report.evidence.phone.as_ref().unwrap().streams[0];
    let samples: Vec<i16> = stream.playback.heard.iter().map(|&byte| mulaw_decode(byte)).collect();
    let heard: String = CodedVoice::default().decode(&samples, TELEPHONE_RATE).iter().map(|found| found.ch).collect();
    let squeeze = |text: &str| normalise(text).split_whitespace().collect::<String>();
    let transcript = report.evidence.stored["transcript"].as_array().unwrap();
    let mut rest = squeeze(&heard);
    for entry in transcript.iter().filter(|entry| entry["speaker"] == "agent") {
        let said = squeeze(entry["text"].as_str().unwrap());
        // The ends of a cut one may be off by a word.
        let core = if entry["interrupted"] == true { &said[..said.len().saturating_sub(12)] } else { said.as_str() };
        if summary.underruns == 0 {
            let at = rest.find(core).unwrap_or_else(|| panic!("{core:?} was not heard in {rest:?}"));
            rest.drain(..at + core.len());
        }
    }
    for name in ["call.wav", "phone.wav", "timeline.svg", "transcript.json"] {
        assert!(out.join(name).metadata().unwrap().len() > 1000, "{name}");
    }
    std::fs::remove_dir_all(&out).unwrap();
}
