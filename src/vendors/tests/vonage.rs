//! Vonage: an account, its application and its numbers.

use trunkline_sim::{
    keys::{OTHER_RSA_PRIVATE, RSA_PRIVATE},
    vonage::{Application, VonageConfig, VonageSim},
};

use super::*;

const APPLICATION: &str = "aaaaaaaa-bbbb-cccc-dddd-0123456789ab";

fn credential(secret: &str, application: &str, key: &str) -> Fields {
    fields([
        ("api_key", "a1b2c3d4"),
        ("api_secret", secret),
        ("application_id", application),
        ("private_key", key),
        ("signature_secret", "hush-hush"),
    ])
}

async fn start() -> (VonageSim, LiveVendors) {
    let config = VonageConfig::new("a1b2c3d4", "hush-hush", Application::new(APPLICATION), "14155550100");
    let sim = VonageSim::start(here(), config, None).await.unwrap();
    let live = vendors(&config::Vendors { vonage_base_url: sim.server().http_url(), ..settings() });
    (sim, live)
}

#[tokio::test]
async fn both_kinds_of_credentials_are_tried_and_what_is_wrong_is_said() {
    let (_sim, live) = start().await;
    let good = credential("hush-hush", APPLICATION, RSA_PRIVATE);
    assert_eq!(live.probe(Provider::Vonage, &good, None).await, Ok(()));
    let table = [
        (credential("wrong-key", APPLICATION, RSA_PRIVATE), Kind::WrongKey, "API key and secret"),
        (credential("hush-hush", "another", RSA_PRIVATE), Kind::WrongKey, "no application with this id"),
        (credential("hush-hush", APPLICATION, OTHER_RSA_PRIVATE), Kind::WrongKey, "not the key of this application"),
        (credential("hush-hush", APPLICATION, "hush-hush"), Kind::WrongKey, "Paste the whole key again"),
        (credential("", APPLICATION, RSA_PRIVATE), Kind::MissingField, "api_secret is not set"),
    ];
    for (fields, kind, says) in table {
        assert_eq!(told(live.probe(Provider::Vonage, &fields, None).await, says).0, kind, "{says}");
    }
}

#[tokio::test]
async fn a_number_of_vonage_s_is_whose_vonage_says() {
    let (_sim, live) = start().await;
    let good = credential("hush-hush", APPLICATION, RSA_PRIVATE);
    assert_eq!(live.owns_number(Provider::Vonage, &good, NUMBER).await, Ok(Some("14155550100".into())));
    assert_eq!(live.owns_number(Provider::Vonage, &good, "+14155550199").await, Ok(None));
    let wrong = credential("wrong-key", APPLICATION, RSA_PRIVATE);
    assert_eq!(live.owns_number(Provider::Vonage, &wrong, NUMBER).await.unwrap_err().kind, Kind::WrongKey);
}
