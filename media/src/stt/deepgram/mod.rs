//! Deepgram: Nova and Flux, one WebSocket a call.

pub mod ring;
pub mod time_map;
pub mod wire;
