//! Salesforce's REST API: an organisation's address, tokens for it, and whether one is good for anything.
//!
//! It is below [`tools`](super) because that is what a CRM is to a call: something that the model may ask. The adapter is a folder as
//! each vendor's is, with what knows the vendor's JSON in `wire.rs`.

pub mod account;
mod org;
mod token;
mod wire;

pub use self::{
    org::Org,
    token::{Flow, Token, token},
};
