//! What an agent can look up, and what is made of its conversations afterwards.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::check::Checker;

/// Documents that the agent answers from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(default)]
pub struct Knowledge {
    /// The tenant's documents. Up to 100.
    #[schema(max_items = 100)]
    pub document_ids: Vec<Uuid>,
    /// How many passages a question is answered from: 1 to 20. Default: 4.
    #[schema(minimum = 1, maximum = 20)]
    pub top_k: u32,
}

/// What is made of a conversation when it is over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(default)]
pub struct AnalysisConfig {
    /// Whether anything is. Default: true.
    pub enabled: bool,
    /// Outcomes to choose from. Up to 50. Default: the platform's.
    #[schema(max_items = 50)]
    pub outcomes: Vec<String>,
    /// Tags to choose from. Up to 100. Default: any.
    #[schema(max_items = 100)]
    pub tags: Vec<String>,
    /// JSON Schema of what to extract. Default: nothing is extracted.
    #[schema(value_type = Option<Object>)]
    pub extraction_schema: Option<Map<String, Value>>,
    /// The model that does it. Default: the platform's.
    #[schema(min_length = 1, max_length = 200, pattern = "^[!-~]+$")]
    pub model: Option<String>,
}

impl Knowledge {
    pub(super) fn check(&self, check: &mut Checker) {
        check.count("document_ids", self.document_ids.len(), 0..=100);
        check.range("top_k", self.top_k, 1..=20);
    }
}

impl AnalysisConfig {
    pub(super) fn check(&self, check: &mut Checker) {
        check.texts("outcomes", &self.outcomes, 50, 1..=100);
        check.texts("tags", &self.tags, 100, 1..=100);
        if let Some(model) = &self.model {
            check.model("model", model);
        }
    }
}

impl Default for Knowledge {
    fn default() -> Self {
        Self { document_ids: Vec::new(), top_k: 4 }
    }
}

impl Default for AnalysisConfig {
    fn default() -> Self {
        Self { enabled: true, outcomes: Vec::new(), tags: Vec::new(), extraction_schema: None, model: None }
    }
}
