//! From what a token claims to what is so: the tenant that its bearer belongs to.

use serde_json::json;

use super::{Auth, Claims, Principal, Role};
use crate::{
    audit_log,
    db::{Db, DbError},
    error::ApiError,
    lookup,
    tenant::TenantId,
    tenants,
};

impl Auth {
    /// The tenant and role of a verified token's bearer.
    ///
    /// A tenant that only the server can have written makes its user a member on first sight, unless they were removed. One that the
    /// user can have written counts only for those who are members already.
    pub(super) async fn principal(&self, db: &Db, claims: &Claims) -> Result<Principal, ApiError> {
        let (tenant, trusted) = match (claims.app_tenant, claims.user_tenant) {
            (Some(tenant), _) => (tenant, true),
            (None, Some(tenant)) => (tenant, false),
            (None, None) => return Err(ApiError::denied("The token names no tenant")),
        };
        let role = match lookup::membership(db, claims.user, tenant).await? {
            // Nobody begins a tenant without saying who they are.
            None if trusted || (self.auto_provision && !claims.is_anonymous) => {
                match lookup::provision_tenant(db, tenant, claims.user, claims.email.as_deref()).await? {
                    true => Role::Owner,
                    // Somebody else's request made it a moment ago.
                    false if trusted => join(db, tenant, claims).await?,
                    false => return Err(not_a_member()),
                }
            }
            None => return Err(not_a_member()),
            Some(found) if found.removed || (found.role.is_none() && !trusted) => return Err(not_a_member()),
            Some(found) if !found.active => return Err(ApiError::denied("The tenant is suspended")),
            Some(found) => match found.role {
                Some(role) => role,
                None => join(db, tenant, claims).await?,
            },
        };
        Ok(Principal { tenant, role, actor: actor(claims), expires_at: Some(claims.expires_at) })
    }
}

fn actor(claims: &Claims) -> String {
    format!("user:{}", claims.user)
}

/// The same words whether or not the tenant exists.
fn not_a_member() -> ApiError {
    ApiError::denied("Not a member of this tenant")
}

/// Makes somebody a member whom the server says to be one. The first of a tenant is its owner.
async fn join(db: &Db, tenant: TenantId, claims: &Claims) -> Result<Role, ApiError> {
    let mut tx = db.begin(tenant).await?;
    let wanted = claims.app_role.unwrap_or(Role::Member);
    // Of two who come first, one is.
    tenants::store::lock(&mut tx, tenant).await?;
    let joined = sqlx::query!(
        "insert into members (tenant_id, user_id, email, role)
         select $1, $2, $3, case when exists (select from members where tenant_id = $1) then $4 else 'owner' end
         on conflict (tenant_id, user_id) do update set email = coalesce(excluded.email, members.email)
         returning role, removed_at is not null as \"removed!\", xmax = 0 as \"is_new!\"",
        tenant.as_uuid(),
        claims.user,
        claims.email,
        wanted.name(),
    )
    .fetch_one(tx.connection())
    .await
    .map_err(DbError::from)?;
    if joined.is_new {
        let details = json!({ "role": joined.role });
        let actor = actor(claims);
        audit_log::store::record(&mut tx, tenant, &actor, "member.joined", "member", Some(claims.user), details)
            .await?;
    }
    tx.commit().await?;
    if joined.removed {
        return Err(not_a_member());
    }
    joined.role.parse().map_err(|()| DbError::Corrupt { table: "members", cause: "role".into() }.into())
}
