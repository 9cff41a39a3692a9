//! Deepgram: Nova and Flux, one WebSocket a call.

pub mod assemble;
#[doc(hidden)]
pub mod fuzz;
pub mod ring;
pub mod time_map;
pub mod wire;
