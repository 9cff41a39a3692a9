//! Where the voice's format is not the carrier's, a resampler keeps a little of what went through it. After an interruption that is the old
//! reply's sound, and it must not begin the new one.

use bytes::Bytes;
use trunkline_media::audio::{AudioFormat, Encoding, SampleRate, convert::Converter};

use crate::world::{World, ms, value_of};

const VOICE: AudioFormat = AudioFormat { encoding: Encoding::Linear16, rate: SampleRate::HZ_24000 };

#[tokio::test(start_paused = true)]
async fn the_new_reply_has_no_tail_of_the_old_one() {
    let mut world = World::builder()
        .tts(|tts| tts.format = VOICE)
        .says("This is a long sentence that nobody is going to hear to its end I am afraid")
        .says("Yes")
        .start();
    world.caller_says("Speak to me, please.").await;
    world.until_speaking(1).await;
    world.run_for(ms(1_000)).await;
    world.caller_says_slowly("Stop it now, please.").await;
    world.until_replies_ended(2).await;
    world.run_for(ms(200)).await;

    // "Yes" is 150 ms, from the first sample to the last, as if nothing had been said before.
    let mut converter = Converter::new(VOICE, AudioFormat::MULAW_8K);
    let mut expected = converter.convert(Bytes::from(vec![value_of(2); 150 * 24 * 2])).to_vec();
    expected.extend(converter.flush());
    let sent: usize = expected.len().div_ceil(160) * 160;
    let heard = world.phone().state().playback.heard.clone();
    let new = &heard[heard.len() - sent..];
    assert_eq!(new[..expected.len()], expected, "sample by sample");
    assert_eq!(world.clears(), 1);
}
