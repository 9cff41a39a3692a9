//! A process died with its call, and the carrier brought the caller to another one. The caller is told so in a few words, is not greeted again,
//! and does not have to begin from the start: the model knows what was said. Clock and numbers go on from where they were.

use trunkline_base::Personal;
use trunkline_media::{
    event::{CallEventKind, RecordingState, Speaker, TurnSource},
    ids::TurnId,
    llm::Message,
    time::MediaTime,
    turn::{PastTurn, Resumed},
};

use crate::world::{World, ms};

const SORRY: &str = "Sorry, we were cut off for a moment.";

/// A call in its second minute.
pub(crate) fn after(turns: &[(Speaker, &str)]) -> Resumed {
    let past = |(speaker, text): &(Speaker, &str)| PastTurn { speaker: *speaker, text: Personal::new((*text).into()) };
    Resumed {
        history: turns.iter().map(past).collect(),
        clock: MediaTime::from_millis(95_000),
        next_seq: 57,
        next_turn: TurnId(9),
    }
}

/// What the model was shown in its last request.
pub(crate) fn asked(world: &World) -> Vec<String> {
    let requests = world.llm.requests();
    let last = requests.last().expect("the model was asked");
    let words = |message: &Message| match message {
        Message::System { .. } => "system".to_owned(),
        Message::Caller { text } => format!("caller: {}", text.expose()),
        Message::Agent { text, .. } => format!("agent: {}", text.expose()),
        Message::Tool { content, .. } => format!("tool: {}", content.expose()),
    };
    last.messages.iter().map(words).collect()
}

#[tokio::test(start_paused = true)]
async fn a_call_that_comes_back_is_taken_up() {
    let history = [
        (Speaker::Agent, "Hello, this is Anna."),
        (Speaker::Caller, "I would like a table."),
        (Speaker::Agent, "For how many?"),
    ];
    let mut world =
        World::builder().greeting("Hello, this is Anna.").resumed(after(&history)).says("At eight?").start();
    let came_back = world.now();
    world.until_replies_ended(1).await;
    world.run_for(ms(500)).await;
    world.caller_says("For four of us.").await;
    world.until_replies_ended(2).await;

    let log = world.log();
    assert_eq!(
        (log[0].seq, log[0].at, &log[0].kind),
        (57, came_back, &CallEventKind::StreamAttached { stream: "MZ1".into(), reattached: true })
    );
    assert!(came_back.as_millis() >= 95_000 && log.iter().all(|event| event.at >= came_back));
    assert_eq!(world.count(|kind| *kind == CallEventKind::Answered), 0, "it was answered long ago");
    assert_eq!(
        world.transcript(),
        [
            (Speaker::Agent, SORRY.into(), TurnSource::Resume),
            (Speaker::Caller, "For four of us.".into(), TurnSource::Speech),
            (Speaker::Agent, "At eight?".into(), TurnSource::Llm),
        ]
    );
    let turns: Vec<_> = log
        .iter()
        .filter_map(|event| match &event.kind {
            CallEventKind::TurnEnded { turn, started, .. } => Some((turn.0, *started >= came_back)),
            _ => None,
        })
        .collect();
    assert_eq!(turns, [(9, true), (10, true), (11, true)], "numbers and times go on");
    assert_eq!(
        asked(&world),
        [
            "system",
            "agent: Hello, this is Anna.",
            "caller: I would like a table.",
            "agent: For how many?",
            &format!("agent: {SORRY}"),
            "caller: For four of us.",
        ]
    );
    assert_eq!(world.samples_heard(9), 400 * SORRY.len() as u64);
    world.phone().hang_up();
    assert_eq!(world.until_ended().await.reattached, 1, "the first stream of this process is not the call's first");
}

#[tokio::test(start_paused = true)]
async fn an_agent_may_be_told_to_go_on_without_a_word() {
    let resumed = after(&[(Speaker::Agent, "For how many?")]);
    let mut world = World::builder().turn(|turn| turn.resume = None).resumed(resumed).says("At eight?").start();
    world.run_for(ms(3_000)).await;
    assert_eq!(world.transcript(), []);
    world.caller_says("For four of us.").await;
    world.until_replies_ended(1).await;
    assert_eq!(asked(&world), ["system", "agent: For how many?", "caller: For four of us."]);
}

#[tokio::test(start_paused = true)]
async fn the_recording_of_a_part_is_as_long_as_the_part() {
    let folder = std::env::temp_dir().join(format!("trunkline-resumed-{}", std::process::id()));
    let path = folder.join("part-2.wav");
    let mut world = World::builder().recording(path.clone()).resumed(after(&[])).start();
    let came_back = world.now();
    world.until_replies_ended(1).await;
    let voiced = world.now().saturating_since(came_back).as_millis() as usize;
    world.voice(ms(1_000));
    world.run_for(ms(2_000)).await;
    world.phone().hang_up();
    world.until_ended().await;
    let ended = world.at(|kind| *kind == CallEventKind::Recording { state: RecordingState::Finished }).unwrap();
    let samples: Vec<i16> = hound::WavReader::open(&path).unwrap().samples().map(Result::unwrap).collect();
    std::fs::remove_dir_all(&folder).unwrap();
    let length = ms(samples.len() as u64 / 16);
    assert!(length.abs_diff(ended.saturating_since(came_back)) <= ms(20), "{length:?} from {came_back} to {ended}");
    let onset = samples.chunks(2).position(|pair| pair[0].unsigned_abs() > 300).unwrap() / 8;
    assert!(onset.abs_diff(voiced) <= 40, "the caller spoke after {voiced} ms and is at {onset} ms");
}
