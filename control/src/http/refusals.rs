//! What requests may be refused with, for the description of the API.

use std::collections::BTreeMap;

use utoipa::{
    IntoResponses, ToSchema,
    openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder},
};

use crate::error::ErrorBody;

/// Of a request that only reads.
#[derive(Debug)]
pub struct ReadRefusals;

/// Of a request that has a body, or changes something.
#[derive(Debug)]
pub struct WriteRefusals;

const READ: [(&str, &str); 7] = [
    ("401", "The token is missing or no good"),
    ("403", "Not a member of the tenant, or the role may not do this"),
    ("404", "Not there, or another tenant's"),
    ("408", "The request took too long"),
    ("422", "A parameter is not what it must be"),
    ("500", "An error of the service; `details.request_id` finds it in its log"),
    ("503", "The service cannot take the request now"),
];

const WRITE: [(&str, &str); 10] = [
    ("400", "The body is not JSON"),
    ("401", "The token is missing or no good"),
    ("403", "Not a member of the tenant, or the role may not do this"),
    ("404", "Not there, or another tenant's"),
    ("408", "The request took too long"),
    ("413", "The body is too large"),
    ("415", "The body claims to be something other than JSON"),
    ("422", "`details.fields` says which fields are not what they must be"),
    ("500", "An error of the service; `details.request_id` finds it in its log"),
    ("503", "The service cannot take the request now"),
];

impl IntoResponses for ReadRefusals {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        responses(&READ)
    }
}

impl IntoResponses for WriteRefusals {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        responses(&WRITE)
    }
}

fn responses(refusals: &[(&str, &str)]) -> BTreeMap<String, RefOr<Response>> {
    let body = || ContentBuilder::new().schema(Some(Ref::from_schema_name(ErrorBody::name()))).build();
    let response = |what: &str| ResponseBuilder::new().description(what).content("application/json", body()).build();
    refusals.iter().map(|(status, what)| ((*status).to_owned(), response(what).into())).collect()
}
