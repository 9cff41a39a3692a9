//! How the simulator behaves.

use std::time::Duration;

use serde_json::Value;

use crate::fault::Script;

/// How the simulator behaves.
#[derive(Debug, Clone)]
pub struct SalesforceConfig {
    /// The apps that may ask for tokens.
    pub apps: Vec<App>,
    /// The address that data is to be asked for at; its own if there is none.
    pub instance_url: Option<String>,
    /// What the organization has from the start: the object's name and the record's fields.
    pub records: Vec<(String, Value)>,
    /// Fields of the organization's own.
    pub custom_fields: Vec<CustomField>,
    /// After how many requests for data an access token expires.
    pub session_requests: Option<u32>,
    /// Whether each refresh gives out a new refresh token, at which the old one dies.
    pub rotation: bool,
    /// How many requests for data a day has.
    pub daily_requests: u64,
    /// Whether `Sforce-Limit-Info` tells of bursts too.
    pub bursts: bool,
    /// How long a change takes to be found by a search.
    pub index_delay: Duration,
    /// How long every answer takes at least.
    pub latency: Duration,
    /// The fate of each request for data. Times count from its arrival; `ErrorAfter` is the vendor's error with that `errorCode`.
    pub script: Script,
    /// The fate of each request for a token. Times count from its arrival; `ErrorAfter` is HTTP 400 with that `error`.
    pub token_script: Script,
}

/// An app of the organization, and who may use it how.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct App {
    /// Its consumer key.
    pub client_id: String,
    /// Its consumer secret.
    pub client_secret: String,
    /// Public key or certificate that its assertions are checked with, PEM.
    pub certificate: Option<String>,
    /// The user that client credentials run as; with none, that flow is refused.
    pub run_as: Option<String>,
    /// The users who have approved it, for assertions.
    pub approved: Vec<String>,
    /// A refresh token that has been given out.
    pub refresh_token: Option<String>,
}

/// A field of the organization's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomField {
    /// The object that has it.
    pub object: String,
    /// Its name, which ends in `__c`.
    pub name: String,
    /// Whether records can be named by it.
    pub external_id: bool,
}

impl SalesforceConfig {
    /// An organization with one app and no records.
    pub fn new(app: App) -> Self {
        Self {
            apps: vec![app],
            instance_url: None,
            records: Vec::new(),
            custom_fields: Vec::new(),
            session_requests: None,
            rotation: false,
            daily_requests: 15_000,
            bursts: false,
            index_delay: Duration::ZERO,
            latency: Duration::ZERO,
            script: Script::default(),
            token_script: Script::default(),
        }
    }
}
