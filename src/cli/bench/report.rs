//! What a bench says: a table, JSON, and a picture.

use std::{path::Path, time::Duration};

use plotters::prelude::*;
use serde::Serialize;

use super::{super::Failure, load::Outcome, process::Sample, stages::Stages};

/// Percentiles of one kind of duration, in milliseconds.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Distribution {
    name: &'static str,
    count: usize,
    p50: f64,
    p95: f64,
    p99: f64,
    max: f64,
    /// All values, ascending, for the picture.
    #[serde(skip)]
    values: Vec<f64>,
}

impl Distribution {
    fn new(name: &'static str, values: impl IntoIterator<Item = Duration>) -> Self {
        let mut values: Vec<f64> = values.into_iter().map(|value| value.as_secs_f64() * 1000.0).collect();
        values.sort_by(f64::total_cmp);
        let at = |q: f64| {
            let rank = (q * values.len() as f64).ceil() as usize;
            values.get(rank.clamp(1, values.len().max(1)) - 1).copied().unwrap_or(0.0)
        };
        Self { name, count: values.len(), p50: at(0.5), p95: at(0.95), p99: at(0.99), max: at(1.0), values }
    }
}

/// All figures of one run.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Report {
    pub(super) calls: usize,
    turns: usize,
    pub(super) failed_calls: usize,
    measured_turns: usize,
    stages: Vec<Distribution>,
    underruns: usize,
    /// The callers' own worst lateness, in milliseconds: what the load generator itself may have added.
    caller_lateness_ms: f64,
    /// Per cent of a core.
    cpu_percent_per_call: Option<f64>,
    /// The database's, per cent of a core.
    store_cpu_percent_per_call: Option<f64>,
    /// Per cent of the frames that left the server at most 2 ms after their deadline, by its own clock.
    paced_percent: f64,
    kib_per_call: u64,
    idle: Sample,
    peak: Sample,
    /// After each wave.
    after: Vec<Sample>,
}

impl Report {
    pub(super) fn new(
        calls: usize,
        turns: usize,
        stages: &Stages,
        outcome: &Outcome,
        idle: Sample,
        before: Sample,
        after: Vec<Sample>,
    ) -> Self {
        let of =
            |name, value: fn(&super::stages::Turn) -> Duration| Distribution::new(name, stages.turns.iter().map(value));
        Self {
            calls,
            turns,
            failed_calls: outcome.failed,
            measured_turns: stages.turns.len(),
            stages: vec![
                of("STT final -> LLM request", |turn| turn.think),
                of("LLM text -> TTS text", |turn| turn.speak),
                of("TTS audio -> media frame", |turn| turn.play),
                of("engine overhead a turn", super::stages::Turn::sum),
                Distribution::new("pacing lateness", stages.lateness.iter().copied()),
            ],
            underruns: stages.underruns,
            caller_lateness_ms: stages.caller_lateness.as_secs_f64() * 1000.0,
            cpu_percent_per_call: outcome.cpu_per_call.map(|cpu| cpu * 100.0),
            store_cpu_percent_per_call: outcome.store_cpu_per_call.map(|cpu| cpu * 100.0),
            paced_percent: paced_percent(before, after.last().copied().unwrap_or_default()),
            kib_per_call: outcome.peak.rss_kib.saturating_sub(idle.rss_kib) / calls.max(1) as u64,
            idle,
            peak: outcome.peak,
            after,
        }
    }

