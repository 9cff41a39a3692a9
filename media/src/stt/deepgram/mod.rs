//! Deepgram: Nova and Flux, one WebSocket a call.
//!
//! [`open`] starts the session's task (`driver`). Everything it decides is in pure parts beside it: [`wire`] knows the vendor's URLs
//! and JSON, [`assemble`] makes events of messages with the times of [`time_map`], [`ring`] keeps the audio that may have to be heard
//! again, and `schedule` says when silence, a keep-alive or replayed audio may be sent.

pub mod account;
pub mod assemble;
mod connect;
mod driver;
mod error;
mod fuzz;
pub mod recorded;
pub mod ring;
mod schedule;
pub mod time_map;
pub mod wire;

#[doc(hidden)]
pub use fuzz::{fuzz_messages, fuzz_results};

use std::sync::Arc;

use tokio::sync::{broadcast, mpsc};
use tokio_util::task::AbortOnDropHandle;
use trunkline_base::Clock;

use super::{AUDIO_BACKLOG, SttConfig, SttSession};
use crate::net::Net;

/// Commands that wait for the session's task; a call has few.
const COMMANDS: usize = 16;
/// Events that wait for the call. Some ten a second arrive; a call that takes none for `limits.write` more is gone.
const EVENTS: usize = 256;

/// Opens a session. It returns at once; the socket is opened by the session's task, and opened again as often as need be.
///
/// [`super::SttEvent::Failed`] is told when that is hopeless. [`super::SttCommand::Close`] (or dropping `commands` or `audio`) ends the
/// session in order, which takes at most half a second; dropping the whole session cuts it off.
pub fn open(config: SttConfig, net: Net, clock: Arc<dyn Clock>) -> SttSession {
    let (audio, audio_in) = broadcast::channel(AUDIO_BACKLOG);
    let (commands, commands_in) = mpsc::channel(COMMANDS);
    let (events_out, events) = mpsc::channel(EVENTS);
    let format = config.format;
    let session = driver::Session::new(config, net, clock, audio_in, commands_in, events_out);
    let task = tokio::spawn(Box::pin(session.run()));
    SttSession { format, audio, commands, events, task: Some(AbortOnDropHandle::new(task)) }
}
