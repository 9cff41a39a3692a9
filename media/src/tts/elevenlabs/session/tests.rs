use trunkline_base::{Clock as _, Secret, SystemClock};

use super::*;

const ONE: ReplyId = ReplyId(1);
const TWO: ReplyId = ReplyId(2);

struct Rig {
    session: Session,
    now: Instant,
    events: Vec<TtsEvent>,
    sent: Vec<serde_json::Value>,
}

impl Rig {
    fn new() -> Self {
        let session = Session::new(&TtsConfig {
            base_url: crate::net::BaseUrl::operator(""),
            api_key: Secret::default(),
            voice_id: "v".into(),
            model: "m".into(),
            language: None,
            settings: VoiceSettings::default(),
            format: AudioFormat::MULAW_8K,
            tag: "call".into(),
            limits: TtsLimits::default(),
        });
        Self { session, now: SystemClock.now(), events: Vec::new(), sent: Vec::new() }
    }

    fn connected() -> Self {
        let mut rig = Self::new();
        rig.session.handle_connected(rig.now);
        rig.drain()
    }

    fn drain(mut self) -> Self {
        while let Some(event) = self.session.poll_event() {
            self.events.push(event);
        }
        while let Some(json) = self.session.poll_transmit() {
            self.sent.push(serde_json::from_str(&json).unwrap());
        }
        self
    }

    fn speak(mut self, reply: ReplyId, text: &str) -> Self {
        self.session.handle_command(TtsCommand::Speak { reply, text: text.into() }, self.now);
        self.drain()
    }

    fn finish(mut self, reply: ReplyId) -> Self {
        self.session.handle_command(TtsCommand::Finish { reply }, self.now);
        self.drain()
    }

    fn cancel(mut self, reply: ReplyId) -> Self {
        self.session.handle_command(TtsCommand::Cancel { reply }, self.now);
        self.drain()
    }

    /// The vendor speaks `said` in a context, a character in 50 ms.
    fn hear(mut self, context: &str, said: &str) -> Self {
        let chars: Vec<String> = said.chars().map(String::from).collect();
        let json = serde_json::json!({
            "audio": base64_simd::STANDARD.encode_to_string(vec![1; chars.len() * 400]), "contextId": context,
            "alignment": {"charStartTimesMs": (0..chars.len()).map(|n| n * 50).collect::<Vec<_>>(),
                          "charsDurationsMs": vec![50; chars.len()], "chars": chars},
        });
        self.session.handle_message(&ServerMessage::parse(&json.to_string()).unwrap(), self.now).unwrap();
        self.drain()
    }

    fn end(mut self, context: &str) -> Self {
        let json = serde_json::json!({"isFinal": true, "contextId": context}).to_string();
        self.session.handle_message(&ServerMessage::parse(&json).unwrap(), self.now).unwrap();
        self.drain()
    }

    fn lose(mut self, fault: &LinkFault) -> Self {
        self.session.handle_lost(fault, self.now);
        self.drain()
    }

    fn reconnect(mut self) -> Self {
        self.session.handle_connected(self.now);
        self.drain()
    }

    /// Waits for the next deadline.
    fn wait(mut self, expected: Timer) -> Self {
        let (at, timer) = self.session.poll_timeout(true).unwrap();
        assert_eq!(timer, expected);
        self.now = at;
        if let Err(fault) = self.session.handle_timeout(timer, at) {
            self.session.handle_lost(&fault, at);
        }
        self.drain()
    }

    /// The texts sent since the last call, with their contexts.
    fn texts(&mut self) -> Vec<String> {
        let frames = std::mem::take(&mut self.sent);
        let text = |frame: &serde_json::Value| {
            let text = frame["text"].as_str().filter(|text| !text.trim().is_empty())?;
            Some(format!("{}: {text}", frame["context_id"].as_str().unwrap_or_default()))
        };
        frames.iter().filter_map(text).collect()
    }

    fn failed(&self) -> Option<&str> {
        self.events.iter().find_map(|event| match event {
            TtsEvent::Failed { cause, .. } => Some(cause.as_str()),
            _ => None,
        })
    }

    fn is_done(&self, id: ReplyId) -> bool {
        self.events.contains(&TtsEvent::Done { reply: id })
    }
}

#[test]
fn a_reply_opens_speaks_and_closes_its_context() {
    let mut rig = Rig::connected().speak(ONE, "Hello. ").speak(ONE, "You? ").finish(ONE);
    let sent: Vec<String> = std::mem::take(&mut rig.sent).iter().map(ToString::to_string).collect();
    assert_eq!(
        sent,
        [
            r#"{"context_id":"call-1-1","text":" "}"#,
            r#"{"context_id":"call-1-1","flush":true,"text":"Hello. "}"#,
            r#"{"context_id":"call-1-1","flush":true,"text":"You? "}"#,
            r#"{"context_id":"call-1-1","flush":true}"#,
            r#"{"close_context":true,"context_id":"call-1-1"}"#,
        ]
    );
    let rig = rig.hear("call-1-1", "Hello. You? ").end("call-1-1");
    assert!(rig.is_done(ONE));
    assert_eq!(rig.session.contexts.len(), 0);
}

