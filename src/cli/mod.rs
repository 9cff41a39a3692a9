//! The command line.

#[cfg(feature = "sim")]
pub mod call;
#[cfg(feature = "sim")]
pub mod console;
#[cfg(feature = "sim")]
pub mod demo;
mod serve;
#[cfg(feature = "sim")]
pub mod simulate;
#[cfg(feature = "sim")]
mod timeline;
#[cfg(feature = "sim")]
mod units;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use serve::{ServeError, Server, load_agent};

/// Trunkline: a voice agent platform in one binary.
#[derive(Debug, Parser)]
#[command(version, about)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Answer calls with one agent.
    Serve(serve::Serve),
    #[cfg(feature = "sim")]
    Demo(demo::Demo),
    #[cfg(feature = "sim")]
    Simulate(simulate::Simulate),
}

/// Runs a command to its end.
pub fn run(cli: Cli) -> ExitCode {
    // The one TLS stack, before anything builds a client.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error),
    };
    let result: Result<(), Failure> = runtime.block_on(async {
        match cli.command {
            Command::Serve(serve) => serve.run().await.map_err(Failure::from),
            #[cfg(feature = "sim")]
            Command::Demo(demo) => demo.run().await,
            #[cfg(feature = "sim")]
            Command::Simulate(simulate) => simulate.run().await,
        }
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&*error),
    }
}

/// What a command failed of: only ever shown.
type Failure = Box<dyn std::error::Error + Send + Sync>;

#[expect(clippy::print_stderr, reason = "the last words of a command that failed")]
fn fail(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("trunkline: {error}");
    ExitCode::FAILURE
}
