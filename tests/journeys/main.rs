//! Whole calls over real sockets: the server in this process, the vendors' simulators and telephones around it, everything on
//! loopback. The agent's voice is coded, so that what a caller heard can be read back; callers speak recordings.
#![expect(clippy::unwrap_used, reason = "a test that cannot set its scene has failed")]

mod bad_frames;
mod carrier;
mod carriers;
mod control;
mod crash;
mod drain;
mod endings;
mod hearing;
mod interruptions;
mod live;
mod llm_fails;
mod machines;
mod nodes;
mod on_record;
mod outbound;
mod outbound_once;
mod process;
mod raw;
mod reconnects;
mod recordings;
mod refusals;
mod sockets;
mod tenant_settings;
mod vonage;
mod warmth;
mod watch;
mod webhooks;
mod world;
