//! Voice activity, in recordings of speech and in noise.

mod finds_speech;
mod ignores_noise;
mod support;
