//! A phone against a media server over real sockets.

use std::time::Duration;

use crate::twilio_world::{LOUD, Peer, World, payload, soon};
use axum::extract::ws::Message;
use tokio::{sync::mpsc, task::JoinHandle};
use trunkline_sim::{
    server::TlsIdentity,
    twilio::{
        net::Network,
        phone::{
            Impairments, PhoneConfig, PhoneEventKind, PhoneReport, Sids, Speech, Step, StreamEnd, StreamRequest, stream,
        },
        signature,
    },
};

fn request(url: &str) -> StreamRequest {
    StreamRequest {
        sids: Sids { account: "AC1".into(), call: "CA1".into(), stream: "MZ1".into() },
        url: url.into(),
        parameters: vec![("token".into(), "abc".into())],
        auth_token: Some("12345".into()),
    }
}

fn config(steps: impl IntoIterator<Item = Step>) -> PhoneConfig {
    PhoneConfig { steps: steps.into_iter().collect(), ..PhoneConfig::default() }
}

/// A phone that has connected, and the server's end of its stream.
async fn connect(world: &mut World, config: PhoneConfig) -> (Peer, JoinHandle<PhoneReport>) {
    let request = request(&world.ws_url("/media/1"));
    let phone = tokio::spawn(async move { stream(&Network::default(), request, &config).await.unwrap() });
    let mut peer = world.socket().await;
    peer.begin().await;
    (peer, phone)
}

async fn report(phone: JoinHandle<PhoneReport>) -> PhoneReport {
    soon(phone).await.unwrap()
}

fn loud(ticks: usize) -> Speech {
    Speech::from_mulaw(vec![LOUD; ticks * 160])
}

#[tokio::test]
async fn a_stream_begins_as_the_vendors_does_and_ends_with_stop() {
    let mut world = World::start().await;
    let url = world.ws_url("/media/1");
    let steps = config([Step::Silence(Duration::from_millis(40)), Step::Say(loud(3)), Step::HangUp]);
    let asked = request(&format!("{url}?left=out"));
    let phone = tokio::spawn(async move { stream(&Network::default(), asked, &steps).await.unwrap() });
    let mut peer = world.socket().await;
    assert_eq!(peer.uri.query(), None);
    assert_eq!(peer.headers["x-twilio-signature"], signature::sign_url("12345", &url));
    let start = peer.begin().await;
    assert_eq!(start["start"]["customParameters"]["token"], "abc");
    assert_eq!(start["sequenceNumber"], "1");
    let messages = peer.rest().await;
    let (stop, media) = messages.split_last().unwrap();
    for (index, message) in media.iter().enumerate() {
        assert_eq!(message["sequenceNumber"], (index + 2).to_string());
        assert_eq!(message["media"]["chunk"], (index + 1).to_string());
        assert_eq!(message["media"]["timestamp"], (index * 20).to_string());
    }
    let said: Vec<u8> = media.iter().flat_map(payload).collect();
    assert_eq!(said, [[0xff; 160], [0xff; 160], [LOUD; 160], [LOUD; 160], [LOUD; 160]].concat());
    assert_eq!((&stop["event"], &stop["stop"]["callSid"]), (&"stop".into(), &"CA1".into()));
    let report = report(phone).await;
    assert_eq!(report.ended, StreamEnd::HungUp);
    assert_eq!(report.sent, 5);
    assert!(report.said.starts_with(&said));
    assert_eq!(report.caller_stops(), [Duration::from_millis(100)]);
    assert_eq!(report.warnings, []);
}

