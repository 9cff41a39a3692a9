//! Types that print nothing: [`Secret`] for keys and tokens, [`Personal`] for what identifies or quotes a person.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize};

/// A key, password or token. Wiped when dropped; `Debug` shows nothing, and there is no `Display` and no `Serialize`.
#[derive(Clone, Default)]
pub struct Secret(SecretString);

impl Secret {
    /// Wraps a secret.
    pub fn new(value: impl Into<String>) -> Self {
        Self(SecretString::from(value.into()))
    }

    /// The secret itself, for the one line that sends or compares it.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.expose().is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // A deserialiser's own error quotes what it found.
        let text = String::deserialize(deserializer);
        text.map(Self::new).map_err(|_| serde::de::Error::custom("must be a text"))
    }
}

/// A phone number, a name, something said: `Debug` and `Display` show a placeholder, so that it cannot reach a log by accident.
/// Serialising it is deliberate (a row, a vendor's request) and shows the value.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Personal<T>(T);

impl<T> Personal<T> {
    /// Marks a value as personal.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value, for those who are meant to have it.
    pub const fn expose(&self) -> &T {
        &self.0
    }

    /// The value, owned.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> fmt::Debug for Personal<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[personal]")
    }
}

impl<T> fmt::Display for Personal<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[personal]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_secret_or_personal_is_printed() {
        #[derive(Debug)]
        struct Row {
            _key: Secret,
            _phone: Personal<String>,
        }
        let row = Row { _key: Secret::new("sk-abc"), _phone: Personal::new("+14155550100".into()) };
        let printed = format!("{row:?} {row:#?} {}", Personal::new("+14155550100"));
        assert!(!printed.contains("sk-abc") && !printed.contains("1415"), "{printed}");
    }

    #[test]
    fn what_is_no_secret_is_not_quoted() {
        let error = serde_json::from_str::<Secret>("41550100").unwrap_err().to_string();
        assert!(error.starts_with("must be a text") && !error.contains("4155"), "{error}");
    }

    #[test]
    fn personal_serialises_as_its_value() {
        assert_eq!(serde_json::to_string(&Personal::new("hi")).unwrap(), "\"hi\"");
    }
}
