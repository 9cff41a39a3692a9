//! A caller's phone at the end of a media stream.

pub(crate) mod activity;
pub mod caller;
pub mod impair;
pub mod wire;
