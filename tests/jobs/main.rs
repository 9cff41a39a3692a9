//! Jobs, done by real workers on a real database, with the model's vendor and a receiver of webhooks simulated.
#![expect(clippy::unwrap_used, reason = "a test that cannot set its scene has failed")]

mod analysis;
mod kill;
mod scene;
mod webhooks;
