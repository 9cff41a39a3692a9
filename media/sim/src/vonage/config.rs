//! How the simulator behaves: its account, and what goes wrong.

use std::time::Duration;

use super::{Creates, EventDelivery};
use crate::{
    fault::Script,
    keys,
    net::Network,
    phone::{Directory, PhoneConfig},
};

/// How the simulator behaves.
#[derive(Debug, Clone)]
pub struct VonageConfig {
    /// The account's key.
    pub api_key: String,
    /// The account's secret.
    pub api_secret: String,
    /// Its applications.
    pub applications: Vec<Application>,
    /// Its numbers.
    pub numbers: Vec<Number>,
    /// What it has left, in euros.
    pub balance: f64,
    /// How many calls may begin within a second.
    pub calls_per_second: usize,
    /// Answer invalid fields as the voice service has been seen to, instead of as it is documented.
    pub observed_errors: bool,
    /// How long every answer takes at least.
    pub latency: Duration,
    /// What webhooks are signed with.
    pub signature_secret: String,
    /// How it reaches servers.
    pub network: Network,
    /// Faults in the delivery of events.
    pub events: EventDelivery,
    /// Whom calls that are placed reach, and what their telephones do once they are answered.
    pub callees: Directory<PhoneConfig>,
    /// Faults of requests to place a call.
    pub creates: Creates,
    /// How long it takes until a call is in the list of calls.
    pub list_lag: Duration,
    /// How long an attempt at a webhook may take.
    pub webhook_limit: Duration,
    /// How long a call that comes may last once answered.
    pub time_limit: Duration,
    /// Notifications that wait come back when the buffer is cleared. What the vendor does is not documented.
    pub notify_on_clear: bool,
    /// Calls that come live in a region of their own, whose address is in their answer webhook; at the main one they are not known.
    pub other_region: bool,
    /// The fate of each request. Times count from its arrival; `ErrorAfter` is the documented error with that anchor, such as
    /// `low-balance`.
    pub script: Script,
}

/// An application of the account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Application {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What its tokens are checked with, PEM.
    pub public_key: String,
    /// Whether its webhooks are signed.
    pub signed_callbacks: bool,
    /// Where it is asked what to do with a call.
    pub answer_url: String,
    /// Where it is told what becomes of a call; nowhere if empty.
    pub event_url: String,
    /// Whether it is asked by POST; else by GET.
    pub answer_by_post: bool,
    /// Where it is asked instead if the first address gives nothing; nowhere if empty.
    pub fallback_url: String,
}

/// A number of the account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Number {
    /// E.164 without `+`.
    pub msisdn: String,
    /// Two letters.
    pub country: String,
    /// The application that its calls go to.
    pub app_id: Option<String>,
}

impl Application {
    /// An application whose tokens are signed with [`keys::RSA_PRIVATE`].
    pub fn new(id: &str) -> Self {
        Self {
            id: id.into(),
            name: "Simulated application".into(),
            public_key: keys::RSA_PUBLIC.into(),
            signed_callbacks: true,
            answer_url: "https://example.com/answer".into(),
            event_url: "https://example.com/event".into(),
            answer_by_post: false,
            fallback_url: String::new(),
        }
    }
}

impl VonageConfig {
    /// An account with one application, to which its one number belongs.
    pub fn new(api_key: &str, api_secret: &str, application: Application, msisdn: &str) -> Self {
        let number = Number { msisdn: msisdn.into(), country: "US".into(), app_id: Some(application.id.clone()) };
        Self {
            api_key: api_key.into(),
            api_secret: api_secret.into(),
            applications: vec![application],
            numbers: vec![number],
            balance: 10.28,
            calls_per_second: 3,
            observed_errors: false,
            latency: Duration::ZERO,
            signature_secret: "vonage-test-signature-secret-0123456789abcdef".into(),
            network: Network::default(),
            events: EventDelivery::default(),
            callees: Directory::default(),
            creates: Creates::default(),
            list_lag: Duration::ZERO,
            webhook_limit: Duration::from_secs(5),
            time_limit: Duration::from_secs(7_200),
            notify_on_clear: false,
            other_region: false,
            script: Script::default(),
        }
    }
}
