//! The control plane's questions, put to the vendors' simulators over real sockets.
#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod crm;
mod voices;
mod vonage;

use std::{net::SocketAddr, sync::Arc};

use trunkline_base::guard::{AllowedRanges, Guard};
use trunkline_control::vendors::VendorErrorKind as Kind;
use trunkline_sim::{
    anthropic::{AnthropicConfig, AnthropicSim},
    deepgram::{DeepgramConfig, DeepgramSim},
    elevenlabs::{ElevenLabsConfig, ElevenLabsSim},
    fault::{Fault, Script},
    openai::{OpenAiConfig, OpenAiSim},
    recogniser::Library,
    twilio::{Account, AccountStatus, ApiKey, TwilioConfig, TwilioSim},
};

use super::{access::TWILIO, *};

const SID: &str = "AC00000000000000000000000000000001";
const NUMBER: &str = "+14155550100";

/// Settings in which nobody is at any vendor's address.
fn settings() -> config::Vendors {
    let nobody = "http://127.0.0.1:9";
    config::Vendors {
        deepgram_base_url: nobody.into(),
        openai_base_url: nobody.into(),
        elevenlabs_base_url: nobody.into(),
        twilio_base_url: nobody.into(),
        anthropic_base_url: nobody.into(),
        vonage_base_url: nobody.into(),
        salesforce_login_url: Some(nobody.parse().unwrap()),
        ..config::Vendors::default()
    }
}

fn vendors(settings: &config::Vendors) -> LiveVendors {
    LiveVendors::new(settings, &Net::new(&[]).unwrap()).unwrap()
}

fn lenient(settings: &config::Vendors) -> LiveVendors {
    let net = Net::new(&[]).unwrap().with_guard(Guard::new(AllowedRanges::loopback()));
    LiveVendors::new(settings, &net).unwrap()
}

fn fields<const N: usize>(fields: [(&str, &str); N]) -> Fields {
    fields.into_iter().map(|(name, value)| (name.to_owned(), Secret::new(value))).collect()
}

fn here() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

/// The kind, status and code of a failure whose explanation says this and quotes no field.
fn told(outcome: Result<(), VendorError>, says: &str) -> (Kind, Option<u16>, Option<String>) {
    let error = outcome.unwrap_err();
    assert!(error.explanation.contains(says), "{says} in {}", error.explanation);
    assert!(error.explanation.ends_with('.'), "{}", error.explanation);
    for secret in ["hush-hush", "wrong-key", "AC0", "127.0.0.1"] {
        assert!(!error.to_string().contains(secret), "{}", error.explanation);
    }
    (error.kind, error.status, error.code)
}

async fn twilio_sim(change: impl FnOnce(&mut TwilioConfig)) -> (TwilioSim, config::Vendors) {
    let account = Account { sid: SID.into(), auth_token: "hush-hush".into(), numbers: vec![NUMBER.into()] };
    let mut config = TwilioConfig::new(account);
    change(&mut config);
    let sim = TwilioSim::start(here(), config, None).await.unwrap();
    let settings = config::Vendors { twilio_base_url: sim.http_url(), ..settings() };
    (sim, settings)
}

#[tokio::test]
async fn a_good_key_works_with_every_vendor_at_the_operator_s_address() {
    let openai = OpenAiSim::start(here(), OpenAiConfig::default(), None).await.unwrap();
    let library = Arc::new(Library::from_clips([]).unwrap());
    let deepgram = DeepgramSim::start(here(), DeepgramConfig::new("hush-hush", library), None).await.unwrap();
    let config = ElevenLabsConfig { api_key: "hush-hush".into(), ..ElevenLabsConfig::default() };
    let elevenlabs = ElevenLabsSim::start(here(), config, None).await.unwrap();
    let claude = AnthropicSim::start(here(), AnthropicConfig::default(), None).await.unwrap();
    let (_twilio, settings) = twilio_sim(|_| {}).await;
    let vendors = vendors(&config::Vendors {
        openai_base_url: openai.base_url(),
        anthropic_base_url: claude.base_url(),
        deepgram_base_url: deepgram.http_url() + "/",
        elevenlabs_base_url: elevenlabs.server().http_url(),
        ..settings
    });
    let good = [
        (Provider::Openai, fields([("api_key", "sk-simulated"), ("organization", "org-1")])),
        (Provider::Claude, fields([("api_key", "sk-ant-simulated")])),
        (Provider::Deepgram, fields([("api_key", "hush-hush")])),
        (Provider::Elevenlabs, fields([("api_key", "hush-hush")])),
        (Provider::Twilio, fields([("account_sid", SID), ("auth_token", "hush-hush")])),
    ];
    for (provider, fields) in good {
        assert_eq!(vendors.probe(provider, &fields, None).await, Ok(()), "{provider}");
    }
    for provider in [Provider::Openai, Provider::Claude, Provider::Deepgram, Provider::Elevenlabs] {
        let outcome = vendors.probe(provider, &fields([("api_key", "wrong-key")]), None).await;
        let (kind, status, code) = told(outcome, "refused the key: it is wrong, revoked or expired");
        assert_eq!((kind, status), (Kind::WrongKey, Some(401)), "{provider}");
        assert!(code.is_some(), "{provider}");
    }
    let wrong = fields([("account_sid", SID), ("auth_token", "wrong-key")]);
    let outcome = told(vendors.probe(Provider::Twilio, &wrong, None).await, "Compare them with Twilio's console");
    assert_eq!(outcome, (Kind::WrongKey, Some(401), Some("20003".into())));
}

