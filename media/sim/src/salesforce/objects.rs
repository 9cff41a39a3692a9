//! The objects an organization has, and what their fields may hold.

use serde_json::{Value, json};

use super::{config::CustomField, error::ApiError};

/// What a field may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Text of so many characters at most.
    Text(usize),
    /// Text that is a telephone number in any form; searches look into it.
    Phone,
    /// Text that is an address; searches look into it.
    Email,
    /// `YYYY-MM-DD`.
    Date,
    Whole,
    Flag,
    /// Another record's id.
    Reference,
    /// One of these, and nothing else.
    OneOf(&'static [&'static str]),
}

/// When a field may be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Write {
    Required,
    Always,
    /// When the record is made.
    Once,
    /// By the vendor alone.
    Never,
}

#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    write: Write,
}

#[derive(Debug)]
pub(super) struct Object {
    pub(super) name: &'static str,
    /// What its records' ids begin with.
    pub(super) prefix: &'static str,
    fields: &'static [Field],
}

const fn field(name: &'static str, kind: Kind, write: Write) -> Field {
    Field { name, kind, write }
}

const fn any(name: &'static str, kind: Kind) -> Field {
    field(name, kind, Write::Always)
}

/// The fields of every object.
const COMMON: &[Field] = &[
    field("Id", Kind::Reference, Write::Never),
    field("CreatedDate", Kind::Text(40), Write::Never),
    field("LastModifiedDate", Kind::Text(40), Write::Never),
    field("IsDeleted", Kind::Flag, Write::Never),
    any("OwnerId", Kind::Reference),
    any("Description", Kind::Text(32_000)),
];

const OBJECTS: [Object; 5] = [
    Object {
        name: "Contact",
        prefix: "003",
        fields: &[
            field("LastName", Kind::Text(80), Write::Required),
            any("FirstName", Kind::Text(40)),
            field("Name", Kind::Text(121), Write::Never),
            any("Email", Kind::Email),
            any("Phone", Kind::Phone),
            any("MobilePhone", Kind::Phone),
            any("HomePhone", Kind::Phone),
            any("OtherPhone", Kind::Phone),
            any("AssistantPhone", Kind::Phone),
            any("Fax", Kind::Phone),
            any("Title", Kind::Text(128)),
            any("AccountId", Kind::Reference),
        ],
    },
    Object {
        name: "Lead",
        prefix: "00Q",
        fields: &[
            field("LastName", Kind::Text(80), Write::Required),
            field("Company", Kind::Text(255), Write::Required),
            any("FirstName", Kind::Text(40)),
            field("Name", Kind::Text(121), Write::Never),
            any("Email", Kind::Email),
            any("Phone", Kind::Phone),
            any("MobilePhone", Kind::Phone),
            any("Fax", Kind::Phone),
            any("Title", Kind::Text(128)),
            any("LeadSource", Kind::Text(255)),
            any(
                "Status",
                Kind::OneOf(&[
                    "Open - Not Contacted",
                    "Working - Contacted",
                    "Closed - Converted",
                    "Closed - Not Converted",
                ]),
            ),
            field("IsConverted", Kind::Flag, Write::Never),
        ],
    },
    Object {
        name: "Account",
        prefix: "001",
        fields: &[
            field("Name", Kind::Text(255), Write::Required),
            any("Phone", Kind::Phone),
            any("Fax", Kind::Phone),
            any("Website", Kind::Text(255)),
            any("Industry", Kind::Text(255)),
        ],
    },
    Object {
        name: "Task",
        prefix: "00T",
        fields: &[
            any("Subject", Kind::Text(255)),
            any(
                "Status",
                Kind::OneOf(&["Not Started", "In Progress", "Completed", "Waiting on someone else", "Deferred"]),
            ),
            any("Priority", Kind::OneOf(&["High", "Normal", "Low"])),
            field("TaskSubtype", Kind::OneOf(&["Task", "Email", "Call"]), Write::Once),
            any("ActivityDate", Kind::Date),
            any("WhoId", Kind::Reference),
            any("WhatId", Kind::Reference),
            any("CallType", Kind::OneOf(&["Inbound", "Outbound", "Internal"])),
            any("CallDurationInSeconds", Kind::Whole),
            any("CallDisposition", Kind::Text(255)),
            any("CallObject", Kind::Text(255)),
            field("IsClosed", Kind::Flag, Write::Never),
        ],
    },
    Object {
        name: "Case",
        prefix: "500",
        fields: &[
            any("Subject", Kind::Text(255)),
            any("Status", Kind::OneOf(&["New", "Working", "Escalated", "Closed"])),
            any("Priority", Kind::OneOf(&["High", "Medium", "Low"])),
            any("Origin", Kind::Text(255)),
            any("ContactId", Kind::Reference),
            any("AccountId", Kind::Reference),
            any("SuppliedPhone", Kind::Phone),
        ],
    },
];

/// Looks up an object by its name.
pub(super) fn object(name: &str) -> Result<&'static Object, ApiError> {
    let found = OBJECTS.iter().find(|object| object.name.eq_ignore_ascii_case(name));
    found.ok_or_else(|| ApiError::new(404, "NOT_FOUND", "The requested resource does not exist"))
}

/// The names of all objects.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    OBJECTS.iter().map(|object| object.name)
}

/// Whose records' ids begin with this.
pub(super) fn object_of(id: &str) -> Option<&'static Object> {
    OBJECTS.iter().find(|object| id.starts_with(object.prefix))
}

