//! Metrics, in Prometheus' format.

use std::{sync::OnceLock, time::Duration};

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use trunkline_control::Control;

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

/// All metrics in Prometheus' text format, the process' own and the control plane's among them.
pub fn render_metrics(control: &Control) -> String {
    let Some(handle) = metrics() else { return String::new() };
    let runtime = tokio::runtime::Handle::current();
    metrics::gauge!("trunkline_tasks_alive").set(runtime.metrics().num_alive_tasks() as f64);
    control.measure();
    handle.run_upkeep();
    handle.render()
}
