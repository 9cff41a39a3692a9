//! Whom a campaign calls.

mod csv;
mod model;
mod store;

use axum::{
    extract::{FromRequest, Request, State},
    http::{StatusCode, header},
};
use chrono_tz::Tz;
use futures_util::StreamExt;
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;
use trunkline_base::E164;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use self::{
    csv::{Row, Unreadable, Upload},
    model::{ContactList, ContactQuery, ImportError, ImportedContacts, NewContacts},
};
use super::{missing, zones};
use crate::{
    Control, audit_log,
    auth::{Allowed, Member, Viewer},
    check::Checker,
    db::DbError,
    error::{ApiError, ErrorCode},
    http::{Body, Envelope, Page, Pagination, Params, PathId, ReadRefusals, Reply, WriteRefusals},
    tenant::TenantId,
};

/// The largest file, in bytes: some hundred thousand contacts. It is never in memory as a whole, as other bodies are.
const LARGEST_FILE: usize = 16 * 1024 * 1024;
/// The largest context of a contact, in bytes of JSON: as large as that of a call that is asked for.
const LARGEST_CONTEXT: usize = 16 * 1024;
/// How many contacts are taken as JSON at once.
const MOST: usize = 5000;
/// How many bad rows are told of.
const ERRORS: usize = 100;

pub(super) fn router() -> OpenApiRouter<Control> {
    OpenApiRouter::new().routes(routes!(add, list))
}

/// Somebody to be called.
#[derive(Debug, Clone, PartialEq)]
struct ImportContact {
    phone_number: E164,
    /// Empty: that of the campaign.
    timezone: String,
    context: Map<String, Value>,
}

/// A text is not the name of a time zone.
#[derive(Debug, thiserror::Error)]
#[error("must be a time zone's name, such as America/New_York")]
struct NoZone;

impl ImportContact {
    /// With its own zone, or that of its number's country, or none.
    fn new(phone_number: E164, timezone: Option<&str>, context: Map<String, Value>) -> Result<Self, NoZone> {
        let zone = match timezone {
            Some(name) => Some(name.parse::<Tz>().map_err(|_| NoZone)?),
            None => zones::of_number(&phone_number),
        };
        Ok(Self { phone_number, timezone: zone.map(|zone| zone.name().to_owned()).unwrap_or_default(), context })
    }
}

/// Add contacts to a campaign
///
/// As JSON, or as a CSV file of up to 16 MiB in UTF-8 (`text/csv`). Its first line names the columns: `phone_number` in E.164, perhaps
/// `timezone`, and others that become the contact's variables. Rows that are not good are left out and told of, the first hundred by
/// their line. Who is in the campaign already is left out, and so are numbers on the do-not-call list. A file that was cut off can be
/// sent again.
#[utoipa::path(
    post, path = "/v1/campaigns/{id}/contacts", tag = "campaigns", operation_id = "add_campaign_contacts", security(("bearer" = [])),
    params(("id" = Uuid, Path)),
    request_body(content(
        (NewContacts = "application/json"),
        (String = "text/csv", example = "phone_number,timezone,customer_name\n+14155550111,America/New_York,John Doe\n"),
    )),
    responses((status = 200, description = "What was added, and what was not", body = Envelope<ImportedContacts>), WriteRefusals)
)]
async fn add(
    caller: Allowed<Member>,
    State(control): State<Control>,
    id: PathId,
    request: Request,
) -> Result<Reply<ImportedContacts>, ApiError> {
    let tenant = caller.tenant;
    let id = id.or(ErrorCode::NotFound)?;
    let mut tx = control.db.begin(tenant).await?;
    super::store::get(&mut tx, tenant, id).await?.ok_or_else(missing)?;
    drop(tx);
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let is_csv = kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("text/csv");
    let imported = if is_csv {
        add_file(&control, tenant, id, request.into_body()).await?
    } else {
        let body = Body::<NewContacts>::from_request(request, &()).await;
        let Body(new) = body.map_err(|error| match error.code {
            ErrorCode::UnsupportedMediaType => {
                ApiError::new(error.code, "The body must be application/json or text/csv")
            }
            _ => error,
        })?;
        let mut imported = ImportedContacts::default();
        store_batch(&control, tenant, id, &checked(new)?, &mut imported).await?;
        imported
    };
    let mut tx = control.db.begin(tenant).await?;
    audit_log::note(&mut tx, &caller, "campaign.contacts_added", id, json!({ "added": imported.added })).await?;
    tx.commit().await?;
    Ok(Reply::ok("Contacts added", imported))
}

