//! Calls that come in, from the first event to the last, against a server that answers webhooks and media over real sockets.

use std::time::Duration;

use crate::vonage_world::{
    APPLICATION, CALLER, Heard, Hook, LIMIT, NUMBER, World, claims, loud, soon, start, vendor, voice,
};
use serde_json::{Value, json};
use trunkline_sim::vonage::{
    CallReport, ConversationRecord, EventDelivery, InboundCall, LegStatus, OngoingCall, VonageConfig,
    phone::{PhoneConfig, Speech, Step, StreamEnd},
    webhook::WebhookKind,
};

fn call(steps: impl IntoIterator<Item = Step>) -> InboundCall {
    InboundCall {
        from: CALLER.into(),
        to: NUMBER.into(),
        phone: PhoneConfig { steps: steps.into_iter().collect(), ..PhoneConfig::default() },
        ..InboundCall::default()
    }
}

fn wait_for_end() -> Step {
    Step::WaitForEnd { timeout: LIMIT }
}

async fn report(call: OngoingCall) -> CallReport {
    soon(call.report()).await.unwrap()
}

#[tokio::test]
async fn a_call_rings_talks_and_is_hung_up_by_the_caller() {
    for rate in [8_000, 16_000, 24_000] {
        let mut world = World::start().await;
        world.ncco("/answer", json!([world.connect(rate)]));
        let sim = start(vendor(&world)).await;
        let steps =
            [Step::WaitForAgentToFinish { quiet: Duration::from_millis(100) }, Step::Dtmf("5#".into()), Step::HangUp];
        let ongoing = sim.ring(call(steps)).unwrap();
        let uuid = ongoing.uuid().to_owned();

        let mut peer = world.socket().await;
        assert_eq!((peer.uri.path(), peer.uri.query()), ("/media/1", Some("x=y")));
        let token = claims(&peer.headers);
        assert_eq!((&token["iss"], &token["api_key"]), (&json!("Vonage"), &json!("a1b2c3d4")));
        assert!(token.get("payload_hash").is_none());
        let connected = json!({
            "event": "websocket:connected", "content-type": format!("audio/l16;rate={rate}"), "caller-id": CALLER,
            "token": "abc",
        });
        assert_eq!(peer.next().await, Some(Heard::Text(connected)));
        assert_eq!(peer.frame().await.len() as u32, rate / 25);
        // Half a second, a question when it has been heard, and what the vendor does not know.
        for _ in 0..25 {
            peer.send(loud(rate)).await;
        }
        peer.command(json!({"action": "hum"})).await;
        peer.command(json!({"action": "notify", "payload": {"mark": "e1-1"}})).await;
        assert_eq!(peer.text().await, json!({"event": "websocket:notify", "payload": {"mark": "e1-1"}}));
        for digit in ["5", "#"] {
            assert_eq!(peer.text().await, json!({"event": "websocket:dtmf", "digit": digit, "duration": 260}));
        }
        assert!(peer.rest().await.is_empty(), "there is no farewell");

        let report = report(ongoing).await;
        assert_eq!((report.status, report.legs.len()), (LegStatus::Completed, 2));
        let stream = &report.streams[0];
        assert_eq!((&stream.ended, stream.invalid_count), (&StreamEnd::HungUp, 1));
        assert_eq!(stream.playback.played, 25 * 160);
        let returned = stream.marks[0].returned_at.unwrap();
        assert!(returned >= stream.marks[0].received_at + Duration::from_millis(400), "{:?}", stream.marks);
        // Each leg has its own events, at its own address.
        assert_eq!(report.events_of(&uuid), ["started", "ringing", "answered", "completed"]);
        assert_eq!(world.statuses("/socket"), ["started", "ringing", "answered", "completed"]);
        let completed = world.hook("/event", "completed").await;
        assert_eq!((completed.text("disconnected_by"), completed.text("direction")), ("user", "inbound"));
        let socket = world.hook("/socket", "answered").await;
        assert_eq!((socket.text("direction"), &socket.fields["headers"]), ("outbound", &json!({"token": "abc"})));
        assert!(socket.text("to").starts_with("ws://") && socket.text("uuid") != uuid);
        for hook in world.hooks.entries() {
            assert_eq!(hook.claims()["application_id"], APPLICATION);
        }
    }
}