#[test]
fn nothing_to_say_is_done_without_a_socket() {
    let rig = Rig::new().finish(ONE).speak(TWO, " – ").finish(TWO);
    assert!(rig.is_done(ONE) && rig.is_done(TWO) && rig.sent.is_empty());
}

#[test]
fn what_is_over_stays_over() {
    let mut rig = Rig::connected().speak(ONE, "Hello. ").cancel(ONE).speak(ONE, "Late. ").finish(ONE).cancel(ONE);
    assert_eq!(rig.texts(), ["call-1-1: Hello. "]);
    assert!(!rig.is_done(ONE));
}

#[test]
fn a_cancelled_context_counts_until_its_end() {
    let mut rig = Rig::connected();
    for id in 1..=5 {
        rig = rig.speak(ReplyId(id), "Hello. ").cancel(ReplyId(id));
    }
    rig.sent.clear();
    let mut rig = rig.speak(ReplyId(6), "Six. ");
    assert_eq!((rig.session.contexts.len(), rig.texts().len()), (5, 0));
    let mut rig = rig.end("call-2-1");
    assert_eq!((rig.session.contexts.len(), rig.texts()), (5, vec!["call-6-1: Six. ".to_owned()]));
}

#[test]
fn contexts_that_do_not_end_cost_the_socket() {
    let mut rig = Rig::connected();
    for id in 1..=5 {
        rig = rig.speak(ReplyId(id), "Hello. ").cancel(ReplyId(id));
    }
    let mut rig = rig.speak(ReplyId(6), "Six. ").wait(Timer::Slot);
    assert!(rig.session.poll_hang_up());
    rig.texts();
    let mut rig = rig.reconnect();
    assert_eq!((rig.session.contexts.len(), rig.texts()), (1, vec!["call-6-1: Six. ".to_owned()]));
    assert!(!rig.events.iter().any(|event| matches!(event, TtsEvent::Fault { .. })));
}

#[test]
fn live_replies_are_never_dropped_for_a_context() {
    let mut rig = Rig::connected();
    for id in 1..=6 {
        rig = rig.speak(ReplyId(id), "Hello. ");
    }
    assert_eq!(rig.session.contexts.len(), 5);
    assert!(!matches!(rig.session.poll_timeout(true), Some((_, Timer::Slot))));
}

#[test]
fn a_lost_socket_speaks_the_rest_once() {
    let rig = Rig::connected().speak(ONE, "The quick brown fox. ").hear("call-1-1", "The quick bro");
    let mut rig = rig.lose(&LinkFault::Ended).speak(ONE, "Jumps. ").finish(ONE);
    rig.texts();
    let mut rig = rig.reconnect();
    assert_eq!(rig.texts(), ["call-1-2: brown fox. Jumps. "]);
    let rig = rig.hear("call-1-1", "late").hear("call-1-2", "brown fox. Jumps. ").end("call-1-2");
    assert!(rig.is_done(ONE));
    let heard: String = rig
        .events
        .iter()
        .filter_map(|event| match event {
            TtsEvent::Audio { alignment, .. } => Some(alignment.iter().map(|one| one.ch).collect::<String>()),
            _ => None,
        })
        .collect();
    assert_eq!(heard, "The quick brown fox. Jumps. ");
    let faults: Vec<_> = rig
        .events
        .iter()
        .filter_map(|event| match event {
            TtsEvent::Fault { phase, recovered, .. } => Some((*phase, *recovered)),
            _ => None,
        })
        .collect();
    assert_eq!(faults, [("stream", false), ("stream", true)]);
}

#[test]
fn a_reply_fails_after_its_retries() {
    let mut rig = Rig::connected().speak(ONE, "Hello. ");
    for _ in 0..2 {
        rig = rig.lose(&LinkFault::Ended).reconnect();
        assert_eq!(rig.failed(), None);
    }
    let rig = rig.lose(&LinkFault::Ended);
    assert_eq!(rig.failed(), Some("ended without a close"));
    let mut rig = rig.reconnect().speak(ONE, "Late. ").speak(TWO, "Next. ");
    assert_eq!(rig.texts().last().map(String::as_str), Some("call-2-1: Next. "));
}

#[test]
fn a_socket_lost_when_nothing_is_due_costs_no_retry() {
    let mut rig = Rig::connected().speak(ONE, "Hello. ");
    for attempt in 1..=5 {
        if attempt == 1 {
            rig = rig.hear("call-1-1", "Hello. ");
        }
        rig = rig.lose(&LinkFault::Ended).reconnect();
    }
    let rig = rig.finish(ONE);
    assert!(rig.is_done(ONE) && rig.failed().is_none());
}

