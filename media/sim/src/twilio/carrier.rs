//! The vendor itself: its accounts and numbers, the calls that are on, and its REST API's listener.

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use serde_json::Value;
use thiserror::Error;
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    call::{
        CallState, CallbackDelivery, Command, Detection, Direction, InboundCall, OngoingCall, Outbound, Plan, Recorder,
        Recordings, Rooms, Runner, Source, StatusCallback,
    },
    net::Network,
    phone::PhoneConfig,
    rest::{self, Creates, RestRecord},
    signature::Form,
    twiml::Method,
    webhook::Sender,
};
use crate::{
    fault::Script,
    phone::{Callee, Directory},
    server::{SimServer, TlsIdentity},
};

/// A customer of the vendor.
#[derive(Clone, PartialEq, Eq)]
pub struct Account {
    /// `AC…`: the user of the REST API.
    pub sid: String,
    /// Its password, and the key of signatures.
    pub auth_token: String,
    /// The numbers it owns, E.164.
    pub numbers: Vec<String>,
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account").field("sid", &self.sid).field("numbers", &self.numbers).finish_non_exhaustive()
    }
}

/// A key of an account's, beside its token: for the REST API, the account's own resource excepted.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// `SK…`: the user.
    pub sid: String,
    /// Its password.
    pub secret: String,
    /// Whose it is.
    pub account_sid: String,
}

impl std::fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiKey").field("sid", &self.sid).finish_non_exhaustive()
    }
}

/// How the accounts are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AccountStatus {
    /// In use.
    #[default]
    Active,
    /// Stopped by the vendor.
    Suspended,
    /// Given up.
    Closed,
}

impl AccountStatus {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Closed => "closed",
        }
    }
}

/// How the vendor behaves.
#[derive(Debug, Clone)]
pub struct TwilioConfig {
    /// Its customers.
    pub accounts: Vec<Account>,
    /// Their keys.
    pub api_keys: Vec<ApiKey>,
    /// What their resources say of them.
    pub account_status: AccountStatus,
    /// How it reaches servers.
    pub network: Network,
    /// Faults of the REST API: each request takes one.
    pub script: Script,
    /// Faults in the delivery of status callbacks.
    pub callbacks: CallbackDelivery,
    /// The credentials are test credentials: good for placing calls only (403, code 20008).
    pub test_credentials: bool,
    /// How long a webhook may take.
    pub webhook_limit: Duration,
    /// How long a call may last once answered.
    pub time_limit: Duration,
    /// Whom calls placed by REST reach, and what their telephones do once they are answered.
    pub callees: Directory<PhoneConfig>,
    /// Faults of requests to place a call.
    pub creates: Creates,
    /// How many placed calls a second are dialled; the others are queued. `None`: all at once.
    pub calls_per_second: Option<f64>,
    /// How long it takes until a placed call is in the list of calls.
    pub list_lag: Duration,
}

impl TwilioConfig {
    /// A vendor without faults and with one customer.
    pub fn new(account: Account) -> Self {
        Self {
            accounts: vec![account],
            api_keys: Vec::new(),
            account_status: AccountStatus::default(),
            network: Network::default(),
            script: Script::default(),
            callbacks: CallbackDelivery::default(),
            test_credentials: false,
            webhook_limit: Duration::from_secs(15),
            time_limit: Duration::from_secs(4 * 3600),
            callees: Directory::default(),
            creates: Creates::default(),
            calls_per_second: None,
            list_lag: Duration::ZERO,
        }
    }
}

/// A number that an account owns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Number {
    /// `PN…`
    pub sid: String,
    /// Its owner.
    pub account_sid: String,
    /// E.164.
    pub phone_number: String,
    /// Where its calls' documents are, if set by REST.
    pub voice_url: String,
    /// Where its calls' ends are told, if set by REST.
    pub status_callback: String,
}

/// No account owns the number.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("no account owns {0}")]
pub struct NoSuchNumber(pub String);

/// A call to be placed.
pub(crate) struct Order {
    pub(crate) account_sid: String,
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) source: Source,
    pub(crate) fallback_url: Option<String>,
    pub(crate) status_callback: Option<StatusCallback>,
    pub(crate) callee: Callee,
    pub(crate) phone: PhoneConfig,
    pub(crate) ring_limit: Duration,
    pub(crate) time_limit: Option<Duration>,
    pub(crate) detection: Option<Detection>,
    pub(crate) recorder: Option<Recorder>,
}

