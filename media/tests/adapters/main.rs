//! The adapters of vendors and carriers against the simulators, and against peers that do what no simulator would.
//!
//! One program: each test program is linked with all that they share. What counts metrics has one of its own.
#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod accounts;
mod deepgram_hears_recorded_speech;
mod deepgram_reconnects_and_no_word_is_lost;
mod deepgram_refusals;
mod deepgram_streams;
mod deepgram_support;
mod elevenlabs_voice;
mod guarded_addresses;
mod openai_answers;
mod openai_connection;
mod openai_failures;
mod openai_simulator;
mod responder;
mod twilio_places_calls;
mod twilio_rest;
mod twilio_wire;
mod vonage_rest;
mod vonage_simulator;
mod vonage_wire;
