//! Trunkline: the command line and the composition root. It turns an agent's configuration and decrypted credentials into a call's,
//! hands the engine its sockets, and turns the engine's events into rows.

// Docs are asked of the crates that others build upon; this one is the program.
pub mod calls;
pub mod cli;
pub mod compose;
pub mod config;
pub mod jobs;
pub mod journal;
mod listen;
pub mod openapi;
mod project_keys;
pub mod secrets;
pub mod storage;
mod supabase;
pub mod telemetry;
pub mod vendors;
