use std::{sync::Arc, time::Duration};

use trunkline_base::Secret;
use trunkline_media::{account::AccountError, net::BaseUrl, stt::deepgram::account::probe};
use trunkline_sim::{
    deepgram::{DeepgramConfig, DeepgramSim},
    fault::Fault,
    recogniser::Library,
};

use super::{here, http, is_inside, lenient, refusal, refuse, script};

const KEY: &str = "dg-simulated";

async fn start(faults: impl IntoIterator<Item = Fault>) -> DeepgramSim {
    let config = DeepgramConfig::new(KEY, Arc::new(Library::from_clips([]).unwrap()));
    DeepgramSim::start(here(), DeepgramConfig { rest_script: script(faults), ..config }, None).await.unwrap()
}

async fn ask(sim: &DeepgramSim, key: &str) -> Result<(), AccountError> {
    probe(&http(), &BaseUrl::operator(sim.http_url()), &Secret::new(key)).await
}

#[tokio::test]
async fn a_good_key_works_and_a_wrong_one_does_not() {
    let sim = start([]).await;
    assert_eq!(ask(&sim, KEY).await, Ok(()));
    assert_eq!(ask(&sim, "wrong").await, Err(AccountError::WrongKey(refusal(401, "INVALID_AUTH"))));
}

#[tokio::test]
async fn a_key_that_may_not_see_projects_is_still_a_key() {
    let sim = start([refuse(403)]).await;
    assert_eq!(ask(&sim, KEY).await, Ok(()));
    let sim = start([refuse(403), refuse(403)]).await;
    let refused = refusal(403, "INSUFFICIENT_PERMISSIONS");
    assert_eq!(ask(&sim, KEY).await, Err(AccountError::NoPermission(refused)));
    let sim = start([refuse(403)]).await;
    assert_eq!(ask(&sim, "wrong").await, Err(AccountError::WrongKey(refusal(401, "INVALID_AUTH"))));
}

#[tokio::test]
async fn each_failure_has_its_kind() {
    let table = [
        (refuse(402), AccountError::Quota(refusal(402, "ASR_PAYMENT_REQUIRED"))),
        (refuse(429), AccountError::Quota(refusal(429, "TOO_MANY_REQUESTS"))),
        (refuse(500), AccountError::Vendor(refusal(500, "INTERNAL_SERVER_ERROR"))),
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
    let (url, key) = (BaseUrl::user(sim.http_url()), Secret::new(KEY));
    assert!(is_inside(&probe(&http(), &url, &key).await));
    assert_eq!(probe(&lenient(), &url, &key).await, Ok(()));
}
