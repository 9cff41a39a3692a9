use std::time::{Duration, SystemTime};

use trunkline_base::{Clock, Secret, SystemClock};
use trunkline_media::{
    account::{AccountError, NoToken},
    tools::salesforce::{Flow, Org, Token, account::probe, token},
};
use trunkline_sim::{
    fault::Fault,
    keys::{OTHER_RSA_PRIVATE, RSA_PRIVATE, RSA_PUBLIC},
    salesforce::{App, SalesforceConfig, SalesforceSim},
};

use super::{here, http, refusal, refuse, script};
use crate::responder::{Answer, Responder};

const ID: &str = "3MVG9simulated";
const USER: &str = "ada@example.com";

fn app() -> App {
    App {
        client_id: ID.into(),
        client_secret: "hush".into(),
        certificate: Some(RSA_PUBLIC.into()),
        run_as: Some(USER.into()),
        approved: vec![USER.into()],
        refresh_token: Some("5Aep-first".into()),
    }
}

async fn start(config: SalesforceConfig) -> SalesforceSim {
    SalesforceSim::start(here(), config, None).await.unwrap()
}

fn org(sim: &SalesforceSim) -> Org {
    Org::new("acme", Some(&sim.server().http_url())).unwrap()
}

fn client_credentials(secret: &str) -> Flow {
    Flow::ClientCredentials { client_secret: Secret::new(secret) }
}

fn jwt_bearer(username: &str, key: &str) -> Flow {
    Flow::JwtBearer { username: username.into(), private_key: Secret::new(key) }
}

fn refresh(token: &str) -> Flow {
    Flow::RefreshToken { client_secret: None, refresh_token: Secret::new(token) }
}

async fn get(sim: &SalesforceSim, flow: &Flow) -> Result<Token, AccountError> {
    token(&http(), &org(sim), ID, flow, SystemClock.wall()).await
}

/// A token, and then what it opens.
async fn ask(sim: &SalesforceSim, flow: &Flow) -> Result<(), AccountError> {
    let token = get(sim, flow).await?;
    probe(&http(), &org(sim).instance(&token.instance_url)?, &token.access_token).await
}

#[tokio::test]
async fn each_flow_gives_a_token_that_opens_the_data() {
    let sim = start(SalesforceConfig::new(app())).await;
    for flow in [client_credentials("hush"), jwt_bearer(USER, RSA_PRIVATE), refresh("5Aep-first")] {
        assert_eq!(ask(&sim, &flow).await, Ok(()), "{flow:?}");
    }
    assert!(get(&sim, &refresh("5Aep-first")).await.unwrap().refresh_token.is_none(), "without rotation it stays");
}

#[tokio::test]
async fn what_is_wrong_with_a_flow_is_told_apart() {
    let sim = start(SalesforceConfig::new(app())).await;
    let table = [
        (client_credentials("wrong"), AccountError::NoToken(NoToken::Client, refusal(400, "invalid_client"))),
        (
            jwt_bearer("eve@example.com", RSA_PRIVATE),
            AccountError::NoToken(NoToken::NotApproved, refusal(400, "invalid_grant")),
        ),
        (jwt_bearer(USER, OTHER_RSA_PRIVATE), AccountError::WrongSignature(refusal(400, "invalid_assertion"))),
        (jwt_bearer(USER, "no key"), AccountError::PrivateKey),
        (refresh("5Aep-other"), AccountError::NoToken(NoToken::Expired, refusal(400, "invalid_grant"))),
    ];
    for (flow, expected) in table {
        assert_eq!(ask(&sim, &flow).await, Err(expected), "{flow:?}");
    }
    let no_user = start(SalesforceConfig::new(App { run_as: None, ..app() })).await;
    let expected = AccountError::NoToken(NoToken::NoRunAsUser, refusal(400, "invalid_grant"));
    assert_eq!(ask(&no_user, &client_credentials("hush")).await, Err(expected));
    let stale = token(&http(), &org(&sim), ID, &jwt_bearer(USER, RSA_PRIVATE), SystemTime::UNIX_EPOCH).await;
    assert_eq!(stale.map(|_| ()), Err(AccountError::WrongSignature(refusal(400, "invalid_assertion"))));
}