#[tokio::test]
async fn audio_is_heard_byte_by_byte_and_its_mark_returns_when_it_has_played() {
    let mut world = World::start().await;
    let (mut peer, phone) = connect(&mut world, config([])).await;
    let audio: Vec<u8> = (0..8_000u32).map(|index| 0x80 | (index % 100) as u8).collect();
    // Sent at once, the second half in messages of an odd size.
    peer.media(&audio[..4_000]).await;
    for piece in audio[4_000..].chunks(333) {
        peer.media(piece).await;
    }
    peer.mark("end").await;
    assert_eq!(peer.until("mark").await["mark"]["name"], "end");
    peer.mark("empty").await;
    assert_eq!(peer.until("mark").await["mark"]["name"], "empty");
    peer.close(1000, "done").await;
    let report = report(phone).await;
    let first = report.playback.heard.iter().position(|&byte| byte != 0xff).unwrap();
    assert_eq!(first % 160, 0);
    assert_eq!(report.playback.heard[first..first + audio.len()], audio);
    assert!(report.playback.heard[first + audio.len()..].iter().all(|&byte| byte == 0xff));
    let began = Duration::from_micros(125 * first as u64);
    assert_eq!(report.marks[0].returned_at, Some(began + Duration::from_secs(1)));
    assert!(!report.marks[0].cleared && report.marks[1].returned_at.is_some());
    assert_eq!(report.playback.arrivals.len(), 14);
    assert_eq!(report.playback.played, 8_000);
    assert_eq!(report.ended, StreamEnd::ClosedByServer { code: Some(1000), reason: "done".into() });
    assert_eq!(report.agent_starts(), [began]);
}

#[tokio::test]
async fn a_barge_in_is_cleared_and_its_marks_return() {
    let mut world = World::start().await;
    let steps = [
        Step::SayWhen { speaking_for: Duration::from_millis(200), speech: loud(10) },
        Step::WaitForAgentToFinish { quiet: Duration::from_millis(100) },
        Step::HangUp,
    ];
    let (mut peer, phone) = connect(&mut world, config(steps)).await;
    peer.media(&vec![LOUD; 80_000]).await;
    peer.mark("a").await;
    peer.media(&[LOUD; 800]).await;
    peer.mark("b").await;
    peer.until_loud().await;
    peer.clear().await;
    assert_eq!(peer.until("mark").await["mark"]["name"], "a");
    assert_eq!(peer.until("mark").await["mark"]["name"], "b");
    // The caller waits for an answer, not for the end of what was cut.
    while payload(&peer.until("media").await)[0] != 0xff {}
    peer.media(&[LOUD; 1600]).await;
    let last = peer.rest().await.pop().unwrap();
    assert_eq!(last["event"], "stop");
    let report = report(phone).await;
    assert_eq!(report.ended, StreamEnd::HungUp);
    assert!(report.marks.iter().all(|mark| mark.cleared));
    assert_eq!(report.playback.clears.len(), 1);
    assert_eq!(report.playback.clears[0].dropped as u64 + report.playback.played, 80_000 + 800 + 1_600);
    let cleared = report.events.iter().filter(|event| matches!(event.kind, PhoneEventKind::Cleared { .. })).count();
    assert_eq!(cleared, 1);
    assert!(!report.agent_starts().is_empty());
}

#[tokio::test]
async fn invalid_messages_are_ignored_and_warned_about_once() {
    let mut world = World::start().await;
    let (mut peer, phone) = connect(&mut world, config([])).await;
    for text in [
        r#"{"event":"media","streamSid":"MZ9","media":{"payload":"AAAA"}}"#,
        r#"{"event":"hangup","streamSid":"MZ1"}"#,
        r#"{"event":"clear","streamSid":"MZ1","why":"x"}"#,
        "no json",
    ] {
        peer.text(text.into()).await;
    }
    peer.socket.send(Message::Binary(vec![1, 2, 3].into())).await.unwrap();
    // The call goes on.
    peer.mark("alive").await;
    assert_eq!(peer.until("mark").await["mark"]["name"], "alive");
    peer.close(1000, "").await;
    let report = report(phone).await;
    assert_eq!((report.invalid_count, report.invalid.len()), (5, 5));
    assert_eq!(report.warnings.len(), 1);
    assert!(report.has_warning(31951));
    assert_eq!((report.playback.played, report.playback.clears.len()), (0, 0));
}

#[tokio::test]
async fn a_drop_tells_the_server_nothing() {
    let mut world = World::start().await;
    let steps = [Step::Silence(Duration::from_millis(60)), Step::Drop];
    let (mut peer, phone) = connect(&mut world, config(steps)).await;
    let broken = loop {
        match soon(peer.socket.recv()).await {
            Some(Ok(Message::Text(text))) => assert!(!text.contains("\"stop\"")),
            end => break end,
        }
    };
    assert!(!matches!(broken, Some(Ok(Message::Close(_)))), "{broken:?}");
    assert_eq!(report(phone).await.ended, StreamEnd::Dropped);
}

