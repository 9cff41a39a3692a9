//! `trunkline openapi`: the description of the API, as `/openapi.json` gives it.

use clap::Args;

use super::{Failure, console::Console};
use crate::openapi;

/// Print the description of the API (OpenAPI 3.1, JSON).
#[derive(Debug, Args)]
pub(super) struct OpenApi;

impl OpenApi {
    pub(super) fn run(self) -> Result<(), Failure> {
        Console::stdout().line(openapi::document().to_pretty_json()?);
        Ok(())
    }
}
