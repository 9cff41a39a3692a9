//! `trunkline worker`: background jobs, in a process of their own.

use std::{net::SocketAddr, sync::Arc};

use axum::{Router, routing::get};
use clap::Args;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use super::serve::{End, Parts, ServeError, start_jobs};
use crate::{
    calls::{Calls, CallsConfig, Dialler, Recordings},
    config::Settings,
    jobs,
    journal::JournalWriter,
    listen::Listening,
    storage::Storage,
    telemetry,
};

/// How long a request for metrics has to end at last.
const LAST_REQUESTS: std::time::Duration = std::time::Duration::from_secs(2);

/// Do background jobs, and nothing else: analyses of calls that are over, webhooks, and dialling for campaigns, whose calls are taken by
/// whichever server the carrier reaches at `PUBLIC_URL`; without that, nobody is dialled from here. Its settings are those of `serve`.
#[derive(Debug, Args)]
pub(super) struct Worker {
    #[command(flatten)]
    settings: Settings,
    /// Address at which `/health/live` and `/metrics` are served. Default: none is.
    #[arg(long)]
    listen: Option<SocketAddr>,
}

impl Worker {
    pub(super) async fn run(self) -> Result<(), ServeError> {
        self.settings.check()?;
        let traces = self.settings.edge.otlp_endpoint.as_ref().map(telemetry::Traces::to).transpose()?;
        telemetry::init_logs("info", traces.as_ref());
        telemetry::metrics();
        let storage = Storage::open(&self.settings).await?;
        let mut end = End::listen().map_err(ServeError::Signals)?;
        let settings = Arc::new(self.settings);
        // Its own address is nobody's to know; carriers are told where the servers are.
        let public_url = settings.public_url(settings.bind);
        let Parts { control, composer, net } = Parts::new(&settings, &storage, &public_url)?;
        let listening = match self.listen {
            None => None,
            Some(addr) => {
                let bound = TcpListener::bind(addr).await.map_err(|cause| ServeError::Bind(addr, cause))?;
                let measured = control.clone();
                let metrics = get(async move || telemetry::render_metrics(&measured));
                let router = Router::new().route("/health/live", get(async || "ok")).route("/metrics", metrics);
                Some(Listening::start(bound, router))
            }
        };
        let working = start_jobs(&control, &composer, &net)?;
        let mut upkeep = vec![
            AbortOnDropHandle::new(tokio::spawn(telemetry::keep_metrics())),
            AbortOnDropHandle::new(tokio::spawn(jobs::keep_gauges(control.db.clone()))),
        ];
        let dialling = if settings.public_url.is_some() {
            let http = composer.vendors_http().direct();
            let recordings = Recordings::open(control.db.clone(), &settings.objects, &settings.data, http)?;
            let node = Calls::new_node();
            let journal = JournalWriter::start(control.db.clone(), node.clone(), control.live.clone());
            let calls = Calls::new(CallsConfig {
                control,
                composer,
                journal: journal.handle().clone(),
                recordings,
                node,
                public_url: public_url.clone(),
                node_url: public_url,
                settings,
                observer: None,
            });
            upkeep.push(AbortOnDropHandle::new(tokio::spawn(calls.clone().keep_dials())));
            Some((Dialler::start(calls), journal))
        } else {
            tracing::warn!("PUBLIC_URL is not set: this worker dials for no campaign");
            None
        };
        tracing::info!("working");
        end.comes().await;
        tracing::info!("stopping: jobs that are under way may end");
        if let Some((dialler, journal)) = dialling {
            dialler.stop().await;
            journal.stop().await;
        }
        working.stop().await;
        drop(upkeep);
        if let Some(listening) = listening {
            listening.stop(LAST_REQUESTS).await;
        }
        storage.close().await;
        if let Some(traces) = traces {
            traces.stop().await;
        }
        Ok(())
    }
}
