//! A user-given address is connected to only if the guard lets it, whichever driver is asked to; the operator's own always is.

use std::{sync::Arc, time::Duration};

use crate::deepgram_support::{
    Call,
    peer::{Fate, Peer},
};
use crate::responder::{Answer, Responder, chat};
use tokio::time::timeout;
use trunkline_base::{
    Secret, SystemClock,
    guard::{AllowedRanges, Guard},
};
use trunkline_media::{
    audio::AudioFormat,
    ids::ReplyId,
    llm::{
        LlmEvent, LlmLimits,
        openai::{OpenAi, OpenAiConfig, OpenAiModel},
    },
    net::{BaseUrl, Net},
    stt::{SttConfig, SttEvent},
    tts::{TtsCommand, TtsConfig, TtsEvent, TtsLimits, VoiceSettings, elevenlabs},
};
use trunkline_sim::elevenlabs::{ElevenLabsConfig, ElevenLabsSim};

const REFUSED: &str = "address is refused: it leads to this machine itself";
const PATIENCE: Duration = Duration::from_secs(20);

fn strict() -> Net {
    Net::new(&[]).unwrap()
}

fn lenient() -> Net {
    strict().with_guard(Guard::new(AllowedRanges::loopback()))
}

fn llm(base_url: BaseUrl, net: &Net) -> OpenAi {
    let models = vec![OpenAiModel::new(base_url, Secret::new("sk-simulated"), "m")];
    OpenAi::new(OpenAiConfig { models, limits: LlmLimits::default(), tag: "call".into() }, net).unwrap()
}

#[tokio::test]
async fn a_model_at_a_user_s_address() {
    let server = Responder::start([chat::answer("Here.")]).await;
    let base_url = BaseUrl::user(format!("{}/v1", server.url()));
    let events = chat::heard(chat::start(&llm(base_url.clone(), &strict()))).await;
    let [LlmEvent::Failed { cause }] = &events[..] else { panic!("{events:?}") };
    assert!(cause.contains(REFUSED), "{cause}");
    assert!(server.seen().is_empty(), "nothing was connected to");

    let events = chat::heard(chat::start(&llm(base_url, &lenient()))).await;
    assert_eq!(events[0], chat::said("Here."));
}

#[tokio::test]
async fn a_model_s_redirect_is_not_followed() {
    let inside = Responder::start([]).await;
    let server = Responder::start([Answer::status(307, "").header("Location", &inside.url())]).await;
    let base_url = BaseUrl::user(format!("{}/v1", server.url()));
    let events = chat::heard(chat::start(&llm(base_url, &lenient()))).await;
    assert!(matches!(&events[..], [LlmEvent::Failed { cause }] if cause.contains("307")), "{events:?}");
    assert!(inside.seen().is_empty());
}

#[tokio::test]
async fn a_recogniser_at_a_user_s_address() {
    let peer = Peer::start([Fate::Refuse(401, "", "{}")]).await;
    let config = || {
        let base_url = BaseUrl::user(peer.url());
        SttConfig { base_url, ..crate::deepgram_support::config("", "nova-3") }
    };
    let mut call = Call::open_over(strict(), config());
    call.finish().await;
    let Some(SttEvent::Failed { cause }) = call.events.last() else { panic!("{}", call.log()) };
    assert!(cause.contains(REFUSED), "{cause}");
    assert!(peer.seen().is_empty(), "nothing was connected to");

    let mut call = Call::open_over(lenient(), config());
    call.finish().await;
    let Some(SttEvent::Failed { cause }) = call.events.last() else { panic!("{}", call.log()) };
    assert!(cause.contains("401"), "it was reached: {cause}");
    assert_eq!(peer.seen().len(), 1);
}

/// What the voice says to one clause: its audio, or why there is none.
async fn speak(base_url: BaseUrl, net: Net) -> Result<usize, String> {
    let config = TtsConfig {
        base_url,
        api_key: Secret::new("sk_simulated"),
        voice_id: "21m00Tcm4TlvDq8ikWAM".into(),
        model: "eleven_flash_v2_5".into(),
        language: None,
        settings: VoiceSettings::default(),
        format: AudioFormat::MULAW_8K,
        tag: "call".into(),
        limits: TtsLimits::default(),
    };
    let mut session = elevenlabs::open(config, net, Arc::new(SystemClock));
    let reply = ReplyId(1);
    session.commands.send(TtsCommand::Speak { reply, text: "Hello. ".into() }).await.unwrap();
    session.commands.send(TtsCommand::Finish { reply }).await.unwrap();
    let mut heard = 0;
    loop {
        match timeout(PATIENCE, session.events.recv()).await.unwrap().unwrap() {
            TtsEvent::Audio { audio, .. } => heard += audio.len(),
            TtsEvent::Done { .. } => return Ok(heard),
            TtsEvent::Failed { cause, .. } => return Err(cause),
            TtsEvent::Fault { .. } | TtsEvent::Usage { .. } => {}
        }
    }
}

#[tokio::test]
async fn a_voice_at_a_user_s_address() {
    let vendor = ElevenLabsConfig { api_key: "sk_simulated".into(), voices: Vec::new(), ..ElevenLabsConfig::default() };
    let sim = ElevenLabsSim::start("127.0.0.1:0".parse().unwrap(), vendor, None).await.unwrap();
    let url = sim.server().http_url();
    let cause = speak(BaseUrl::user(&url), strict()).await.unwrap_err();
    assert!(cause.contains(REFUSED), "{cause}");
    assert!(sim.log().entries().is_empty(), "nothing was connected to");
    assert!(speak(BaseUrl::user(&url), lenient()).await.unwrap() > 800);
    assert!(speak(BaseUrl::operator(&url), strict()).await.unwrap() > 800, "the operator's own is not guarded");
}
