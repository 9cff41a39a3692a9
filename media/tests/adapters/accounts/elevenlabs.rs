use std::time::Duration;

use trunkline_base::Secret;
use trunkline_media::{account::AccountError, net::BaseUrl, tts::elevenlabs::account::probe};
use trunkline_sim::{
    elevenlabs::{ElevenLabsConfig, ElevenLabsSim},
    fault::Fault,
};

use super::{here, http, is_inside, lenient, refusal, refuse, script};

const KEY: &str = "sk_simulated";

async fn start(faults: impl IntoIterator<Item = Fault>) -> ElevenLabsSim {
    let config =
        ElevenLabsConfig { api_key: KEY.into(), account_script: script(faults), ..ElevenLabsConfig::default() };
    ElevenLabsSim::start(here(), config, None).await.unwrap()
}

async fn ask(sim: &ElevenLabsSim, key: &str) -> Result<(), AccountError> {
    probe(&http(), &BaseUrl::operator(sim.server().http_url()), &Secret::new(key)).await
}

fn code(code: &str) -> Fault {
    Fault::ErrorAfter(Duration::ZERO, code.into())
}

#[tokio::test]
async fn a_good_key_works_and_a_wrong_one_does_not() {
    let sim = start([]).await;
    assert_eq!(ask(&sim, KEY).await, Ok(()));
    assert_eq!(ask(&sim, "wrong").await, Err(AccountError::WrongKey(refusal(401, "invalid_api_key"))));
}

#[tokio::test]
async fn a_key_that_may_not_read_the_user_is_asked_for_what_else_it_may() {
    let lacks = || code("missing_permissions");
    for faults in [vec![lacks()], vec![lacks(), lacks()]] {
        assert_eq!(ask(&start(faults).await, KEY).await, Ok(()));
    }
    let outcome = ask(&start([lacks(), lacks(), lacks()]).await, KEY).await;
    assert_eq!(outcome, Err(AccountError::NoPermission(refusal(401, "missing_permissions"))));
    let outcome = ask(&start([lacks()]).await, "wrong").await;
    assert_eq!(outcome, Err(AccountError::WrongKey(refusal(401, "invalid_api_key"))));
}

#[tokio::test]
async fn each_failure_has_its_kind() {
    let table = [
        (code("quota_exceeded"), AccountError::Quota(refusal(401, "quota_exceeded"))),
        // The vendor's code has a `+` in it, which no code of ours may have.
        (refuse(402), AccountError::Quota(refusal(402, ""))),
        (refuse(429), AccountError::Quota(refusal(429, "concurrent_limit_exceeded"))),
        (refuse(500), AccountError::Vendor(refusal(500, "internal_server_error"))),
        (refuse(404), AccountError::NotThatVendor { status: 404 }),
        (Fault::GarbageAfter(Duration::ZERO), AccountError::NotThatVendor { status: 200 }),
    ];
    let sim = start(table.iter().map(|(fault, _)| fault.clone())).await;
    for (fault, expected) in table {
        assert_eq!(ask(&sim, KEY).await, Err(expected), "{fault:?}");
    }
}

#[tokio::test]
async fn a_user_s_address_is_guarded() {
    let sim = start([]).await;
    let (url, key) = (BaseUrl::user(sim.server().http_url()), Secret::new(KEY));
    assert!(is_inside(&probe(&http(), &url, &key).await));
    assert_eq!(probe(&lenient(), &url, &key).await, Ok(()));
}