    #[expect(clippy::print_stdout, reason = "the table is what the command is for")]
    pub(super) fn print(&self) {
        println!("{} calls at once, {} turns each, {} turns measured\n", self.calls, self.turns, self.measured_turns);
        println!("{:<28} {:>8} {:>9} {:>9} {:>9} {:>9}", "milliseconds", "count", "p50", "p95", "p99", "max");
        for stage in &self.stages {
            println!(
                "{:<28} {:>8} {:>9.2} {:>9.2} {:>9.2} {:>9.2}",
                stage.name, stage.count, stage.p50, stage.p95, stage.p99, stage.max
            );
        }
        let share =
            |cpu: Option<f64>| cpu.map_or("not measured: too short".into(), |cpu| format!("{cpu:.3} % of a core"));
        let (cpu, store) = (share(self.cpu_percent_per_call), share(self.store_cpu_percent_per_call));
        println!("\nplayback underruns           {}", self.underruns);
        println!("callers' own lateness, worst {:.1} ms", self.caller_lateness_ms);
        println!("frames within 2 ms of their deadline, by the server's clock: {:.2} %", self.paced_percent);
        println!("CPU a call                   {cpu}");
        println!("the database's CPU a call    {store}");
        println!("memory a call                {} KiB (resident, at the peak)", self.kib_per_call);
        println!("failed calls                 {}", self.failed_calls);
        println!("{:<28} {:>10} {:>12} {:>8}", "", "memory KiB", "descriptors", "tasks");
        let row = |name: &str, sample: &Sample| {
            println!("{name:<28} {:>10} {:>12} {:>8}", sample.rss_kib, sample.descriptors, sample.tasks);
        };
        row("before", &self.idle);
        for (i, sample) in self.after.iter().enumerate() {
            row(&format!("after wave {} has ended", i + 1), sample);
        }
    }

    /// Whether the engine keeps its budgets.
    pub(super) fn check(&self) -> Result<(), Failure> {
        let p99 = |name: &str| self.stages.iter().find(|stage| stage.name == name).map_or(f64::MAX, |stage| stage.p99);
        let cpu = self.cpu_percent_per_call.unwrap_or(f64::MAX);
        let budgets = [
            ("engine overhead p99, ms", p99("engine overhead a turn"), 5.0),
            ("pacing lateness p99, ms", p99("pacing lateness"), 2.0),
            ("CPU a call, % of a core", cpu, 0.4),
            ("playback underruns", self.underruns as f64, 0.0),
            // What the process needs for itself does not show among many calls.
            ("memory a call, KiB", if self.calls < 500 { 0.0 } else { self.kib_per_call as f64 }, 300.0),
        ];
        let over: Vec<String> = budgets
            .iter()
            .filter(|(_, value, budget)| value > budget)
            .map(|(name, value, budget)| format!("{name}: {value:.2} (budget {budget})"))
            .collect();
        if over.is_empty() { Ok(()) } else { Err(format!("over budget: {}", over.join("; ")).into()) }
    }

    /// Draws, for each stage, which share of the values lies below how many milliseconds.
    pub(super) fn draw(&self, path: &Path) -> Result<(), Failure> {
        let wrong = |error: &dyn std::fmt::Display| Failure::from(error.to_string());
        let root = SVGBackend::new(path, (960, 540)).into_drawing_area();
        root.fill(&WHITE).map_err(|error| wrong(&error))?;
        let longest = self.stages.iter().map(|stage| stage.p99).fold(1.0, f64::max) * 1.3;
        let title = format!("{} calls at once: share of values below", self.calls);
        let mut chart = ChartBuilder::on(&root)
            .caption(title, ("sans-serif", 20))
            .margin(12)
            .x_label_area_size(40)
            .y_label_area_size(50)
            .build_cartesian_2d(0.0..longest, 0.0..100.0)
            .map_err(|error| wrong(&error))?;
        chart.configure_mesh().x_desc("milliseconds").y_desc("per cent").draw().map_err(|error| wrong(&error))?;
        for (i, stage) in self.stages.iter().enumerate() {
            let colour = Palette99::pick(i).to_rgba();
            let count = stage.values.len().max(1) as f64;
            // A few hundred points show all that a screen can.
            let step = (stage.values.len() / 400).max(1);
            let points = stage
                .values
                .iter()
                .enumerate()
                .step_by(step)
                .map(|(i, value)| (*value, (i + 1) as f64 / count * 100.0));
            chart
                .draw_series(LineSeries::new(points, colour.stroke_width(2)))
                .map_err(|error| wrong(&error))?
                .label(format!("{} (p99 {:.2} ms)", stage.name, stage.p99))
                .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 20, y)], colour.stroke_width(2)));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::LowerRight)
            .background_style(WHITE.mix(0.9))
            .border_style(BLACK)
            .draw()
            .map_err(|error| wrong(&error))?;
        root.present().map_err(|error| wrong(&error))
    }
}

fn paced_percent(before: Sample, after: Sample) -> f64 {
    let (all, in_time) = (after.frames - before.frames, after.frames_in_time - before.frames_in_time);
    in_time as f64 / all.max(1) as f64 * 100.0
}
