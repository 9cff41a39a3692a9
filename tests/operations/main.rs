//! The server as its operators have it: a process with settings, which is asked how it is, sends traces, and is told to stop.
#![expect(clippy::unwrap_used, reason = "a test that cannot look has failed")]

mod limits;
mod process;
mod stop;
mod traces;
