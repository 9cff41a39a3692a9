//! Logs.

use std::io::IsTerminal;

use tracing_subscriber::{EnvFilter, Layer, layer::SubscriberExt, util::SubscriberInitExt};

use super::{Traces, traces};

/// Starts logging to stderr: lines for people on a terminal, JSON otherwise. `LOG_LEVEL` sets the level, such as `info` or
/// `trunkline_media=debug`; without it, `DEBUG` set to `true` or `1` is the level debug. Spans for traces go where `traces` leads.
pub fn init_logs(default: &str, traces: Option<&Traces>) {
    let debug = std::env::var("DEBUG").is_ok_and(|debug| debug == "1" || debug.eq_ignore_ascii_case("true"));
    let filter = std::env::var("LOG_LEVEL").unwrap_or_else(|_| if debug { "debug" } else { default }.to_owned());
    // The model's client logs events that it cannot read whole, which may hold what a caller said: it is silent at every level. A
    // trace's spans would say again what the lines say.
    let quiet = |filter: &str| format!("{filter},async_openai=off,{}=off", traces::TARGET);
    let filter = EnvFilter::try_new(quiet(&filter)).unwrap_or_else(|_| EnvFilter::new(quiet(default)));
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false);
    let lines = if std::io::stderr().is_terminal() { lines.boxed() } else { lines.json().boxed() };
    let subscriber = tracing_subscriber::registry().with(traces.map(Traces::layer)).with(lines.with_filter(filter));
    // A test or an embedding program may have set one already.
    let _ = subscriber.try_init();
}
