//! What a request asks of the simulated model, whichever vendor's request it is.

/// What of a request matters for its answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Prompt {
    /// The last user message; empty if there is none.
    pub(crate) user: String,
    /// The names of the tools offered.
    pub(crate) tools: Vec<String>,
    pub(crate) tool_choice: ToolChoice,
    /// Whether several tools may be called at once.
    pub(crate) parallel: bool,
    /// The tool result to be answered now, where the messages end with one.
    pub(crate) result: Option<ToolResult>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ToolChoice {
    Auto,
    None,
    Required,
    Named(String),
}

/// A tool's answer and the name of the function it answers.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ToolResult {
    pub(crate) name: String,
    pub(crate) content: String,
}

impl Default for Prompt {
    /// Nothing said, and no tools.
    fn default() -> Self {
        Self { user: String::new(), tools: Vec::new(), tool_choice: ToolChoice::Auto, parallel: true, result: None }
    }
}