#[tokio::test]
async fn it_is_asked_what_happens_by_either_method() {
    for post in [false, true] {
        let world = World::start().await;
        world.ncco("/answer", json!([{"action": "talk", "text": "Bye"}]));
        let mut config = vendor(&world);
        config.applications[0].answer_by_post = post;
        config.applications[0].answer_url = world.url("/answer?kind=answer");
        let sim = start(config).await;
        let mut inbound = call([]);
        inbound.fields = vec![("SipHeader_X-User".into(), "Zoë & co".into())];
        let ongoing = sim.ring(inbound).unwrap();
        let uuid = ongoing.uuid().to_owned();
        let report = report(ongoing).await;
        assert_eq!((report.said.as_slice(), report.status), (&["Bye".to_owned()][..], LegStatus::Completed));
        let asked = world.hook("/answer", "").await;
        assert_eq!(asked.method, if post { "POST" } else { "GET" });
        asked.claims();
        for (name, value) in [
            ("to", NUMBER),
            ("from", CALLER),
            ("uuid", &uuid),
            ("region_url", &sim.server().http_url()),
            ("SipHeader_X-User", "Zoë & co"),
        ] {
            assert_eq!(asked.text(name), value, "{name}");
        }
        assert!(asked.text("conversation_uuid").starts_with("CON-"));
        let completed = world.hook("/event", "completed").await;
        assert_eq!(completed.text("disconnected_by"), "platform");
    }
}

#[tokio::test]
async fn clear_empties_the_buffer_and_forgets_what_waits() {
    for returned in [false, true] {
        let mut world = World::start().await;
        world.ncco("/answer", json!([world.connect(16_000)]));
        let sim = start(VonageConfig { notify_on_clear: returned, ..vendor(&world) }).await;
        let ongoing = sim.ring(call([wait_for_end()])).unwrap();
        let mut peer = world.socket().await;
        for _ in 0..200 {
            peer.send(loud(16_000)).await;
        }
        peer.command(json!({"action": "notify", "payload": {"n": 1}})).await;
        peer.command(json!({"action": "clear"})).await;
        peer.command(json!({"action": "notify", "payload": {"n": 2}})).await;
        assert_eq!(peer.text().await["event"], "websocket:connected");
        let mut texts = [peer.text().await, peer.text().await].to_vec();
        if returned {
            texts.push(peer.text().await);
        }
        let cleared = json!({"event": "websocket:cleared"});
        let notified = |n: u32| json!({"event": "websocket:notify", "payload": {"n": n}});
        assert!(texts.contains(&cleared) && texts.contains(&notified(2)), "{texts:?}");
        assert_eq!(texts.contains(&notified(1)), returned);
        ongoing.hang_up();
        let report = report(ongoing).await;
        let clear = report.streams[0].playback.clears[0];
        assert!(clear.dropped > 150 * 160 && clear.marks == 1, "{clear:?}");
    }
}

#[tokio::test]
async fn a_frame_of_the_wrong_size_ends_the_socket_without_a_word() {
    let mut world = World::start().await;
    world.ncco("/answer", json!([world.connect(16_000)]));
    let sim = start(vendor(&world)).await;
    let ongoing = sim.ring(call([wait_for_end()])).unwrap();
    let mut peer = world.socket().await;
    peer.send(loud(16_000)).await;
    peer.send(vec![0; 642]).await;
    while let Some(message) = soon(peer.socket.recv()).await {
        if let Ok(message) = message {
            assert!(!matches!(message, axum::extract::ws::Message::Close(_)), "there is no close frame");
        }
    }
    let report = report(ongoing).await;
    let why = "unexpected frame size 321, when required 320";
    assert_eq!(report.streams[0].ended, StreamEnd::Refused(why.into()));
    assert!(report.errors.contains(&why.to_owned()));
    world.hook("/socket", "disconnected").await;
    assert_eq!(report.status, LegStatus::Completed);
}

