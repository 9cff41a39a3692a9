//! Whole calls on virtual time, one behaviour a file. Each file is named after what must be so, and says why.
#![allow(clippy::unwrap_used, reason = "a test's helpers may panic")]

#[path = "../world/mod.rs"]
mod world;

mod a_backchannel_pauses_and_loses_no_sample;
mod a_backlog_does_not_become_delay;
mod a_discarded_generations_tool_never_runs;
mod a_late_verdict_is_dropped_when_the_caller_has_resumed;
mod a_second_stream_takes_over;
mod an_interruption_clears_what_the_carrier_has_buffered;
mod barge_in_depends_on_playout_and_not_on_generation;
mod heard_is_never_more_than_was_sent;
mod history_is_cut_to_what_was_played;
mod line_noise_does_not_wipe_the_greeting;
mod marks_after_a_clear_prove_nothing;
mod only_whole_frames_leave;
mod pacing_does_not_drift_when_the_loop_stalls;
mod speaking_without_progress_heals_itself;
mod the_goodbye_is_heard_before_the_hang_up;
mod the_new_reply_has_no_tail_of_the_old_one;
mod what_was_lost_with_a_socket_is_said_again;
mod words_without_a_start_event_are_a_turn;
