//! What the simulated Vonage signs, says and plays is what our side of it reads, and the other way round. Neither knows the other's code.
#![allow(clippy::result_large_err, reason = "tungstenite's callback has it so")]

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use crate::responder::{Answer, Responder, Seen};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::{net::TcpListener, time::timeout};
use tokio_tungstenite::{
    accept_hdr_async,
    tungstenite::{
        Message,
        handshake::server::{Request, Response},
    },
};
use trunkline_base::{Clock, Secret, SystemClock};
use trunkline_media::{
    audio::SampleRate,
    ids::{Epoch, MarkId},
    net::{BaseUrl, Http, Net},
    telephony::{
        CarrierStatus, Inbound, MediaCodec, Outbound, SocketMessage,
        vonage::{
            ACCOUNT_HEADER, CALL_HEADER, TOKEN_HEADER, VonageCodec, VonageHosts,
            account::VonageAuth,
            event::{AnswerWebhook, EndedBy, EventKind, EventWebhook},
            ncco::{Ncco, SocketLeg},
            rest::{CreateCall, Flow, ListCalls, VonageRest},
            signature::{Account, Payload, unverified, verify},
        },
    },
};
use trunkline_sim::{
    keys::RSA_PRIVATE,
    phone::{Answer as Pickup, Callee},
    vonage::{
        Application, InboundCall, VonageConfig, VonageSim,
        phone::{PhoneConfig, Step, StreamEnd},
    },
};

const APPLICATION: &str = "aaaaaaaa-bbbb-cccc-dddd-0123456789ab";
const NUMBER: &str = "14155550101";
const LIMIT: Duration = Duration::from_secs(20);

fn config() -> VonageConfig {
    let application = Application { event_url: String::new(), ..Application::new(APPLICATION) };
    VonageConfig::new("a1b2c3d4", "a-secret", application, NUMBER)
}

async fn start(config: VonageConfig) -> VonageSim {
    VonageSim::start(SocketAddr::from(([127, 0, 0, 1], 0)), config, None).await.unwrap()
}

fn rest(sim: &VonageSim) -> VonageRest {
    let http = Http::new(&Net::new(&[]).unwrap(), Duration::from_secs(2)).unwrap();
    let auth = VonageAuth {
        api_key: "a1b2c3d4".into(),
        api_secret: Secret::new("a-secret"),
        application_id: APPLICATION.into(),
        private_key: Secret::new(RSA_PRIVATE),
    };
    let hosts = VonageHosts::at(BaseUrl::operator(sim.server().http_url()));
    VonageRest::new(http, &hosts, auth, Arc::new(SystemClock))
}

/// Checks a webhook as a server does: by the account that it names.
fn check(sim_secret: &str, seen: &Seen) -> String {
    let authorization = seen.headers.get("authorization").map(String::as_str);
    let named = unverified(authorization).unwrap();
    assert_eq!((named.api_key.as_str(), named.application_id.as_deref()), ("a1b2c3d4", Some(APPLICATION)));
    let secret = Secret::new(sim_secret);
    let account = Account { api_key: "a1b2c3d4", application_id: APPLICATION, signature_secret: &secret };
    let query = query(seen);
    let payload = if seen.method == "POST" { Payload::Body(seen.body.as_bytes()) } else { Payload::Query(&query) };
    let claims = verify(&account, authorization, payload, SystemClock.wall()).unwrap();
    assert_eq!(claims, named);
    claims.jti
}

fn query(seen: &Seen) -> Vec<(String, String)> {
    let query = seen.path.split_once('?').map_or("", |(_, query)| query);
    url::form_urlencoded::parse(query.as_bytes()).into_owned().collect()
}

fn document(ncco: &Ncco) -> Answer {
    Answer::status(200, ncco.to_json()).header("Content-Type", "application/json")
}

fn nothing(times: usize) -> impl Iterator<Item = Answer> {
    (0..times).map(|_| Answer::status(204, ""))
}

