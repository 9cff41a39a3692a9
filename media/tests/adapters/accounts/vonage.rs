use std::{
    collections::BTreeSet,
    time::{Duration, UNIX_EPOCH},
};

use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use serde_json::{Value, json};
use trunkline_base::{Clock, Secret, SystemClock};
use trunkline_media::{
    account::{AccountError, Unreachable},
    net::BaseUrl,
    telephony::vonage::{
        VonageHosts,
        account::{VonageAuth, owns_number, probe},
    },
};
use trunkline_sim::{
    fault::Fault,
    keys::{OTHER_RSA_PRIVATE, RSA_PRIVATE, RSA_PUBLIC},
    vonage::{Application, VonageConfig, VonageSim},
};

use super::{here, http, is_inside, lenient, refusal, refuse, script};
use crate::responder::{Answer, Responder};

const APPLICATION: &str = "aaaaaaaa-bbbb-cccc-dddd-0123456789ab";
const NUMBER: &str = "+14155550100";

fn auth() -> VonageAuth {
    VonageAuth {
        api_key: "a1b2c3d4".into(),
        api_secret: Secret::new("hush"),
        application_id: APPLICATION.into(),
        private_key: Secret::new(RSA_PRIVATE),
    }
}

fn hosts(server: &Responder) -> VonageHosts {
    VonageHosts::at(BaseUrl::operator(server.url()))
}

async fn ask(answers: impl IntoIterator<Item = Answer>) -> Result<(), AccountError> {
    let server = Responder::start(answers).await;
    probe(&http(), &hosts(&server), &auth(), UNIX_EPOCH + Duration::from_secs(1_767_225_600), "j-1").await
}

fn application() -> Answer {
    let body = json!({ "id": APPLICATION, "name": "Voice", "capabilities": { "voice": { "signed_callbacks": true } } });
    Answer::status(200, body.to_string())
}

fn calls() -> Answer {
    let body = json!({ "count": 0, "page_size": 1, "record_index": 0, "_links": {}, "_embedded": { "calls": [] } });
    Answer::status(200, body.to_string())
}

fn problem(status: u16, anchor: &str) -> Answer {
    let body = json!({ "type": format!("https://developer.vonage.com/api-errors#{anchor}"), "title": "No", "detail": "call +14155550100" });
    Answer::status(status, body.to_string())
}

#[tokio::test]
async fn the_account_and_the_application_are_asked_each_with_its_own_credentials() {
    let server = Responder::start([application(), calls()]).await;
    let now = UNIX_EPOCH + Duration::from_secs(1_767_225_600);
    assert_eq!(probe(&http(), &hosts(&server), &auth(), now, "j-1").await, Ok(()));
    let seen = server.seen();
    assert_eq!(seen[0].path, format!("/v2/applications/{APPLICATION}"));
    assert_eq!(seen[0].headers["authorization"], "Basic YTFiMmMzZDQ6aHVzaA==");
    assert_eq!(seen[1].path, "/v1/calls?page_size=1");
    let token = seen[1].headers["authorization"].strip_prefix("Bearer ").unwrap();
    let mut rules = Validation::new(Algorithm::RS256);
    rules.validate_exp = false;
    rules.required_spec_claims.clear();
    let claims =
        decode::<Value>(token, &DecodingKey::from_rsa_pem(RSA_PUBLIC.as_bytes()).unwrap(), &rules).unwrap().claims;
    let expected = json!({ "application_id": APPLICATION, "iat": 1_767_225_600, "exp": 1_767_226_500, "jti": "j-1" });
    assert_eq!(claims, expected);
}

#[tokio::test]
async fn each_failure_has_its_kind() {
    let no_voice = json!({ "id": APPLICATION, "capabilities": { "messages": {} } }).to_string();
    let another = json!({ "id": "another", "capabilities": { "voice": {} } }).to_string();
    let table = [
        (vec![problem(401, "unauthorized")], AccountError::WrongKey(refusal(401, "unauthorized"))),
        (vec![problem(404, "not-found")], AccountError::NoSuchApplication(refusal(404, "not-found"))),
        (vec![Answer::status(404, "nothing")], AccountError::NotThatVendor { status: 404 }),
        (vec![Answer::status(200, no_voice)], AccountError::NoVoice),
        (vec![Answer::status(200, another)], AccountError::NotThatVendor { status: 200 }),
        (vec![problem(403, "forbidden")], AccountError::NoPermission(refusal(403, "forbidden"))),
        (vec![problem(403, "out-of-credit")], AccountError::Quota(refusal(403, "out-of-credit"))),
        (vec![problem(429, "rate-limit")], AccountError::Quota(refusal(429, "rate-limit"))),
        (vec![Answer::status(500, "")], AccountError::Vendor(refusal(500, ""))),
        (vec![application(), problem(401, "unauthorized")], AccountError::WrongSignature(refusal(401, "unauthorized"))),
        (vec![application(), Answer::status(401, "")], AccountError::WrongSignature(refusal(401, ""))),
        (vec![application(), Answer::status(200, "[]")], AccountError::NotThatVendor { status: 200 }),
    ];
    for (answers, expected) in table {
        assert_eq!(ask(answers).await, Err(expected));
    }
}

