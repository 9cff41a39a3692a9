//! A caller's phone at the end of a media stream of Twilio's.

mod wire;

use std::{future::pending, io};

pub use self::wire::{Invalid, Sids};
pub use crate::phone::{
    Caller, Impairments, MarkRecord, PhoneConfig, PhoneEvent, PhoneEventKind, PhoneReport, Step, StreamEnd, Warning,
    WrongRate, caller::Speech,
};
use crate::{
    net::{Network, Reach},
    phone::Opening,
    twilio::signature,
};

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

/// Runs a stream until something ends it: the caller, the server, the line, or `stop`.
pub(crate) async fn run(
    reach: &Reach,
    mut request: StreamRequest,
    config: &PhoneConfig,
    caller: &mut Caller,
    stop: impl Future<Output = StreamEnd>,
) -> PhoneReport {
    if let Some((address, _query)) = request.url.split_once('?') {
        request.url = address.to_owned();
    }
    let mut headers = vec![("user-agent", "Twilio.TmeWs/1.0".to_owned())];
    if let Some(token) = &request.auth_token {
        headers.push(("x-twilio-signature", signature::sign_url(token, &request.url)));
    }
    let opening = Opening { sids: &request.sids, url: &request.url, headers };
    crate::phone::run(reach, opening, wire::StreamWire::new(&request), config, caller, stop).await
}
