//! Recordings as rows: which pieces of a call's audio there are, where they are kept, and when they have to go.
//!
//! The files themselves are somebody else's: this knows no object store. So nothing here deletes audio. What has to go is marked, in the
//! transaction that decides it, and whoever has the store deletes first the object and then the row, at least once.
//!
//! Of one row a call or one a piece, it is one a piece: a call that comes back on another node goes on in another file, and two nodes
//! never write one row. What a reader gets is one recording all the same, joined on the call's clock.

pub mod store;
pub mod transcription;

#[cfg(test)]
mod tests;