#[tokio::test]
async fn a_refused_upgrade_is_31920() {
    let world = World::start().await;
    let report = stream(&Network::default(), request(&world.ws_url("/refused")), &config([])).await.unwrap();
    assert!(matches!(report.ended, StreamEnd::NotOpened { status: Some(403), .. }));
    assert!(report.has_warning(31920) && report.started.is_none());
    let report = stream(&Network::default(), request("https://localhost/x"), &config([])).await.unwrap();
    assert!(matches!(report.ended, StreamEnd::NotOpened { status: None, .. }));
}

#[tokio::test]
async fn keys_are_interleaved_with_media() {
    let mut world = World::start().await;
    let steps = [Step::Dtmf("1#".into()), Step::HangUp];
    let (mut peer, phone) = connect(&mut world, config(steps)).await;
    let messages = peer.rest().await;
    let digits: Vec<_> =
        messages.iter().filter(|message| message["event"] == "dtmf").map(|message| &message["dtmf"]["digit"]).collect();
    assert_eq!(digits, ["1", "#"]);
    for (index, message) in messages.iter().enumerate() {
        assert_eq!(message["sequenceNumber"], (index + 2).to_string());
    }
    assert_eq!(report(phone).await.ended, StreamEnd::HungUp);
}

#[tokio::test]
async fn a_bad_line_loses_messages_and_changes_their_sizes() {
    let mut world = World::start().await;
    let impairments = Impairments { seed: 5, jitter: Duration::from_millis(30), burst: 3, odd_sizes: true, loss: 0.2 };
    let mut config = config([Step::Say(loud(60)), Step::HangUp]);
    config.impairments = impairments;
    let (mut peer, phone) = connect(&mut world, config).await;
    let messages = peer.rest().await;
    let media: Vec<_> = messages.iter().filter(|message| message["event"] == "media").collect();
    assert!(media.iter().any(|message| payload(message).len() != 160));
    let stamps: Vec<u64> =
        media.iter().map(|message| message["media"]["timestamp"].as_str().unwrap().parse().unwrap()).collect();
    assert!(stamps.is_sorted());
    let report = report(phone).await;
    assert!(report.lost > 0);
    assert_eq!(report.sent, media.len() as u64);
}

#[tokio::test]
async fn tls_with_an_authority_of_ones_own_live_events_and_a_stereo_recording() {
    let identity = TlsIdentity::generate().unwrap();
    let mut world = World::with_tls(Some(&identity)).await;
    let network = Network { ca_pem: Some(identity.ca_pem().into()), ..Network::default() };
    let (events, mut live) = mpsc::unbounded_channel();
    let steps =
        [Step::WaitForAgentToSpeak, Step::Say(loud(5)), Step::WaitForEnd { timeout: crate::twilio_world::LIMIT }];
    let config = PhoneConfig { events: Some(events), ..config(steps) };
    let asked = request(&world.ws_url("/media/1"));
    assert!(asked.url.starts_with("wss://"));
    let phone = tokio::spawn(async move { stream(&network, asked, &config).await.unwrap() });
    let mut peer = world.socket().await;
    peer.begin().await;
    peer.media(&[LOUD; 800]).await;
    peer.until_loud().await;
    while soon(live.recv()).await.unwrap().kind != PhoneEventKind::AgentStartedSpeaking {}
    while soon(live.recv()).await.unwrap().kind != PhoneEventKind::CallerStartedSpeaking {}
    peer.mark("played").await;
    peer.until("mark").await;
    peer.close(4000, "").await;
    let report = report(phone).await;
    let path = std::env::temp_dir().join(format!("twilio_phone_{}.wav", std::process::id()));
    report.write_stereo_wav(&path).unwrap();
    let mut reader = hound::WavReader::open(&path).unwrap();
    assert_eq!((reader.spec().channels, reader.spec().sample_rate), (2, 8000));
    let samples: Vec<i16> = reader.samples().map(Result::unwrap).collect();
    std::fs::remove_file(&path).unwrap();
    let loud_on = |channel: usize| samples.iter().skip(channel).step_by(2).filter(|sample| sample.abs() > 500).count();
    assert_eq!(samples.len(), 2 * report.said.len());
    assert_eq!(loud_on(1), 800);
    assert!(loud_on(0) >= 160);
}
