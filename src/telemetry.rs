//! Logs and metrics.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Starts logging to stderr: lines for people on a terminal, JSON otherwise. `LOG_LEVEL` sets the level, such as `info` or
/// `trunkline_media=debug`.
pub fn init_logs(default: &str) {
    let filter = std::env::var("LOG_LEVEL").unwrap_or_else(|_| default.to_owned());
    // The model's client logs events that it cannot read whole, which may hold what a caller said: it is silent at every level.
    let quiet = |filter: &str| format!("{filter},async_openai=off");
    let filter = EnvFilter::try_new(quiet(&filter)).unwrap_or_else(|_| EnvFilter::new(quiet(default)));
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    // A test or an embedding program may have set one already.
    let _ = if std::io::stderr().is_terminal() { subscriber.try_init() } else { subscriber.json().try_init() };
}