#[tokio::test]
async fn a_key_that_is_none_is_found_out_before_anybody_is_asked() {
    let server = Responder::start([]).await;
    let auth = VonageAuth { private_key: Secret::new(RSA_PUBLIC.replace("PUBLIC", "PRIVATE")), ..auth() };
    let outcome = probe(&http(), &hosts(&server), &auth, UNIX_EPOCH, "j-1").await;
    assert_eq!(outcome, Err(AccountError::PrivateKey));
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn a_number_is_whose_the_carrier_says() {
    let owned = json!({ "count": 2, "numbers": [{ "msisdn": "141555501001" }, { "msisdn": "14155550100", "features": ["VOICE"] }] });
    let longer = json!({ "count": 1, "numbers": [{ "msisdn": "141555501001" }] });
    let table = [
        (Answer::status(200, owned.to_string()), Ok(Some("14155550100".to_owned()))),
        (Answer::status(200, longer.to_string()), Ok(None)),
        (Answer::status(200, "{}"), Ok(None)),
        (Answer::status(200, r#"{"count":0}"#), Ok(None)),
        (Answer::status(200, r#"{"count":3}"#), Err(AccountError::NotThatVendor { status: 200 })),
        (Answer::status(200, "[]"), Err(AccountError::NotThatVendor { status: 200 })),
        (
            Answer::status(401, r#"{"error-code":"401","error-code-label":"authentication failed"}"#),
            Err(AccountError::WrongKey(refusal(401, "401"))),
        ),
    ];
    let mut paths = BTreeSet::new();
    for (answer, expected) in table {
        let server = Responder::start([answer]).await;
        assert_eq!(owns_number(&http(), &hosts(&server), &auth(), NUMBER).await, expected);
        paths.extend(server.seen().into_iter().map(|seen| seen.path));
    }
    assert_eq!(
        paths.into_iter().collect::<Vec<_>>(),
        ["/account/numbers?pattern=14155550100&search_pattern=0&size=100"]
    );
}

#[tokio::test]
async fn a_user_s_address_is_guarded() {
    let server = Responder::start([]).await;
    let hosts = VonageHosts::at(BaseUrl::user(server.url()));
    assert!(is_inside(&probe(&http(), &hosts, &auth(), UNIX_EPOCH, "j-1").await));
    assert!(is_inside(&owns_number(&http(), &hosts, &auth(), NUMBER).await.map(|_| ())));
}

async fn simulate(change: impl FnOnce(&mut VonageConfig)) -> VonageSim {
    let mut config = VonageConfig::new("a1b2c3d4", "hush", Application::new(APPLICATION), "14155550100");
    change(&mut config);
    VonageSim::start(here(), config, None).await.unwrap()
}

async fn ask_sim(sim: &VonageSim, auth: &VonageAuth) -> Result<(), AccountError> {
    let hosts = VonageHosts::at(BaseUrl::operator(sim.server().http_url()));
    probe(&http(), &hosts, auth, SystemClock.wall(), "j-1").await
}

#[tokio::test]
async fn the_simulator_takes_what_is_right_and_nothing_else() {
    let sim = simulate(|_| {}).await;
    assert_eq!(ask_sim(&sim, &auth()).await, Ok(()));
    let wrong = |change: fn(&mut VonageAuth)| {
        let mut auth = auth();
        change(&mut auth);
        auth
    };
    let table = [
        (wrong(|auth| auth.api_secret = Secret::new("wrong")), AccountError::WrongKey(refusal(401, "unauthorized"))),
        (wrong(|auth| auth.api_key = "wrong".into()), AccountError::WrongKey(refusal(401, "unauthorized"))),
        (
            wrong(|auth| auth.application_id = "another".into()),
            AccountError::NoSuchApplication(refusal(404, "not-found")),
        ),
        (
            wrong(|auth| auth.private_key = Secret::new(OTHER_RSA_PRIVATE)),
            AccountError::WrongSignature(refusal(401, "unauthorized")),
        ),
    ];
    for (auth, expected) in table {
        assert_eq!(ask_sim(&sim, &auth).await, Err(expected));
    }
}

#[tokio::test]
async fn the_simulators_faults_have_their_kinds() {
    let code = |code: &str| Fault::ErrorAfter(Duration::ZERO, code.into());
    let table = [
        (code("out-of-credit"), AccountError::Quota(refusal(403, "out-of-credit"))),
        (code("forbidden"), AccountError::NoPermission(refusal(403, "forbidden"))),
        (refuse(429), AccountError::Quota(refusal(429, "rate-limit"))),
        (Fault::GarbageAfter(Duration::ZERO), AccountError::NotThatVendor { status: 200 }),
        (Fault::DropAfter(Duration::ZERO), AccountError::Unreachable(Unreachable::Lost)),
    ];
    for (fault, expected) in table {
        let sim = simulate(|config| config.script = script([fault.clone()])).await;
        assert_eq!(ask_sim(&sim, &auth()).await, Err(expected), "{fault:?}");
    }
}

#[tokio::test]
async fn the_simulator_s_numbers_are_the_account_s() {
    let sim = simulate(|_| {}).await;
    let hosts = VonageHosts::at(BaseUrl::user(sim.server().http_url()));
    assert_eq!(owns_number(&lenient(), &hosts, &auth(), NUMBER).await, Ok(Some("14155550100".into())));
    assert_eq!(owns_number(&lenient(), &hosts, &auth(), "+14155550199").await, Ok(None));
    let wrong = VonageAuth { api_secret: Secret::new("wrong"), ..auth() };
    let outcome = owns_number(&lenient(), &hosts, &wrong, NUMBER).await;
    assert_eq!(outcome, Err(AccountError::WrongKey(refusal(401, "401"))));
}
