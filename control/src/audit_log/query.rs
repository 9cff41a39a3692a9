//! Which entries a page of the log shows.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::{check::Checker, conversations::moment, error::ApiError};

/// The filters as they are written. An empty one counts as absent.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct LogQuery {
    /// Only what this one did: `user:<id>` or `key:<id>`.
    #[param(max_length = 100)]
    actor: Option<String>,
    /// Only this, such as `agent.changed`.
    #[param(max_length = 100)]
    action: Option<String>,
    /// Only what was done to this kind of thing, such as `agent`.
    #[param(max_length = 100)]
    target_kind: Option<String>,
    /// From this on: a date is the whole UTC day, an instant is RFC 3339.
    date_from: Option<String>,
    /// Up to and with this: a date is the whole UTC day, an instant is RFC 3339.
    date_to: Option<String>,
}

/// The filters, understood.
#[derive(Debug, Default)]
pub(super) struct Filter {
    pub(super) actor: Option<String>,
    pub(super) action: Option<String>,
    pub(super) target_kind: Option<String>,
    pub(super) from: Option<DateTime<Utc>>,
    /// Exclusive.
    pub(super) until: Option<DateTime<Utc>>,
}

impl TryFrom<LogQuery> for Filter {
    type Error = ApiError;

    fn try_from(query: LogQuery) -> Result<Self, ApiError> {
        let given = |value: Option<String>| value.filter(|value| !value.is_empty());
        let (actor, action) = (given(query.actor), given(query.action));
        let target_kind = given(query.target_kind);
        let mut check = Checker::default();
        for (key, value) in [("actor", &actor), ("action", &action), ("target_kind", &target_kind)] {
            check.optional_text(key, value.as_deref(), 1..=100);
            let clean = value.as_deref().is_none_or(|value| !value.contains('\0'));
            check.require(key, clean, "must not have the character U+0000");
        }
        let from = given(query.date_from).map(|date| moment(&date));
        let until = given(query.date_to).map(|date| moment(&date));
        let wrong = "must be a date such as 2026-01-31 or an RFC 3339 instant";
        check.require("date_from", from != Some(None), wrong);
        check.require("date_to", until != Some(None), wrong);
        check.finish().map_err(|errors| ApiError::validation(&errors))?;
        Ok(Self {
            actor,
            action,
            target_kind,
            from: from.flatten().map(|(first, _)| first),
            until: until.flatten().map(|(_, end)| end),
        })
    }
}
