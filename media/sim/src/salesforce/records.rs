//! What an organization has: its records, its sessions, and how much of the day's requests is used.

use std::{
    collections::BTreeMap,
    time::{Instant, SystemTime},
};

use serde_json::{Map, Value, json};

use super::{
    config::{CustomField, SalesforceConfig},
    error::ApiError,
    objects::{Object, object, object_of},
};
use crate::dates;

/// A record.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub(super) object: &'static Object,
    /// 18 characters.
    pub(super) id: String,
    pub(super) fields: Map<String, Value>,
    pub(super) changed: Instant,
}

#[derive(Debug)]
struct Session {
    user: String,
    requests: u32,
}

#[derive(Debug)]
pub(super) struct State {
    records: Vec<Record>,
    sessions: BTreeMap<String, Session>,
    /// The user of each refresh token and the app that it was given to.
    refresh_tokens: BTreeMap<String, (String, String)>,
    custom_fields: Vec<CustomField>,
    /// How many requests for data the day has seen.
    pub(super) requests: u64,
    made: u64,
}

impl State {
    pub(super) fn new(config: &SalesforceConfig) -> Self {
        let given = config.apps.iter().filter_map(|app| {
            let user = app.run_as.as_ref().or_else(|| app.approved.first())?;
            Some((app.refresh_token.clone()?, (app.client_id.clone(), user.clone())))
        });
        let mut state = Self {
            records: Vec::new(),
            sessions: BTreeMap::new(),
            refresh_tokens: given.collect(),
            custom_fields: config.custom_fields.clone(),
            requests: 0,
            made: 0,
        };
        for (name, fields) in &config.records {
            let fields = fields.as_object().cloned().unwrap_or_default();
            // What a test sets its scene with is checked as everything else: a mistake in it must show.
            let made = object(name).and_then(|object| state.create(object, fields));
            assert!(made.is_ok(), "the record {name} is not valid: {made:?}");
        }
        state
    }

    /// Opens a session and tells its token.
    pub(super) fn open(&mut self, user: &str) -> String {
        let token = format!("{}!AQ{}", &super::ORGANIZATION_ID[..15], uuid::Uuid::new_v4().simple());
        self.sessions.insert(token.clone(), Session { user: user.into(), requests: 0 });
        token
    }

    /// The user of a session.
    pub(super) fn user(&self, token: &str) -> Option<&str> {
        self.sessions.get(token).map(|session| session.user.as_str())
    }

    /// Counts a request of a session, which `most` end.
    pub(super) fn count(&mut self, token: &str, most: Option<u32>) -> Result<(), ApiError> {
        let session = self.sessions.get_mut(token).ok_or_else(ApiError::session)?;
        if most.is_some_and(|most| session.requests >= most) {
            self.sessions.remove(token);
            return Err(ApiError::session());
        }
        session.requests += 1;
        self.requests += 1;
        Ok(())
    }

    /// Uses a refresh token of an app's; the `next` one replaces it. Tells its user.
    pub(super) fn refresh(&mut self, client_id: &str, token: &str, next: Option<String>) -> Option<String> {
        let (_, user) = self.refresh_tokens.get(token).filter(|(app, _)| app == client_id)?.clone();
        if let Some(next) = next {
            self.refresh_tokens.remove(token);
            self.refresh_tokens.insert(next, (client_id.into(), user.clone()));
        }
        Some(user)
    }

    /// Ends a session or forgets a refresh token; tells whether there was one.
    pub(super) fn revoke(&mut self, token: &str) -> bool {
        self.sessions.remove(token).is_some() | self.refresh_tokens.remove(token).is_some()
    }

    /// Ends all sessions.
    pub(super) fn expire(&mut self) {
        self.sessions.clear();
    }

    pub(super) fn records(&self) -> &[Record] {
        &self.records
    }

    /// The record with an id of 15 or 18 characters.
    pub(super) fn record(&self, object: &Object, id: &str) -> Result<&Record, ApiError> {
        self.place(object, id).map(|place| &self.records[place])
    }

    /// The places of the records that have a value in a field of the organization's own which names records.
    pub(super) fn by_external_id(&self, object: &Object, field: &str, value: &str) -> Result<Vec<String>, ApiError> {
        let known = self.custom_fields.iter().any(|it| it.object == object.name && it.name == field && it.external_id);
        if !known {
            return Err(ApiError::new(
                404,
                "NOT_FOUND",
                "Provided external ID field does not exist or is not accessible",
            ));
        }
        let named = self.records.iter().filter(|record| {
            record.object.name == object.name && record.fields.get(field).and_then(Value::as_str) == Some(value)
        });
        Ok(named.map(|record| record.id.clone()).collect())
    }

    pub(super) fn create(&mut self, object: &'static Object, fields: Map<String, Value>) -> Result<String, ApiError> {
        let fields = self.checked(object, fields, true)?;
        object.check_required(|name| {
            fields.get(name).and_then(Value::as_str).is_some_and(|text| !text.trim().is_empty())
        })?;
        self.check_links(object, &fields)?;
        self.made += 1;
        let id = long_id(&format!("{}5g{:010}", object.prefix, self.made));
        let now = now();
        let mut record = Map::new();
        record.insert("Id".into(), id.as_str().into());
        for (name, value) in [
            ("CreatedDate", json!(now)),
            ("LastModifiedDate", json!(now)),
            ("IsDeleted", json!(false)),
            ("OwnerId", json!(super::USER_ID)),
        ] {
            record.insert(name.into(), value);
        }
        for (name, value) in defaults(object.name) {
            record.insert(name.into(), value);
        }
        record.extend(fields);
        derive(object, &mut record);
        self.records.push(Record { object, id: id.clone(), fields: record, changed: Instant::now() });
        Ok(id)
    }

