//! ElevenLabs' voice against the simulated vendor, over real sockets: one behaviour a file.
#![allow(unreachable_pub, clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod drops_what_was_cancelled;
mod falls_back_to_stream_input;
mod falls_back_when_the_socket_is_closed;
mod is_told_of_a_refusal;
mod keeps_a_quiet_socket_open;
mod leaves_a_vendor_that_stops_reading;
mod never_opens_a_sixth_context;
mod reads_every_spelling;
mod speaks_the_rest_after_a_lost_socket;
mod speaks_two_replies_on_one_socket;
mod support;
mod tries_again_when_audio_stalls;
mod waits_for_a_slow_call;
