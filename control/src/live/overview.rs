//! A tenant's stream: which calls there are, and each of them anew whenever it begins, is answered, moves to another node or ends.
//!
//! Every event is a call's whole state, so that one which comes twice does no harm. While a stream lasts, each change is told once, by
//! what the database says that a snapshot has seen. An event's id is a time, which says nothing of other tenants: a stream that is taken
//! up again begins a little before it.

use std::collections::HashMap;

use super::{
    model::{LiveCall, Snapshot},
    store::{self, Change, Seen},
    stream::{Look, Source, event},
    watcher::Watcher,
};
use crate::db::{Db, DbError, Tx};

/// Changes that are read at once. Whoever has missed more begins anew.
const MOST_CHANGES: usize = 1_000;
/// Calls in a snapshot.
const MOST_CALLS: usize = 1_000;

/// Where a tenant's events come from.
#[derive(Debug)]
pub(super) struct OverviewSource {
    db: Db,
    watcher: Watcher,
    seen: Seen,
}

/// The time in an event's id, in microseconds since 1970; `None` if it is no id of a tenant's stream.
pub(super) fn parse_id(id: &str) -> Option<i64> {
    let at: i64 = id.parse().ok()?;
    // Between 1970 and 5138, which a double holds to the microsecond.
    (0..100_000_000_000_000_000).contains(&at).then_some(at)
}

impl OverviewSource {
    /// Takes a stream up behind a time, or begins one with the calls that there are.
    pub(super) async fn begin(db: Db, watcher: Watcher, since: Option<i64>) -> Result<(Self, Look), DbError> {
        let tenant = watcher.tenant;
        let mut tx = db.begin(tenant).await?;
        let missed = match since {
            Some(at) => store::changes_since(&mut tx, tenant, at, MOST_CHANGES as i64).await?,
            None => None,
        };
        let (seen, events) = match missed.filter(|(_, changes)| changes.len() < MOST_CHANGES) {
            Some((seen, changes)) => (seen, tell(&mut tx, &watcher, changes).await?),
            None => snapshot(&mut tx, &watcher).await?,
        };
        tx.commit().await?;
        Ok((Self { db, watcher, seen }, Look { events, ..Look::default() }))
    }
}

impl Source for OverviewSource {
    async fn look(&mut self) -> Result<Look, DbError> {
        let mut tx = self.db.begin(self.watcher.tenant).await?;
        let (seen, changes) = store::changes(&mut tx, self.watcher.tenant, &self.seen, MOST_CHANGES as i64).await?;
        let (seen, events) = if changes.len() < MOST_CHANGES {
            (seen, tell(&mut tx, &self.watcher, changes).await?)
        } else {
            snapshot(&mut tx, &self.watcher).await?
        };
        tx.commit().await?;
        self.seen = seen;
        Ok(Look { events, ..Look::default() })
    }

    async fn has_standing(&mut self) -> Result<bool, DbError> {
        self.watcher.has_standing(&self.db).await
    }
}

async fn snapshot(tx: &mut Tx, watcher: &Watcher) -> Result<(Seen, Vec<axum::response::sse::Event>), DbError> {
    let (seen, at) = store::beginning(tx).await?;
    let mut calls = store::live_calls(tx, watcher.tenant, MOST_CALLS as i64 + 1).await?;
    let more = calls.len() > MOST_CALLS;
    calls.truncate(MOST_CALLS);
    Ok((seen, vec![event("snapshot", Some(&at.to_string()), &Snapshot { calls, more })]))
}

async fn tell(
    tx: &mut Tx,
    watcher: &Watcher,
    changes: Vec<Change>,
) -> Result<Vec<axum::response::sse::Event>, DbError> {
    if changes.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<_> = changes.iter().map(|change| change.call).collect();
    let calls = store::calls(tx, watcher.tenant, &ids).await?;
    let mut calls: HashMap<_, LiveCall> = calls.into_iter().map(|call| (call.id, call)).collect();
    let told = changes.iter().filter_map(|change| {
        let call = calls.remove(&change.call)?;
        // It may have ended since the change was read.
        let kind = if call.is_over() { "ended" } else { change.kind.as_str() };
        Some(event(kind, Some(&change.at.to_string()), &call))
    });
    Ok(told.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_time() {
        assert_eq!(parse_id("1764324000123456"), Some(1_764_324_000_123_456));
        for bad in ["", "-1", "1.5", "x", "17.4", "99999999999999999999"] {
            assert_eq!(parse_id(bad), None, "{bad}");
        }
    }
}
