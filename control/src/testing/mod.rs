//! For tests, of this crate and of those above it: a database of one's own, an API on it, and vendors that do as they are told.

mod api;
mod database;
mod fixtures;
mod log;
mod redis;
mod vendors;

pub use self::{
    api::{Answer, Api, User, control, user},
    database::ScratchDb,
    fixtures::{agent_body, integration_id},
    log::Log,
    redis::RedisServer,
    vendors::ScriptedVendors,
};
