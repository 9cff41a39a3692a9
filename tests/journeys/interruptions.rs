//! Two hundred interruptions at random places: the agent stops, what it takes for heard is what was heard, and nothing of what it was
//! saying comes after.

use std::time::{Duration, Instant};

use rand::{Rng, SeedableRng, rngs::StdRng};
use tokio::task::JoinSet;
use trunkline_media::event::{CallEvent, CallEventKind, EndReason, InterruptionCause};
use trunkline_sim::{
    openai::Rule,
    twilio::phone::{PhoneReport, Step},
    voice::normalise,
};

use crate::{
    hearing::{follow, heard_between, whole_words},
    watch::Told,
    world::{Scene, World, clip, id_of, ms, report},
};

const CALLS: u64 = 35;
const INTERRUPTIONS: usize = 6;
const GREETING: &str = "Welcome to the long story hotline, where every tale is told slowly and nobody has to hurry. Tonight we \
    have pirates, professors, postmen and one very patient penguin, so lean back and tell me what you want.";

/// What callers say and what they are told: no two answers in a row are the same, and each begins with words of its own.
const STORIES: [(&str, &str, &str); 4] = [
    (
        "cards_001",
        "ten of clubs",
        "Once upon a time a gardener grew clubs instead of cabbages, and nobody in the village could say how, \
        for he watered them with cold tea, read them the newspaper, and sang to them on Sundays until they bloomed in black.",
    ),
    (
        "goforward",
        "go forward",
        "Walking forward is harder than it sounds, said the engineer, because each machine has its own idea of \
        where forward is. Mine turned left at the bakery, rolled through a wedding, and stopped in front of the town hall.",
    ),
    (
        "digits_29340",
        "two nine three",
        "Numbers were forbidden in that country, so people paid with compliments. A loaf of bread was two \
        kind words, a horse was a sonnet, and the king himself was once bought with a limerick about the weather.",
    ),
    (
        "something",
        "go somewhere",
        "Somewhere beyond the last bus stop there is a lake that forgets its shape every night. In the morning \
        children run out to see what it has become: a spoon, a violin, a question mark, or simply an enormous puddle.",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn the_agent_stops_and_knows_what_was_heard() {
    let mut scene = Scene::default()
        .greeting(GREETING)
        .agent("/speech_config/model", "flux-general-en".into())
        .rules(STORIES.map(|(_, when, story)| Rule::reply(when, story)));
    scene.deepgram.log_capacity = 0;
    let world = scene.start().await;
    let mut calls = JoinSet::new();
    for seed in 0..CALLS {
        calls.spawn(report(world.ring(steps(seed))));
    }
    let (mut seen, mut worst) = (0, Duration::ZERO);
    while let Some(call) = calls.join_next().await {
        let call = call.unwrap();
        assert_eq!(call.errors, []);
        let told = world.watch.ended(&id_of(&call)).await;
        assert_eq!(told.ended(), [EndReason::CallerHangup]);
        let (interruptions, latency) = check(&call.streams[0], &told);
        seen += interruptions;
        worst = worst.max(latency);
    }
    tell(seen, worst);
    assert_eq!(world.deepgram.unrecognised(), 0);
    assert!(seen >= 200, "{seen}");
    settled(&world).await;
}

async fn settled(world: &World) {
    world.settled().await;
    assert_eq!((world.elevenlabs.contexts(), world.openai.running()), (0, 0));
}

#[expect(clippy::print_stdout, reason = "the figure is the test's second result")]
fn tell(seen: usize, worst: Duration) {
    println!("{seen} interruptions; from acceptance to the phone's clear at most {:.1} ms", worst.as_secs_f64() * 1e3);
}

/// A caller who never lets the agent finish.
fn steps(seed: u64) -> Vec<Step> {
    let mut random = StdRng::seed_from_u64(seed);
    // Not all at the same time.
    let mut steps = vec![Step::WaitForAgentToSpeak, Step::Silence(ms(random.random_range(0..400)))];
    for n in 0..INTERRUPTIONS {
        let speaking_for = ms(random.random_range(200..2200));
        steps.push(Step::SayWhen { speaking_for, speech: clip(STORIES[(seed as usize + n) % STORIES.len()].0) });
    }
    steps.extend([Step::WaitForAgentToSpeak, Step::Silence(ms(1_500)), Step::HangUp]);
    steps
}

/// Holds what the phone heard against what the engine says. Gives the number of interruptions, and the worst time from the
/// engine's decision to the phone's `clear`.
fn check(stream: &PhoneReport, told: &Told) -> (usize, Duration) {
    let clears = &stream.playback.clears;
    let accepted: Vec<&CallEvent> = told
        .events
        .iter()
        .map(|(_, event)| event)
        .filter(|event| matches!(event.kind, CallEventKind::Interruption { cause: InterruptionCause::BargeIn, .. }))
        .collect();
    assert_eq!(clears.len(), accepted.len(), "every interruption clears, and nothing else does");
    // Whoever speaks here has words to say: the agent never pauses for nothing, least of all for the end of what it answers.
    assert!(!told.kinds().any(|kind| matches!(kind, CallEventKind::FalseInterruption { .. })));
    let origin = origin(told);
    let started = stream.started.unwrap();
    let (mut from, mut worst) = (Duration::ZERO, Duration::ZERO);
    for (clear, accepted) in clears.iter().zip(&accepted) {
        let CallEventKind::Interruption { reply: cut, .. } = &accepted.kind else {
            unreachable!("they were chosen so")
        };
        let (generated, engine) = told
            .kinds()
            .find_map(|kind| match kind {
                CallEventKind::ReplyEnded { reply, generated, heard, interrupted: true, .. } if reply == cut => {
                    Some((generated.expose().clone(), heard.text.expose().clone()))
                }
                _ => None,
            })
            .expect("what was interrupted has ended");
        // The tick that is playing is heard to its end.
        let heard = heard_between(stream, from, clear.at + ms(20));
        let gaps = stream.playback.gaps.iter().filter(|gap| (from..clear.at).contains(&gap.dry_at)).count();
        let (reached, strays) = follow(&heard, &generated);
        // The sound at the cut may be half a character, and each pause may have split one.
        assert!(strays <= gaps + 1, "heard {heard:?} while {generated:?} was said, {gaps} gaps");
        assert!(normalise(&generated).starts_with(&normalise(&engine)));
        let (engine, phone) = (engine.split_whitespace().count(), whole_words(&generated, reached));
        assert!(engine.abs_diff(phone) <= 1, "the engine says {engine} words, {phone} were heard: {heard:?}");
        let decided = origin + accepted.at.since_start();
        worst = worst.max((started + clear.at).saturating_duration_since(decided));
        from = clear.at + ms(20);
    }
    // After the last cut, only the last answer.
    let heard = heard_between(stream, from, stream.duration);
    let last = told.replies().into_iter().last().unwrap().generated;
    let (reached, strays) = follow(&heard, &last);
    assert!(reached > 5 && strays <= stream.playback.gaps.len() + 1, "{heard:?} of {last:?}");
    (accepted.len(), worst)
}

/// Zero of the call's clock: no event is told before it happens, and of hundreds one is told at once.
fn origin(told: &Told) -> Instant {
    told.events.iter().map(|(at, event)| *at - event.at.since_start()).min().unwrap()
}
