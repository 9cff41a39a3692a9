//! Lists, a page at a time.

use axum::{
    extract::{FromRequestParts, Query},
    http::request::Parts,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use utoipa::{IntoParams, ToSchema};

use crate::{check::Checker, error::ApiError};

/// `page` and `limit` as they are written.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// Which page, from 1. Pages go 10,000 entries deep.
    #[serde(default = "first")]
    #[param(minimum = 1, maximum = 10_001, default = 1)]
    pub page: i64,
    /// How many entries a page.
    #[serde(default = "fifty")]
    #[param(minimum = 1, maximum = 100, default = 50)]
    pub limit: i64,
}

const fn first() -> i64 {
    1
}

const fn fifty() -> i64 {
    50
}

/// How far into a list pages go.
const DEEPEST: i64 = 10_000;

/// A page that may be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// Which, from 1.
    pub page: i64,
    /// Entries a page, 1 to 100.
    pub limit: i64,
}

impl Page {
    /// Entries before this page.
    pub const fn offset(&self) -> i64 {
        (self.page - 1) * self.limit
    }
}

impl TryFrom<&PageQuery> for Page {
    type Error = ApiError;

    fn try_from(query: &PageQuery) -> Result<Self, ApiError> {
        let mut check = Checker::default();
        check.range("limit", query.limit, 1..=100);
        check.require("page", query.page >= 1, "must be at least 1");
        let deep = query.page.saturating_sub(1).saturating_mul(query.limit) > DEEPEST;
        check.require(
            "page",
            !deep,
            format!("pages beyond the first {DEEPEST} entries are not given: narrow the dates"),
        );
        check.finish().map_err(|errors| ApiError::validation(&errors))?;
        Ok(Self { page: query.page, limit: query.limit })
    }
}

/// Where in a list an answer is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Pagination {
    /// Which page, from 1.
    pub page: i64,
    /// Entries a page.
    #[schema(example = 50)]
    pub limit: i64,
    /// Entries in all.
    pub total: i64,
    /// Pages in all.
    pub total_pages: i64,
    /// Present, and true, where there are more entries than `total` says.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub total_is_lower_bound: bool,
}

impl Pagination {
    /// Of a list with so many entries.
    pub const fn new(page: Page, total: i64) -> Self {
        let total_pages = (total + page.limit - 1) / page.limit;
        Self { page: page.page, limit: page.limit, total, total_pages, total_is_lower_bound: false }
    }
}

/// Query parameters, refused with 422 in the contract's words. Unknown ones are ignored.
#[derive(Debug)]
pub struct Params<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        // The character NUL is no part of any text that the database keeps.
        if parts.uri.query().is_some_and(|query| query.contains("%00")) {
            return Err(ApiError::field("query", "must not have the character U+0000"));
        }
        let query = Query::<T>::from_request_parts(parts, state).await;
        query.map(|Query(params)| Self(params)).map_err(|rejection| ApiError::field("query", rejection.body_text()))
    }
}