#[tokio::test]
async fn a_rotated_refresh_token_is_handed_on_and_the_old_one_is_dead() {
    let sim = start(SalesforceConfig { rotation: true, ..SalesforceConfig::new(app()) }).await;
    let first = get(&sim, &refresh("5Aep-first")).await.unwrap();
    let second = first.refresh_token.unwrap();
    assert_ne!(second.expose(), "5Aep-first");
    let dead = get(&sim, &refresh("5Aep-first")).await.map(|_| ());
    assert_eq!(dead, Err(AccountError::NoToken(NoToken::Expired, refusal(400, "invalid_grant"))));
    assert_eq!(ask(&sim, &refresh(second.expose())).await, Ok(()));
}

#[tokio::test]
async fn each_failure_of_the_token_s_has_its_kind() {
    let table = [
        (refuse(429), AccountError::Quota(refusal(429, "rate_limit_exceeded"))),
        (refuse(403), AccountError::NoToken(NoToken::Address, refusal(403, "invalid_grant"))),
        (refuse(500), AccountError::Vendor(refusal(500, "server_error"))),
        (Fault::GarbageAfter(Duration::ZERO), AccountError::NotThatVendor { status: 200 }),
    ];
    let token_script = script(table.iter().map(|(fault, _)| fault.clone()));
    let sim = start(SalesforceConfig { token_script, ..SalesforceConfig::new(app()) }).await;
    for (fault, expected) in table {
        assert_eq!(ask(&sim, &client_credentials("hush")).await, Err(expected), "{fault:?}");
    }
}

#[tokio::test]
async fn each_failure_of_the_data_s_has_its_kind() {
    let code = |code: &str| Fault::ErrorAfter(Duration::ZERO, code.into());
    let table = [
        (code("INVALID_SESSION_ID"), AccountError::WrongKey(refusal(401, "INVALID_SESSION_ID"))),
        (code("REQUEST_LIMIT_EXCEEDED"), AccountError::Quota(refusal(403, "REQUEST_LIMIT_EXCEEDED"))),
        (code("API_DISABLED_FOR_ORG"), AccountError::NoPermission(refusal(403, "API_DISABLED_FOR_ORG"))),
        (refuse(503), AccountError::Vendor(refusal(503, "SERVER_UNAVAILABLE"))),
        (refuse(404), AccountError::NotThatVendor { status: 404 }),
    ];
    for (fault, expected) in table {
        let config = SalesforceConfig { script: script([fault.clone()]), ..SalesforceConfig::new(app()) };
        assert_eq!(ask(&start(config).await, &client_credentials("hush")).await, Err(expected), "{fault:?}");
    }
}

/// Whoever answers in the vendor's place would be sent the token.
#[tokio::test]
async fn a_token_goes_to_no_server_of_others() {
    let config = SalesforceConfig { instance_url: Some("https://evil.example".into()), ..SalesforceConfig::new(app()) };
    let sim = start(config).await;
    assert_eq!(ask(&sim, &client_credentials("hush")).await, Err(AccountError::ForeignHost));
}

#[tokio::test]
async fn what_is_secret_goes_into_the_body_and_a_new_refresh_token_survives_a_bad_answer() {
    let answer = r#"{"access_token":"00D-hush","refresh_token":"5Aep-next"}"#;
    let server = Responder::start([Answer::status(200, answer)]).await;
    let org = Org::new("acme", Some(&server.url())).unwrap();
    let given = token(&http(), &org, ID, &refresh("5Aep-first"), SystemClock.wall()).await.unwrap();
    assert_eq!(given.refresh_token.as_ref().unwrap().expose(), "5Aep-next");
    assert_eq!(org.instance(&given.instance_url), Err(AccountError::ForeignHost));
    assert!(!format!("{given:?}").contains("hush"));
    let seen = &server.seen()[0];
    assert_eq!((seen.method.as_str(), seen.path.as_str()), ("POST", "/services/oauth2/token"));
    assert_eq!(seen.body, "grant_type=refresh_token&client_id=3MVG9simulated&refresh_token=5Aep-first");
}
