//! What the layers do, in the description of the API: routes need not say it, and cannot forget to.

use axum::http::Method;
use utoipa::{
    ToSchema,
    openapi::{
        ContentBuilder, ObjectBuilder, OpenApi, Ref, Response, ResponseBuilder, Type,
        header::HeaderBuilder,
        path::{Operation, Parameter, ParameterBuilder, ParameterIn, PathItem},
    },
};

use super::gate::is_api;
use crate::{error::ErrorBody, idempotency};

/// What is refused before a handler sees it.
const REFUSALS: [(&str, &str); 3] = [
    ("406", "`Accept` allows nothing that there is"),
    ("414", "The path and query are too long"),
    ("431", "The headers are too large"),
];

/// Adds what every request to the API may be refused with, and the key that a POST may have. To be done last.
pub fn describe(api: &mut OpenApi) {
    for (route, item) in api.paths.paths.iter_mut().filter(|(route, _)| is_api(route)) {
        for (method, operation) in operations(item) {
            let mut refuse = |status: &str, response: Response| {
                operation.responses.responses.entry(status.to_owned()).or_insert_with(|| response.into());
            };
            for (status, what) in REFUSALS {
                refuse(status, refusal(what).build());
            }
            refuse("429", too_many());
            if idempotency::keeps(&method, route) {
                refuse(
                    "409",
                    refusal("The Idempotency-Key is another request's, or its first request still runs").build(),
                );
                let parameters = operation.parameters.get_or_insert_default();
                parameters.push(key().into());
            }
        }
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (Method, &mut Operation)> {
    let all = [
        (Method::GET, &mut item.get),
        (Method::POST, &mut item.post),
        (Method::PUT, &mut item.put),
        (Method::PATCH, &mut item.patch),
        (Method::DELETE, &mut item.delete),
    ];
    all.into_iter().filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

fn refusal(what: &str) -> ResponseBuilder {
    let body = ContentBuilder::new().schema(Some(Ref::from_schema_name(ErrorBody::name()))).build();
    ResponseBuilder::new().description(what).content("application/json", body)
}

fn too_many() -> Response {
    let what = "RATE_LIMITED: more requests in a minute than the tenant, or an address nobody is known at, may make";
    let headers = [
        ("Retry-After", "Seconds until the next request may come"),
        ("RateLimit-Limit", "Requests a minute"),
        ("RateLimit-Remaining", "How many more may come at once"),
        ("RateLimit-Reset", "Seconds until all of them may come at once again"),
    ];
    headers
        .into_iter()
        .fold(refusal(what), |response, (name, what)| {
            let number = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0)).build();
            response.header(name, HeaderBuilder::new().schema(Some(number)).description(Some(what)).build())
        })
        .build()
}

fn key() -> Parameter {
    let schema = ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length(Some(1))
        .max_length(Some(idempotency::LONGEST))
        .pattern(Some("^[!-~]([ -~]*[!-~])?$"));
    let what = "The same key and request within 24 hours is done once, and answered as the first time with \
        `Idempotent-Replayed: true`. Another request with the key is refused, and so is one while the first still runs.";
    ParameterBuilder::new()
        .name("Idempotency-Key")
        .parameter_in(ParameterIn::Header)
        .description(Some(what))
        .required(utoipa::openapi::Required::False)
        .schema(Some(schema.build()))
        .build()
}
