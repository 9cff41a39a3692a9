//! What telephones have in common, whichever carrier reaches them.

mod callee;

pub use callee::{Answer, Answerer, Callee, Directory, Greeting, Speech, Verdict};
