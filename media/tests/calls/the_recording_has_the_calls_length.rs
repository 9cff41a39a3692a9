//! A recording is placed by the media clock, not by when the loop came around: after ten minutes it is as long as the call, and both sides
//! are where they were heard.

use trunkline_media::event::{CallEventKind, RecordingState};

use crate::world::{World, ms};

#[tokio::test(start_paused = true)]
async fn the_recording_has_the_calls_length() {
    let folder = std::env::temp_dir().join(format!("trunkline-recording-{}", std::process::id()));
    let path = folder.join("call.wav");
    let mut world = World::builder().recording(path.clone()).turn(|turn| turn.idle.after = ms(3_600_000)).start();
    // Both sides say something twice: soon after the beginning, and close to the end of ten minutes.
    let mut spoken = Vec::new();
    for minute in [1, 9] {
        let until = ms(minute * 60_000).saturating_sub(world.now().since_start());
        world.run_for(until).await;
        let caller = world.now();
        world.voice(ms(1_000));
        world.run_for(ms(3_000)).await;
        world.say("Now it is me who speaks.", true).await;
        world.until_speaking(spoken.len() + 1).await;
        spoken.push((caller, world.now()));
    }
    let rest = ms(600_000).saturating_sub(world.now().since_start());
    world.run_for(rest).await;
    world.phone().hang_up();
    world.until_ended().await;
    let ended = world.at(|kind| matches!(kind, CallEventKind::Ended { .. })).unwrap();
    let states: Vec<_> = world
        .log()
        .iter()
        .filter_map(|event| match event.kind {
            CallEventKind::Recording { state } => Some(state),
            _ => None,
        })
        .collect();
    assert_eq!(states, [RecordingState::Started, RecordingState::Finished]);

    let mut wav = hound::WavReader::open(&path).unwrap();
    assert_eq!((wav.spec().channels, wav.spec().sample_rate), (2, 8_000));
    let samples: Vec<i16> = wav.samples().map(Result::unwrap).collect();
    std::fs::remove_dir_all(&folder).unwrap();
    let length = ms(samples.len() as u64 / 16);
    assert!(length.abs_diff(ended.since_start()) <= ms(20), "{length:?} of {ended}");
    // From the first loud sample after so many milliseconds.
    let onset = |channel: usize, from: u64| {
        let loud = samples.chunks(2).skip(from as usize * 8).position(|pair| pair[channel].unsigned_abs() > 300);
        from + loud.unwrap() as u64 / 8
    };
    for (caller, agent) in spoken {
        let (caller, agent) = (caller.as_millis(), agent.as_millis());
        let heard = onset(0, caller - 1_000);
        assert!(heard.abs_diff(caller) <= 40, "the caller spoke at {caller} and is at {heard}");
        let heard = onset(1, agent - 1_000);
        assert!(heard.abs_diff(agent) <= 40, "the agent spoke at {agent} and is at {heard}");
    }
}
