//! The program.

use std::process::ExitCode;

use clap::Parser;

// The system's allocator gives memory back late and fragments under thousands of short-lived buffers a second.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // A .env file is for development; without one, nothing happens.
    let _ = dotenvy::dotenv();
    trunkline::cli::run(trunkline::cli::Cli::parse())
}
