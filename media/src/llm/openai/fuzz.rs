//! What a fuzzer calls, and what the tests call with arbitrary input.

use std::collections::BTreeSet;

use super::{assembly::Assembly, wire::Chunk};
use crate::ids::GenerationId;

/// Reads each line of `data` as one event of a stream and puts its tool calls together.
///
/// # Panics
/// If a tool call comes out that could not be run or answered: without a name, with an id that another has, or with arguments that are
/// neither an object nor text.
pub fn fuzz_chunks(data: &[u8]) {
    let mut assembly = Assembly::default();
    for line in data.split(|byte| *byte == b'\n') {
        let line = line.strip_prefix(b"data:").unwrap_or(line);
        let Ok(chunk) = serde_json::from_slice::<Chunk>(line) else { continue };
        assert!(chunk.text.is_none_or(|text| !text.is_empty()));
        for delta in chunk.tool_calls {
            if assembly.push(delta).is_err() {
                return;
            }
        }
    }
    let mut ids = BTreeSet::new();
    for call in assembly.finish(GenerationId(0)) {
        assert!(!call.name.is_empty() && !call.id.is_empty());
        assert!(call.arguments.expose().is_object() || call.arguments.expose().is_string());
        assert!(ids.insert(call.id));
    }
}
