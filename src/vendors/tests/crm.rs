//! Salesforce: an exchange, and then what it opens.

use trunkline_sim::{
    keys::{OTHER_RSA_PRIVATE, RSA_PRIVATE, RSA_PUBLIC},
    salesforce::{App, SalesforceConfig, SalesforceSim},
};

use super::*;

fn app() -> App {
    App {
        client_id: "3MVG9".into(),
        client_secret: "hush-hush".into(),
        certificate: Some(RSA_PUBLIC.into()),
        run_as: Some("ada@example.com".into()),
        approved: vec!["ada@example.com".into()],
        refresh_token: Some("5Aep-hush-hush".into()),
    }
}

async fn start(app: App) -> (SalesforceSim, LiveVendors) {
    let config = SalesforceConfig { rotation: true, ..SalesforceConfig::new(app) };
    let sim = SalesforceSim::start(here(), config, None).await.unwrap();
    let login = sim.server().http_url().parse().unwrap();
    let live = vendors(&config::Vendors { salesforce_login_url: Some(login), ..settings() });
    (sim, live)
}

fn credential(flow: &str, more: &[(&str, &str)]) -> Fields {
    let base = [("flow", flow), ("my_domain", "acme"), ("client_id", "3MVG9")];
    base.iter().chain(more).map(|&(name, value)| (name.to_owned(), Secret::new(value))).collect()
}

#[tokio::test]
async fn a_credential_without_rotation_is_probed_as_it_is() {
    let (_sim, live) = start(app()).await;
    for fields in [
        credential("client_credentials", &[("client_secret", "hush-hush")]),
        credential("jwt_bearer", &[("username", "ada@example.com"), ("private_key", RSA_PRIVATE)]),
    ] {
        assert!(!live.is_renewed(Provider::Salesforce, &fields));
        assert_eq!(live.probe(Provider::Salesforce, &fields, None).await, Ok(()));
    }
}

#[tokio::test]
async fn a_refresh_token_is_exchanged_before_it_is_probed() {
    let (_sim, live) = start(app()).await;
    let fields = credential("refresh_token", &[("refresh_token", "5Aep-hush-hush")]);
    assert!(live.is_renewed(Provider::Salesforce, &fields));
    let outcome = told(live.probe(Provider::Salesforce, &fields, None).await, "exchanged for a session first");
    assert_eq!(outcome.0, Kind::Failed);
    let renewed = live.renew(Provider::Salesforce, &fields).await.unwrap();
    assert!(!format!("{renewed:?}").contains("5Aep"));
    assert_eq!(renewed.replaced.len(), 1);
    let session = renewed.session;
    let fields = fields.with(renewed.replaced);
    assert_ne!(fields.get("refresh_token").unwrap().expose(), "5Aep-hush-hush");
    assert_eq!(live.probe(Provider::Salesforce, &fields, Some(&session)).await, Ok(()));
    let elsewhere = Session { address: "https://evil.example".into(), ..session };
    let outcome = told(live.probe(Provider::Salesforce, &fields, Some(&elsewhere)).await, "not Salesforce's");
    assert_eq!(outcome.0, Kind::AddressRefused);
    let dead = credential("refresh_token", &[("refresh_token", "5Aep-hush-hush")]);
    let outcome = told(live.renew(Provider::Salesforce, &dead).await.map(|_| ()), "no longer valid");
    assert_eq!(outcome, (Kind::WrongKey, Some(400), Some("invalid_grant".into())));
}

#[tokio::test]
async fn an_administrator_is_told_what_to_do() {
    let (_sim, live) = start(App { run_as: None, ..app() }).await;
    let jwt = |username, key| credential("jwt_bearer", &[("username", username), ("private_key", key)]);
    let table = [
        (credential("client_credentials", &[("client_secret", "wrong-key")]), Kind::WrongKey, "consumer secret"),
        (credential("client_credentials", &[("client_secret", "hush-hush")]), Kind::NoPermission, "no user to run as"),
        (jwt("eve@example.com", RSA_PRIVATE), Kind::NoPermission, "Pre-authorise"),
        (jwt("ada@example.com", OTHER_RSA_PRIVATE), Kind::WrongKey, "the certificate of this key"),
        (jwt("ada@example.com", "hush-hush"), Kind::WrongKey, "Paste the whole key again"),
        (credential("jwt_bearer", &[("username", "u")]), Kind::MissingField, "private_key is not set"),
    ];
    for (fields, kind, says) in table {
        assert_eq!(told(live.probe(Provider::Salesforce, &fields, None).await, says).0, kind, "{says}");
    }
}

/// The organisation's name is a user's word: without an operator's address it becomes a host of the vendor's or nothing.
#[tokio::test]
async fn no_name_leads_elsewhere() {
    let live = lenient(&config::Vendors { salesforce_login_url: None, ..settings() });
    for name in ["127.0.0.1/", "localhost#", "evil.example?", "a@127.0.0.1", "https://127.0.0.1", "127.0.0.1:9"] {
        let mut fields = credential("client_credentials", &[("client_secret", "hush-hush")]);
        fields = fields.with([("my_domain", Secret::new(name))]);
        let outcome = told(live.probe(Provider::Salesforce, &fields, None).await, "My Domain name");
        assert_eq!(outcome.0, Kind::AddressRefused, "{name}");
    }
}
