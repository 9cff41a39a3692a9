//! Vendors' sockets are opened while it rings, and stay open until somebody can be heard.

use std::time::{Duration, Instant};

use trunkline_sim::{deepgram::SimEventKind, elevenlabs::Happened};

use crate::{
    raw::{RawCall, since},
    world::{GREETING, LIMIT, Scene, ms},
};

/// From text to the first audio, at the simulated voice.
const VOICE_DELAY: Duration = ms(300);

#[tokio::test(flavor = "multi_thread")]
async fn sockets_that_were_opened_while_it_rang_make_the_greeting_prompt() {
    let mut scene = Scene::default();
    scene.elevenlabs.first_byte_delay = VOICE_DELAY;
    scene.deepgram.idle_timeout = ms(5000);
    let world = scene.start().await;
    let call = RawCall::ring(&world, "CA0001").await;
    let opened = world.deepgram.wait_for(LIMIT, |event| matches!(event.kind, SimEventKind::Opened { .. })).await;
    assert!(opened.is_some());
    let connected = |entries: &[trunkline_sim::elevenlabs::LogEntry]| {
        entries.iter().any(|entry| entry.what == Happened::Connected).then_some(())
    };
    assert!(world.elevenlabs.log().wait_for(LIMIT, connected).await.is_some());
    // It rings on, for longer than the vendor bears silence.
    let closed = world.deepgram.wait_for(ms(6000), |event| matches!(event.kind, SimEventKind::Closed { .. })).await;
    assert_eq!(closed, None, "it is kept open");
    assert_eq!((world.deepgram.connections(), world.elevenlabs.connections()), (1, 1));

    let mut socket = call.open().await;
    let begun = Instant::now();
    socket.start(&call.sid, Some(&call.token)).await;
    socket.hear(GREETING).await;
    let waited = since(begun, socket.first_audio);
    tell(waited);
    assert!(waited >= VOICE_DELAY, "{waited:?}: nothing is said before there is a voice");
    assert!(waited < VOICE_DELAY + ms(250), "{waited:?}: more than the voice explains");
    socket.stop(&call.sid).await;
    world.watch.summary(&call.id).await;
    world.settled().await;
    let opened = world.deepgram.log().iter().filter(|event| matches!(event.kind, SimEventKind::Opened { .. })).count();
    let voices = world.elevenlabs.log().entries().iter().filter(|entry| entry.what == Happened::Connected).count();
    assert_eq!((opened, voices), (1, 1), "the sockets that were used are those that were open");
}

#[expect(clippy::print_stdout, reason = "the figure is the test's second result")]
fn tell(waited: Duration) {
    println!("from the stream's start to the first audio {waited:?}, of which the voice takes {VOICE_DELAY:?}");
}
