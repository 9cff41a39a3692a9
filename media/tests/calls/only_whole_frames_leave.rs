//! A voice cuts its audio anywhere. A part of a frame on the wire is a stutter at the start of every word, so only whole frames leave, and the
//! rest waits for the next piece; the last frame of a reply is filled with silence.

use crate::world::{Sent, World, ms};

const TEXT: &str = "Every frame that leaves is a whole one, is it not? So it is.";

#[tokio::test(start_paused = true)]
async fn only_whole_frames_leave() {
    for piece in [1_111, 333, 161, 79] {
        let mut world = World::builder()
            .tts(|tts| {
                tts.counted = true;
                tts.piece = Some(piece);
                tts.per_char = ms(33);
            })
            .greeting(TEXT)
            .start();
        world.until_replies_ended(1).await;
        world.run_for(ms(100)).await;
        for (at, sent) in world.sent() {
            if let Sent::Audio { bytes, .. } = sent {
                assert_eq!(bytes, 160, "at {at} with pieces of {piece}");
            }
        }
        let mut heard = world.phone().state().playback.heard.clone();
        let spoken = 33 * 8 * TEXT.len();
        let padding = heard.split_off(spoken);
        assert_eq!(padding.len(), spoken.next_multiple_of(160) - spoken);
        assert!(padding.iter().all(|byte| *byte == 0xFF));
        assert!(heard.iter().enumerate().all(|(n, byte)| usize::from(*byte) == n % 251), "with pieces of {piece}");
    }
}
