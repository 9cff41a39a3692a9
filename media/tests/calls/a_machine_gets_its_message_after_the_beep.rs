//! The agent greets whoever answers at once, and does what it is configured to do when it learns that it greets a machine.

use trunkline_media::{
    call::CallCommand,
    event::{CallEventKind, EndReason, Speaker, TurnSource},
    telephony::AnsweredBy,
    turn::{Voicemail, VoicemailAction},
};

use crate::world::{World, ms};

const GREETING: &str = "Hello, this is the dentist's office with a question about your appointment.";
const MESSAGE: &str = "This is the dentist's office. Please call us back.";

fn world(action: VoicemailAction) -> World {
    let voicemail = Voicemail { action, message: Some(MESSAGE.into()), ..Voicemail::default() };
    World::builder().greeting(GREETING).turn(|turn| turn.voicemail = voicemail).start()
}

fn answered(by: AnsweredBy) -> CallCommand {
    CallCommand::AnsweredBy { by }
}

#[tokio::test(start_paused = true)]
async fn a_machine_gets_its_message_after_the_beep() {
    let mut world = world(VoicemailAction::LeaveMessage);
    world.until_speaking(1).await;
    world.run_for(ms(1_000)).await;
    world.command(answered(AnsweredBy::Machine)).await;
    assert!(world.replies()[0].interrupted, "the greeting is nothing to a machine");
    world.caller_says("You have reached the Smiths. Please leave a message.").await;
    world.run_for(ms(8_000)).await;
    assert_eq!((world.replies().len(), world.llm.requests().len()), (1, 0), "it waits in silence");
    world.command(answered(AnsweredBy::MachineReady)).await;
    world.until_speaking(2).await;
    world.caller_says("Beep.").await;
    assert_eq!(world.until_ended().await.reason, Some(EndReason::Voicemail));
    let message = &world.replies()[1];
    assert!(!message.interrupted && message.heard == MESSAGE, "{message:?}");
    assert_eq!(world.samples_heard(2), 400 * MESSAGE.len() as u64, "it is heard to its end");
    assert!(world.transcript().contains(&(Speaker::Agent, MESSAGE.into(), TurnSource::Voicemail)));
    assert_eq!(world.carrier.hang_ups(), [EndReason::Voicemail]);
}

#[tokio::test(start_paused = true)]
async fn a_beep_that_is_not_heard_is_not_waited_for_for_ever() {
    let mut world = world(VoicemailAction::LeaveMessage);
    world.until_speaking(1).await;
    world.command(answered(AnsweredBy::Machine)).await;
    world.run_for(ms(44_000)).await;
    assert_eq!(world.replies().len(), 1);
    assert_eq!(world.until_ended().await.reason, Some(EndReason::Voicemail));
    assert_eq!(world.replies()[1].heard, MESSAGE);
}

#[tokio::test(start_paused = true)]
async fn nobody_talks_to_a_machine_who_is_not_to() {
    for by in [AnsweredBy::Machine, AnsweredBy::MachineReady, AnsweredBy::Fax] {
        let mut world = world(VoicemailAction::HangUp);
        world.until_speaking(1).await;
        world.command(answered(by)).await;
        assert_eq!(world.until_ended().await.reason, Some(EndReason::Voicemail));
        assert_eq!(world.replies().len(), 1, "without another word");
    }
}

#[tokio::test(start_paused = true)]
async fn humans_and_machines_that_are_to_be_talked_to_notice_nothing() {
    for (action, by) in [
        (VoicemailAction::HangUp, AnsweredBy::Human),
        (VoicemailAction::LeaveMessage, AnsweredBy::Unknown),
        (VoicemailAction::Continue, AnsweredBy::Machine),
        (VoicemailAction::Continue, AnsweredBy::MachineReady),
    ] {
        let mut world = world(action);
        world.until_speaking(1).await;
        world.command(answered(by)).await;
        world.until_replies_ended(1).await;
        assert!(!world.replies()[0].interrupted);
        world.caller_says("Yes, it is me.").await;
        world.until_replies_ended(2).await;
        assert_eq!(world.count(|kind| *kind == CallEventKind::AnsweredBy { by }), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_verdict_after_a_human_has_answered_is_ignored() {
    let mut world = world(VoicemailAction::HangUp);
    world.until_replies_ended(1).await;
    world.caller_says("Yes, this is Ada speaking.").await;
    world.until_replies_ended(2).await;
    world.command(answered(AnsweredBy::Machine)).await;
    world.caller_says("Are you there still?").await;
    world.until_replies_ended(3).await;
    assert_eq!(world.end_reason(), None);
}

#[tokio::test(start_paused = true)]
async fn an_assistant_that_asks_who_calls_is_told_and_the_call_goes_on() {
    let mut world = world(VoicemailAction::HangUp);
    world.until_speaking(1).await;
    world.run_for(ms(500)).await;
    world.command(answered(AnsweredBy::CallScreening)).await;
    world.until_replies_ended(2).await;
    assert_eq!(world.replies()[1].heard, GREETING);
    world.caller_says("Hi, this is Ada.").await;
    world.until_replies_ended(3).await;
    assert_eq!(world.transcript().last().unwrap().2, TurnSource::Llm);
}
