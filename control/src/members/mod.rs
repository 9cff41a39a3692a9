//! Members: which users may enter a tenant, and what each may do there.
//!
//! Membership is asked of the database with every request and never taken from a token, so what is changed here holds from the next
//! request on.

mod model;
pub mod store;
#[cfg(test)]
mod tests;

use axum::extract::State;
use serde_json::json;
use utoipa_axum::{router::OpenApiRouter, routes};

pub use self::model::Member;
use self::model::{MemberList, MemberPatch, NewMember};
use crate::{
    Control, audit_log,
    auth::{Admin, Allowed, Principal, Role},
    check::Checker,
    db::Tx,
    error::{ApiError, ErrorBody, ErrorCode},
    http::{Body, Empty, Envelope, Page, PageQuery, Pagination, Params, PathId, ReadRefusals, Reply, WriteRefusals},
    tenants,
};

pub(crate) fn router() -> OpenApiRouter<Control> {
    OpenApiRouter::new().routes(routes!(add, list)).routes(routes!(change, remove))
}

/// List members
#[utoipa::path(
    get, path = "/v1/members", tag = "members", operation_id = "list_members", security(("bearer" = [])), params(PageQuery),
    responses((status = 200, description = "A page of them", body = Envelope<MemberList>), ReadRefusals)
)]
async fn list(
    caller: Allowed<Admin>,
    State(control): State<Control>,
    Params(query): Params<PageQuery>,
) -> Result<Reply<MemberList>, ApiError> {
    let page = Page::try_from(&query)?;
    let mut tx = control.db.begin(caller.tenant).await?;
    let (members, total) = store::list(&mut tx, caller.tenant, page).await?;
    Ok(Reply::ok("Members", MemberList { members, pagination: Pagination::new(page, total) }))
}

/// Add a member
///
/// One who was removed comes back with this role. Nobody gives a role above their own.
#[utoipa::path(
    post, path = "/v1/members", tag = "members", operation_id = "add_member", security(("bearer" = [])), request_body = NewMember,
    responses(
        (status = 201, description = "A member now", body = Envelope<Member>),
        (status = 409, description = "The user is a member", body = ErrorBody),
        WriteRefusals,
    )
)]
async fn add(
    caller: Allowed<Admin>,
    State(control): State<Control>,
    Body(body): Body<NewMember>,
) -> Result<Reply<Member>, ApiError> {
    let tenant = caller.tenant;
    let mut check = Checker::default();
    if let Some(email) = &body.email {
        check.require("email", is_address(email.expose()), "must be an e-mail address of at most 254 characters");
    }
    check.finish().map_err(|errors| ApiError::validation(&errors))?;
    caller.must_reach(body.role)?;
    let mut tx = control.db.begin(tenant).await?;
    lock(&mut tx, &caller).await?;
    if !store::add(&mut tx, tenant, body.user_id, body.email.as_ref(), body.role).await? {
        return Err(ApiError::conflict("The user is a member; change their role instead"));
    }
    let member = store::get(&mut tx, tenant, body.user_id).await?.ok_or_else(missing)?;
    audit_log::note(&mut tx, &caller, "member.added", member.user_id, json!({ "role": member.role })).await?;
    tx.commit().await?;
    Ok(Reply::created("Member added", member))
}

/// Change a member's role
///
/// Neither the role that they have nor the one that they get may be above one's own. A tenant keeps at least one owner.
#[utoipa::path(
    patch, path = "/v1/members/{user_id}", tag = "members", operation_id = "change_member", security(("bearer" = [])),
    params(("user_id" = Uuid, Path)), request_body = MemberPatch,
    responses(
        (status = 200, description = "As it is now", body = Envelope<Member>),
        (status = 409, description = "They are the only owner", body = ErrorBody),
        WriteRefusals,
    )
)]
async fn change(
    caller: Allowed<Admin>,
    State(control): State<Control>,
    user: PathId,
    Body(patch): Body<MemberPatch>,
) -> Result<Reply<Member>, ApiError> {
    let tenant = caller.tenant;
    let user = user.or(ErrorCode::MemberNotFound)?;
    caller.must_reach(patch.role)?;
    let mut tx = control.db.begin(tenant).await?;
    lock(&mut tx, &caller).await?;
    let before = store::get(&mut tx, tenant, user).await?.ok_or_else(missing)?;
    caller.must_reach(before.role)?;
    if before.role == patch.role {
        return Ok(Reply::ok("Member unchanged", before));
    }
    keep_an_owner(&mut tx, &caller, &before).await?;
    store::set_role(&mut tx, tenant, user, patch.role).await?;
    let after = store::get(&mut tx, tenant, user).await?.ok_or_else(missing)?;
    audit_log::note(
        &mut tx,
        &caller,
        "member.changed",
        user,
        json!({ "role": after.role, "former_role": before.role }),
    )
    .await?;
    tx.commit().await?;
    Ok(Reply::ok("Member changed", after))
}

/// Remove a member
///
/// They are refused from the next request on, whatever their token says. A tenant keeps at least one owner.
#[utoipa::path(
    delete, path = "/v1/members/{user_id}", tag = "members", operation_id = "remove_member", security(("bearer" = [])),
    params(("user_id" = Uuid, Path)),
    responses(
        (status = 200, description = "No member any more", body = Envelope<Empty>),
        (status = 409, description = "They are the only owner", body = ErrorBody),
        ReadRefusals,
    )
)]
async fn remove(
    caller: Allowed<Admin>,
    State(control): State<Control>,
    user: PathId,
) -> Result<Reply<Empty>, ApiError> {
    let user = user.or(ErrorCode::MemberNotFound)?;
    let mut tx = control.db.begin(caller.tenant).await?;
    lock(&mut tx, &caller).await?;
    let member = store::get(&mut tx, caller.tenant, user).await?.ok_or_else(missing)?;
    caller.must_reach(member.role)?;
    keep_an_owner(&mut tx, &caller, &member).await?;
    store::remove(&mut tx, caller.tenant, user).await?;
    audit_log::note(&mut tx, &caller, "member.removed", user, json!({ "former_role": member.role })).await?;
    tx.commit().await?;
    Ok(Reply::ok("Member removed", Empty))
}

fn missing() -> ApiError {
    ApiError::not_found(ErrorCode::MemberNotFound)
}

/// Of two who change members at once, the second sees what the first has made of them.
async fn lock(tx: &mut Tx, caller: &Principal) -> Result<(), ApiError> {
    if tenants::store::lock(tx, caller.tenant).await? { Ok(()) } else { Err(missing()) }
}

/// Refuses to take the last owner's role away.
async fn keep_an_owner(tx: &mut Tx, caller: &Principal, member: &Member) -> Result<(), ApiError> {
    if member.role < Role::Owner || store::another_owns(tx, caller.tenant, member.user_id).await? {
        return Ok(());
    }
    Err(ApiError::conflict("They are the only owner: make somebody else an owner first"))
}

/// Something on either side of one "@": only its server knows more.
fn is_address(email: &str) -> bool {
    let plain = email.chars().all(|c| !c.is_whitespace() && !c.is_control());
    let parts: Vec<&str> = email.split('@').collect();
    plain && email.chars().count() <= 254 && parts.len() == 2 && parts.iter().all(|part| !part.is_empty())
}
