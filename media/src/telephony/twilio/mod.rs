//! Twilio: Media Streams over a WebSocket, signed webhooks, TwiML and REST (2010-04-01).

pub mod account;
mod codec;
mod detection;
#[doc(hidden)]
pub mod fuzz;
pub mod recordings;
pub mod rest;
pub mod signature;
pub mod twiml;
mod wire;

pub use self::{
    codec::{TwilioCodec, decode, encode_clear, encode_mark, encode_media},
    detection::answered_by,
};
