//! Vonage: so far, its account: whether it is good, and which numbers it has.

pub mod account;
mod hosts;
mod token;

pub use self::hosts::VonageHosts;