#[tokio::test]
async fn a_call_is_placed_followed_found_and_hung_up() {
    let hooks = Responder::start(nothing(8)).await;
    let config = config();
    config.callees.set("+14155550100", Callee::fails(Pickup::None), PhoneConfig::default());
    let secret = config.signature_secret.clone();
    let sim = start(config).await;
    let (rest, ncco, event_url) = (rest(&sim), Ncco::empty().talk("Hello.", None), format!("{}/event", hooks.url()));
    let before = SystemClock.wall();
    let call = CreateCall {
        to: "+14155550100",
        from: "+14155550101",
        flow: Flow::Ncco(&ncco),
        event_url: &event_url,
        machine: None,
        ringing_seconds: 60,
        longest_seconds: 600,
    };
    let placed = rest.create(&call).await.unwrap();
    let ongoing = timeout(LIMIT, sim.next_placed()).await.unwrap();
    assert_eq!(ongoing.uuid(), placed.uuid);
    hooks.asked(2).await;
    let ringing = rest.fetch(&placed.uuid).await.unwrap().unwrap();
    assert_eq!((ringing.status, ringing.outbound), (Some(CarrierStatus::Ringing), true));
    let wanted = ListCalls { since: Some(before - Duration::from_secs(5)), ..ListCalls::default() };
    assert_eq!(rest.list(&wanted).await.unwrap(), [ringing]);
    assert_eq!(rest.hang_up(&placed.uuid).await, Ok(()));
    assert_eq!(rest.hang_up(&placed.uuid).await, Ok(()), "it may be asked for twice");
    timeout(LIMIT, ongoing.report()).await.unwrap().unwrap();
    let over = rest.fetch(&placed.uuid).await.unwrap().unwrap();
    assert_eq!(over.status, Some(CarrierStatus::Canceled));

    let seen = hooks.seen();
    let events: Vec<EventWebhook> =
        seen.iter().map(|seen| EventWebhook::of_json(seen.body.as_bytes()).unwrap()).collect();
    let statuses: Vec<_> = events.iter().map(|event| event.status().unwrap()).collect();
    assert_eq!(statuses, [CarrierStatus::Initiated, CarrierStatus::Ringing, CarrierStatus::Canceled]);
    assert!(events.iter().all(|event| event.uuid.as_ref() == Some(&placed.uuid) && event.outbound == Some(true)));
    assert!(events.is_sorted_by_key(|event| event.at_ms) && events[0].at_ms.is_some());
    let mut names: Vec<String> = seen.iter().map(|seen| check(&secret, seen)).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 3, "each token has a name of its own");
    // A number that Vonage refuses to call.
    sim_refuses(&rest, &ncco, &event_url).await;
}

async fn sim_refuses(rest: &VonageRest, ncco: &Ncco, event_url: &str) {
    let call = CreateCall {
        to: "+1",
        from: "+14155550101",
        flow: Flow::Ncco(ncco),
        event_url,
        machine: None,
        ringing_seconds: 60,
        longest_seconds: 600,
    };
    let refused = rest.create(&call).await.unwrap_err();
    assert!(refused.is_invalid_number() && !refused.may_have_happened(), "{refused}");
}

