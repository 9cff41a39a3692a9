use std::time::Duration;

use trunkline_base::Secret;
use trunkline_media::{account::AccountError, llm::anthropic::account::probe, net::BaseUrl};
use trunkline_sim::{
    anthropic::{AnthropicConfig, AnthropicSim, Throttle},
    fault::Fault,
};

use super::{here, http, is_inside, lenient, refusal, refuse, script};
use crate::responder::{Answer, Responder};

const KEY: &str = "sk-ant-simulated";

async fn start(config: AnthropicConfig) -> AnthropicSim {
    AnthropicSim::start(here(), config, None).await.unwrap()
}

async fn ask(sim: &AnthropicSim, key: &str) -> Result<(), AccountError> {
    probe(&http(), &BaseUrl::operator(sim.base_url()), &Secret::new(key)).await
}

#[tokio::test]
async fn a_good_key_works_and_a_wrong_one_does_not() {
    let sim = start(AnthropicConfig::default()).await;
    assert_eq!(ask(&sim, KEY).await, Ok(()));
    assert_eq!(ask(&sim, "sk-ant-wrong").await, Err(AccountError::WrongKey(refusal(401, "authentication_error"))));
    assert_eq!(ask(&sim, "sk\nwrong").await, Err(AccountError::Key));
    assert!(sim.requests().entries().is_empty(), "no model is asked");
}

#[tokio::test]
async fn the_request_says_its_version_and_carries_the_key_in_its_header_only() {
    let empty = r#"{"data":[],"has_more":false,"first_id":null,"last_id":null}"#;
    let server = Responder::start([Answer::status(200, empty)]).await;
    let base = BaseUrl::operator(server.url() + "/proxy/");
    assert_eq!(probe(&http(), &base, &Secret::new(KEY)).await, Ok(()));
    let seen = &server.seen()[0];
    assert_eq!((seen.method.as_str(), seen.path.as_str()), ("GET", "/proxy/v1/models?limit=1"));
    assert_eq!((seen.headers["x-api-key"].as_str(), seen.headers["anthropic-version"].as_str()), (KEY, "2023-06-01"));
    assert!(!seen.headers.contains_key("authorization"));
}

#[tokio::test]
async fn a_key_that_may_not_list_models_may_be_allowed_to_ask_them() {
    let lacks = || AnthropicConfig { models_script: script([refuse(403)]), ..AnthropicConfig::default() };
    assert_eq!(ask(&start(lacks()).await, KEY).await, Ok(()));
    let wrong = ask(&start(lacks()).await, "sk-ant-wrong").await;
    assert_eq!(wrong, Err(AccountError::WrongKey(refusal(401, "authentication_error"))));
    let sim = start(AnthropicConfig { script: script([refuse(403)]), ..lacks() }).await;
    assert_eq!(ask(&sim, KEY).await, Err(AccountError::NoPermission(refusal(403, "permission_error"))));
}

#[tokio::test]
async fn each_failure_has_its_kind() {
    let table = [
        (refuse(402), AccountError::Quota(refusal(402, "billing_error"))),
        (refuse(429), AccountError::Quota(refusal(429, "enforced_spend_limit_reached"))),
        (refuse(500), AccountError::Vendor(refusal(500, "api_error"))),
        (refuse(529), AccountError::Vendor(refusal(529, "overloaded_error"))),
        (refuse(404), AccountError::NotThatVendor { status: 404 }),
        (Fault::GarbageAfter(Duration::ZERO), AccountError::NotThatVendor { status: 200 }),
    ];
    let models_script = script(table.iter().map(|(fault, _)| fault.clone()));
    let config = AnthropicConfig { models_script, throttle: Throttle::Spend, ..AnthropicConfig::default() };
    let sim = start(config).await;
    for (fault, expected) in table {
        assert_eq!(ask(&sim, KEY).await, Err(expected), "{fault:?}");
    }
}

/// A list of another maker's models is a good answer, and not this vendor's.
#[tokio::test]
async fn a_compatible_server_of_another_kind_is_not_that_vendor() {
    let other = r#"{"object":"list","data":[{"id":"gpt-4","object":"model"}]}"#;
    let server = Responder::start([Answer::status(200, other)]).await;
    let outcome = probe(&http(), &BaseUrl::operator(server.url()), &Secret::new(KEY)).await;
    assert_eq!(outcome, Err(AccountError::NotThatVendor { status: 200 }));
}

#[tokio::test]
async fn a_user_s_address_is_guarded() {
    let sim = start(AnthropicConfig::default()).await;
    let (url, key) = (BaseUrl::user(sim.base_url()), Secret::new(KEY));
    assert!(is_inside(&probe(&http(), &url, &key).await));
    assert_eq!(probe(&lenient(), &url, &key).await, Ok(()));
}
