//! From an API key to its [`Principal`].

use std::{
    collections::HashSet,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use chrono::TimeDelta;
use tokio_util::task::TaskTracker;
use trunkline_base::Secret;
use uuid::Uuid;

use super::Principal;
use crate::{
    api_keys::{key, store},
    db::{Db, DbError},
    error::ApiError,
    http::now,
    lookup::{self, FoundKey},
    tenant::TenantId,
};

/// How exactly a key's last use is known.
const USE: TimeDelta = TimeDelta::minutes(1);

/// How API keys are checked. When one is used is written beside the request, which doesn't wait for it.
pub struct ApiKeys {
    secret: Secret,
    /// Keys whose use is being written.
    writing: Arc<Mutex<HashSet<Uuid>>>,
    writes: TaskTracker,
}

impl ApiKeys {
    /// Hashes keys under API_KEY_SECRET.
    pub fn new(secret: &Secret) -> Self {
        Self { secret: secret.clone(), writing: Arc::default(), writes: TaskTracker::new() }
    }

    /// What is stored of a key.
    pub(crate) fn hash(&self, key: &str) -> [u8; 32] {
        key::hash(&self.secret, key)
    }

    /// Whose key this is, and what it may do.
    pub(super) async fn principal(&self, db: &Db, key: &str) -> Result<Principal, ApiError> {
        // Until its hash matches, nothing is said of what there is.
        let unknown = || ApiError::auth("The API key is not valid");
        let key_id = key::key_id(key).ok_or_else(unknown)?;
        let found = lookup::api_key(db, key_id).await?.ok_or_else(unknown)?;
        if !key::matches(&self.secret, key, &found.hash) {
            return Err(unknown());
        }
        if found.revoked {
            return Err(ApiError::auth("The API key has been revoked"));
        }
        let now = now();
        if found.expires_at.is_some_and(|at| at <= now) {
            return Err(ApiError::auth("The API key has expired"));
        }
        if !found.active {
            return Err(ApiError::denied("The tenant is suspended"));
        }
        if found.last_used_at.is_none_or(|at| now - at >= USE) {
            self.write_use(db, &found);
        }
        let FoundKey { tenant, id, role, expires_at, .. } = found;
        Ok(Principal { tenant, role, actor: format!("key:{id}"), expires_at })
    }

    fn write_use(&self, db: &Db, found: &FoundKey) {
        let (tenant, id) = (found.tenant, found.id);
        if !lock(&self.writing).insert(id) {
            return;
        }
        let (db, writing) = (db.clone(), self.writing.clone());
        self.writes.spawn(async move {
            if let Err(error) = used(&db, tenant, id).await {
                tracing::warn!(key_id = %id, %error, "an API key's use could not be written");
            }
            lock(&writing).remove(&id);
        });
    }

    /// Waits until the uses so far are written.
    pub async fn settled(&self) {
        self.writes.close();
        self.writes.wait().await;
        self.writes.reopen();
    }
}

async fn used(db: &Db, tenant: TenantId, id: Uuid) -> Result<(), DbError> {
    let mut tx = db.begin(tenant).await?;
    store::used(&mut tx, tenant, id).await?;
    tx.commit().await
}

fn lock<T>(of: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for ApiKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKeys").finish_non_exhaustive()
    }
}
