//! For tests, of this crate and of those above it: a database of one's own, an API on it, and vendors that do as they are told.

mod api;
mod database;
mod events;
mod fixtures;
mod log;
mod redis;
mod vendors;

pub use self::{
    api::{Answer, Api, User, control, listen_at, user},
    database::ScratchDb,
    events::{Event, Events},
    fixtures::{PRIVATE_KEY, agent_body, integration_id},
    log::Log,
    redis::RedisServer,
    vendors::ScriptedVendors,
};