#[tokio::test]
async fn a_credential_s_own_address_goes_first_and_is_guarded() {
    let sim = OpenAiSim::start(here(), OpenAiConfig::default(), None).await.unwrap();
    let url = sim.base_url();
    let credential = fields([("api_key", "sk-simulated"), ("endpoint_url", &url)]);
    let strict = vendors(&config::Vendors { openai_base_url: url.clone(), ..settings() });
    let outcome = told(strict.probe(Provider::Openai, &credential, None).await, "it leads to this machine itself");
    assert_eq!(outcome, (Kind::AddressRefused, None, None));
    // The operator's address is nobody's here, so it is the credential's own that answers.
    assert!(lenient(&settings()).probe(Provider::Openai, &credential, None).await.is_ok());
    for (provider, bad) in [
        (Provider::Deepgram, "http://169.254.169.254/latest/meta-data"),
        (Provider::Elevenlabs, "https://user:pass@example.com"),
        (Provider::Twilio, "https://0x7f.1"),
    ] {
        let fields =
            fields([("api_key", "k"), ("account_sid", SID), ("auth_token", "hush-hush"), ("endpoint_url", bad)]);
        let outcome =
            told(lenient(&settings()).probe(provider, &fields, None).await, "endpoint URL of this credential");
        assert!(matches!(outcome.0, Kind::AddressRefused | Kind::Unreachable), "{bad}: {outcome:?}");
    }
}

#[tokio::test]
async fn what_is_wrong_is_said_in_words() {
    let faults = [
        (Fault::Refuse { status: 429, retry_after: Some(3) }, Kind::Quota, Some(429), "at a limit of its plan"),
        (
            Fault::Refuse { status: 503, retry_after: None },
            Kind::Failed,
            Some(503),
            "an error of its own (HTTP status 503",
        ),
        (Fault::GarbageAfter(Duration::ZERO), Kind::NotThatVendor, Some(200), "mostly ends in /v1"),
        (Fault::DropAfter(Duration::ZERO), Kind::Unreachable, None, "broke before there was an answer"),
    ];
    let models_script = Script::new(faults.iter().map(|(fault, ..)| Some(fault.clone())));
    let sim = OpenAiSim::start(here(), OpenAiConfig { models_script, ..OpenAiConfig::default() }, None).await.unwrap();
    let live = vendors(&config::Vendors { openai_base_url: sim.base_url(), ..settings() });
    let key = fields([("api_key", "sk-simulated")]);
    for (fault, kind, status, says) in faults {
        let outcome = told(live.probe(Provider::Openai, &key, None).await, says);
        assert_eq!((outcome.0, outcome.1), (kind, status), "{fault:?}");
    }
    let outcome =
        told(vendors(&settings()).probe(Provider::Deepgram, &key, None).await, "Nobody answers at Deepgram's address");
    assert_eq!(outcome.0, Kind::Unreachable);
    let outcome = told(live.probe(Provider::Deepgram, &fields([]), None).await, "The field api_key is not set");
    assert_eq!(outcome.0, Kind::MissingField);
    let outcome = told(live.probe(Provider::Openai, &fields([("api_key", "a\nb")]), None).await, "Copy it again");
    assert_eq!(outcome.0, Kind::WrongKey);
}

#[tokio::test]
async fn twilio_s_own_cases_are_told_apart() {
    let credential = fields([("account_sid", SID), ("auth_token", "hush-hush")]);
    let (_sim, settings) = twilio_sim(|config| config.test_credentials = true).await;
    let outcome = told(vendors(&settings).probe(Provider::Twilio, &credential, None).await, "test credentials");
    assert_eq!(outcome.0, Kind::NoPermission);
    let (_sim, settings) = twilio_sim(|config| config.account_status = AccountStatus::Suspended).await;
    let outcome = told(vendors(&settings).probe(Provider::Twilio, &credential, None).await, "account is suspended");
    assert_eq!(outcome.0, Kind::NoPermission);

    let key = ApiKey { sid: "SK1".into(), secret: "hush-hush".into(), account_sid: SID.into() };
    let (sim, settings) = twilio_sim(|config| config.api_keys = vec![key]).await;
    let both = |secret| {
        fields([("account_sid", SID), ("auth_token", "hush-hush"), ("api_key_sid", "SK1"), ("api_key_secret", secret)])
    };
    let live = vendors(&settings);
    assert!(live.probe(Provider::Twilio, &both("hush-hush"), None).await.is_ok());
    assert_eq!(sim.requests().len(), 3, "the token's account, the key's, and the key's calls");
    assert_eq!(told(live.probe(Provider::Twilio, &both("wrong-key"), None).await, "console").0, Kind::WrongKey);
    let half = fields([("account_sid", SID), ("auth_token", "hush-hush"), ("api_key_sid", "SK1")]);
    assert_eq!(told(live.probe(Provider::Twilio, &half, None).await, "api_key_secret").0, Kind::MissingField);
    assert!(live.owns_number(Provider::Twilio, &both("hush-hush"), NUMBER).await.unwrap().is_some());
}

