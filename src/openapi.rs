//! The one description of all routes: the control plane's and those that reach into calls.

use axum::Router;
use trunkline_control::Control;
use utoipa::{
    Modify, OpenApi,
    openapi::{
        OpenApi as Document,
        security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme},
    },
};
use utoipa_axum::router::OpenApiRouter;

use crate::calls::Calls;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Trunkline",
        description = "A multi-tenant voice agent platform. Every error has the same body; `error_code` is for programs."
    ),
    modifiers(&Security),
    tags(
        (name = "integrations", description = "Vendors, credentials and installations"),
        (name = "voice-agents", description = "Who answers, and how"),
        (name = "phone-numbers", description = "Which number rings which agent"),
        (name = "conversations", description = "What was said, as it was heard"),
        (name = "tenant", description = "The tenant itself, and its settings"),
        (name = "members", description = "Which users may enter the tenant, and as what"),
        (name = "api-keys", description = "How the tenant's own programs are known"),
        (name = "audit-log", description = "Who changed what"),
        (name = "live", description = "What happens in calls, while it happens"),
        (name = "webhooks", description = "For carriers"),
        (name = "operations", description = "For operators"),
    )
)]
struct Trunkline;

struct Security;

impl Modify for Security {
    fn modify(&self, document: &mut Document) {
        let bearer = Http::builder()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("A Supabase user's token (JWT), or one of the tenant's API keys (`tlk_…`), which may also be sent as `X-API-Key`"))
            .build();
        let ticket =
            ApiKeyValue::with_description("ticket", "A ticket of `POST /v1/live/tickets`, for live streams alone");
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
        components.add_security_scheme("ticket", SecurityScheme::ApiKey(ApiKey::Query(ticket)));
    }
}

/// All routes, and their description.
pub(crate) fn merged(control: &Control, calls: &Calls) -> (Router, Document) {
    OpenApiRouter::with_openapi(Trunkline::openapi())
        .merge(trunkline_control::router().with_state(control.clone()))
        .merge(Calls::routes().with_state(calls.clone()))
        .split_for_parts()
}

/// The description alone.
pub fn document() -> Document {
    let mut document = Trunkline::openapi();
    document.merge(trunkline_control::router().to_openapi());
    document.merge(Calls::routes().to_openapi());
    document
}
