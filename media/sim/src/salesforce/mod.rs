//! Salesforce's REST API, as far as a key check and a caller's look-up need it: tokens, versions, limits, records, and the parameterized
//! search. Everything is in memory, and starts from the records that the configuration gives.

mod config;
mod data;
mod error;
mod oauth;
mod objects;
mod records;
mod search;

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use axum::middleware::from_fn_with_state;
use serde_json::Value;

pub use config::{App, CustomField, SalesforceConfig};

pub use crate::front::Exchange;
use crate::{
    front::{self, Front},
    log::Log,
    server::{SimServer, TlsIdentity},
};
use records::State;

/// The organization.
const ORGANIZATION_ID: &str = "00D5g000008abcdEAA";
/// The one user whom records belong to.
const USER_ID: &str = "0055g00000AbCdEAAV";

/// A running simulator.
pub struct SalesforceSim {
    server: SimServer,
    shared: Arc<Shared>,
    log: Log<Exchange>,
}

impl SalesforceSim {
    /// Serves on `addr` (port 0 picks a free one).
    ///
    /// # Errors
    /// When the address can't be listened on.
    ///
    /// # Panics
    /// When a record of the configuration is not valid.
    pub async fn start(addr: SocketAddr, config: SalesforceConfig, tls: Option<&TlsIdentity>) -> io::Result<Self> {
        let front = Front::new(config.latency, |path| path.starts_with("/services/oauth2/"));
        let log = front.log.clone();
        let state = Mutex::new(State::new(&config));
        let shared = Arc::new(Shared { config, state, address: OnceLock::new() });
        let router = oauth::router()
            .fallback(data::handle)
            .with_state(shared.clone())
            .layer(from_fn_with_state(front, front::enter));
        let server = SimServer::start(addr, router, tls).await?;
        let _ = shared.address.set(server.http_url());
        Ok(Self { server, shared, log })
    }

    /// Its listener.
    pub fn server(&self) -> &SimServer {
        &self.server
    }

    /// What tokens are asked for at: `https://host:port`.
    pub fn login_url(&self) -> String {
        self.server.http_url()
    }

    /// The requests so far, oldest first.
    pub fn requests(&self) -> &Log<Exchange> {
        &self.log
    }

    /// The records of an object, oldest first.
    pub fn records(&self, object: &str) -> Vec<Value> {
        let state = self.shared.state();
        let of_it = state.records().iter().filter(|record| record.object.name == object);
        of_it.map(|record| Value::Object(record.fields.clone())).collect()
    }

    /// Ends all sessions: the next request with any access token so far is refused.
    pub fn expire_sessions(&self) {
        self.shared.state().expire();
    }
}

struct Shared {
    config: SalesforceConfig,
    state: Mutex<State>,
    /// Where it listens, once it does.
    address: OnceLock<String>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn instance_url(&self) -> String {
        self.config.instance_url.clone().or_else(|| self.address.get().cloned()).unwrap_or_default()
    }

    fn identity_url(&self) -> String {
        format!("{}/id/{ORGANIZATION_ID}/{USER_ID}", self.instance_url())
    }
}
