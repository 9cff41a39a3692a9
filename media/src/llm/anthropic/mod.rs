//! Anthropic: so far, whether a key is good.

pub mod account;
