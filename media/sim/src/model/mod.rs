//! What the simulators of the models' vendors share: what is answered, at what pace, and what is remembered of it. Each vendor's request
//! becomes a [`Prompt`], and each writes the [`Answer`] out in its own events.

mod prompt;
mod record;
mod rules;
mod stream;
mod tokens;

pub(crate) use prompt::{Prompt, ToolChoice, ToolResult};
pub(crate) use record::{Ending, Records};
pub use record::{Outcome, RequestRecord};
pub(crate) use rules::Answer;
pub use rules::{Rule, Rules, ScriptedToolCall};
pub(crate) use stream::{Mishap, Step, Streaming, dropped};
pub(crate) use tokens::tokens;
