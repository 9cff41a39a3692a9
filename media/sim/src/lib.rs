//! Simulators of the vendors at the far end of a call, on real sockets: Deepgram, OpenAI, Anthropic, ElevenLabs, Twilio and Vonage; of
//! those whom the control plane asks: Salesforce and Supabase; of an object store; and of whoever is told of calls by webhooks.
//!
//! Written from the vendors' wire formats alone. This crate knows nothing of the engine, so that one mistake cannot pass on both sides.
//! Every simulator is a [`server::SimServer`] on loopback, plain or over TLS, driven by a [`fault::Script`].

pub mod anthropic;
pub mod audio;
mod dates;
pub mod deepgram;
pub mod elevenlabs;
pub mod event;
pub mod fault;
mod front;
mod http_fault;
pub mod keys;
pub mod log;
pub mod model;
pub mod net;
pub mod openai;
mod pace;
pub mod phone;
pub mod recogniser;
pub mod s3;
pub mod salesforce;
pub mod server;
pub mod supabase;
pub mod twilio;
pub mod voice;
pub mod vonage;
pub mod webhooks;
