//! Twilio's side of a call: the caller's phone with its media stream, the carrier that asks for TwiML and runs it, and the REST API.

pub mod net;
pub mod phone;
pub mod playback;
pub mod signature;
pub mod twiml;