#[test]
fn late_audio_blames_its_own_reply() {
    let rig = Rig::connected().speak(ONE, "Hello. ").speak(TWO, "There. ").hear("call-2-1", "Th");
    let mut rig = rig.wait(Timer::FirstByte(ONE));
    assert_eq!(rig.session.replies.iter().map(|reply| reply.failures).collect::<Vec<_>>(), [1, 0]);
    rig.texts();
    let mut rig = rig.reconnect().hear("call-1-2", "Hel");
    assert_eq!(rig.texts(), ["call-1-2: Hello. ", "call-2-2: There. "]);
    let rig = rig.hear("call-2-2", "There. ").wait(Timer::Idle(ONE));
    assert_eq!(rig.session.replies[0].failures, 2);
}

#[test]
fn nothing_is_late_once_everything_has_come() {
    let rig = Rig::connected().speak(ONE, "Hello. ").hear("call-1-1", "Hello. ");
    assert!(matches!(rig.session.poll_timeout(true), Some((_, Timer::KeepAlive))));
}

#[test]
fn a_jammed_call_makes_nothing_late() {
    let mut rig = Rig::connected().speak(ONE, "Hello. ");
    assert!(matches!(rig.session.poll_timeout(false), Some((_, Timer::KeepAlive))));
    rig.now += Duration::from_secs(60);
    rig.session.handle_resumed(rig.now);
    let waits = rig.session.replies[0].context.as_ref().unwrap().waiting;
    assert_eq!(waits, Some(rig.now));
}

#[test]
fn a_final_message_without_audio_is_a_failure() {
    let mut rig = Rig::connected().speak(ONE, "Hello. ").finish(ONE).end("call-1-1");
    assert!(!rig.is_done(ONE));
    assert_eq!(rig.texts(), ["call-1-1: Hello. ", "call-1-2: Hello. "]);
    let rig = rig.end("call-1-2").end("call-1-3");
    assert_eq!(rig.failed(), Some("no audio came for the text"));
}

#[test]
fn keep_alive_never_opens_a_context() {
    let mut rig = Rig::connected().wait(Timer::KeepAlive);
    assert_eq!(rig.sent, [serde_json::json!({"text": ""})]);
    rig = rig.speak(ONE, "Hello. ").hear("call-1-1", "Hello. ");
    rig.sent.clear();
    let mut rig = rig.wait(Timer::KeepAlive);
    assert_eq!(rig.sent, [serde_json::json!({"text": "", "context_id": "call-1-1"})]);
    rig = rig.cancel(ONE);
    rig.sent.clear();
    let rig = rig.wait(Timer::KeepAlive);
    assert_eq!(rig.sent, [serde_json::json!({"text": ""})]);
}

#[test]
fn what_is_billed_and_what_was_wasted() {
    let rig = Rig::connected().speak(ONE, "The quick brown fox. ").hear("call-1-1", "The quick bro").cancel(ONE);
    let usage: Vec<_> = rig
        .events
        .iter()
        .filter_map(|event| match event {
            TtsEvent::Usage { characters, wasted } => Some((*characters, *wasted)),
            _ => None,
        })
        .collect();
    assert_eq!(usage, [(10, false), (11, true)]);
}

#[test]
fn a_call_that_ends_is_billed_for_what_was_sent() {
    let mut rig = Rig::connected().speak(ONE, "Hello. ").lose(&LinkFault::Ended).reconnect();
    rig.session.handle_command(TtsCommand::Close, rig.now);
    let rig = rig.drain();
    let billed = rig.events.iter().filter(|event| **event == TtsEvent::Usage { characters: 7, wasted: false }).count();
    assert_eq!(billed, 2, "once for each time it was sent");
    assert_eq!(rig.sent.last(), Some(&serde_json::json!({"close_socket": true})));
}

#[test]
fn a_refusal_fails_what_was_asked_and_what_will_be() {
    let quota = ServerMessage::parse(r#"{"message":"x","error":"quota_exceeded","code":1008}"#).unwrap().error.unwrap();
    let rig = Rig::connected().speak(ONE, "Hello. ").lose(&LinkFault::vendor(&quota));
    assert_eq!(rig.failed(), Some("vendor's error: quota_exceeded"));
    let rig = rig.speak(TWO, "Next. ");
    assert!(rig.events.iter().any(|event| matches!(event, TtsEvent::Failed { reply: TWO, .. })));
}

#[test]
fn stream_input_speaks_one_reply_a_socket() {
    let refused = LinkFault::Refused { status: 403, code: super::super::wire::Code::default() };
    let rig = Rig::new().speak(ONE, "Hello. ").lose(&refused);
    assert_eq!((rig.session.mode(), rig.failed()), (Mode::Single, None));
    let rig = rig.reconnect().finish(ONE).speak(TWO, "Next. ");
    let sent: Vec<String> = rig.sent.iter().map(ToString::to_string).collect();
    assert_eq!(sent, [r#"{"text":" "}"#, r#"{"flush":true,"text":"Hello. "}"#, r#"{"text":""}"#]);
    let mut rig = rig.hear("", "Hello. ").end("");
    assert!(rig.is_done(ONE) && rig.session.poll_hang_up());
    let mut rig = rig.reconnect();
    assert_eq!(rig.texts().last().map(String::as_str), Some(": Next. "));
    let mut rig = rig.cancel(TWO);
    assert!(rig.session.poll_hang_up());
}