/// All of what JSON has is good, or nothing is taken.
fn checked(new: NewContacts) -> Result<Vec<ImportContact>, ApiError> {
    let mut check = Checker::default();
    check.require(
        "contacts",
        (1..=MOST).contains(&new.contacts.len()),
        format!("must have between 1 and {MOST} entries"),
    );
    let mut contacts = Vec::new();
    check.each("contacts", &new.contacts, |check, contact| {
        let size = serde_json::to_string(&contact.context).map_or(0, |text| text.len());
        check.require("context", size <= LARGEST_CONTEXT, format!("must have at most {LARGEST_CONTEXT} bytes of JSON"));
        let context = contact.context.clone();
        match ImportContact::new(contact.phone_number.clone(), contact.timezone.as_deref(), context) {
            Ok(contact) => contacts.push(contact),
            Err(error) => check.require("timezone", false, error.to_string()),
        }
    });
    check.finish().map_err(|errors| ApiError::validation(&errors))?;
    Ok(contacts)
}

/// Takes a file as it comes: what is read of it is stored before the rest is there, some hundred rows a transaction.
async fn add_file(
    control: &Control,
    tenant: TenantId,
    id: Uuid,
    body: axum::body::Body,
) -> Result<ImportedContacts, ApiError> {
    let (feed, chunks) = mpsc::channel(4);
    let (hand_on, mut batches) = mpsc::channel::<Vec<Row>>(1);
    let reading =
        tokio::task::spawn_blocking(move || csv::read(Upload::of(chunks), |rows| hand_on.blocking_send(rows).is_ok()));
    let feeding = async move {
        let mut stream = body.into_data_stream();
        let mut size = 0;
        while let Some(chunk) = stream.next().await {
            let refused = match chunk {
                Ok(chunk) => {
                    size += chunk.len();
                    if size <= LARGEST_FILE {
                        if feed.send(Ok(chunk)).await.is_err() {
                            return Ok(());
                        }
                        continue;
                    }
                    ApiError::new(ErrorCode::PayloadTooLarge, "The file is too large")
                }
                Err(_) => ApiError::new(ErrorCode::ValidationError, "The body could not be read")
                    .status(StatusCode::BAD_REQUEST),
            };
            // The end of what came is not the end of the file.
            let _ = feed.send(Err(std::io::ErrorKind::UnexpectedEof.into())).await;
            return Err(refused);
        }
        Ok(())
    };
    let storing = async move {
        let mut imported = ImportedContacts::default();
        while let Some(rows) = batches.recv().await {
            let mut contacts = Vec::with_capacity(rows.len());
            for row in rows {
                match row.contact {
                    Ok(contact) => contacts.push(contact),
                    Err(message) => imported.refuse(row.line, message),
                }
            }
            store_batch(control, tenant, id, &contacts, &mut imported).await?;
        }
        Ok::<_, ApiError>(imported)
    };
    let (fed, stored) = tokio::join!(feeding, storing);
    fed?;
    let imported = stored?;
    match reading.await {
        Ok(Ok(())) => Ok(imported),
        Ok(Err(Unreadable::Header(message))) => Err(ApiError::field("header", message)),
        Ok(Err(Unreadable::Io(error))) => Err(ApiError::internal(&error)),
        Err(error) => Err(ApiError::internal(&error)),
    }
}

async fn store_batch(
    control: &Control,
    tenant: TenantId,
    id: Uuid,
    contacts: &[ImportContact],
    imported: &mut ImportedContacts,
) -> Result<(), ApiError> {
    let mut tx = control.db.begin(tenant).await?;
    super::store::lock(&mut tx, tenant, id).await?.ok_or_else(missing)?;
    let added = store::add(&mut tx, tenant, id, contacts).await?;
    tx.commit().await?;
    imported.added += added.added;
    imported.duplicates += added.duplicates;
    imported.do_not_call += added.do_not_call;
    Ok(())
}

impl ImportedContacts {
    fn refuse(&mut self, line: u64, message: String) {
        self.invalid += 1;
        if self.errors.len() < ERRORS {
            self.errors.push(ImportError { line, message });
        }
    }
}

/// List a campaign's contacts
///
/// In the order in which they were added, each with its attempts.
#[utoipa::path(
    get, path = "/v1/campaigns/{id}/contacts", tag = "campaigns", operation_id = "list_campaign_contacts", security(("bearer" = [])),
    params(("id" = Uuid, Path), ContactQuery),
    responses((status = 200, description = "A page of them", body = Envelope<ContactList>), ReadRefusals)
)]
async fn list(
    caller: Allowed<Viewer>,
    State(control): State<Control>,
    id: PathId,
    Params(query): Params<ContactQuery>,
) -> Result<Reply<ContactList>, ApiError> {
    let tenant = caller.tenant;
    let id = id.or(ErrorCode::NotFound)?;
    let page = Page::try_from(&query.page())?;
    let mut tx = control.db.begin(tenant).await?;
    super::store::get(&mut tx, tenant, id).await?.ok_or_else(missing)?;
    let status = query.status.map(model::ContactStatus::name);
    let (contacts, total) = store::list(&mut tx, tenant, id, status, page).await?;
    tx.commit().await?;
    Ok(Reply::ok("Contacts", ContactList { contacts, pagination: Pagination::new(page, total) }))
}

/// A row that makes no sense, by the column.
fn corrupt(cause: &str) -> DbError {
    DbError::Corrupt { table: "contacts", cause: cause.to_owned() }
}
