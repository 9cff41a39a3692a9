//! The fuzzers' way in.

use std::time::Duration;

use tokio::time::Instant;
use trunkline_base::{Clock as _, Secret, SystemClock};

use super::{session::Session, wire};
use crate::{
    audio::{AudioFormat, Encoding, SampleRate},
    ids::ReplyId,
    tts::{TtsCommand, TtsConfig, TtsLimits, VoiceSettings},
};

/// Reads `data` as messages, a line each, in the middle of a reply. Must not panic, whatever they are.
pub fn fuzz_messages(data: &[u8]) {
    let _ = wire::Code::of_body(data);
    let mut now = SystemClock.now();
    for format in [AudioFormat::MULAW_8K, AudioFormat { encoding: Encoding::Linear16, rate: SampleRate::HZ_16000 }] {
        let mut session = speaking(format, now);
        for line in String::from_utf8_lossy(data).lines() {
            now += Duration::from_millis(10);
            if let Some(message) = wire::ServerMessage::parse(line)
                && let Err(fault) = session.handle_message(&message, now)
            {
                session.handle_lost(&fault, now);
                session.handle_connected(now);
            }
            while session.poll_event().is_some() {}
            while session.poll_transmit().is_some() {}
            let _ = session.poll_timeout(true);
        }
    }
}

/// A session whose first reply is being spoken, in context `fuzz-1-1`.
fn speaking(format: AudioFormat, now: Instant) -> Session {
    let reply = ReplyId(1);
    let mut session = Session::new(&TtsConfig {
        base_url: crate::net::BaseUrl::operator(""),
        api_key: Secret::default(),
        voice_id: String::new(),
        model: String::new(),
        language: None,
        settings: VoiceSettings::default(),
        format,
        tag: "fuzz".into(),
        limits: TtsLimits::default(),
    });
    session.handle_connected(now);
    session.handle_command(TtsCommand::Speak { reply, text: "Hi there, Zoë 漢字. ".into() }, now);
    session.handle_command(TtsCommand::Finish { reply }, now);
    session
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn messages_like_the_vendor_s_never_panic(
            audio in prop::collection::vec(any::<u8>(), 0..64), chars in "\\PC{0,8}", at in prop::collection::vec(any::<f64>(), 0..8),
            context in "(fuzz-1-[1-3]|x)", end in any::<bool>(), cut in 0usize..400,
        ) {
            let chars: Vec<String> = chars.chars().map(String::from).collect();
            let one = serde_json::json!({
                "audio": base64_simd::STANDARD.encode_to_string(&audio), "contextId": context, "isFinal": end,
                "alignment": {"chars": chars, "charStartTimesMs": at, "charsDurationsMs": at},
            }).to_string();
            let broken = String::from_utf8_lossy(&one.as_bytes()[..cut.min(one.len())]).into_owned();
            fuzz_messages(format!("{one}\n{broken}\n{one}\n{{\"error\":\"x\"}}\n{one}").as_bytes());
        }

        #[test]
        fn noise_never_panics(data in prop::collection::vec(any::<u8>(), 0..256)) {
            fuzz_messages(&data);
        }
    }
}
