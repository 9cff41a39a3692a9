//! The simulators over real sockets, asked as their vendors' documents say, by clients that know nothing of how they are made.
//!
//! One program: each test program is linked with all that they share.
#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod anthropic_messages;
mod deepgram_client;
mod deepgram_faults;
mod deepgram_flux;
mod deepgram_http;
mod deepgram_nova;
mod elevenlabs_common;
mod elevenlabs_faults;
mod elevenlabs_multi;
mod elevenlabs_rest;
mod elevenlabs_stream;
mod openai_common;
mod openai_errors;
mod openai_stream;
mod rest_common;
mod salesforce_rest;
mod supabase_auth;
mod supabase_storage;
mod twilio_bridging;
mod twilio_call;
mod twilio_outbound;
mod twilio_phone;
mod twilio_rest;
mod twilio_world;
mod voice_coded;
mod voice_flite;
mod vonage_bridging;
mod vonage_call;
mod vonage_outbound;
mod vonage_rest;
mod vonage_world;
