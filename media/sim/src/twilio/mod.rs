//! Twilio's side of a call: the caller's phone with its media stream, the carrier that asks for TwiML and runs it, and the REST API.
//!
//! ```no_run
//! # use trunkline_sim::twilio::{Account, InboundCall, TwilioConfig, TwilioSim, phone::{PhoneConfig, Step}};
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let account = Account { sid: "AC…".into(), auth_token: "…".into(), numbers: vec!["+15005550006".into()] };
//! let sim = TwilioSim::start(([127, 0, 0, 1], 0).into(), TwilioConfig::new(account), None).await?;
//! let call = sim.ring(InboundCall {
//!     from: "+14155550100".into(),
//!     to: "+15005550006".into(),
//!     voice_url: "http://127.0.0.1:8080/webhooks/twilio".into(),
//!     phone: PhoneConfig { steps: vec![Step::WaitForAgentToSpeak, Step::HangUp], ..PhoneConfig::default() },
//!     ..InboundCall::default()
//! })?;
//! let report = call.report().await?;
//! assert_eq!(report.streams.len(), 1);
//! # Ok(()) }
//! ```

pub mod call;
mod carrier;
pub mod phone;
mod rest;
pub mod signature;
pub mod twiml;
pub mod webhook;

pub use crate::{net, phone::playback};

pub use call::{
    CallReport, CallStatus, CallbackDelivery, DialRecord, Direction, InboundCall, OngoingCall, StatusCallback,
    StatusEvent,
};
pub use carrier::{Account, AccountStatus, ApiKey, NoSuchNumber, Number, TwilioConfig, TwilioSim};
pub use rest::{CreateFault, Creates, RestRecord};
