//! Tool calls put together from their pieces.
//!
//! The vendor numbers calls by `index` and gives each an id with its first piece. Compatible servers number all of them 0, leave out the
//! index or the id, repeat the name, or send a call whole. What a piece belongs to is decided by the strongest sign that it has.

use std::collections::BTreeSet;

use serde_json::{Map, Value};
use trunkline_base::Personal;

use super::wire::{Arguments, ToolDelta};
use crate::{ids::GenerationId, llm::ToolCall};

/// How many calls one answer may have.
const MAX_CALLS: usize = 32;

/// How large the arguments of all calls of one answer may be together.
const MAX_ARGUMENTS: usize = 256 * 1024;

/// More, or longer, tool calls than any answer needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooLarge;

/// The tool calls of one answer so far.
#[derive(Debug, Default)]
pub(super) struct Assembly {
    calls: Vec<Partial>,
    size: usize,
}

#[derive(Debug, Default)]
struct Partial {
    index: Option<u64>,
    id: Option<String>,
    name: Option<String>,
    arguments: String,
}

impl Partial {
    /// Whether nothing more can follow: its arguments are a JSON document.
    fn is_whole(&self) -> bool {
        serde_json::from_str::<serde::de::IgnoredAny>(&self.arguments).is_ok()
    }
}

impl Assembly {
    /// Takes a piece.
    pub(super) fn push(&mut self, delta: ToolDelta) -> Result<(), TooLarge> {
        let at = match self.place(&delta) {
            Some(at) => at,
            None if self.calls.len() >= MAX_CALLS => return Err(TooLarge),
            None => {
                self.calls.push(Partial { index: delta.index, ..Partial::default() });
                self.calls.len() - 1
            }
        };
        let call = &mut self.calls[at];
        call.id = call.id.take().or(delta.id);
        call.name = call.name.take().or(delta.name);
        let before = call.arguments.len();
        match delta.arguments {
            Arguments::None => {}
            Arguments::Piece(piece) => call.arguments.push_str(&piece),
            Arguments::Whole(value) => call.arguments = value.to_string(),
        }
        self.size += call.arguments.len().saturating_sub(before);
        if self.size > MAX_ARGUMENTS { Err(TooLarge) } else { Ok(()) }
    }

    /// The call that a piece belongs to; `None` if it begins one.
    fn place(&self, delta: &ToolDelta) -> Option<usize> {
        let same_index = |call: &Partial| delta.index.is_none() || call.index.is_none() || call.index == delta.index;
        let latest = self.calls.iter().rposition(same_index);
        if let Some(id) = &delta.id {
            let known = self.calls.iter().rposition(|call| call.id.as_ref() == Some(id) && same_index(call));
            // A call that began without an id may still get its own.
            return known
                .or_else(|| latest.filter(|at| self.calls[*at].id.is_none() && !self.begins_another(*at, delta)));
        }
        latest.filter(|at| !self.begins_another(*at, delta))
    }

    /// Whether a piece with a name is another call than the one at the same place: it has another name, or that one is whole.
    fn begins_another(&self, at: usize, delta: &ToolDelta) -> bool {
        let call = &self.calls[at];
        let named = delta.name.is_some() && call.name.is_some();
        named && (delta.name != call.name || call.is_whole())
    }

    /// All calls, whole, in the order in which they were begun. A call without a name is nothing that could be run.
    pub(super) fn finish(&mut self, generation: GenerationId) -> Vec<ToolCall> {
        self.size = 0;
        let mut ids = BTreeSet::new();
        let mut calls = Vec::new();
        for (n, call) in std::mem::take(&mut self.calls).into_iter().enumerate() {
            let Some(name) = call.name else { continue };
            let fresh = || format!("call_{generation}_{n}");
            let mut id = call.id.filter(|id| !ids.contains(id)).unwrap_or_else(fresh);
            while !ids.insert(id.clone()) {
                id.push('_');
            }
            calls.push(ToolCall { id, name, arguments: Personal::new(parse(call.arguments)) });
        }
        calls
    }
}

/// Arguments are an object; what is none is kept as it was written. Nothing at all is an object without keys.
fn parse(text: String) -> Value {
    if text.trim().is_empty() {
        return Value::Object(Map::new());
    }
    match serde_json::from_str(&text) {
        Ok(object @ Value::Object(_)) => object,
        Ok(Value::Null) => Value::Object(Map::new()),
        // Encoded twice.
        Ok(Value::String(inner)) => match serde_json::from_str(&inner) {
            Ok(object @ Value::Object(_)) => object,
            _ => Value::String(text),
        },
        _ => Value::String(text),
    }
}

#[cfg(test)]
#[path = "assembly_tests.rs"]
mod tests;
