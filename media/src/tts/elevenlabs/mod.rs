//! ElevenLabs as a voice: its two WebSockets for streaming text in and audio out.
//!
//! `multi-stream-input` carries a whole call: each reply is a context on one socket. Where the vendor refuses it, `stream-input`
//! takes over with one socket a reply. The pure parts come first: `wire` knows the vendor's JSON, `endpoint` its URLs, `fault`
//! what a failure calls for, `text` what has been spoken, `hold` keeps words whole and `session` decides what is sent when.
//! `socket` and `driver` move the bytes.

pub mod account;
mod driver;
mod endpoint;
mod fault;
mod fuzz;
mod hold;
mod reply;
mod session;
mod socket;
mod text;
pub mod voices;
mod wire;

pub use driver::open;
#[doc(hidden)]
pub use fuzz::fuzz_messages;
