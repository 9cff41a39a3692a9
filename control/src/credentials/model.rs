//! Credentials as the API takes and shows them.

use std::{collections::BTreeMap, str::FromStr};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize};
use trunkline_base::Secret;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{CredentialType, probe::Tested};
use crate::{
    http::Pagination,
    tenant::TenantId,
    vendors::{Provider, VendorError, VendorErrorKind},
};

/// A credential to keep.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "integration_id": "01900000-0000-7000-8000-000000000001", "credential_name": "Our OpenAI key", "credential_type": "api_key",
    "credentials": { "api_key": "sk-…" }
}))]
pub(super) struct NewCredential {
    /// For which integration of the catalogue.
    pub(super) integration_id: Uuid,
    /// What people call it. Two may have the same name.
    #[schema(min_length = 1, max_length = 100)]
    pub(super) credential_name: String,
    /// Of which type; the catalogue says which an integration has.
    pub(super) credential_type: CredentialType,
    /// The fields, as the catalogue's schema says. They go in and never come out.
    #[serde(deserialize_with = "secrets")]
    #[schema(value_type = BTreeMap<String, String>, write_only)]
    pub(super) credentials: BTreeMap<String, Secret>,
}

/// What to change about a credential.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "credential_name": "Our OpenAI key", "credentials": { "api_key": "sk-…" } }))]
pub(super) struct CredentialPatch {
    /// Another name.
    #[schema(min_length = 1, max_length = 100)]
    pub(super) credential_name: Option<String>,
    /// Other fields, instead of all that there were.
    #[serde(default, deserialize_with = "optional_secrets")]
    #[schema(value_type = Option<BTreeMap<String, String>>, write_only)]
    pub(super) credentials: Option<BTreeMap<String, Secret>>,
}

/// What is not the right shape may be a secret in the wrong place, and is not quoted.
fn secrets<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, Secret>, D::Error> {
    optional_secrets(deserializer)?.ok_or_else(not_secrets)
}

fn optional_secrets<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<BTreeMap<String, Secret>>, D::Error> {
    Option::deserialize(deserializer).map_err(|_| not_secrets())
}

fn not_secrets<E: serde::de::Error>() -> E {
    E::custom("must be an object whose values are texts")
}

/// A credential was kept.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CreatedCredential {
    /// Its id.
    pub(super) credential_id: Uuid,
    /// Always `created`.
    pub(super) status: CreatedStatus,
    /// Always `not_tested`.
    pub(super) last_test_status: TestStatus,
}

/// What became of a request for something new.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum CreatedStatus {
    /// It is there.
    Created,
}

/// What came of a credential's last test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TestStatus {
    /// There was none since its fields were set.
    NotTested,
    /// The vendor took it.
    Success,
    /// The vendor did not.
    Failed,
}

impl TestStatus {
    /// The name in the database and in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotTested => "not_tested",
            Self::Success => "success",
            Self::Failed => "failed",
        }
    }
}

impl FromStr for TestStatus {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        [Self::NotTested, Self::Success, Self::Failed].into_iter().find(|status| status.name() == name).ok_or(())
    }
}

/// A credential, without what is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Credential {
    /// Its id.
    pub id: Uuid,
    /// Whose.
    #[schema(value_type = Uuid)]
    pub tenant_id: TenantId,
    /// For which integration of the catalogue.
    pub integration_id: Uuid,
    /// That integration's provider.
    pub provider: Provider,
    /// What people call it.
    #[schema(example = "Our OpenAI key")]
    pub credential_name: String,
    /// Of which type.
    pub credential_type: CredentialType,
    /// Which fields are set, in order; their values never leave the service.
    #[schema(example = json!(["api_key"]))]
    pub fields_set: Vec<String>,
    /// What came of its last test.
    pub last_test_status: TestStatus,
    /// Why that failed.
    #[schema(example = json!(null))]
    pub last_test_error: Option<String>,
    /// When that was.
    pub last_tested_at: Option<DateTime<Utc>>,
    /// When it ends, where that is known.
    pub expires_at: Option<DateTime<Utc>>,
    /// Counts changes, from 1.
    pub version: i32,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

/// A page of credentials, the newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CredentialList {
    pub(super) credentials: Vec<Credential>,
    pub(super) pagination: Pagination,
}

/// Which credential to test.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TestRequest {
    /// Its id.
    pub(super) credential_id: Uuid,
}

/// What came of a test.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TestReport {
    /// Whether the vendor takes the credential.
    status: TestOutcome,
    /// Milliseconds until that was known.
    response_time_ms: u64,
    /// Why it failed; null if it did not.
    error_details: Option<TestFailure>,
}

/// Whether a test succeeded.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum TestOutcome {
    /// The vendor takes the credential.
    Success,
    /// It doesn't, or nobody could be asked.
    Failed,
}

/// Why a test failed.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TestFailure {
    /// For programs.
    kind: VendorErrorKind,
    /// For people: what is wrong and what to do.
    explanation: String,
    /// Whose service it is.
    vendor: Provider,
    /// The HTTP status that the vendor answered with, if it did.
    status: Option<u16>,
    /// The vendor's own code, if it gave one.
    code: Option<String>,
}

impl From<Tested> for TestReport {
    fn from(tested: Tested) -> Self {
        let (status, error_details) = match tested.outcome {
            Ok(()) => (TestOutcome::Success, None),
            Err(error) => (TestOutcome::Failed, Some(error.into())),
        };
        let response_time_ms = u64::try_from(tested.response_time.as_millis()).unwrap_or(u64::MAX);
        Self { status, response_time_ms, error_details }
    }
}

impl From<VendorError> for TestFailure {
    fn from(error: VendorError) -> Self {
        let VendorError { provider, kind, explanation, status, code } = error;
        Self { kind, explanation, vendor: provider, status, code }
    }
}
