//! What holds of all routes of the API alike: headers, how to be let in, and what any request may be refused with.

use trunkline_control::error::ErrorBody;
use utoipa::{
    ToSchema,
    openapi::{
        ContentBuilder, Header, HeaderBuilder, Object, OpenApi, Ref, RefOr, Response, ResponseBuilder, Schema, Type,
        path::{Operation, Parameter, PathItem},
        schema::SchemaType,
        security::SecurityRequirement,
    },
};

/// Headers of answers, and what they say.
const HEADERS: [(&str, &str, Type); 2] = [
    ("X-Request-Id", "The request's own id, or a new one: it finds the request in the service's log", Type::String),
    ("Retry-After", "Seconds to wait before trying again", Type::Integer),
];

/// What any request to the API may be answered.
const REFUSALS: [(&str, &str); 5] = [
    ("401", "The token or key is missing or no good"),
    ("403", "Not a member of the tenant, or the role may not do this"),
    ("408", "The request took too long"),
    ("500", "An error of the service; `details.request_id` finds it in its log"),
    ("503", "The service cannot take the request now"),
];

/// Completes every operation.
pub(super) fn complete(document: &mut OpenApi) {
    let headers = &mut document.components.get_or_insert_default().headers;
    for (name, about, kind) in HEADERS {
        let header: Header =
            HeaderBuilder::new().schema(Some(Object::with_type(kind))).description(Some(about)).build();
        headers.insert(name.to_owned(), header.into());
    }
    for (path, item) in &mut document.paths.paths {
        for (_, operation) in operations_mut(item) {
            for parameter in operation.parameters.iter_mut().flatten() {
                if let RefOr::T(parameter) = parameter
                    && let Some(RefOr::T(Schema::Object(schema))) = &mut parameter.schema
                {
                    never_null(schema);
                }
            }
            if path.starts_with("/v1/") && operation.security.is_some() {
                of_the_api(operation, path.contains('{'));
            }
            for (status, response) in &mut operation.responses.responses {
                if let RefOr::T(response) = response {
                    add_headers(status, response);
                }
            }
        }
    }
}

/// The operations of a path, by their methods.
pub(super) fn operations_mut(item: &mut PathItem) -> impl Iterator<Item = (&'static str, &mut Operation)> {
    let all = [
        ("get", &mut item.get),
        ("post", &mut item.post),
        ("put", &mut item.put),
        ("patch", &mut item.patch),
        ("delete", &mut item.delete),
    ];
    all.into_iter().filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

fn of_the_api(operation: &mut Operation, names_something: bool) {
    let [bearer, key] = ["bearer", "api_key"].map(|scheme| SecurityRequirement::new(scheme, [""; 0]));
    let ways = operation.security.get_or_insert_default();
    if ways.contains(&bearer) && !ways.contains(&key) {
        ways.push(key);
    }
    let responses = &mut operation.responses.responses;
    for (status, about) in REFUSALS {
        responses.entry(status.to_owned()).or_insert_with(|| refusal(about).into());
    }
    // The refusals that routes share say more than is true of one that names nothing. Filters that fit nothing are no error; whose
    // credential is to be used is no filter.
    let is_credential = |it: &RefOr<Parameter>| matches!(it, RefOr::T(it) if it.name == "credential_id");
    let by_credential = operation.parameters.iter().flatten().any(is_credential);
    if !names_something && !by_credential && operation.request_body.is_none() {
        responses.remove("404");
    }
}

/// A parameter is there or it is not: the text `null` is no null.
fn never_null(schema: &mut Object) {
    if let SchemaType::Array(kinds) = &mut schema.schema_type {
        kinds.retain(|kind| *kind != Type::Null);
        if let [kind] = kinds.as_slice() {
            schema.schema_type = SchemaType::Type(kind.clone());
        }
    }
}

fn refusal(about: &str) -> Response {
    let body = ContentBuilder::new().schema(Some(Ref::from_schema_name(ErrorBody::name()))).build();
    ResponseBuilder::new().description(about).content("application/json", body).build()
}

fn add_headers(status: &str, response: &mut Response) {
    let names: &[&str] = match status {
        "429" | "503" => &["X-Request-Id", "Retry-After"],
        _ => &["X-Request-Id"],
    };
    for name in names {
        let header = Ref::new(format!("#/components/headers/{name}"));
        response.headers.entry((*name).to_owned()).or_insert(RefOr::Ref(header));
    }
}
