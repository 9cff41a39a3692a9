//! The one description of all routes: the control plane's and those that reach into calls.
//!
//! Routes say what is theirs alone. What is the same for all of them ([`common`]: headers, refusals, how to be let in) and what
//! follows from the types ([`examples`]) is put in once, at the end, so that no route can forget it.

mod common;
pub mod docs;
mod examples;

use axum::{Json, Router};
use trunkline_control::Control;
use utoipa::{
    Modify, OpenApi,
    openapi::{
        OpenApi as Document,
        security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme},
    },
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::calls::Calls;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Trunkline",
        description = "A multi-tenant voice agent platform.\n\n\
            Every success has one envelope: `success`, `message`, `data` and `timestamp`. Every error has one body: `error_code` is for \
            programs, `message` for people, and `details` says more; for a request that is not valid, which fields and why.\n\n\
            A caller sees what is of its tenant. What is another's is answered as if it were not there.\n\n\
            A list is given a page at a time: `page` from 1, `limit` up to 100. Unknown query parameters are ignored, unknown keys of a \
            body are refused. Timestamps are UTC, ids are UUIDs.\n\n\
            Every answer carries `X-Request-Id`: the request's own, if that has 1 to 128 letters, digits or `-_.:`, else a new one.",
        license(name = "All rights reserved")
    ),
    servers((url = "/", description = "The server that gives this description")),
    modifiers(&Security),
    tags(
        (name = "integrations", description = "Vendors, credentials and installations"),
        (name = "voice-agents", description = "Who answers, and how"),
        (name = "phone-numbers", description = "Which number rings which agent"),
        (name = "conversations", description = "What was said, as it was heard"),
        (name = "analytics", description = "How calls went, by days"),
        (name = "usage", description = "What calls have used at their vendors"),
        (name = "voices", description = "What agents can sound like"),
        (name = "tenant", description = "The tenant itself, and its settings"),
        (name = "members", description = "Which users may enter the tenant, and as what"),
        (name = "api-keys", description = "How the tenant's own programs are known"),
        (name = "audit-log", description = "Who changed what"),
        (name = "live", description = "What happens in calls, while it happens"),
        (name = "outgoing-webhooks", description = "Telling the tenant's own systems of calls"),
        (name = "campaigns", description = "Calling many people, and those who are called no more"),
        (name = "jobs", description = "Work beside calls that gave up"),
        (name = "webhooks", description = "For carriers"),
        (name = "operations", description = "For operators"),
    )
)]
struct Trunkline;

struct Security;

impl Modify for Security {
    fn modify(&self, document: &mut Document) {
        let components = document.components.get_or_insert_default();
        let bearer = Http::builder()
            .scheme(HttpAuthScheme::Bearer)
            .bearer_format("JWT")
            .description(Some("A Supabase user's token, or a tenant's API key (`tlk_…`)"))
            .build();
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
        let key = ApiKeyValue::with_description("X-API-Key", "A tenant's API key (`tlk_…`)");
        components.add_security_scheme("api_key", SecurityScheme::ApiKey(ApiKey::Header(key)));
        let ticket =
            ApiKeyValue::with_description("ticket", "A ticket of `POST /v1/live/tickets`, for live streams alone");
        components.add_security_scheme("ticket", SecurityScheme::ApiKey(ApiKey::Query(ticket)));
    }
}

/// All routes.
pub(crate) fn routes(control: &Control, calls: &Calls) -> Router {
    Router::from(trunkline_control::router().with_state(control.clone()))
        .merge(Router::from(Calls::routes().with_state(calls.clone())))
        .merge(Router::from(own()))
        .merge(docs::routes())
}

/// The description of them.
pub fn document() -> Document {
    let mut document = Trunkline::openapi();
    document.merge(trunkline_control::router().to_openapi());
    document.merge(Calls::routes().to_openapi());
    document.merge(own().to_openapi());
    trunkline_control::http::describe(&mut document);
    common::complete(&mut document);
    examples::complete(&mut document);
    document
}

fn own() -> OpenApiRouter {
    OpenApiRouter::new().routes(routes!(describe))
}

/// Read this description
#[utoipa::path(
    get, path = "/openapi.json", tag = "operations", operation_id = "read_description",
    responses((status = 200, description = "OpenAPI 3.1", body = serde_json::Value, content_type = "application/json"))
)]
async fn describe() -> Json<&'static Document> {
    static DOCUMENT: std::sync::LazyLock<Document> = std::sync::LazyLock::new(document);
    Json(&DOCUMENT)
}
