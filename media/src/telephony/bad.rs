//! Messages that a carrier should not have sent, and how many of them a socket may send.

use std::{collections::VecDeque, time::Duration};

use crate::{
    audio::AudioFormat,
    telephony::{CLOSE_POLICY, MAX_TEXT},
    time::MediaTime,
};

/// Why a message was not understood. Such a message is counted under [`BadMessage::label`] and ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum BadMessage {
    /// Half a JSON, or a part that has the wrong shape or is missing.
    #[error("not a message of the carrier's")]
    Malformed,
    /// An event that we don't know.
    #[error("unknown event")]
    UnknownEvent,
    /// Not the stream that this socket began with.
    #[error("another stream's message")]
    WrongStream,
    /// A stream's message before the stream began.
    #[error("before the stream began")]
    BeforeStart,
    /// The stream began for a second time.
    #[error("the stream had begun already")]
    StartedTwice,
    /// Audio that we cannot decode.
    #[error("unsupported audio format")]
    UnsupportedFormat,
    /// No audio in a message of audio.
    #[error("empty payload")]
    EmptyPayload,
    /// Half a sample.
    #[error("odd-sized payload")]
    OddPayload,
    /// Audio that is no base64.
    #[error("payload is not base64")]
    BadBase64,
    /// No key of a telephone.
    #[error("not a digit")]
    BadDigit,
    /// Bytes where the carrier speaks text.
    #[error("binary message")]
    Binary,
    /// More text than [`MAX_TEXT`].
    #[error("message too large")]
    TooLarge,
}

impl BadMessage {
    /// A name for metrics, which never changes.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::UnknownEvent => "unknown_event",
            Self::WrongStream => "wrong_stream",
            Self::BeforeStart => "before_start",
            Self::StartedTwice => "started_twice",
            Self::UnsupportedFormat => "unsupported_format",
            Self::EmptyPayload => "empty_payload",
            Self::OddPayload => "odd_payload",
            Self::BadBase64 => "bad_base64",
            Self::BadDigit => "bad_digit",
            Self::Binary => "binary",
            Self::TooLarge => "too_large",
        }
    }
}

/// Whether so many bytes are audio: at least one sample, and no half one.
pub(super) const fn check_payload(format: AudioFormat, bytes: usize) -> Result<(), BadMessage> {
    match bytes {
        0 => Err(BadMessage::EmptyPayload),
        n if n % format.encoding.bytes_per_sample() != 0 => Err(BadMessage::OddPayload),
        _ => Ok(()),
    }
}

/// What is to be done about a bad message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Count it; the call goes on.
    Ignore,
    /// Close the socket.
    Close {
        /// With this code.
        code: u16,
        /// And these words.
        reason: &'static str,
    },
}

/// How much nonsense a media socket may send: text over [`MAX_TEXT`] closes it at once, [`BadMessageLimit::COUNT`] bad messages within
/// [`BadMessageLimit::WINDOW`] close it; less than that is ignored.
#[derive(Debug, Clone, Default)]
pub struct BadMessageLimit {
    recent: VecDeque<MediaTime>,
}

impl BadMessageLimit {
    /// So many bad messages …
    pub const COUNT: usize = 100;
    /// … in such a time are too many.
    pub const WINDOW: Duration = Duration::from_secs(10);

    /// Takes note of a bad message.
    pub fn handle_bad_message(&mut self, bad: BadMessage, now: MediaTime) -> Verdict {
        if bad == BadMessage::TooLarge {
            return Verdict::Close { code: CLOSE_POLICY, reason: "message too large" };
        }
        while self.recent.front().is_some_and(|first| now.saturating_since(*first) > Self::WINDOW) {
            self.recent.pop_front();
        }
        self.recent.push_back(now);
        if self.recent.len() < Self::COUNT {
            return Verdict::Ignore;
        }
        self.recent.clear();
        Verdict::Close { code: CLOSE_POLICY, reason: "too many bad messages" }
    }
}

/// Whether a text is short enough to be read at all.
pub(super) const fn check_text(text: &str) -> Result<(), BadMessage> {
    if text.len() > MAX_TEXT { Err(BadMessage::TooLarge) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::{Encoding, SampleRate};

    const CLOSE: Verdict = Verdict::Close { code: 1008, reason: "too many bad messages" };

    #[test]
    fn a_hundred_in_ten_seconds_close_the_socket() {
        let mut limit = BadMessageLimit::default();
        for i in 0..99 {
            let now = MediaTime::from_millis(i * 100);
            assert_eq!(limit.handle_bad_message(BadMessage::Malformed, now), Verdict::Ignore, "{i}");
        }
        assert_eq!(limit.handle_bad_message(BadMessage::UnknownEvent, MediaTime::from_millis(10_000)), CLOSE);
    }

    #[test]
    fn a_slow_trickle_never_does() {
        let mut limit = BadMessageLimit::default();
        for i in 0..5_000 {
            let now = MediaTime::from_millis(i * 102);
            assert_eq!(limit.handle_bad_message(BadMessage::Binary, now), Verdict::Ignore, "{i}");
            assert!(limit.recent.len() <= BadMessageLimit::COUNT);
        }
    }

    #[test]
    fn one_that_is_too_large_closes_at_once() {
        let verdict = BadMessageLimit::default().handle_bad_message(BadMessage::TooLarge, MediaTime::ZERO);
        assert_eq!(verdict, Verdict::Close { code: 1008, reason: "message too large" });
        assert_eq!(check_text(&"x".repeat(MAX_TEXT)), Ok(()));
        assert_eq!(check_text(&"x".repeat(MAX_TEXT + 1)), Err(BadMessage::TooLarge));
    }

    #[test]
    fn half_a_sample_is_no_audio() {
        let wide = AudioFormat { encoding: Encoding::Linear16, rate: SampleRate::HZ_16000 };
        assert_eq!(check_payload(wide, 640), Ok(()));
        assert_eq!(check_payload(wide, 639), Err(BadMessage::OddPayload));
        assert_eq!(check_payload(wide, 0), Err(BadMessage::EmptyPayload));
        assert_eq!(check_payload(AudioFormat::MULAW_8K, 1), Ok(()));
    }
}
