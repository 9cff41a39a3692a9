//! A webhook's fields, whichever way they came: as JSON or as a query. Numbers may be text and text numbers, and anything may be null.

use std::collections::BTreeMap;

use serde_json::Value;

/// The largest webhook that is read.
pub(super) const MAX_WEBHOOK: usize = 64 * 1024;

/// Fields by name.
pub(super) struct Fields(BTreeMap<String, Value>);

impl Fields {
    /// Of a JSON object; `None` if it is none, or too large.
    pub(super) fn of_json(body: &[u8]) -> Option<Self> {
        if body.len() > MAX_WEBHOOK {
            return None;
        }
        serde_json::from_slice(body).ok().map(Self)
    }

    /// Of a query. Of a name that is there twice, the first counts.
    pub(super) fn of_query(query: &[(String, String)]) -> Self {
        let mut fields = BTreeMap::new();
        for (name, value) in query {
            fields.entry(name.clone()).or_insert_with(|| Value::from(value.as_str()));
        }
        Self(fields)
    }

    /// A field as text; `None` if it is absent, null, empty, or has parts.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        text(self.0.get(name)?)
    }

    /// A field as a number that is not negative.
    pub(super) fn number(&self, name: &str) -> Option<f64> {
        let number: f64 = self.text(name)?.trim().parse().ok()?;
        (number.is_finite() && number >= 0.0).then_some(number)
    }

    /// A field's parts. A query writes them as JSON.
    pub(super) fn parts(&self, name: &str) -> BTreeMap<String, String> {
        let parts = match self.0.get(name) {
            Some(Value::Object(parts)) => parts.clone(),
            Some(Value::String(json)) => serde_json::from_str(json).unwrap_or_default(),
            _ => return BTreeMap::new(),
        };
        parts.iter().filter_map(|(name, value)| Some((name.clone(), text(value)?))).collect()
    }

    /// Whether a field is there, and not null.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|value| !value.is_null())
    }

    /// The fields whose names begin so, without that beginning.
    pub(super) fn prefixed(&self, prefix: &str) -> BTreeMap<String, String> {
        let named = |(name, value): (&String, &Value)| Some((name.strip_prefix(prefix)?.to_owned(), text(value)?));
        self.0.iter().filter_map(named).collect()
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => (!text.is_empty()).then(|| text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}
