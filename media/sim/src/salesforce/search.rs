//! `parameterizedSearch`: what is found, by which fields, and what of it is told.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{
    config::CustomField,
    error::ApiError,
    objects::{self, Kind, Object, object},
    records::{Record, State},
};

/// A search, however it was asked for.
#[derive(Debug, PartialEq)]
pub(super) struct Search {
    q: String,
    within: Within,
    objects: Vec<Wanted>,
    overall: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Within {
    All,
    Name,
    Email,
    Phone,
}

/// What is wanted of an object.
#[derive(Debug, PartialEq)]
struct Wanted {
    object: String,
    fields: Vec<String>,
    limit: usize,
    /// A condition, as `Field = value`.
    condition: Option<String>,
}

/// The most that is found.
const MOST: usize = 2_000;

impl Search {
    /// Reads the parameters of a GET.
    pub(super) fn from_query(query: &[(String, String)]) -> Result<Self, ApiError> {
        let value = |name: &str| query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let list = |text: &str| text.split(',').map(|field| field.trim().to_owned()).collect::<Vec<_>>();
        let number = |name: &str| value(name).map(|text| text.parse().map_err(|_| invalid(name))).transpose();
        let common = value("fields").map(list).unwrap_or_default();
        let default = number("defaultLimit")?.unwrap_or(MOST);
        let named = query.iter().filter(|(key, _)| key == "sobject").map(|(_, name)| {
            Ok(Wanted {
                object: name.clone(),
                fields: value(&format!("{name}.fields")).map_or_else(|| common.clone(), list),
                limit: number(&format!("{name}.limit"))?.unwrap_or(default),
                condition: value(&format!("{name}.where")).map(str::to_owned),
            })
        });
        let objects = named.collect::<Result<_, _>>()?;
        Self::new(value("q"), value("in"), objects, number("overallLimit")?)
    }

    /// Reads the body of a POST.
    pub(super) fn from_body(body: &Value) -> Result<Self, ApiError> {
        let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
        let list = |value: &Value| {
            let fields = value.get("fields").and_then(Value::as_array);
            fields.map(|fields| fields.iter().filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>())
        };
        let number = |value: &Value, name: &str| match value.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(number) => {
                number.as_u64().and_then(|it| usize::try_from(it).ok()).map(Some).ok_or_else(|| invalid(name))
            }
        };
        let common = list(body).unwrap_or_default();
        let default = number(body, "defaultLimit")?.unwrap_or(MOST);
        let named = body.get("sobjects").and_then(Value::as_array).map_or(&[][..], Vec::as_slice).iter().map(|it| {
            Ok(Wanted {
                object: text(it, "name").ok_or_else(|| invalid("sobjects.name"))?,
                fields: list(it).unwrap_or_else(|| common.clone()),
                limit: number(it, "limit")?.unwrap_or(default),
                condition: text(it, "where"),
            })
        });
        let objects = named.collect::<Result<_, _>>()?;
        let (q, within) = (text(body, "q"), text(body, "in"));
        Self::new(q.as_deref(), within.as_deref(), objects, number(body, "overallLimit")?)
    }

    fn new(
        q: Option<&str>,
        within: Option<&str>,
        objects: Vec<Wanted>,
        overall: Option<usize>,
    ) -> Result<Self, ApiError> {
        let q = q.map(str::trim).filter(|q| q.chars().count() >= 2);
        let q = q.ok_or_else(|| ApiError::bad("MALFORMED_SEARCH", "search term must be longer than one character"))?;
        let within = match within.map(str::to_ascii_uppercase).as_deref() {
            None | Some("ALL" | "SIDEBAR") => Within::All,
            Some("NAME") => Within::Name,
            Some("EMAIL") => Within::Email,
            Some("PHONE") => Within::Phone,
            Some(_) => return Err(invalid("in")),
        };
        let everything = || {
            let all = objects::names();
            all.map(|name| Wanted { object: name.into(), fields: Vec::new(), limit: MOST, condition: None }).collect()
        };
        let objects = if objects.is_empty() { everything() } else { objects };
        Ok(Self { q: q.into(), within, objects, overall: overall.unwrap_or(MOST) })
    }

