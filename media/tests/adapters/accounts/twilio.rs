use std::time::Duration;

use trunkline_base::Secret;
use trunkline_media::{
    account::AccountError,
    net::BaseUrl,
    telephony::twilio::{
        account::{owns_number, probe},
        rest::TwilioAuth,
    },
};
use trunkline_sim::{
    fault::Fault,
    twilio::{Account, AccountStatus, ApiKey, TwilioConfig, TwilioSim},
};

use super::{here, http, is_inside, lenient, refusal, refuse, script};

const SID: &str = "AC00000000000000000000000000000001";
const TOKEN: &str = "simulated-token";
const NUMBER: &str = "+14155550100";

fn vendor() -> TwilioConfig {
    let numbers = vec![NUMBER.into(), "+141555501005".into()];
    TwilioConfig::new(Account { sid: SID.into(), auth_token: TOKEN.into(), numbers })
}

async fn start(config: TwilioConfig) -> TwilioSim {
    TwilioSim::start(here(), config, None).await.unwrap()
}

fn auth(user: &str, password: &str) -> TwilioAuth {
    TwilioAuth { user: user.into(), password: Secret::new(password) }
}

async fn ask(sim: &TwilioSim, auth: TwilioAuth) -> Result<(), AccountError> {
    probe(&http(), &BaseUrl::operator(sim.http_url()), SID, &auth).await
}

fn wrong() -> AccountError {
    AccountError::WrongKey(refusal(401, "20003"))
}

#[tokio::test]
async fn a_good_token_works_and_a_wrong_one_does_not() {
    let sim = start(vendor()).await;
    assert_eq!(ask(&sim, auth(SID, TOKEN)).await, Ok(()));
    assert_eq!(ask(&sim, auth(SID, "wrong")).await, Err(wrong()));
    let base = BaseUrl::operator(sim.http_url());
    for bad in ["", "AC1/../x", "AC1.json?"] {
        assert_eq!(probe(&http(), &base, bad, &auth(bad, TOKEN)).await, Err(AccountError::Key), "{bad}");
    }
}

#[tokio::test]
async fn test_credentials_are_told_from_wrong_ones() {
    let sim = start(TwilioConfig { test_credentials: true, ..vendor() }).await;
    assert_eq!(ask(&sim, auth(SID, TOKEN)).await, Err(AccountError::TestCredentials));
    assert_eq!(ask(&sim, auth(SID, "wrong")).await, Err(wrong()));
}

#[tokio::test]
async fn an_account_that_is_not_active_is_no_good() {
    for (account_status, word) in [(AccountStatus::Suspended, "suspended"), (AccountStatus::Closed, "closed")] {
        let sim = start(TwilioConfig { account_status, ..vendor() }).await;
        assert_eq!(ask(&sim, auth(SID, TOKEN)).await, Err(AccountError::Inactive(word)));
    }
}

#[tokio::test]
async fn an_api_key_that_may_not_see_the_account_is_still_a_key() {
    let key = ApiKey { sid: "SK1".into(), secret: "s3cret".into(), account_sid: SID.into() };
    let sim = start(TwilioConfig { api_keys: vec![key], ..vendor() }).await;
    assert_eq!(ask(&sim, auth("SK1", "s3cret")).await, Ok(()));
    assert_eq!(ask(&sim, auth("SK1", "wrong")).await, Err(wrong()));
    assert_eq!(ask(&sim, auth("SK2", "s3cret")).await, Err(wrong()));
}

#[tokio::test]
async fn each_failure_has_its_kind() {
    let table = [
        (refuse(401), wrong()),
        (refuse(403), AccountError::TestCredentials),
        (refuse(404), AccountError::WrongKey(refusal(404, "20404"))),
        (refuse(429), AccountError::Quota(refusal(429, "20429"))),
        (refuse(500), AccountError::Vendor(refusal(500, "20500"))),
        (Fault::GarbageAfter(Duration::ZERO), AccountError::NotThatVendor { status: 200 }),
    ];
    let faults = script(table.iter().map(|(fault, _)| fault.clone()));
    let sim = start(TwilioConfig { script: faults, ..vendor() }).await;
    for (fault, expected) in table {
        assert_eq!(ask(&sim, auth(SID, TOKEN)).await, Err(expected), "{fault:?}");
    }
}

#[tokio::test]
async fn a_number_is_owned_exactly_or_not_at_all() {
    let sim = start(vendor()).await;
    let base = BaseUrl::operator(sim.http_url());
    let owns =
        async |number: &str, password: &str| owns_number(&http(), &base, SID, &auth(SID, password), number).await;
    let owned = owns(NUMBER, TOKEN).await.unwrap().unwrap();
    assert!(owned.starts_with("PN"), "{owned}");
    assert_ne!(owns("+141555501005", TOKEN).await.unwrap(), Some(owned), "a longer number is another number");
    for other in ["+1415555010", "+14155550199", "4155550100"] {
        assert_eq!(owns(other, TOKEN).await, Ok(None), "{other}");
    }
    assert_eq!(owns(NUMBER, "wrong").await, Err(wrong()));
}

#[tokio::test]
async fn nothing_of_an_account_is_printed() {
    let sim = start(vendor()).await;
    let outcome = format!("{:?} {:?}", ask(&sim, auth(SID, "wrong")).await, ask(&sim, auth(SID, TOKEN)).await);
    assert!(!outcome.contains("never be logged") && !outcome.contains(SID) && !outcome.contains("Authenticate"));
}

#[tokio::test]
async fn a_user_s_address_is_guarded() {
    let sim = start(vendor()).await;
    let url = BaseUrl::user(sim.http_url());
    assert!(is_inside(&probe(&http(), &url, SID, &auth(SID, TOKEN)).await));
    assert_eq!(probe(&lenient(), &url, SID, &auth(SID, TOKEN)).await, Ok(()));
}
