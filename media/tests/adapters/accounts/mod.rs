//! Whether a vendor takes a key, asked over real sockets of the vendors' simulators, healthy and at fault.

mod anthropic;
mod deepgram;
mod elevenlabs;
mod limits;
mod openai;
mod salesforce;
mod twilio;
mod voices;
mod vonage;

use std::{net::SocketAddr, time::Duration};

use trunkline_base::guard::{AllowedRanges, Guard};
use trunkline_media::{
    account::{AccountError, Refusal},
    net::{Http, Net},
};
use trunkline_sim::fault::{Fault, Script};

/// A free port of this machine's.
fn here() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

/// Clients whose guard lets users' addresses lead to nothing inside.
fn http() -> Http {
    Http::new(&Net::new(&[]).unwrap(), Duration::from_secs(5)).unwrap()
}

/// Clients whose guard lets users' addresses lead here.
fn lenient() -> Http {
    let net = Net::new(&[]).unwrap().with_guard(Guard::new(AllowedRanges::loopback()));
    Http::new(&net, Duration::from_secs(5)).unwrap()
}

fn refusal(status: u16, code: &str) -> Refusal {
    Refusal { status, code: (!code.is_empty()).then(|| code.to_owned()) }
}

fn refuse(status: u16) -> Fault {
    Fault::Refuse { status, retry_after: None }
}

fn script(faults: impl IntoIterator<Item = Fault>) -> Script {
    Script::new(faults.into_iter().map(Some))
}

/// Whether the address is refused because it leads to this machine.
fn is_inside(outcome: &Result<(), AccountError>) -> bool {
    matches!(outcome, Err(AccountError::Address(refused)) if refused.to_string().contains("this machine"))
}