#[tokio::test]
async fn a_socket_that_we_close_is_asked_about_and_the_reply_is_obeyed() {
    let mut world = World::start().await;
    world.ncco("/answer", json!([world.connect(8_000), {"action": "talk", "text": "never"}]));
    let sim = start(vendor(&world)).await;
    let ongoing = sim.ring(call([wait_for_end()])).unwrap();
    let first = world.socket().await;
    world.answers("/socket", [(200, json!([world.connect(16_000)]).to_string())]);
    first.close().await;
    let disconnected = world.hook("/socket", "disconnected").await;
    assert_eq!(disconnected.fields["headers"], json!({"token": "abc"}));
    let mut second = world.socket().await;
    world.answers("/socket", [(204, String::new())]);
    assert_eq!(second.text().await["content-type"], "audio/l16;rate=16000");
    ongoing.hang_up();
    let report = report(ongoing).await;
    assert_eq!(report.streams.len(), 2);
    assert!(report.said.is_empty());
    assert_eq!(report.legs.len(), 3);
    // Without a document in the reply, the next action runs.
    world.ncco("/answer", json!([world.connect(8_000), {"action": "talk", "text": "Sorry."}]));
    let ongoing = sim.ring(call([wait_for_end()])).unwrap();
    world.socket().await.close().await;
    assert_eq!(soon(ongoing.report()).await.unwrap().said, ["Sorry."]);
}

#[tokio::test]
async fn a_socket_that_cannot_be_opened_is_told_and_the_reply_is_obeyed() {
    let world = World::start().await;
    let mut refused = world.connect(16_000);
    refused["endpoint"][0]["uri"] = format!("{}/refused", world.server.ws_url()).into();
    world.ncco("/answer", json!([refused]));
    world.answers("/socket", [(200, json!([{"action": "talk", "text": "Later."}]).to_string())]);
    let sim = start(vendor(&world)).await;
    let report = report(sim.ring(call([])).unwrap()).await;
    assert_eq!(report.said, ["Later."]);
    assert_eq!(
        report.streams[0].ended,
        StreamEnd::NotOpened { status: Some(403), detail: "the server answered the upgrade with 403".into() }
    );
    assert_eq!(world.statuses("/socket"), ["started", "ringing", "failed"]);
}

#[tokio::test]
async fn rest_hangs_up_the_caller_or_only_the_socket() {
    let mut world = World::start().await;
    world.ncco("/answer", json!([world.connect(16_000), {"action": "talk", "text": "Bye."}]));
    let sim = start(vendor(&world)).await;
    let base = sim.server().http_url();
    let hang_up =
        async |uuid: &str| voice(&base, "PUT", &format!("/v1/calls/{uuid}"), Some(json!({"action": "hangup"}))).await;
    let ongoing = sim.ring(call([wait_for_end()])).unwrap();
    let uuid = ongoing.uuid().to_owned();
    let mut peer = world.socket().await;
    assert_eq!(peer.text().await["event"], "websocket:connected");
    let (_, leg) = voice(&base, "GET", &format!("/v1/calls/{uuid}"), None).await;
    assert_eq!((&leg["status"], &leg["direction"]), (&json!("answered"), &json!("inbound")));
    let (_, all) = voice(&base, "GET", "/v1/calls?status=answered", None).await;
    assert_eq!(all["count"], 2, "{all}");
    assert_eq!(hang_up(&uuid).await.0, 204);
    assert_eq!(hang_up(&uuid).await.0, 404);
    peer.rest().await;
    let ended = report(ongoing).await;
    assert_eq!((ended.status, ended.said.len()), (LegStatus::Completed, 0));
    assert_eq!(world.hook("/event", "completed").await.text("disconnected_by"), "platform");
    assert!(!world.statuses("/socket").contains(&"disconnected".to_owned()));

    let of = |hook: &Hook| (hook.path == "/socket").then(|| hook.text("uuid").to_owned());
    let first = world.hooks.entries().iter().find_map(of).unwrap();
    let ongoing = sim.ring(call([wait_for_end()])).unwrap();
    let mut peer = world.socket().await;
    let another = |all: &[Hook]| all.iter().filter_map(of).find(|uuid| *uuid != first);
    let socket = world.hooks.wait_for(LIMIT, another).await.expect("the second socket's leg is told of");
    assert_eq!(hang_up(&socket).await.0, 204);
    peer.rest().await;
    let ended = report(ongoing).await;
    assert_eq!(ended.said, ["Bye."]);
    assert!(!world.statuses("/socket").contains(&"disconnected".to_owned()));
}

