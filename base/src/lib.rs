//! What the engine and the control plane both need and neither owns: types that print nothing, ids, the one clock, and the
//! guard of user-given URLs.
#![deny(missing_docs)]

mod clock;
mod e164;
pub mod guard;
mod id;
mod redact;

pub use clock::{Clock, SystemClock};
pub use e164::{E164, NotE164};
pub use id::CallId;
pub use redact::{Personal, Secret};
