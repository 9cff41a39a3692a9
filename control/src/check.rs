//! What is wrong with a document that somebody sent, and where.

use std::{collections::HashSet, fmt, ops::RangeInclusive};

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// Where, as `voice_config.settings.speed` or `tools[2].name`; empty for the document itself.
    pub path: String,
    /// What has to be true of it. It never quotes the value.
    pub message: String,
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            return f.write_str(&self.message);
        }
        write!(f, "{}: {}", self.path, self.message)
    }
}

/// Everything that is wrong: at least one error, in the order of the document. `Display` gives one a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldErrors(Vec<FieldError>);

impl FieldErrors {
    /// The errors.
    pub fn iter(&self) -> std::slice::Iter<'_, FieldError> {
        self.0.iter()
    }

    pub(crate) fn one(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self(vec![FieldError { path: path.into(), message: message.into() }])
    }

    pub(crate) fn from_serde(error: serde_path_to_error::Error<serde_json::Error>) -> Self {
        let path = error.path().to_string();
        // serde_path_to_error calls the document itself "."
        Self::one(if path == "." { String::new() } else { path }, error.into_inner().to_string())
    }
}

impl fmt::Display for FieldErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, error) in self.0.iter().enumerate() {
            if n > 0 {
                f.write_str("\n")?;
            }
            error.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for FieldErrors {}

/// Collects errors while it walks a configuration, knowing where it is.
#[derive(Default)]
pub(crate) struct Checker {
    path: String,
    errors: Vec<FieldError>,
}

impl Checker {
    /// All that was found.
    pub(crate) fn finish(self) -> Result<(), FieldErrors> {
        if self.errors.is_empty() { Ok(()) } else { Err(FieldErrors(self.errors)) }
    }

    /// Checks the section under `key`.
    pub(crate) fn inside(&mut self, key: &str, check: impl FnOnce(&mut Self)) {
        let outer = self.path.len();
        self.path = self.path_of(key);
        check(self);
        self.path.truncate(outer);
    }

    /// Checks every item of the list under `key`.
    pub(crate) fn each<T>(&mut self, key: &str, items: &[T], mut check: impl FnMut(&mut Self, &T)) {
        for (n, item) in items.iter().enumerate() {
            self.inside(&format!("{key}[{n}]"), |checker| check(checker, item));
        }
    }

    /// `message` holds of `key` unless `ok`. An empty key is the section or item itself.
    pub(crate) fn require(&mut self, key: &str, ok: bool, message: impl Into<String>) {
        if !ok {
            let path = self.path_of(key);
            self.errors.push(FieldError { path, message: message.into() });
        }
    }

    /// A number has to be within bounds.
    pub(crate) fn range<T: PartialOrd + fmt::Display>(&mut self, key: &str, value: T, bounds: RangeInclusive<T>) {
        self.require(key, bounds.contains(&value), format!("must be between {} and {}", bounds.start(), bounds.end()));
    }

    /// A number, where given, has to be within bounds.
    pub(crate) fn optional_range<T: PartialOrd + fmt::Display>(
        &mut self,
        key: &str,
        value: Option<T>,
        bounds: RangeInclusive<T>,
    ) {
        if let Some(value) = value {
            self.range(key, value, bounds);
        }
    }

    /// A text has to be of a length, in characters.
    pub(crate) fn text(&mut self, key: &str, value: &str, bounds: RangeInclusive<usize>) {
        let message = if *bounds.start() == 0 {
            format!("must have at most {} characters", bounds.end())
        } else {
            format!("must have between {} and {} characters", bounds.start(), bounds.end())
        };
        self.require(key, bounds.contains(&value.chars().count()), message);
    }

    /// A text, where given, has to be of a length, in characters.
    pub(crate) fn optional_text(&mut self, key: &str, value: Option<&str>, bounds: RangeInclusive<usize>) {
        if let Some(value) = value {
            self.text(key, value, bounds);
        }
    }

    /// A list of texts: at most `most`, each of a length within `bounds`.
    pub(crate) fn texts(&mut self, key: &str, values: &[String], most: usize, bounds: RangeInclusive<usize>) {
        self.count(key, values.len(), 0..=most);
        self.each(key, values, |check, value| check.text("", value, bounds.clone()));
    }

    /// A list or an object has to have so many entries.
    pub(crate) fn count(&mut self, key: &str, count: usize, bounds: RangeInclusive<usize>) {
        self.require(key, bounds.contains(&count), format!("must have at most {} entries", bounds.end()));
    }

    /// No two items of the list under `list` may have the same `key`.
    pub(crate) fn unique<'a>(&mut self, list: &str, key: &str, values: impl Iterator<Item = &'a str>) {
        let mut seen = HashSet::new();
        for (n, value) in values.enumerate() {
            self.require(&format!("{list}[{n}].{key}"), seen.insert(value), "is used by an earlier entry");
        }
    }

    /// A model's name: its form only, for compatible servers have names of their own.
    pub(crate) fn model(&mut self, key: &str, value: &str) {
        let ok = (1..=200).contains(&value.chars().count()) && value.chars().all(|c| c.is_ascii_graphic());
        self.require(key, ok, "must have between 1 and 200 printable ASCII characters without spaces");
    }

    /// A language: a BCP 47 tag such as `en` or `pt-BR`, or a vendor's word such as `multi`.
    pub(crate) fn language(&mut self, key: &str, value: &str) {
        let mut subtags = value.split('-');
        let first = subtags.next().unwrap_or_default();
        let ok = (2..=8).contains(&first.len())
            && first.bytes().all(|b| b.is_ascii_alphabetic())
            && subtags.all(|tag| (1..=8).contains(&tag.len()) && tag.bytes().all(|b| b.is_ascii_alphanumeric()));
        self.require(key, ok, "must be a language tag such as en-US");
    }

    fn path_of(&self, key: &str) -> String {
        match (self.path.is_empty(), key.is_empty()) {
            (true, _) => key.to_owned(),
            (false, true) => self.path.clone(),
            (false, false) => format!("{}.{key}", self.path),
        }
    }
}
