//! Voices, and whose key they are asked for with.

use trunkline_base::Personal;

use super::*;

async fn start() -> (ElevenLabsSim, LiveVendors) {
    let config = ElevenLabsConfig { api_key: "hush-hush".into(), ..ElevenLabsConfig::default() };
    let sim = ElevenLabsSim::start(here(), config, None).await.unwrap();
    let settings = config::Vendors {
        elevenlabs_base_url: sim.server().http_url(),
        elevenlabs_api_key: Secret::new("hush-hush"),
        ..settings()
    };
    let live = vendors(&settings);
    (sim, live)
}

#[tokio::test]
async fn the_platforms_own_key_has_voices() {
    let (_sim, live) = start().await;
    let fields = live.platform(Provider::Elevenlabs).unwrap();
    let found = live.voices(Provider::Elevenlabs, &fields).await.unwrap();
    assert_eq!((found.voices.len(), found.more), (3, false));
    assert_eq!((found.voices[0].name.as_str(), found.voices[0].labels["gender"].as_str()), ("Rachel", "female"));
    assert_eq!(found.voices[0].languages, ["en"]);
    for provider in [
        Provider::Openai,
        Provider::Claude,
        Provider::Deepgram,
        Provider::Twilio,
        Provider::Vonage,
        Provider::Salesforce,
    ] {
        assert!(live.platform(provider).is_none(), "{provider}");
        assert_eq!(live.voices(provider, &fields).await.unwrap_err().kind, Kind::Unsupported, "{provider}");
    }
}

#[tokio::test]
async fn a_text_is_spoken_as_mp3() {
    let (_sim, live) = start().await;
    let speech = Speech {
        voice_id: "21m00Tcm4TlvDq8ikWAM".into(),
        text: Personal::new("Hello there.".into()),
        model: "eleven_flash_v2_5".into(),
        language: Some("en-US".into()),
    };
    let audio = live.speak(Provider::Elevenlabs, &fields([("api_key", "hush-hush")]), &speech).await.unwrap();
    assert_eq!(audio[..2], [0xff, 0xfb]);
}

#[tokio::test]
async fn a_failure_is_in_words() {
    let (_sim, live) = start().await;
    let wrong = fields([("api_key", "wrong-key")]);
    let outcome = told(live.voices(Provider::Elevenlabs, &wrong).await.map(|_| ()), "ElevenLabs refused the key");
    assert_eq!(outcome, (Kind::WrongKey, Some(401), Some("invalid_api_key".into())));
    let speech = |voice: &str| Speech {
        voice_id: voice.into(),
        text: Personal::new("+1 415 555 0100".into()),
        model: "eleven_flash_v2_5".into(),
        language: None,
    };
    let good = fields([("api_key", "hush-hush")]);
    let outcome = live.speak(Provider::Elevenlabs, &good, &speech("nobody")).await.map(|_| ());
    let (kind, status, code) = told(outcome, "no voice with this id");
    assert_eq!((kind, code), (Kind::Failed, Some("voice_not_found".into())));
    assert!(status.is_some());
    let outcome = live.speak(Provider::Openai, &good, &speech("v")).await.map(|_| ());
    assert_eq!(told(outcome, "makes no voices").0, Kind::Unsupported);
}

#[test]
fn an_account_of_the_platforms_counts_when_it_is_whole() {
    let key = include_str!("../../../control/src/testing/private_key.pem");
    let whole = config::Vendors {
        vonage_api_key: "abc".into(),
        vonage_api_secret: Secret::new("s"),
        vonage_application_id: "app".into(),
        vonage_private_key: Secret::new(key.replace('\n', "\\n")),
        vonage_signature_secret: Secret::new("s"),
        twilio_account_sid: SID.into(),
        ..settings()
    };
    let fields = vendors(&whole).platform(Provider::Vonage).unwrap();
    assert_eq!(fields.get("private_key").unwrap().expose(), key);
    assert!(vendors(&whole).platform(Provider::Twilio).is_none(), "it has no token");
    let part = config::Vendors { vonage_signature_secret: Secret::default(), ..whole };
    assert!(vendors(&part).platform(Provider::Vonage).is_none());
}