    /// The answer, from what has been in the index for so long.
    pub(super) fn run(
        &self,
        state: &State,
        base: &str,
        custom: &[CustomField],
        index_delay: Duration,
    ) -> Result<Value, ApiError> {
        let mut found = Vec::new();
        for wanted in &self.objects {
            let object = object(&wanted.object).map_err(|_| {
                ApiError::bad("INVALID_TYPE", format!("sObject type '{}' is not supported.", wanted.object))
            })?;
            let condition = wanted.condition.as_deref().map(|text| condition(object, text, custom)).transpose()?;
            let spelt = wanted.fields.iter().map(|field| object.spelling(field, custom));
            let spelt = spelt.collect::<Result<Vec<_>, _>>()?;
            let of_it = state.records().iter().filter(|record| {
                record.object.name == object.name
                    && record.changed.elapsed() >= index_delay
                    && condition.as_ref().is_none_or(|(field, value)| record.fields.get(*field) == Some(value))
                    && self.matches(record)
            });
            found.extend(of_it.take(wanted.limit).map(|record| told(record, base, &spelt)));
        }
        found.truncate(self.overall);
        Ok(json!({"searchRecords": found}))
    }

    /// Whether all words are in the fields that are searched; telephone numbers are compared by their digits.
    fn matches(&self, record: &Record) -> bool {
        let searched = record.object.fields().filter(|field| match self.within {
            Within::All => matches!(field.kind, Kind::Text(_) | Kind::Phone | Kind::Email),
            Within::Name => field.name == "Name",
            Within::Email => field.kind == Kind::Email,
            Within::Phone => field.kind == Kind::Phone,
        });
        let texts = searched.filter_map(|field| Some((field.kind, record.fields.get(field.name)?.as_str()?)));
        let texts: Vec<(Kind, &str)> = texts.collect();
        if texts.iter().any(|(kind, text)| *kind == Kind::Phone && same_number(text, &self.q)) {
            return true;
        }
        self.q.to_lowercase().split_whitespace().all(|word| {
            texts.iter().any(|(kind, text)| {
                *kind != Kind::Phone
                    && text
                        .to_lowercase()
                        .split([' ', '@', '.', ','])
                        .chain([text.to_lowercase().as_str()])
                        .any(|token| token.starts_with(word))
            })
        })
    }
}

/// Whether a stored number ends with the digits that are looked for, or the other way round.
fn same_number(stored: &str, q: &str) -> bool {
    let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
    let (stored, q) = (digits(stored), digits(q));
    q.len() >= 7 && stored.len() >= 7 && (stored.ends_with(&q) || q.ends_with(&stored))
}

/// A condition such as `IsConverted = false` or `Status = 'New'`.
fn condition<'a>(object: &Object, text: &'a str, custom: &'a [CustomField]) -> Result<(&'a str, Value), ApiError> {
    let malformed = || ApiError::bad("MALFORMED_QUERY", format!("unexpected token: '{text}'"));
    let (field, value) = text.split_once('=').ok_or_else(malformed)?;
    let value = match value.trim() {
        "true" | "TRUE" => Value::Bool(true),
        "false" | "FALSE" => Value::Bool(false),
        "null" | "NULL" => Value::Null,
        quoted => quoted.strip_prefix('\'').and_then(|it| it.strip_suffix('\'')).ok_or_else(malformed)?.into(),
    };
    Ok((object.spelling(field.trim(), custom)?, value))
}

/// What is told of a record.
pub(super) fn told(record: &Record, base: &str, fields: &[&str]) -> Value {
    let url = format!("{base}/sobjects/{}/{}", record.object.name, record.id);
    let mut told = Map::new();
    told.insert("attributes".into(), json!({"type": record.object.name, "url": url}));
    told.insert("Id".into(), record.id.as_str().into());
    for name in fields {
        told.insert((*name).into(), record.fields.get(*name).cloned().unwrap_or_default());
    }
    Value::Object(told)
}

fn invalid(name: &str) -> ApiError {
    ApiError::bad("INVALID_SEARCH", format!("The value of {name} is invalid"))
}
