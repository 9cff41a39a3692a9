//! A caller's phone at the end of a media stream: a WebSocket client that speaks and hears 20 ms at a time, follows a script and
//! reports all it saw.

pub(crate) mod activity;
mod caller;
mod impair;
mod log;
mod report;
mod session;
mod wire;

use std::{future::pending, io, time::Duration};

use tokio::sync::mpsc;

pub(crate) use caller::Act;
pub use caller::{Caller, Speech, Step, WrongRate};
pub use impair::Impairments;
pub use report::{MarkRecord, PhoneEvent, PhoneEventKind, PhoneReport, StreamEnd, Warning};
pub(crate) use session::run;
pub use wire::{Invalid, Sids};

use super::net::{Network, Reach};

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

/// The stream that a `<Stream>` asks for.
#[derive(Debug, Clone)]
pub struct StreamRequest {
    /// Account, call and stream.
    pub sids: Sids,
    /// Its address. A query is left out, as the vendor does.
    pub url: String,
    /// `customParameters` of the `start` message.
    pub parameters: Vec<(String, String)>,
    /// Key of the upgrade's signature; without it there is none.
    pub auth_token: Option<String>,
}

/// Runs one stream by itself, without a carrier, to its end.
///
/// # Errors
/// When the network's certificate can't be read. A stream that can't be opened is a report.
pub async fn stream(network: &Network, request: StreamRequest, config: &PhoneConfig) -> io::Result<PhoneReport> {
    let reach = Reach::new(network)?;
    let mut caller = Caller::new(config.steps.iter().cloned(), config.patience);
    Ok(run(&reach, request, config, &mut caller, pending()).await)
}