/// What the REST API and the calls share.
pub(crate) struct Carrier {
    pub(crate) config: TwilioConfig,
    sender: Sender,
    numbers: Mutex<Vec<Number>>,
    calls: Mutex<HashMap<String, Arc<CallState>>>,
    requests: Mutex<Vec<RestRecord>>,
    placed: mpsc::UnboundedSender<OngoingCall>,
    pub(crate) recordings: Recordings,
    pub(crate) rooms: Rooms,
    /// Base of the REST API, once it listens.
    url: OnceLock<String>,
    /// From when on the next placed call may be dialled.
    next_turn: Mutex<Option<Instant>>,
    ended: CancellationToken,
}

/// A running simulator of the vendor. Dropping it ends its listener and its calls at once.
pub struct TwilioSim {
    carrier: Arc<Carrier>,
    server: SimServer,
    placed: tokio::sync::Mutex<mpsc::UnboundedReceiver<OngoingCall>>,
}

impl TwilioSim {
    /// Starts the vendor, with its REST API on `addr`.
    ///
    /// # Errors
    /// When it can't listen there, or the network's certificate can't be read.
    pub async fn start(addr: SocketAddr, config: TwilioConfig, tls: Option<&TlsIdentity>) -> io::Result<Self> {
        let sender = Sender::new(&config.network)?;
        let mut numbers = Vec::new();
        for account in &config.accounts {
            numbers.extend(account.numbers.iter().map(|phone_number| Number {
                sid: sid("PN"),
                account_sid: account.sid.clone(),
                phone_number: phone_number.clone(),
                voice_url: String::new(),
                status_callback: String::new(),
            }));
        }
        let (placed_sender, placed) = mpsc::unbounded_channel();
        let carrier = Arc::new(Carrier {
            config,
            sender,
            numbers: Mutex::new(numbers),
            calls: Mutex::default(),
            requests: Mutex::default(),
            placed: placed_sender,
            rooms: Rooms::default(),
            recordings: Recordings::default(),
            url: OnceLock::new(),
            next_turn: Mutex::default(),
            ended: CancellationToken::new(),
        });
        let server = SimServer::start(addr, rest::router(carrier.clone()), tls).await?;
        let _ = carrier.url.set(server.http_url());
        Ok(Self { carrier, server, placed: tokio::sync::Mutex::new(placed) })
    }

    /// Where the REST API listens.
    pub fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    /// Base of the REST API, in place of `https://api.twilio.com`.
    pub fn http_url(&self) -> String {
        self.server.http_url()
    }

    /// Lets somebody call a number.
    ///
    /// # Errors
    /// When no account owns the number and no impostor rings it.
    pub fn ring(&self, call: InboundCall) -> Result<OngoingCall, NoSuchNumber> {
        let owner = || {
            let number = lock(&self.carrier.numbers).iter().find(|number| number.phone_number == call.to).cloned()?;
            let account = self.carrier.config.accounts.iter().find(|account| account.sid == number.account_sid)?;
            Some((account.sid.clone(), account.auth_token.clone()))
        };
        let (account_sid, auth_token) =
            call.impostor.clone().or_else(owner).ok_or_else(|| NoSuchNumber(call.to.clone()))?;
        let (state, commands) = CallState::new(sid("CA"), account_sid, (call.from, call.to), Direction::Inbound);
        let carrier = &self.carrier;
        Ok(carrier.start_call(
            Plan {
                state: Arc::new(state),
                sender: carrier.sender.clone(),
                auth_token,
                source: Source::Url(call.voice_url, Method::Post),
                fallback_url: call.fallback_url,
                status_callback: call.status_callback,
                delivery: carrier.config.callbacks,
                fields: call.fields,
                phone: call.phone,
                webhook_limit: carrier.config.webhook_limit,
                time_limit: carrier.config.time_limit,
                outbound: None,
                recordings: carrier.recordings.clone(),
                rest_url: carrier.url.get().cloned().unwrap_or_default(),
                callees: carrier.config.callees.clone(),
                rooms: carrier.rooms.clone(),
            },
            commands,
        ))
    }

    /// The next call that was placed by REST: waits until there is one.
    pub async fn next_placed(&self) -> OngoingCall {
        self.placed.lock().await.recv().await.expect("the carrier holds the sender")
    }

    /// The account's numbers as REST requests have left them.
    pub fn numbers(&self, account_sid: &str) -> Vec<Number> {
        self.carrier.numbers(account_sid)
    }

    /// Lets an account have recorded something, whatever that was: a WAV file.
    pub fn put_recording(&self, account_sid: &str, sid: &str, wav: impl Into<Vec<u8>>) {
        self.carrier.recordings.put(account_sid, sid, wav.into());
    }

    /// One of an account's recordings, if it is still there.
    pub fn recording(&self, account_sid: &str, sid: &str) -> Option<Vec<u8>> {
        self.carrier.recordings.get(account_sid, sid)
    }

