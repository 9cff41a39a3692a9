//! The control plane: what tenants store and manage, apart from any call in progress.
//!
//! Today it owns the agent's configuration ([`agents::config`]): its keys, its defaults, and the errors that a wrong one is answered
//! with. It knows no samples, no codecs and no vendor's protocol; whoever runs a call turns what is read here into what the engine takes.
#![deny(missing_docs)]

pub mod agents;
