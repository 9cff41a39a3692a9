use std::time::Duration;

use trunkline_base::Secret;
use trunkline_media::{
    account::{AccountError, Unreachable},
    llm::openai::account::probe,
    net::BaseUrl,
};
use trunkline_sim::{
    fault::Fault,
    openai::{ErrorShape, OpenAiConfig, OpenAiSim, Quirks, Throttle},
};

use super::{here, http, is_inside, lenient, refusal, refuse, script};

async fn start(config: OpenAiConfig) -> OpenAiSim {
    OpenAiSim::start(here(), config, None).await.unwrap()
}

async fn ask(sim: &OpenAiSim, key: &str) -> Result<(), AccountError> {
    probe(&http(), &BaseUrl::operator(sim.base_url() + "/"), &Secret::new(key), Some("org-1")).await
}

const KEY: &str = "sk-simulated";

#[tokio::test]
async fn a_good_key_works_and_a_wrong_one_does_not() {
    let sim = start(OpenAiConfig::default()).await;
    assert_eq!(ask(&sim, KEY).await, Ok(()));
    assert_eq!(ask(&sim, "sk-wrong").await, Err(AccountError::WrongKey(refusal(401, "invalid_api_key"))));
    assert_eq!(ask(&sim, "sk\nwrong").await, Err(AccountError::Key));
}

#[tokio::test]
async fn compatible_servers_may_do_without_key_dates_and_models() {
    let quirks = Quirks { any_key: true, no_created: true, ..Quirks::default() };
    let sim = start(OpenAiConfig { quirks, models: Vec::new(), ..OpenAiConfig::default() }).await;
    assert_eq!(ask(&sim, "").await, Ok(()));
}

#[tokio::test]
async fn a_key_that_may_not_list_models_may_chat() {
    let sim = start(OpenAiConfig { models_script: script([refuse(403)]), ..OpenAiConfig::default() }).await;
    assert_eq!(ask(&sim, KEY).await, Ok(()));
    let faults =
        OpenAiConfig { models_script: script([refuse(403)]), script: script([refuse(403)]), ..OpenAiConfig::default() };
    let sim = start(faults).await;
    let code = "unsupported_country_region_territory";
    assert_eq!(ask(&sim, KEY).await, Err(AccountError::NoPermission(refusal(403, code))));
}

#[tokio::test]
async fn each_failure_has_its_kind() {
    let nothing = Duration::ZERO;
    let table = [
        (refuse(401), AccountError::WrongKey(refusal(401, "invalid_api_key"))),
        (refuse(402), AccountError::Quota(refusal(402, "invalid_request"))),
        (refuse(429), AccountError::Quota(refusal(429, "credit_balance_exhausted"))),
        (refuse(500), AccountError::Vendor(refusal(500, "server_error"))),
        (refuse(503), AccountError::Vendor(refusal(503, "server_is_overloaded"))),
        (refuse(404), AccountError::NotThatVendor { status: 404 }),
        (refuse(302), AccountError::NotThatVendor { status: 302 }),
        (Fault::ErrorAfter(nothing, "teapot".into()), AccountError::Vendor(refusal(500, "teapot"))),
        (Fault::GarbageAfter(nothing), AccountError::NotThatVendor { status: 200 }),
        (Fault::DropAfter(nothing), AccountError::Unreachable(Unreachable::Lost)),
    ];
    let faults = script(table.iter().map(|(fault, _)| fault.clone()));
    let sim = start(OpenAiConfig { models_script: faults, throttle: Throttle::Quota, ..OpenAiConfig::default() }).await;
    for (fault, expected) in table {
        assert_eq!(ask(&sim, KEY).await, Err(expected), "{fault:?}");
    }
}

#[tokio::test]
async fn every_shape_of_error_is_read() {
    for error_shape in [ErrorShape::OpenAi, ErrorShape::Text, ErrorShape::Object, ErrorShape::Detail] {
        let quirks = Quirks { error_shape, ..Quirks::default() };
        let sim = start(OpenAiConfig { quirks, ..OpenAiConfig::default() }).await;
        let outcome = ask(&sim, "sk-wrong").await;
        assert!(matches!(outcome, Err(AccountError::WrongKey(_))), "{outcome:?}");
    }
}

#[tokio::test]
async fn a_user_s_address_is_guarded() {
    let sim = start(OpenAiConfig::default()).await;
    let url = BaseUrl::user(sim.base_url());
    let key = Secret::new(KEY);
    assert!(is_inside(&probe(&http(), &url, &key, None).await));
    assert_eq!(probe(&lenient(), &url, &key, None).await, Ok(()));
    let port = sim.server().addr().port();
    for spelling in ["localhost", "127.1", "2130706433", "[::ffff:127.0.0.1]"] {
        let url = BaseUrl::user(format!("https://{spelling}:{port}/v1"));
        assert!(is_inside(&probe(&http(), &url, &key, None).await), "{spelling}");
    }
}