    pub(super) fn update(
        &mut self,
        object: &'static Object,
        id: &str,
        fields: Map<String, Value>,
    ) -> Result<(), ApiError> {
        let place = self.place(object, id)?;
        let fields = self.checked(object, fields, false)?;
        let mut changed = self.records[place].fields.clone();
        changed.extend(fields);
        object.check_required(|name| {
            changed.get(name).and_then(Value::as_str).is_some_and(|text| !text.trim().is_empty())
        })?;
        self.check_links(object, &changed)?;
        changed.insert("LastModifiedDate".into(), now().into());
        derive(object, &mut changed);
        let record = &mut self.records[place];
        (record.fields, record.changed) = (changed, Instant::now());
        Ok(())
    }

    pub(super) fn delete(&mut self, object: &Object, id: &str) -> Result<(), ApiError> {
        let place = self.place(object, id)?;
        self.records.remove(place);
        Ok(())
    }

    fn place(&self, object: &Object, id: &str) -> Result<usize, ApiError> {
        // The last three of 18 characters only say what case the others have.
        let known = |record: &Record| {
            let same = if id.len() == 18 { record.id.eq_ignore_ascii_case(id) } else { record.id[..15] == *id };
            same && record.object.name == object.name
        };
        let place = matches!(id.len(), 15 | 18).then(|| self.records.iter().position(known)).flatten();
        place.ok_or_else(|| ApiError::new(404, "NOT_FOUND", "The requested resource does not exist"))
    }

    /// The fields by their proper names, if all may be written as they are.
    fn checked(
        &self,
        object: &Object,
        fields: Map<String, Value>,
        creates: bool,
    ) -> Result<Map<String, Value>, ApiError> {
        let fields = fields.into_iter().filter(|(name, _)| name != "attributes");
        fields
            .map(|(name, value)| {
                let name = object.spelling(&name, &self.custom_fields)?.to_owned();
                object.check(&name, &value, creates)?;
                Ok((name, value))
            })
            .collect()
    }

    /// Checks that the records exist to which a record points, and that a task's two go together.
    fn check_links(&self, of: &Object, fields: &Map<String, Value>) -> Result<(), ApiError> {
        let link = |name: &str| fields.get(name).and_then(Value::as_str);
        for (name, allowed) in [
            ("WhoId", &["Contact", "Lead"][..]),
            ("WhatId", &["Account", "Case"]),
            ("AccountId", &["Account"]),
            ("ContactId", &["Contact"]),
        ] {
            let Some(id) = link(name) else { continue };
            let known = object_of(id)
                .filter(|object| allowed.contains(&object.name))
                .is_some_and(|object| self.place(object, id).is_ok());
            if !known {
                return Err(ApiError::of_field(
                    "INVALID_CROSS_REFERENCE_KEY",
                    format!("{name}: invalid cross reference id"),
                    name,
                ));
            }
        }
        let who = link("WhoId").and_then(object_of).map(|object| object.name);
        if of.name == "Task" && who == Some("Lead") && link("WhatId").is_some() {
            let message =
                "Related To ID: If you select a lead as the name, you can't relate the task to another record.";
            return Err(ApiError::of_field("FIELD_INTEGRITY_EXCEPTION", message, "WhatId"));
        }
        Ok(())
    }
}

/// What a new record has where nothing is said.
fn defaults(object: &str) -> Vec<(&'static str, Value)> {
    match object {
        "Task" => vec![("Status", json!("Not Started")), ("Priority", json!("Normal")), ("TaskSubtype", json!("Task"))],
        "Lead" => vec![("Status", json!("Open - Not Contacted")), ("IsConverted", json!(false))],
        "Case" => vec![("Status", json!("New")), ("Priority", json!("Medium"))],
        _ => Vec::new(),
    }
}

/// Sets the fields that follow from others.
fn derive(object: &Object, fields: &mut Map<String, Value>) {
    let text = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    match object.name {
        "Contact" | "Lead" => {
            let name = format!("{} {}", text("FirstName"), text("LastName")).trim().to_owned();
            fields.insert("Name".into(), name.into());
        }
        "Task" => {
            let closed = text("Status") == "Completed";
            fields.insert("IsClosed".into(), closed.into());
        }
        _ => {}
    }
}

fn now() -> String {
    dates::iso8601(SystemTime::now()).replace('Z', "+0000")
}

/// An id of 15 characters with the three that say which of them are capital letters.
fn long_id(short: &str) -> String {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ012345";
    let suffix = short.as_bytes().chunks(5).map(|chunk| {
        let capitals = chunk.iter().enumerate().filter(|(_, byte)| byte.is_ascii_uppercase());
        char::from(ALPHABET[capitals.fold(0, |bits, (place, _)| bits | 1 << place)])
    });
    short.chars().chain(suffix).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_ids_are_those_of_the_vendor() {
        for (short, long) in [("001D000000IRFma", "001D000000IRFmaIAH"), ("00D300000000abc", "00D300000000abcEAA")] {
            assert_eq!(long_id(short), long);
        }
    }
}
