//! Telephones, whichever carrier reaches them: a caller's at the end of a media stream, that speaks and hears 20 ms at a time, follows a
//! script and reports all it saw; and those that calls are placed to.
//!
//! A telephone speaks µ-law at 8 kHz, as the network behind every carrier does. What a carrier makes of it is its wire's to say.

pub(crate) mod activity;
mod callee;
pub(crate) mod caller;
mod impair;
mod log;
pub mod playback;
mod report;
mod session;
mod wire;

use std::time::Duration;

use tokio::sync::mpsc;

pub use callee::{Answer, Answerer, Callee, Directory, Greeting, Speech, Verdict};
pub(crate) use caller::Act;
pub use caller::{Caller, Step, WrongRate};
pub use impair::Impairments;
pub use report::{MarkRecord, PhoneEvent, PhoneEventKind, PhoneReport, StreamEnd, Warning};
pub(crate) use session::{Opening, run};
pub(crate) use wire::{Inbound, Wire};
pub use wire::{Invalid, Sids};

/// Who the caller is and what is wrong with the line.
#[derive(Debug, Clone)]
pub struct PhoneConfig {
    /// What the caller does.
    pub steps: Vec<Step>,
    /// How long a step may wait, and the caller stays after the last step, before the caller hangs up.
    pub patience: Duration,
    /// Keep both sides' audio: 16 kB a second.
    pub record: bool,
    /// Faults of the line towards the server.
    pub impairments: Impairments,
    /// Gets every event as it happens.
    pub events: Option<mpsc::UnboundedSender<PhoneEvent>>,
}

impl Default for PhoneConfig {
    /// A caller with nothing to say on a perfect line, recorded, who hangs up after 30 s.
    fn default() -> Self {
        Self {
            steps: Vec::new(),
            patience: Duration::from_secs(30),
            record: true,
            impairments: Impairments::default(),
            events: None,
        }
    }
}
