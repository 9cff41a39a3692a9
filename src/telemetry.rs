//! Logs and metrics.

use std::{io::IsTerminal, sync::OnceLock, time::Duration};

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
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

/// Upper bounds of the buckets of durations, in seconds: fine where an engine should be, coarse where something is wrong.
const SECONDS: [f64; 14] = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0];

/// Starts collecting metrics, once a process; gives what renders them.
pub fn metrics() -> Option<&'static PrometheusHandle> {
    static HANDLE: OnceLock<Option<PrometheusHandle>> = OnceLock::new();
    HANDLE
        .get_or_init(|| {
            let builder =
                PrometheusBuilder::new().set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS).ok()?;
            builder.install_recorder().ok()
        })
        .as_ref()
}

/// How often what was counted is put together. Between two times every value of a histogram is kept one by one.
const UPKEEP: Duration = Duration::from_secs(5);

/// Keeps the collection small, for as long as the runtime lives, whether or not anybody asks for it.
pub async fn keep_metrics() {
    let Some(handle) = metrics() else { return };
    let mut tick = tokio::time::interval(UPKEEP);
    loop {
        tick.tick().await;
        handle.run_upkeep();
    }
}

/// All metrics in Prometheus' text format, the process' own among them.
pub fn render_metrics() -> String {
    let Some(handle) = metrics() else { return String::new() };
    let runtime = tokio::runtime::Handle::current();
    metrics::gauge!("trunkline_tasks_alive").set(runtime.metrics().num_alive_tasks() as f64);
    handle.run_upkeep();
    handle.render()
}
