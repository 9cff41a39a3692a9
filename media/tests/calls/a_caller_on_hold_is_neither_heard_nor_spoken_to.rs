//! On hold nothing is transcribed, prompted or said; what was owed is answered when the caller is taken off it.

use tokio::sync::broadcast::error::TryRecvError;
use trunkline_media::{
    call::CallCommand,
    event::{CallEventKind, EndReason, InterruptionCause, Speaker, TurnSource},
    stt::SttAudio,
};

use crate::world::{World, ms};

#[tokio::test(start_paused = true)]
async fn a_caller_on_hold_is_neither_heard_nor_spoken_to() {
    let mut world = World::builder()
        .greeting("Hello.")
        .turn(|turn| turn.idle.after = ms(4_000))
        .says("Your table is booked for eight o'clock tonight, and I have noted the high chair.")
        .says("As I said, it is booked for eight.")
        .start();
    world.until_replies_ended(1).await;
    world.caller_says("A table for two at eight.").await;
    world.until_speaking(2).await;
    world.run_for(ms(1_000)).await;
    world.command(CallCommand::Hold { on: true }).await;
    assert_eq!(world.replies().len(), 2);
    assert!(world.replies()[1].interrupted, "the agent stops in mid-sentence");
    // Nothing that comes of what is said now is of this call, late or early.
    heard(&mut world);
    let asked = world.llm.requests().len();
    world.caller_says("Are you there? Hello?").await;
    let silent = heard(&mut world);
    assert!(!silent.is_empty(), "the recogniser's clock goes on");
    assert!(silent.iter().all(|audio| audio.data.iter().all(|byte| *byte == 0xff)), "with silence alone");
    world.say("Somebody will be with you shortly.", true).await;
    world.run_for(ms(20_000)).await;
    assert_eq!(world.llm.requests().len(), asked);
    assert_eq!(world.replies().len(), 2);
    assert_eq!(world.count(|kind| matches!(kind, CallEventKind::CallerIdle { .. })), 0);

    world.command(CallCommand::Hold { on: false }).await;
    world.until_replies_ended(5).await;
    let said: Vec<_> = world.replies()[2..].iter().map(|reply| reply.heard.clone()).collect();
    assert_eq!(
        said,
        ["Thank you for waiting.", "As I said, it is booked for eight.", "Somebody will be with you shortly."]
    );
    let callers: Vec<_> = world.transcript().into_iter().filter(|turn| turn.0 == Speaker::Caller).collect();
    assert_eq!(callers, [(Speaker::Caller, "A table for two at eight.".into(), TurnSource::Speech)]);
    let holds = world.log().iter().filter_map(|event| match event.kind {
        CallEventKind::Hold { on } => Some(on),
        _ => None,
    });
    assert_eq!(holds.collect::<Vec<_>>(), [true, false]);
    world.assert_no_stale_frame();
}

/// What the recogniser was sent since it was last asked for.
fn heard(world: &mut World) -> Vec<SttAudio> {
    let mut heard = Vec::new();
    loop {
        match world.stt.audio.try_recv() {
            Ok(audio) => heard.push(audio),
            Err(TryRecvError::Lagged(_)) => {}
            Err(_) => return heard,
        }
    }
}

/// The words that the caller was in the middle of are known, and answered later.
#[tokio::test(start_paused = true)]
async fn what_the_caller_was_saying_is_answered_after_the_hold() {
    let mut world = World::builder()
        .turn(|turn| {
            turn.on_hold = Some("Please hold.".into());
            turn.off_hold = None;
        })
        .says("We close at ten.")
        .start();
    let start = world.now();
    world.voice(ms(1_000));
    world.run_for(ms(800)).await;
    world.stt.says_interim("When do you close", start, start + ms(700)).await;
    world.run_for(ms(10)).await;
    world.command(CallCommand::Hold { on: true }).await;
    world.until_replies_ended(1).await;
    world.run_for(ms(5_000)).await;
    assert_eq!(world.llm.requests().len(), 0);
    // Asked twice for the same, it is done once.
    world.command(CallCommand::Hold { on: true }).await;
    world.command(CallCommand::Hold { on: false }).await;
    world.until_replies_ended(2).await;
    let transcript = world.transcript();
    assert_eq!(
        transcript,
        [
            (Speaker::Caller, "When do you close".into(), TurnSource::Speech),
            (Speaker::Agent, "Please hold.".into(), TurnSource::Hold),
            (Speaker::Agent, "We close at ten.".into(), TurnSource::Llm),
        ]
    );
    assert_eq!(world.count(|kind| matches!(kind, CallEventKind::Hold { .. })), 2);
}

#[tokio::test(start_paused = true)]
async fn a_caller_may_leave_while_on_hold() {
    let mut world = World::builder().greeting("Hello.").start();
    world.until_replies_ended(1).await;
    world.command(CallCommand::Hold { on: true }).await;
    world.phone().hang_up();
    assert_eq!(world.until_ended().await.reason, Some(EndReason::CallerHangup));
    let barged =
        |kind: &CallEventKind| matches!(kind, CallEventKind::Interruption { cause: InterruptionCause::BargeIn, .. });
    assert_eq!(world.count(barged), 0);
}