    /// Every REST request so far.
    pub fn requests(&self) -> Vec<RestRecord> {
        lock(&self.carrier.requests).clone()
    }
}

impl Drop for TwilioSim {
    fn drop(&mut self) {
        self.carrier.ended.cancel();
    }
}

impl Carrier {
    /// Whether these credentials may use this account: its token, or a key of its own.
    pub(crate) fn admits(&self, account: &str, user: &str, password: &str) -> bool {
        let with_token = |known: &Account| known.sid == account && user == account && known.auth_token == password;
        let with_key = |key: &ApiKey| key.account_sid == account && key.sid == user && key.secret == password;
        self.config.accounts.iter().any(with_token) || self.config.api_keys.iter().any(with_key)
    }

    pub(crate) fn numbers(&self, account_sid: &str) -> Vec<Number> {
        lock(&self.numbers).iter().filter(|number| number.account_sid == account_sid).cloned().collect()
    }

    /// Applies a form to a number and returns it; an empty form changes nothing.
    pub(crate) fn change_number(&self, account_sid: &str, sid: &str, form: &Form) -> Option<Number> {
        let mut numbers = lock(&self.numbers);
        let number = numbers.iter_mut().find(|number| number.account_sid == account_sid && number.sid == sid)?;
        for (name, value) in form {
            match name.as_str() {
                "VoiceUrl" => number.voice_url.clone_from(value),
                "StatusCallback" => number.status_callback.clone_from(value),
                _ => {}
            }
        }
        Some(number.clone())
    }

    pub(crate) fn call(&self, account_sid: &str, sid: &str) -> Option<Arc<CallState>> {
        lock(&self.calls).get(sid).filter(|call| call.account_sid == account_sid).cloned()
    }

    pub(crate) fn calls(&self, account_sid: &str) -> Vec<Arc<CallState>> {
        lock(&self.calls).values().filter(|call| call.account_sid == account_sid).cloned().collect()
    }

    pub(crate) fn push_request(&self, record: RestRecord, call_sid: Option<&str>) {
        if let Some(call) = call_sid.and_then(|sid| lock(&self.calls).get(sid).cloned()) {
            call.push_request(record.clone());
        }
        lock(&self.requests).push(record);
    }

    /// Places a call and returns its resource, which is still queued.
    pub(crate) fn place(&self, order: Order) -> Value {
        let account = self.config.accounts.iter().find(|account| account.sid == order.account_sid);
        let auth_token = account.map(|account| account.auth_token.clone()).unwrap_or_default();
        let (state, commands) =
            CallState::new(sid("CA"), order.account_sid, (order.from, order.to), Direction::OutboundApi);
        let turn = self.turn();
        state.set_queued(turn.saturating_duration_since(Instant::now()));
        if let Some(recorder) = order.recorder {
            state.record(recorder);
        }
        let state = Arc::new(state);
        let resource = state.to_json();
        let call = self.start_call(
            Plan {
                state,
                sender: self.sender.clone(),
                auth_token,
                source: order.source,
                fallback_url: order.fallback_url,
                status_callback: order.status_callback,
                delivery: self.config.callbacks,
                fields: Form::new(),
                phone: order.phone,
                webhook_limit: self.config.webhook_limit,
                time_limit: order.time_limit.unwrap_or(self.config.time_limit).min(self.config.time_limit),
                outbound: Some(Outbound {
                    turn,
                    callee: order.callee,
                    ring_limit: order.ring_limit,
                    detection: order.detection,
                }),
                recordings: self.recordings.clone(),
                rest_url: self.url.get().cloned().unwrap_or_default(),
                callees: self.config.callees.clone(),
                rooms: self.rooms.clone(),
            },
            commands,
        );
        let _ = self.placed.send(call);
        resource
    }

    /// When the next call may be dialled.
    fn turn(&self) -> Instant {
        let now = Instant::now();
        let Some(rate) = self.config.calls_per_second else { return now };
        let mut next = lock(&self.next_turn);
        let turn = next.map_or(now, |next| next.max(now));
        *next = Some(turn + Duration::from_secs_f64(1.0 / rate));
        turn
    }

    fn start_call(&self, plan: Plan, commands: mpsc::UnboundedReceiver<Command>) -> OngoingCall {
        let state = plan.state.clone();
        lock(&self.calls).insert(state.sid.clone(), state.clone());
        let ended = self.ended.clone();
        let task =
            tokio::spawn(
                async move { ended.run_until_cancelled_owned(Box::pin(Runner::new(plan, commands).run())).await },
            );
        OngoingCall { sid: state.sid.clone(), state, task }
    }
}

fn sid(prefix: &str) -> String {
    format!("{prefix}{}", Uuid::new_v4().simple())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