#[tokio::test]
async fn a_transfer_takes_the_caller_elsewhere() {
    let mut world = World::start().await;
    world.ncco("/answer", json!([world.connect(16_000)]));
    let sim = start(vendor(&world)).await;
    let base = sim.server().http_url();
    let ongoing = sim.ring(call([wait_for_end()])).unwrap();
    let uuid = ongoing.uuid().to_owned();
    let mut peer = world.socket().await;
    let to_somebody = json!({
        "action": "connect", "eventType": "synchronous", "eventUrl": [world.url("/dial")], "from": NUMBER,
        "endpoint": [{"type": "phone", "number": "14155550199"}],
    });
    let transfer = json!({"action": "transfer", "destination": {"type": "ncco", "ncco": [
        {"action": "talk", "text": "One moment."}, to_somebody,
    ]}});
    let path = format!("/v1/calls/{uuid}");
    assert_eq!(voice(&base, "PUT", &path, Some(transfer.clone())).await.0, 204);
    peer.rest().await;
    world.hook("/event", "transfer").await;
    world.hook("/dial", "answered").await;
    ongoing.hang_up();
    let report = report(ongoing).await;
    assert_eq!(report.said, ["One moment."]);
    assert_eq!(report.legs[0].commands, [transfer]);
    assert_eq!(world.statuses("/dial"), ["started", "ringing", "answered", "completed"]);
    assert!(!world.statuses("/socket").contains(&"disconnected".to_owned()));
}

#[tokio::test]
async fn two_legs_meet_in_a_conversation_and_one_ends_it() {
    let world = World::start().await;
    world.answers("/answer", [
        (200, json!([{"action": "conversation", "name": "room", "endOnExit": false}, {"action": "talk", "text": "Alone."}]).to_string()),
        (200, json!([{"action": "conversation", "name": "room", "endOnExit": true}]).to_string()),
    ]);
    let sim = start(vendor(&world)).await;
    let first = sim.ring(call([])).unwrap();
    let answered = |n: usize| {
        world.hooks.wait_for(LIMIT, move |hooks| {
            let answered = hooks.iter().filter(|hook| hook.text("status") == "answered").count();
            (answered == n).then_some(())
        })
    };
    answered(1).await.unwrap();
    let second = sim.ring(call([])).unwrap();
    answered(2).await.unwrap();
    second.hang_up();
    let room = [ConversationRecord { name: "room".into(), met: true }];
    assert_eq!(report(second).await.conversations, room);
    let first = report(first).await;
    assert_eq!((first.conversations.as_slice(), first.said.as_slice()), (&room[..], &["Alone.".to_owned()][..]));
}

#[tokio::test]
async fn what_is_no_document_is_asked_for_elsewhere_and_then_the_call_ends() {
    for bad in [(200, "<Response/>".to_owned()), (200, json!([{"action": "fly"}]).to_string()), (404, "[]".to_owned())]
    {
        let world = World::start().await;
        world.answers("/answer", [bad.clone()]);
        let mut config = vendor(&world);
        config.applications[0].fallback_url = world.url("/fallback");
        let sim = start(config).await;
        world.ncco("/fallback", json!([{"action": "talk", "text": "Sorry."}]));
        let saved = report(sim.ring(call([])).unwrap()).await;
        assert_eq!(saved.said, ["Sorry."], "{bad:?}");
        let fallback = world.hook("/fallback", "").await;
        assert!(!fallback.text("reason").is_empty() && !fallback.text("original_request").is_empty());
        world.answers("/fallback", [(500, String::new())]);
        let lost = report(sim.ring(call([])).unwrap()).await;
        assert_eq!(lost.status, LegStatus::Failed);
    }
    // What may pass is asked for once more.
    let world = World::start().await;
    world.answers("/answer", [(503, String::new()), (200, "[]".to_owned())]);
    let sim = start(vendor(&world)).await;
    let ended = report(sim.ring(call([])).unwrap()).await;
    let asked = ended.webhooks.iter().find(|hook| hook.kind == WebhookKind::Answer).unwrap();
    assert_eq!((asked.attempts, ended.status), (2, LegStatus::Completed));
}