impl Object {
    pub(super) fn fields(&self) -> impl Iterator<Item = &'static Field> {
        COMMON.iter().chain(self.fields)
    }

    fn field(&self, name: &str) -> Option<&'static Field> {
        self.fields().find(|field| field.name.eq_ignore_ascii_case(name))
    }

    /// How a field's name is spelt, whatever its case.
    pub(super) fn spelling<'a>(&self, name: &'a str, custom: &'a [CustomField]) -> Result<&'a str, ApiError> {
        let own = || custom.iter().find(|field| field.object == self.name && field.name.eq_ignore_ascii_case(name));
        let known = self.field(name).map(|field| field.name).or_else(|| own().map(|field| field.name.as_str()));
        known.ok_or_else(|| {
            ApiError::bad("INVALID_FIELD", format!("No such column '{name}' on sobject of type {}", self.name))
        })
    }

    /// Checks a value that is written to a field; `creates`: to a new record's.
    pub(super) fn check(&self, name: &str, value: &Value, creates: bool) -> Result<(), ApiError> {
        let Some(field) = self.field(name) else { return Ok(()) };
        if field.write == Write::Never || field.write == Write::Once && !creates {
            let message = format!(
                "Unable to create/update fields: {name}. Please check the security settings of this field and verify that it is \
                 read/write for your profile or permission set."
            );
            return Err(ApiError::of_field("INVALID_FIELD_FOR_INSERT_UPDATE", message, name));
        }
        if value.is_null() {
            return Ok(());
        }
        field.kind.check(name, value)
    }

    /// Checks that a record has what it must have.
    pub(super) fn check_required(&self, has: impl Fn(&str) -> bool) -> Result<(), ApiError> {
        let missing = self.fields().find(|field| field.write == Write::Required && !has(field.name));
        missing.map_or(Ok(()), |field| {
            let message = format!("Required fields are missing: [{}]", field.name);
            Err(ApiError::of_field("REQUIRED_FIELD_MISSING", message, field.name))
        })
    }

    /// What `describe` tells of it.
    pub(super) fn describe(&self, base: &str, custom: &[CustomField]) -> Value {
        let fields = self.fields().map(|field| {
            let values = if let Kind::OneOf(values) = field.kind { values } else { &[] };
            let values: Vec<_> =
                values.iter().map(|value| json!({"value": value, "label": value, "active": true})).collect();
            json!({
                "name": field.name,
                "label": field.name,
                "type": field.kind.name(),
                "length": if let Kind::Text(length) = field.kind { length } else { 0 },
                "createable": field.write != Write::Never,
                "updateable": matches!(field.write, Write::Always | Write::Required),
                "nillable": field.write != Write::Required,
                "restrictedPicklist": !values.is_empty(),
                "picklistValues": values,
                "externalId": false,
                "custom": false,
            })
        });
        let own = custom.iter().filter(|field| field.object == self.name).map(|field| {
            json!({
                "name": field.name, "label": field.name, "type": "string", "length": 255, "createable": true, "updateable": true,
                "nillable": true, "restrictedPicklist": false, "picklistValues": [], "externalId": field.external_id, "custom": true,
            })
        });
        json!({
            "name": self.name,
            "label": self.name,
            "keyPrefix": self.prefix,
            "createable": true,
            "updateable": true,
            "deletable": true,
            "queryable": true,
            "searchable": true,
            "urls": {"sobject": format!("{base}/sobjects/{}", self.name)},
            "fields": fields.chain(own).collect::<Vec<_>>(),
        })
    }
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Text(length) if length > 255 => "textarea",
            Self::Text(_) => "string",
            Self::Phone => "phone",
            Self::Email => "email",
            Self::Date => "date",
            Self::Whole => "int",
            Self::Flag => "boolean",
            Self::Reference => "reference",
            Self::OneOf(_) => "picklist",
        }
    }

    fn check(self, name: &str, value: &Value) -> Result<(), ApiError> {
        let wrong = || {
            ApiError::bad("JSON_PARSER_ERROR", format!("Cannot deserialize instance of {} from {value}", self.name()))
        };
        let most = match self {
            Self::Whole => return if value.is_i64() { Ok(()) } else { Err(wrong()) },
            Self::Flag => return if value.is_boolean() { Ok(()) } else { Err(wrong()) },
            Self::Text(most) => most,
            Self::Phone => 40,
            Self::Email => 80,
            Self::Date | Self::Reference | Self::OneOf(_) => 255,
        };
        let text = value.as_str().ok_or_else(wrong)?;
        if text.chars().count() > most {
            let message = format!("{name}: data value too large: (max length={most})");
            return Err(ApiError::of_field("STRING_TOO_LONG", message, name));
        }
        match self {
            Self::Email if !text.contains('@') => {
                Err(ApiError::of_field("INVALID_EMAIL_ADDRESS", format!("{name}: invalid email address: {text}"), name))
            }
            Self::Date if !is_date(text) => Err(wrong()),
            Self::Reference if !matches!(text.len(), 15 | 18) => {
                Err(ApiError::of_field("MALFORMED_ID", format!("{name}: id value of incorrect type: {text}"), name))
            }
            Self::OneOf(values) if !values.contains(&text) => {
                let message = format!("{name}: bad value for restricted picklist field: {text}");
                Err(ApiError::of_field("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", message, name))
            }
            _ => Ok(()),
        }
    }
}

fn is_date(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let digits = |part: &str, length: usize| part.len() == length && part.bytes().all(|byte| byte.is_ascii_digit());
    let inside = |part: &str, most: u32| part.parse().is_ok_and(|number: u32| (1..=most).contains(&number));
    matches!(parts[..], [year, month, day] if digits(year, 4) && digits(month, 2) && digits(day, 2) && inside(month, 12) && inside(day, 31))
}
