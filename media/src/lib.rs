//! The engine: it hears a caller through streaming speech-to-text, decides turns, thinks with an LLM and answers in speech.
//!
//! One call is one task ([`call`]) that owns a pure turn machine ([`turn`]); vendors' sockets are child tasks joined by bounded
//! channels ([`stt`], [`llm`], [`tts`]), each vendor a folder with a pure `wire.rs` beside its driver. [`audio`] and [`telephony`]
//! hold what is pure arithmetic and pure codec. The engine knows no tenant, no database and no HTTP server.
#![deny(missing_docs)]

pub mod account;
pub mod audio;
pub mod call;
pub mod event;
pub mod ids;
mod jwt;
pub mod llm;
pub mod net;
pub mod stt;
pub mod telephony;
pub mod testing;
pub mod time;
pub mod tools;
pub mod tts;
pub mod turn;
