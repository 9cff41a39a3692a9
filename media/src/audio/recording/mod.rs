//! The recording of a call: stereo, 16 bit, 8 kHz, the caller left and the agent right.
//!
//! Both sides lie on the call's media time: the nth sample is what was heard n / 8000 s after the call began. Nothing is appended
//! because it arrived, so nothing drifts, and pauses can be measured in the file.

pub mod mixer;
pub mod writer;

use super::SampleRate;

/// The recording's rate.
pub const RATE: SampleRate = SampleRate::HZ_8000;

/// Caller and agent.
pub const CHANNELS: usize = 2;
