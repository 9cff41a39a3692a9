//! A whole campaign at fifty calls at once, whose worker is killed twice on the way. `CAMPAIGN_CONTACTS=10000` makes it a large one.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use serde_json::json;
use trunkline_sim::{
    phone::{Answer, Callee},
    twilio::{
        CallStatus,
        phone::{PhoneConfig, Step},
    },
};

use crate::{
    carrier::{Seen, most_at_once},
    scene::{LIMIT, Scene},
};

/// Contacts, where nothing else is said.
const CONTACTS: usize = 300;
/// Calls at once.
const CONCURRENCY: usize = 50;

/// Whom a contact's number reaches, and the outcome of that.
fn callee(n: usize) -> (Callee, &'static str) {
    let ms = Duration::from_millis;
    match n % 10 {
        0..=2 => (Callee::fails(Answer::Busy).after(ms(500)), "busy"),
        3 => (Callee::fails(Answer::None), "no_answer"),
        4 => (Callee::fails(Answer::Unreachable), "invalid_number"),
        5 => (Callee::fails(Answer::Fails), "failed"),
        6 => (Callee::fails(Answer::Rejects).after(ms(500)), "rejected"),
        _ => (Callee::default().after(ms(500)), "answered"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_contact_has_one_outcome_and_no_attempt_two_calls_whoever_is_killed() {
    let contacts = std::env::var("CAMPAIGN_CONTACTS").map_or(CONTACTS, |n| n.parse().unwrap());
    let limit = LIMIT + Duration::from_millis(200) * u32::try_from(contacts).unwrap();
    let scene = Scene::set("campaign-kill", false).await;
    let phone = || PhoneConfig {
        steps: vec![Step::Silence(Duration::from_millis(700)), Step::HangUp],
        ..PhoneConfig::default()
    };
    let mut expected = BTreeMap::new();
    for n in 0..contacts {
        let number = format!("+1415{:07}", 5_000_000 + n);
        let (callee, outcome) = callee(n);
        scene.callees.set(&number, callee, phone());
        expected.insert(number, outcome);
    }
    let numbers: Vec<String> = expected.keys().cloned().collect();
    let again = |max_attempts, delay_s| json!({ "max_attempts": max_attempts, "delay_s": delay_s });
    let retry = json!({
        "busy": again(2, 1), "failed": again(3, 0), "no_answer": again(1, 0), "rejected": again(1, 0), "voicemail": again(1, 0),
    });
    let campaign = scene.campaign(json!({ "concurrency": CONCURRENCY, "retry": retry }), &numbers).await;
    let begun = Instant::now();
    scene.tell(&campaign, "start").await;
    let mut worker = scene.program.worker().await;
    let mut left = Vec::new();
    for part in [contacts / 4, contacts * 3 / 4] {
        scene.record.placed(part, limit).await;
        worker.kill().await;
        left.push(scene.count("contacts where status = 'calling'").await);
        worker = scene.program.worker().await;
    }
    let done = scene.until(&campaign, limit, |it| it["status"] == "completed").await;
    let took = begun.elapsed();
    let seen = scene.record.all(LIMIT).await;
    // The carrier's last words may be on their way.
    scene.counted("slots", 0).await;
    worker.stop().await;

    let most = most_at_once(&seen);
    println!(
        "{contacts} contacts, {} calls in {took:.1?}, at most {most} at once, {left:?} on when a worker was killed: {}",
        seen.len(),
        done["contacts"]["outcomes"]
    );
    assert!(most <= CONCURRENCY, "{most} calls at once");
    // It was used as well: a dialler that is slow proves nothing.
    assert!(most > CONCURRENCY / 5, "{most} calls at once");
    let lost = check_attempts(&scene, &campaign, &seen, &expected).await;
    println!("{lost} attempts were left behind before the carrier had heard of them");
    check_dials(&scene, seen.len());
    let open = "contact_attempts where outcome is null";
    assert_eq!((scene.count(open).await, scene.count("dials where settled_at is null").await), (0, 0));
    assert_eq!(scene.count("conversations where end_time is null").await, 0);
}

/// Every contact has its outcome, and of every attempt that came to a call the carrier has seen one. How many attempts came to none.
async fn check_attempts(
    scene: &Scene,
    campaign: &str,
    seen: &[Seen],
    expected: &BTreeMap<String, &'static str>,
) -> usize {
    let mut by_number: BTreeMap<&str, Vec<&Seen>> = BTreeMap::new();
    for call in seen {
        by_number.entry(&call.to).or_default().push(call);
    }
    let mut lost = 0;
    let contacts = scene.contacts(campaign).await;
    assert_eq!(contacts.len(), expected.len());
    for (number, contact) in &contacts {
        let attempts = contact["attempts"].as_array().unwrap();
        let calls = by_number.get(number.as_str()).map_or(&[][..], Vec::as_slice);
        assert_eq!(contact["status"], "done", "{contact:#}");
        assert_eq!(contact["outcome"], expected[number], "{contact:#} {calls:#?}");
        assert_eq!(contact["outcome"], attempts.last().unwrap()["outcome"], "{contact:#}");
        let numbers: BTreeSet<i64> = attempts.iter().map(|it| it["number"].as_i64().unwrap()).collect();
        assert_eq!(numbers.len(), attempts.len(), "{contact:#}");
        let asked = attempts.iter().filter(|it| it["outcome"] != "not_placed").count();
        // What a worker was killed with before the carrier had heard of it has failed without a call.
        let unheard = asked.checked_sub(calls.len()).unwrap_or_else(|| panic!("{contact:#} {calls:#?}"));
        assert!(unheard <= 2, "{contact:#} {calls:#?}");
        lost += unheard;
        let answered = calls.iter().filter(|call| call.status == CallStatus::Completed).count();
        let talked = attempts.iter().filter(|it| it["outcome"] == "answered").count();
        assert!(talked <= answered, "{contact:#} {calls:#?}");
    }
    lost
}

/// Each request to place a call that the carrier has taken is of another conversation, which is of one attempt.
fn check_dials(scene: &Scene, calls: usize) {
    let requests = scene.twilio.requests();
    let placed =
        requests.iter().filter(|it| it.method == "POST" && it.path.ends_with("/Calls.json") && it.status == 201);
    let conversations: Vec<&str> =
        placed.map(|it| it.field("StatusCallback").unwrap().rsplit("conversation=").next().unwrap()).collect();
    let distinct: BTreeSet<&str> = conversations.iter().copied().collect();
    assert_eq!((conversations.len(), distinct.len()), (calls, calls));
}
