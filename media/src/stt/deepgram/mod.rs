//! Deepgram: Nova and Flux, one WebSocket a call.

pub mod wire;
