//! Vonage: its media sockets, signed webhooks, NCCO, REST, the account and its numbers.

pub mod account;
mod codec;
mod dates;
pub mod event;
mod fields;
#[doc(hidden)]
pub mod fuzz;
mod hosts;
pub mod ncco;
pub mod rest;
pub mod signature;
mod token;
mod wire;

pub use self::{
    codec::{ACCOUNT_HEADER, CALL_HEADER, Expected, TOKEN_HEADER, VonageCodec},
    hosts::VonageHosts,
};