#[tokio::test]
async fn an_answer_webhook_is_read_by_either_method_and_names_the_call_s_region() {
    for post in [false, true] {
        let waits = Ncco::empty().conversation(&trunkline_media::telephony::vonage::ncco::Conversation {
            name: "room",
            start_on_enter: true,
            end_on_exit: true,
            music_on_hold_url: None,
        });
        let hooks = Responder::start([document(&waits)]).await;
        let mut config = VonageConfig { other_region: true, ..config() };
        config.applications[0].answer_by_post = post;
        config.applications[0].answer_url = format!("{}/webhooks/vonage?kind=answer&x=a+b", hooks.url());
        let secret = config.signature_secret.clone();
        let sim = start(config).await;
        let call = InboundCall {
            from: "447700900123".into(),
            to: NUMBER.into(),
            fields: vec![("SipHeader_X-User".into(), "Zoë & \"co\"".into())],
            ..InboundCall::default()
        };
        let ongoing = sim.ring(call).unwrap();
        hooks.asked(1).await;
        let seen = &hooks.seen()[0];
        check(&secret, seen);
        let asked = match post {
            true => AnswerWebhook::of_json(seen.body.as_bytes()).unwrap(),
            false => AnswerWebhook::of_query(&query(seen)).unwrap(),
        };
        assert_eq!((asked.uuid.as_str(), asked.to.as_str()), (ongoing.uuid(), NUMBER));
        assert_eq!(asked.from.as_deref(), Some("447700900123"));
        assert_eq!(asked.sip_headers.get("X-User").map(String::as_str), Some("Zoë & \"co\""));
        // The main address does not know it, and its own does.
        let rest = rest(&sim);
        assert_eq!(rest.fetch(&asked.uuid).await, Ok(None));
        let there = rest.in_region(asked.region_url.as_deref());
        assert!(there.fetch(&asked.uuid).await.unwrap().is_some());
        assert_eq!(there.hang_up(&asked.uuid).await, Ok(()));
        timeout(LIMIT, ongoing.report()).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn audio_keys_and_marks_go_both_ways() {
    for (rate, frame) in [(SampleRate::HZ_8000, 320), (SampleRate::HZ_16000, 640), (SampleRate::HZ_24000, 960)] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri = format!("ws://{}/media/vonage/018f", listener.local_addr().unwrap());
        let events = Responder::start(nothing(12)).await;
        let event_url = events.url();
        let config = config();
        let secret = Secret::new(config.signature_secret.clone());
        let sim = start(config).await;
        let headers =
            [(CALL_HEADER, "63f61863-4a51-4f6b-86e1-46edebcf9356"), (ACCOUNT_HEADER, "a1b2c3d4"), (TOKEN_HEADER, "t")];
        let leg = SocketLeg { uri: &uri, rate, headers: &headers, event_url: &event_url, from: Some("+14155550101") };
        let hooks = Responder::start([document(&Ncco::empty().socket(&leg).unwrap())]).await;
        let steps = vec![
            Step::WaitForAgentToFinish { quiet: Duration::from_millis(100) },
            Step::Dtmf("7".into()),
            Step::HangUp,
        ];
        let call = InboundCall {
            from: "447700900123".into(),
            to: NUMBER.into(),
            answer_url: Some(hooks.url()),
            phone: PhoneConfig { steps, ..PhoneConfig::default() },
            ..InboundCall::default()
        };
        let ongoing = sim.ring(call).unwrap();

        let (stream, _) = timeout(LIMIT, listener.accept()).await.unwrap().unwrap();
        let authorization = Arc::new(Mutex::new(None));
        let kept = authorization.clone();
        let callback = move |request: &Request, response: Response| {
            let value = request.headers().get("authorization").and_then(|value| value.to_str().ok());
            *kept.lock().unwrap() = value.map(str::to_owned);
            Ok(response)
        };
        let mut socket = accept_hdr_async(stream, callback).await.unwrap();
        let authorization = authorization.lock().unwrap().clone();
        let account = Account { api_key: "a1b2c3d4", application_id: APPLICATION, signature_secret: &secret };
        assert!(verify(&account, authorization.as_deref(), Payload::Upgrade, SystemClock.wall()).is_ok());

        let mut codec = VonageCodec::default();
        let mark = MarkId { epoch: Epoch(1), n: 1 };
        let (mut frames, mut marks, mut digits) = (0, 0, String::new());
        while let Some(Ok(message)) = timeout(LIMIT, socket.next()).await.unwrap() {
            let message = match message {
                Message::Text(text) => SocketMessage::Text(text.as_str().to_owned()),
                Message::Binary(bytes) => SocketMessage::Binary(bytes),
                _ => continue,
            };
            match codec.decode(&message).unwrap() {
                Inbound::Started(started) => {
                    assert_eq!((started.format.rate, started.account_sid.as_str()), (rate, "a1b2c3d4"));
                    assert_eq!(started.parameters.get("token").map(String::as_str), Some("t"));
                    // Half a second of a tone, of which the last frame is a short one, and a mark behind it.
                    let tone: Vec<u8> = (0..rate.hz() / 2 - 50)
                        .flat_map(|n| (((f64::from(n) * 0.2).sin() * 9_000.0) as i16).to_le_bytes())
                        .collect();
                    for piece in tone.chunks(frame) {
                        let Some(SocketMessage::Binary(frame)) =
                            codec.encode(&Outbound::Audio(Bytes::copy_from_slice(piece)))
                        else {
                            panic!("audio is binary")
                        };
                        socket.send(Message::Binary(frame)).await.unwrap();
                    }
                    let Some(SocketMessage::Text(text)) = codec.encode(&Outbound::Mark(mark)) else { panic!("a text") };
                    socket.send(Message::text(text)).await.unwrap();
                }
                Inbound::Audio { payload, .. } => {
                    assert_eq!(payload.len(), frame);
                    frames += 1;
                }
                Inbound::Mark { name } => {
                    assert_eq!(MarkId::parse(&name), Some(mark));
                    marks += 1;
                }
                Inbound::Dtmf { digit } => digits.push(digit.into_inner()),
                other => panic!("{other:?}"),
            }
        }
        let report = timeout(LIMIT, ongoing.report()).await.unwrap().unwrap();
        let stream = &report.streams[0];
        assert_eq!((&stream.ended, stream.invalid_count), (&StreamEnd::HungUp, 0));
        assert_eq!((stream.playback.played, stream.playback.overflowed), (25 * 160, 0));
        assert!(frames > 25 && marks == 1 && digits == "7", "{frames} {marks} {digits}");
        // The socket's leg tells of itself.
        let told: Vec<EventWebhook> =
            events.seen().iter().map(|seen| EventWebhook::of_json(seen.body.as_bytes()).unwrap()).collect();
        assert!(
            told.iter()
                .all(|event| event.is_socket() && event.headers.get(TOKEN_HEADER).map(String::as_str) == Some("t"))
        );
        let last = told.last().unwrap();
        assert_eq!((&last.kind, last.ended_by), (&EventKind::Status(CarrierStatus::Completed), Some(EndedBy::Caller)));
    }
}