#[tokio::test]
async fn a_number_is_whose_the_carrier_says() {
    let (_sim, settings) = twilio_sim(|_| {}).await;
    let live = vendors(&settings);
    let credential = fields([("account_sid", SID), ("auth_token", "hush-hush")]);
    let owned = live.owns_number(Provider::Twilio, &credential, NUMBER).await.unwrap();
    assert!(owned.unwrap().starts_with("PN"));
    assert_eq!(live.owns_number(Provider::Twilio, &credential, "+14155550199").await, Ok(None));
    let wrong = fields([("account_sid", SID), ("auth_token", "wrong-key")]);
    assert_eq!(live.owns_number(Provider::Twilio, &wrong, NUMBER).await.unwrap_err().kind, Kind::WrongKey);
    let no_carrier = live.owns_number(Provider::Openai, &credential, NUMBER).await.unwrap_err();
    assert!(no_carrier.explanation.contains("not a carrier"), "{}", no_carrier.explanation);
}

#[test]
fn a_region_has_an_address_of_its_own_unless_the_operator_says_otherwise() {
    let twilio = |base: &str, region: &str, edge: &str| {
        let settings = config::Vendors { twilio_base_url: base.into(), ..settings() };
        let fields = fields([("region", region), ("edge", edge)]);
        twilio_base(&settings, &fields).map(|base| base.to_string()).map_err(|_| ())
    };
    assert_eq!(twilio(TWILIO, "", "").as_deref(), Ok("https://api.twilio.com"));
    assert_eq!(twilio("https://api.twilio.com/", "ie1", "dublin").as_deref(), Ok("https://api.dublin.ie1.twilio.com"));
    assert_eq!(twilio(TWILIO, "ie1", "").as_deref(), Ok("https://api.ashburn.ie1.twilio.com"));
    assert_eq!(twilio(TWILIO, "", "sydney").as_deref(), Ok("https://api.sydney.us1.twilio.com"));
    assert_eq!(twilio("http://127.0.0.1:9", "ie1", "dublin").as_deref(), Ok("http://127.0.0.1:9"));
    for bad in ["evil.example/", "a.b", "A", "x@y", "é"] {
        assert_eq!(twilio(TWILIO, bad, ""), Err(()), "{bad}");
    }
}

#[tokio::test]
async fn an_address_can_be_checked_before_it_is_kept() {
    let live = lenient(&settings());
    assert_eq!(live.check_url("http://127.0.0.1:8080/v1").await, Ok(()));
    assert_eq!(live.check_url("https://8.8.8.8/v1").await, Ok(()));
    for (url, says) in [
        ("https://169.254.169.254", "a link-local address"),
        ("http://8.8.8.8", "https://"),
        ("https://a@8.8.8.8", "user name"),
        ("nonsense", "not a URL"),
    ] {
        let refused = live.check_url(url).await.unwrap_err();
        assert!(refused.contains(says), "{url}: {refused}");
    }
}

/// Every provider whose credential may name an address, and every way to write one that leads inside.
#[tokio::test]
async fn no_spelling_of_an_endpoint_leads_inside() {
    let live = vendors(&settings());
    let spellings = [
        "https://127.0.0.1",
        "http://127.0.0.1:8000",
        "https://localhost",
        "https://127.1",
        "https://2130706433",
        "https://0x7f000001",
        "https://0177.0.0.1",
        "https://[::1]",
        "https://[::ffff:127.0.0.1]",
        "https://[::ffff:7f00:1]",
        "https://127\u{3002}0\u{3002}0\u{3002}1",
        "https://0.0.0.0",
        "https://169.254.169.254/latest/meta-data",
        "https://[fe80::1]",
        "https://10.0.0.1",
        "https://192.168.0.1",
        "https://[fd00::1]",
        "https://100.64.0.1",
        "https://user@127.0.0.1",
        "https://8.8.8.8\\@127.0.0.1",
        "https:127.0.0.1",
        "ftp://127.0.0.1",
        "file:///etc/passwd",
    ];
    for provider in [Provider::Openai, Provider::Claude, Provider::Deepgram, Provider::Elevenlabs, Provider::Vonage] {
        for url in spellings {
            let key = include_str!("../../../control/src/testing/private_key.pem");
            let credential = fields([
                ("api_key", "k"),
                ("api_secret", "s"),
                ("application_id", "a"),
                ("private_key", key),
                ("endpoint_url", url),
            ]);
            let outcome = told(live.probe(provider, &credential, None).await, "endpoint URL of this credential");
            assert_eq!(outcome.0, Kind::AddressRefused, "{provider} {url}");
            assert!(live.check_url(url).await.is_err(), "{url}");
        }
    }
}
