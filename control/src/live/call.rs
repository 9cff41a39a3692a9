//! One call's stream: its timeline, in the order and with the numbers that the engine gave it, and its state whenever that changes.
//!
//! An event's id is how far the timeline and the state were told, so that any node can go on from it.

use trunkline_base::CallId;

use super::{
    model::{Latency, TimelineEntry},
    store::{self, CallState, EventRow},
    stream::{Look, Source, event},
    watcher::Watcher,
};
use crate::db::{Db, DbError};

/// Events that are read at once.
const MOST: usize = 200;

/// How far a stream has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Told {
    /// The number of the last event; -1 before the first.
    seq: i32,
    /// The version of the last state; 0 before the first.
    version: i32,
}

impl Told {
    const NOTHING: Self = Self { seq: -1, version: 0 };

    /// Of an event's id; `None` if it is no id of a call's stream.
    pub(super) fn parse(id: &str) -> Option<Self> {
        let (seq, version) = id.split_once('.')?;
        let told = Self { seq: seq.parse().ok()?, version: version.parse().ok()? };
        (told.seq >= -1 && told.version >= 0).then_some(told)
    }

    fn id(self) -> String {
        format!("{}.{}", self.seq, self.version)
    }
}

/// Where a call's events come from.
#[derive(Debug)]
pub(super) struct CallSource {
    db: Db,
    watcher: Watcher,
    id: CallId,
    told: Told,
}

/// What a stream of a call begins with.
pub(super) enum Beginning {
    /// There is no such call.
    Unknown,
    /// It is over, and all of it was told before.
    AllTold,
    Found(CallSource, Look),
}

impl CallSource {
    /// Takes a stream up behind what was told, or begins one: with all that happened so far, or with the final state if it is over.
    pub(super) async fn begin(db: Db, watcher: Watcher, id: CallId, told: Option<Told>) -> Result<Beginning, DbError> {
        let mut tx = db.begin(watcher.tenant).await?;
        let state = store::call(&mut tx, watcher.tenant, id).await?;
        tx.commit().await?;
        let Some(state) = state else { return Ok(Beginning::Unknown) };
        // An id that cannot have been given here is none.
        let told = told.filter(|told| told.seq <= state.last_seq && told.version <= state.version);
        let told = match told {
            Some(told) if state.call.is_over() && told == state.all() => return Ok(Beginning::AllTold),
            Some(told) => told,
            None if state.call.is_over() => Told { seq: state.last_seq, version: 0 },
            None => Told::NOTHING,
        };
        let mut source = Self { db, watcher, id, told };
        let look = source.look().await?;
        Ok(Beginning::Found(source, look))
    }

    fn tell_state(&mut self, state: &CallState, look: &mut Look) {
        if state.version != self.told.version {
            self.told.version = state.version;
            look.events.push(event("state", Some(&self.told.id()), &state.call));
        }
    }

    fn tell_event(&mut self, row: EventRow, look: &mut Look) {
        self.told.seq = row.seq;
        let id = self.told.id();
        let latency = (row.kind == "latency").then(|| Latency::of(&row.data)).flatten();
        look.events.push(match (row.transcript, latency) {
            (Some(transcript), _) => event("transcript", Some(&id), &transcript),
            (None, Some(latency)) => event("latency", Some(&id), &latency),
            (None, None) => {
                let entry = TimelineEntry { seq: row.seq, at_ms: row.at_ms, kind: row.kind, data: row.data };
                event("timeline", Some(&id), &entry)
            }
        });
    }
}

impl CallState {
    const fn all(&self) -> Told {
        Told { seq: self.last_seq, version: self.version }
    }
}

impl Source for CallSource {
    async fn look(&mut self) -> Result<Look, DbError> {
        let tenant = self.watcher.tenant;
        let mut tx = self.db.begin(tenant).await?;
        let state = store::call(&mut tx, tenant, self.id).await?;
        // Behind the state: if that says that the call is over, these are the last.
        let rows = store::events_after(&mut tx, tenant, self.id, self.told.seq, MOST as i64).await?;
        tx.commit().await?;
        let mut look = Look::default();
        // It was removed.
        let Some(state) = state else { return Ok(Look { over: true, ..look }) };
        look.more = rows.len() == MOST;
        let over = state.call.is_over();
        if !over {
            self.tell_state(&state, &mut look);
        }
        for row in rows {
            self.tell_event(row, &mut look);
        }
        if over && !look.more {
            self.tell_state(&state, &mut look);
            look.over = true;
        }
        Ok(look)
    }

    async fn has_standing(&mut self) -> Result<bool, DbError> {
        self.watcher.has_standing(&self.db).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_says_how_far_it_was_told_and_nothing_else_does() {
        for told in [Told::NOTHING, Told { seq: 17, version: 4 }] {
            assert_eq!(Told::parse(&told.id()), Some(told));
        }
        for bad in ["", "1", ".", "1.", ".1", "1.2.3", "-2.1", "1.-1", "x.1", "1764324000123456", "99999999999.1"] {
            assert_eq!(Told::parse(bad), None, "{bad}");
        }
    }
}
