//! Agents: who answers a call, and how.

pub mod config;
