//! The command line.

#[cfg(feature = "sim")]
pub mod api;
#[cfg(feature = "sim")]
mod audio;
#[cfg(feature = "sim")]
mod bench;
#[cfg(feature = "sim")]
pub mod call;
pub mod console;
#[cfg(feature = "sim")]
pub mod demo;
#[cfg(feature = "sim")]
mod fixtures;
mod health;
mod keys;
mod migrate;
mod openapi;
mod serve;
#[cfg(feature = "sim")]
pub mod simulate;
#[cfg(feature = "sim")]
mod timeline;
mod token;
#[cfg(feature = "sim")]
mod units;
#[cfg(feature = "sim")]
mod waterfall;
mod worker;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use serve::{ServeError, Server};

/// Trunkline: a voice agent platform in one binary.
#[derive(Debug, Parser)]
#[command(version, about)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(Box<serve::Serve>),
    Worker(Box<worker::Worker>),
    Migrate(Box<migrate::Migrate>),
    Keys(keys::Keys),
    Token(Box<token::Token>),
    Health(health::Health),
    Openapi(openapi::OpenApi),
    #[cfg(feature = "sim")]
    Demo(Box<demo::Demo>),
    #[cfg(feature = "sim")]
    Simulate(Box<simulate::Simulate>),
    #[cfg(feature = "sim")]
    Call(Box<call::Call>),
    /// Measure many calls at once.
    #[cfg(feature = "sim")]
    Bench(bench::Bench),
}

/// Runs a command to its end.
pub fn run(cli: Cli) -> ExitCode {
    // The one TLS stack, before anything builds a client.
    let _ = rustls::crypto::ring::default_provider().install_default();
    #[cfg(feature = "sim")]
    if let Command::Bench(bench) = &cli.command
        && let Some(core) = bench.load_core()
        && let Err(error) = pin_to(core)
    {
        return fail(&error);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error),
    };
    let result: Result<(), Failure> = runtime.block_on(async {
        match cli.command {
            Command::Serve(serve) => Box::pin(serve.run()).await.map_err(Failure::from),
            Command::Worker(worker) => Box::pin(worker.run()).await.map_err(Failure::from),
            Command::Migrate(migrate) => Box::pin(migrate.run()).await,
            Command::Keys(keys) => Box::pin(keys.run()).await,
            Command::Token(token) => token.run(),
            Command::Health(health) => health.run().await,
            Command::Openapi(openapi) => openapi.run(),
            #[cfg(feature = "sim")]
            Command::Demo(demo) => Box::pin(demo.run()).await,
            #[cfg(feature = "sim")]
            Command::Simulate(simulate) => Box::pin(simulate.run()).await,
            #[cfg(feature = "sim")]
            Command::Call(call) => Box::pin(call.run()).await,
            #[cfg(feature = "sim")]
            Command::Bench(bench) => Box::pin(bench.run()).await,
        }
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&*error),
    }
}

/// Keeps this thread, and every thread that it starts, on one core.
#[cfg(feature = "sim")]
fn pin_to(core: usize) -> std::io::Result<()> {
    let mut cores = rustix::thread::CpuSet::new();
    cores.set(core);
    Ok(rustix::thread::sched_setaffinity(None, &cores)?)
}

/// What a command failed of: only ever shown.
type Failure = Box<dyn std::error::Error + Send + Sync>;

#[expect(clippy::print_stderr, reason = "the last words of a command that failed")]
fn fail(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("trunkline: {error}");
    ExitCode::FAILURE
}
