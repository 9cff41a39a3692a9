//! What the engine and the control plane both need and neither owns: types that print nothing, ids, and the one clock.
#![deny(missing_docs)]

mod clock;
mod id;
mod redact;

pub use clock::{Clock, SystemClock};
pub use id::CallId;
pub use redact::{Personal, Secret};
