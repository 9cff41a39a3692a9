//! Traces: a span for each request, sent to a collector by OTLP over HTTP. Without a collector nothing of it exists.
//!
//! Spans have a target of their own, and only they are sent: what the crates below say in spans and events of theirs is for the log.

use std::time::Duration;

use axum::{
    extract::{MatchedPath, Request},
    http::HeaderMap,
    middleware::Next,
    response::Response,
};
use opentelemetry::{
    Context, KeyValue,
    propagation::{Extractor, TextMapPropagator},
    trace::TracerProvider,
};
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::{
    Resource,
    propagation::TraceContextPropagator,
    runtime,
    trace::{SdkTracerProvider, span_processor_with_async_runtime::BatchSpanProcessor},
};
use tracing::{Instrument, Subscriber, field::Empty};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::{Layer, filter::filter_fn, registry::LookupSpan};
use url::Url;

/// The target of spans that are sent.
pub(super) const TARGET: &str = "trunkline_trace";
/// How long a collector may take for what it is sent.
const SEND: Duration = Duration::from_secs(5);

/// The way to a collector.
#[derive(Debug, Clone)]
pub struct Traces(SdkTracerProvider);

/// Why there is none.
#[derive(Debug, thiserror::Error)]
#[error("OTEL_EXPORTER_OTLP_ENDPOINT: {0}")]
pub struct TracesError(String);

impl Traces {
    /// Sends to `/v1/traces` of a collector, in batches, beside the requests. OTEL_EXPORTER_OTLP_HEADERS is sent along.
    pub fn to(endpoint: &Url) -> Result<Self, TracesError> {
        let mut url = endpoint.clone();
        url.path_segments_mut()
            .map_err(|()| TracesError("this address has no path".into()))?
            .pop_if_empty()
            .extend(["v1", "traces"]);
        let exporter = SpanExporter::builder().with_http().with_endpoint(url).with_timeout(SEND).build();
        let exporter = exporter.map_err(|error| TracesError(error.to_string()))?;
        let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        let resource = Resource::builder().with_service_name("trunkline").with_attribute(version).build();
        let provider = SdkTracerProvider::builder()
            .with_span_processor(BatchSpanProcessor::builder(exporter, runtime::Tokio).build())
            .with_resource(resource)
            .build();
        Ok(Self(provider))
    }

    pub(super) fn layer<S: Subscriber + for<'a> LookupSpan<'a>>(&self) -> impl Layer<S> + use<S> {
        tracing_opentelemetry::layer()
            .with_tracer(self.0.tracer("trunkline"))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_level(false)
            .with_filter(filter_fn(|metadata| metadata.target() == TARGET))
    }

    /// Sends what has not been sent.
    pub async fn stop(self) {
        // It waits in its own way, which must not be on a thread of the runtime.
        let stopped = tokio::task::spawn_blocking(move || self.0.shutdown()).await;
        if let Ok(Err(error)) = stopped {
            tracing::warn!(%error, "the last traces were not sent");
        }
    }
}

/// Around a request: its span, which continues the trace that its `traceparent` names. It holds the route's template, never a path or
/// a query.
pub async fn trace(request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str);
    let method = request.method().as_str();
    let method =
        if ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"].contains(&method) { method } else { "_OTHER" };
    let span = tracing::info_span!(
        target: TARGET,
        "request",
        otel.name = format!("{method} {route}"),
        otel.kind = "server",
        otel.status_code = Empty,
        http.request.method = method,
        http.route = route,
        http.response.status_code = Empty,
        trunkline.request_id = Empty,
    );
    // Fails only where no layer listens.
    let _ = span.set_parent(parent(request.headers()));
    let response = next.run(request).instrument(span.clone()).await;
    span.record("http.response.status_code", response.status().as_u16());
    if response.status().is_server_error() {
        span.record("otel.status_code", "ERROR");
    }
    if let Some(id) = response.headers().get("x-request-id").and_then(|id| id.to_str().ok()) {
        span.record("trunkline.request_id", id);
    }
    response
}

/// The context that a request comes with.
fn parent(headers: &HeaderMap) -> Context {
    TraceContextPropagator::new().extract_with_context(&Context::new(), &Headers(headers))
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(|value| value.to_str().ok())
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(axum::http::HeaderName::as_str).collect()
    }
}
