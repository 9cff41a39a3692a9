//! What operators see: logs, metrics and traces.

mod logs;
mod metrics;
mod traces;

pub use self::{
    logs::init_logs,
    metrics::{keep_metrics, metrics, render_metrics},
    traces::{Traces, TracesError, trace},
};