#[tokio::test]
async fn events_come_late_twice_turned_unsigned_or_not_at_all() {
    let run = async |events: EventDelivery| {
        let world = World::start().await;
        world.ncco("/answer", json!([{"action": "talk", "text": "."}]));
        let sim = start(VonageConfig { events, ..vendor(&world) }).await;
        report(sim.ring(call([])).unwrap()).await;
        world
    };
    let world = run(EventDelivery { duplicate: true, ..EventDelivery::default() }).await;
    let statuses = ["started", "ringing", "answered", "completed"];
    assert_eq!(world.statuses("/event"), statuses.map(|status| [status; 2]).concat());
    let tokens: Vec<Value> = world
        .hooks
        .entries()
        .iter()
        .filter(|hook| hook.path == "/event")
        .map(|hook| hook.claims()["jti"].clone())
        .collect();
    assert!(tokens.chunks(2).all(|pair| pair[0] == pair[1]), "{tokens:?}");
    let world = run(EventDelivery { reorder: true, ..EventDelivery::default() }).await;
    assert_eq!(world.statuses("/event"), ["ringing", "started", "completed", "answered"]);
    let world = run(EventDelivery { lose: vec!["completed".into()], ..EventDelivery::default() }).await;
    assert_eq!(world.statuses("/event"), statuses[..3]);
    let world = run(EventDelivery { unsigned: true, ..EventDelivery::default() }).await;
    assert!(world.hooks.entries().iter().all(|hook| !hook.headers.contains_key("authorization")));
}

#[tokio::test]
async fn a_call_is_known_in_its_region_alone() {
    let mut world = World::start().await;
    world.ncco("/answer", json!([world.connect(16_000)]));
    let sim = start(VonageConfig { other_region: true, ..vendor(&world) }).await;
    let ongoing = sim.ring(call([wait_for_end()])).unwrap();
    let mut peer = world.socket().await;
    let region = world.hook("/answer", "").await.text("region_url").to_owned();
    let (main, path) = (sim.server().http_url(), format!("/v1/calls/{}", ongoing.uuid()));
    assert_ne!(region, main);
    let hang_up = Some(json!({"action": "hangup"}));
    assert_eq!(voice(&main, "PUT", &path, hang_up.clone()).await.0, 404);
    assert_eq!(voice(&region, "PUT", &path, hang_up).await.0, 204);
    peer.rest().await;
    assert_eq!(report(ongoing).await.status, LegStatus::Completed);
}

#[tokio::test]
async fn a_speech_is_heard_and_the_socket_may_break() {
    let mut world = World::start().await;
    world.ncco("/answer", json!([world.connect(16_000)]));
    world.answers("/socket", [(200, json!([world.connect(16_000)]).to_string())]);
    let sim = start(vendor(&world)).await;
    let tone: Vec<i16> = (0..4_000).map(|n| ((f64::from(n) * 0.3).sin() * 9_000.0) as i16).collect();
    let ongoing = sim.ring(call([Step::Say(Speech::new(&tone)), Step::Drop, wait_for_end()])).unwrap();
    let mut peer = world.socket().await;
    let loudest =
        |frame: &[u8]| frame.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]]).unsigned_abs()).max();
    let mut heard = 0;
    while let Some(message) = peer.next().await {
        if let Heard::Frame(frame) = message {
            heard += usize::from(loudest(&frame) > Some(6_000));
        }
    }
    assert!((20..=26).contains(&heard), "{heard}");
    world.hook("/socket", "disconnected").await;
    let mut again = world.socket().await;
    assert_eq!(again.text().await["event"], "websocket:connected");
    ongoing.hang_up();
    assert_eq!(report(ongoing).await.streams.len(), 2);
}
