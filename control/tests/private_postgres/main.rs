//! The private Postgres as real programs use it: they are started, killed and started again, as root and as an ordinary user, on disks
//! that are full and folders that are not theirs.
//!
//! Run as root, every test runs for root and for an ordinary user; run as an ordinary user, for that user alone, and says so.
#![expect(clippy::unwrap_used, reason = "a test that cannot look has failed")]

mod crashes;
mod disk_full;
mod life;
mod program;
mod refusals;
mod sharing;
mod user;
