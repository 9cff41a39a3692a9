//! Contacts as the API takes and shows them.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use trunkline_base::E164;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::http::{PageQuery, Pagination};

/// Contacts to add.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewContacts {
    /// Whom to call.
    #[schema(min_items = 1, max_items = 5000)]
    pub(super) contacts: Vec<NewContact>,
}

/// Somebody to call.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewContact {
    /// The number, in E.164.
    #[schema(value_type = String, pattern = r"^\+[1-9][0-9]{1,14}$", example = "+14155550111")]
    pub(super) phone_number: E164,
    /// Where they are: a name such as `America/New_York`. Default: the zone of the number's country, if that has one alone; else the
    /// campaign's.
    #[schema(max_length = 64, pattern = "^[A-Za-z0-9_+/-]+$", example = "America/New_York")]
    pub(super) timezone: Option<String>,
    /// What is known of them: it fills the variables of the agent's texts. At most 16 KiB.
    #[serde(default)]
    #[schema(value_type = std::collections::BTreeMap<String, Value>, example = json!({ "customer_name": "John Doe" }))]
    pub(super) context: Map<String, Value>,
}

/// What became of contacts that were to be added.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(super) struct ImportedContacts {
    /// How many were added.
    #[schema(example = 1)]
    pub(super) added: i64,
    /// How many are in the campaign already, or came twice.
    #[schema(example = 0)]
    pub(super) duplicates: i64,
    /// How many have numbers on the do-not-call list.
    #[schema(example = 0)]
    pub(super) do_not_call: i64,
    /// How many rows are not good.
    #[schema(example = 1)]
    pub(super) invalid: i64,
    /// What is wrong with the first hundred of those.
    pub(super) errors: Vec<ImportError>,
}

/// A row that is not good.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ImportError {
    /// The line on which it begins, from 1.
    #[schema(value_type = i64, example = 3)]
    pub(super) line: u64,
    /// What is wrong.
    #[schema(example = "phone_number must be a number in E.164, such as +14155550100")]
    pub(super) message: String,
}

/// How far a contact is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum ContactStatus {
    /// It is to be called, again perhaps.
    Pending,
    /// It is being called.
    Calling,
    /// It has its final outcome.
    Done,
}

impl ContactStatus {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Calling => "calling",
            Self::Done => "done",
        }
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        [Self::Pending, Self::Calling, Self::Done].into_iter().find(|status| status.name() == name)
    }
}

/// Which contacts.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ContactQuery {
    /// Which page, from 1. Pages go 10,000 entries deep.
    #[serde(default = "first")]
    #[param(minimum = 1, maximum = 10_001, default = 1)]
    page: i64,
    /// How many entries a page.
    #[serde(default = "fifty")]
    #[param(minimum = 1, maximum = 100, default = 50)]
    limit: i64,
    /// Those alone that are so far.
    #[param(inline)]
    pub(super) status: Option<ContactStatus>,
}

const fn first() -> i64 {
    1
}

const fn fifty() -> i64 {
    50
}

impl ContactQuery {
    pub(super) const fn page(&self) -> PageQuery {
        PageQuery { page: self.page, limit: self.limit }
    }
}

/// Somebody whom a campaign calls.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Contact {
    /// Its id.
    pub(super) id: Uuid,
    /// The number.
    #[schema(example = "+14155550111")]
    pub(super) phone_number: String,
    /// Where they are; null: the campaign's zone.
    #[schema(example = "America/New_York")]
    pub(super) timezone: Option<String>,
    /// What is known of them.
    #[schema(value_type = Object, example = json!({ "customer_name": "John Doe" }))]
    pub(super) context: Value,
    /// How far it is.
    pub(super) status: ContactStatus,
    /// The final outcome, once it is done: `answered`, `voicemail`, `busy`, `no_answer`, `rejected`, `invalid_number`, `failed`,
    /// `canceled` or `do_not_call`.
    #[schema(example = "answered")]
    pub(super) outcome: Option<String>,
    /// Before when it is not called, while it is pending.
    pub(super) next_attempt_at: Option<DateTime<Utc>>,
    /// How it was tried to call it.
    pub(super) attempts: Vec<ContactAttempt>,
    /// When it was added.
    pub(super) created_at: DateTime<Utc>,
    /// When it had its outcome.
    pub(super) done_at: Option<DateTime<Utc>>,
}

/// One time that it was tried to call a contact.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ContactAttempt {
    /// Its number, from 1.
    #[schema(example = 1)]
    pub(super) number: i32,
    /// The call; null if it did not come to one.
    pub(super) conversation_id: Option<Uuid>,
    /// What came of it; null while it is under way. `not_placed`: the carrier was not asked, and it does not count.
    #[schema(example = "answered")]
    pub(super) outcome: Option<String>,
    /// Why no call was placed.
    #[schema(example = json!(null))]
    pub(super) error: Option<String>,
    /// When it began.
    pub(super) started_at: DateTime<Utc>,
    /// When it ended.
    pub(super) ended_at: Option<DateTime<Utc>>,
}

/// A page of contacts.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ContactList {
    pub(super) contacts: Vec<Contact>,
    pub(super) pagination: Pagination,
}
