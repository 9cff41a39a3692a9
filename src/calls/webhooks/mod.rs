//! What carriers tell us and ask us over HTTP: nothing is believed, and nothing stored, before it is known who says it.

pub(super) mod twilio;
pub(super) mod vonage;

use std::collections::BTreeMap;

use super::ring::Caller;

/// What fills the variables of an agent's instructions for a call.
pub(super) fn context(caller: &Caller) -> BTreeMap<String, String> {
    BTreeMap::from([
        ("from_number".to_owned(), caller.from.expose().clone()),
        ("to_number".to_owned(), caller.to.expose().clone()),
    ])
}
