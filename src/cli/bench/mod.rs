//! `trunkline bench`: many calls at once against a server of its own, measured from outside.
//!
//! What the engine adds is read off the vendors' and the caller's clocks, which are one: the simulators and the telephones run in this
//! process, the server in another. A stage begins when the message that starts it leaves a simulator and ends when the engine's
//! answer arrives at one, so kernel, scheduler and library are in every figure. The simulated vendors' own delays are not.

mod load;
mod process;
mod report;
mod stages;

use std::{path::PathBuf, time::Duration};

use clap::Args;
use trunkline_sim::fault::Script;

use self::{
    load::{Load, Vendors},
    process::ServerProcess,
    report::Report,
    stages::Stages,
};
use super::Failure;
use crate::storage::Storage;

/// Measure many calls at once.
#[derive(Debug, Clone, Args)]
pub(super) struct Bench {
    /// Calls at once.
    #[arg(long, default_value_t = 100)]
    calls: usize,
    /// Questions that each caller asks.
    #[arg(long, default_value_t = 4)]
    turns: usize,
    /// Milliseconds between two calls' beginnings.
    #[arg(long, default_value_t = 50)]
    stagger_ms: u64,
    /// Times that all calls are made, one after the other; the last is measured. What a wave leaves behind shows in the next.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    waves: u32,
    /// Core that the server runs on alone, by taskset.
    #[arg(long)]
    server_core: Option<usize>,
    /// Core that telephones and simulators run on, by taskset.
    #[arg(long)]
    load_core: Option<usize>,
    /// Don't record the calls.
    #[arg(long)]
    no_recording: bool,
    /// Write all figures here, as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Write the distributions here, as an SVG picture.
    #[arg(long)]
    svg: Option<PathBuf>,
    /// Fail unless the engine's overhead is at most 5 ms (p99), pacing lateness 2 ms (p99), CPU 0.4 % of a core a call, no playback
    /// ran dry and, with 500 calls or more, a call takes at most 300 KiB.
    #[arg(long)]
    check: bool,
}

impl Bench {
    /// Where this process is to run, before it has any thread but one.
    pub(super) const fn load_core(&self) -> Option<usize> {
        self.load_core
    }

    pub(super) async fn run(self) -> Result<(), Failure> {
        let data = std::env::temp_dir().join(format!("trunkline-bench-{}", std::process::id()));
        std::fs::create_dir_all(&data)?;
        let result = self.measure(&data).await;
        let _ = std::fs::remove_dir_all(&data);
        let report = result?;
        report.print();
        if let Some(path) = &self.json {
            std::fs::write(path, serde_json::to_vec_pretty(&report)?)?;
        }
        if let Some(path) = &self.svg {
            report.draw(path)?;
        }
        if report.failed_calls > 0 {
            return Err(format!("{} of {} calls did not go as they should", report.failed_calls, report.calls).into());
        }
        if self.check { report.check() } else { Ok(()) }
    }

    async fn measure(&self, data: &std::path::Path) -> Result<Report, Failure> {
        let vendors = Vendors::start(Script::default()).await?;
        // On the load's core, as on a machine of its own.
        let storage = Storage::throw_away(&format!("bench-{}", std::process::id())).await?;
        let store = storage.to_share().ok_or("the database cannot be shared")?;
        let server = ServerProcess::start(&vendors, data, store, self.server_core, !self.no_recording).await?;
        vendors.set_up(&server, data).await?;
        // What the process needs before its first call is not a call's.
        Load { calls: 2, turns: 1, stagger: Duration::ZERO }.run(&vendors, &server).await?;
        server.settled().await?;
        let idle = server.sample().await?;
        let load = Load { calls: self.calls, turns: self.turns, stagger: Duration::from_millis(self.stagger_ms) };
        let mut after = Vec::new();
        let mut outcome = None;
        let mut before = idle;
        for _ in 0..self.waves {
            vendors.forget();
            before = after.last().copied().unwrap_or(idle);
            outcome = Some(load.run(&vendors, &server).await?);
            server.settled().await?;
            after.push(server.sample().await?);
        }
        server.stop().await?;
        storage.close().await;
        let outcome = outcome.ok_or("no wave was asked for")?;
        let stages = Stages::of(&vendors.events(), &outcome.reports);
        Ok(Report::new(self.calls, self.turns, &stages, &outcome, idle, before, after))
    }
}
