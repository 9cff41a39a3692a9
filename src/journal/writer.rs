//! The one task that writes what happens in calls: a few times a second, one transaction a tenant, never waited for by a call.
//!
//! What a crash can lose is what was told since the last batch, at most [`EVERY`] and one transaction. While the database is away,
//! rows wait here; they are some kilobytes a minute and call.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::{Instant, MissedTickBehavior, interval, timeout},
};
use trunkline_base::{CallId, Clock, SystemClock};
use trunkline_control::{
    conversations::journal::{self as stored, CallRows, Ended},
    db::{Db, DbError},
    live::{Hub, News},
    recordings::store::Piece,
    tenant::TenantId,
};
use trunkline_media::event::{CallEvent, CallEventKind};
use uuid::Uuid;

use super::{Journal, Rows, Status, TurnSpeaker};

/// How often what is new is written.
const EVERY: Duration = Duration::from_millis(200);
/// How long the last batch may take when the server stops.
const LAST: Duration = Duration::from_secs(10);

/// Where calls tell what happens in them. Cheap to clone.
#[derive(Debug, Clone)]
pub struct JournalHandle {
    notes: mpsc::UnboundedSender<Note>,
}

/// The writer, to be stopped when no call is left.
#[derive(Debug)]
pub struct JournalWriter {
    handle: JournalHandle,
    task: JoinHandle<()>,
}

#[derive(Debug)]
enum Note {
    Began { tenant: TenantId, call: CallId, answered_at: Option<DateTime<Utc>> },
    Event { call: CallId, event: Box<CallEvent> },
    Failed { call: CallId, reason: &'static str },
    Recording { call: CallId, piece: Piece },
    Flush { done: oneshot::Sender<()> },
    Stop,
}

impl JournalHandle {
    /// A call of a tenant begins, or comes back: then it says when it was answered.
    pub fn begin(&self, tenant: TenantId, call: CallId, answered_at: Option<DateTime<Utc>>) {
        self.send(Note::Began { tenant, call, answered_at });
    }

    /// Something happened in a call.
    pub fn event(&self, call: CallId, event: CallEvent) {
        self.send(Note::Event { call, event: Box::new(event) });
    }

    /// A call failed before a stream of it began here, for a reason in the database's words.
    pub fn fail(&self, call: CallId, reason: &'static str) {
        self.send(Note::Failed { call, reason });
    }

    /// A piece of a call's recording has begun.
    pub fn recording(&self, call: CallId, piece: Piece) {
        self.send(Note::Recording { call, piece });
    }

    /// Waits until all that was told so far is written, or has failed once.
    pub async fn flushed(&self) {
        let (done, flushed) = oneshot::channel();
        self.send(Note::Flush { done });
        let _ = flushed.await;
    }

    fn send(&self, note: Note) {
        // The writer is gone only when the process is about to be.
        let _ = self.notes.send(note);
    }
}

impl JournalWriter {
    /// Starts to write, for the node of this name. Whoever listens to calls is told of what is written.
    pub fn start(db: Db, node: String, live: Hub) -> Self {
        let (notes, receiver) = mpsc::unbounded_channel();
        let to = Destination { db, node, live };
        let task = tokio::spawn(Writer { to, calls: HashMap::new(), retry_at: None }.run(receiver));
        Self { handle: JournalHandle { notes }, task }
    }

    /// Where calls tell.
    pub const fn handle(&self) -> &JournalHandle {
        &self.handle
    }

    /// Writes what is left, and ends.
    pub async fn stop(self) {
        self.handle.send(Note::Stop);
        if timeout(LAST, self.task).await.is_err() {
            tracing::error!("the last rows of calls could not be written in time");
        }
    }
}

/// Where rows go.
struct Destination {
    db: Db,
    node: String,
    live: Hub,
}

struct Writer {
    to: Destination,
    calls: HashMap<CallId, Open>,
    /// The database is away: not tried again before this.
    retry_at: Option<Instant>,
}

/// A call with rows to write, now or later.
struct Open {
    tenant: TenantId,
    journal: Journal,
    answered_at: Option<DateTime<Utc>>,
    pending: CallRows,
    over: bool,
}

impl Writer {
    async fn run(mut self, mut notes: mpsc::UnboundedReceiver<Note>) {
        let mut tick = interval(EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                note = notes.recv() => match note {
                    Some(Note::Flush { done }) => {
                        self.flush().await;
                        let _ = done.send(());
                    }
                    Some(Note::Stop) | None => break,
                    Some(note) => self.on_note(note),
                },
                _ = tick.tick() => {
                    if self.retry_at.is_none_or(|at| at <= SystemClock.now()) {
                        self.flush().await;
                    }
                }
            }
        }
        while let Ok(note) = notes.try_recv() {
            self.on_note(note);
        }
        while !self.flush().await {
            tokio::time::sleep(EVERY).await;
        }
    }

    fn on_note(&mut self, note: Note) {
        match note {
            Note::Began { tenant, call, answered_at } => {
                let journal = if answered_at.is_some() { Journal::resumed() } else { Journal::default() };
                let open = Open { tenant, journal, answered_at, pending: CallRows::default(), over: false };
                self.calls.insert(call, open);
            }
            Note::Event { call, event } => {
                let Some(open) = self.calls.get_mut(&call) else { return };
                if let CallEventKind::Answered = event.kind {
                    let at = wall() - millis(event.at.as_millis());
                    open.answered_at = Some(at);
                    open.pending.answered_at = Some(at);
                }
                open.journal.handle_event(&event);
                open.collect();
            }
            Note::Failed { call, reason } => {
                let Some(open) = self.calls.get_mut(&call) else { return };
                open.pending.ended = Some(Ended { at: wall(), status: "failed", reason: reason.to_owned() });
                open.over = true;
            }
            Note::Recording { call, piece } => {
                if let Some(open) = self.calls.get_mut(&call) {
                    open.pending.recording = Some(piece);
                }
            }
            Note::Flush { .. } | Note::Stop => {}
        }
    }

    /// Writes what is new. False if something is left because the database is away.
    async fn flush(&mut self) -> bool {
        let mut by_tenant: BTreeMap<TenantId, Vec<(CallId, CallRows)>> = BTreeMap::new();
        for (id, open) in &mut self.calls {
            if !open.pending.is_empty() {
                by_tenant.entry(open.tenant).or_default().push((*id, std::mem::take(&mut open.pending)));
            }
        }
        let to = &self.to;
        let mut batches: FuturesUnordered<_> =
            by_tenant.into_iter().map(|(tenant, rows)| to.write(tenant, rows)).collect();
        let mut left = Vec::new();
        while let Some(rows) = batches.next().await {
            left.extend(rows);
        }
        drop(batches);
        let away = !left.is_empty();
        for (id, mut rows) in left {
            if let Some(open) = self.calls.get_mut(&id) {
                rows.append(std::mem::take(&mut open.pending));
                open.pending = rows;
            }
        }
        self.calls.retain(|_, open| !open.over || !open.pending.is_empty());
        let pending: usize = self.calls.values().map(|open| open.pending.events.len()).sum();
        metrics::gauge!("trunkline_journal_pending_events").set(pending as f64);
        self.retry_at = away.then(|| SystemClock.now() + Duration::from_secs(1));
        !away
    }
}

impl Destination {
    /// Writes a tenant's rows; gives back what may be tried again.
    async fn write(&self, tenant: TenantId, rows: Vec<(CallId, CallRows)>) -> Vec<(CallId, CallRows)> {
        let started = SystemClock.now();
        match self.transaction(tenant, &rows).await {
            Ok(()) => {
                metrics::histogram!("trunkline_journal_write_seconds").record(started.elapsed().as_secs_f64());
                self.live.tell(tenant, &rows.iter().map(|(call, rows)| (*call, news(rows))).collect::<Vec<_>>());
                Vec::new()
            }
            Err(DbError::Unavailable(error)) => {
                tracing::warn!(%error, "calls' rows wait for the database");
                rows
            }
            Err(error) if rows.len() > 1 => {
                tracing::error!(%error, "a batch of calls' rows was refused; each call's is tried alone");
                let mut left = Vec::new();
                for one in rows {
                    left.extend(Box::pin(self.write(tenant, vec![one])).await);
                }
                left
            }
            Err(error) => {
                // A bug: trying again would not help, and must not hold up the others.
                for (call, rows) in &rows {
                    tracing::error!(%call, %error, turns = rows.turns.len(), events = rows.events.len(), "a call's rows are lost");
                    metrics::counter!("trunkline_journal_lost_total").increment(1);
                }
                Vec::new()
            }
        }
    }

    async fn transaction(&self, tenant: TenantId, rows: &[(CallId, CallRows)]) -> Result<(), DbError> {
        let mut tx = self.db.begin(tenant).await?;
        stored::write(&mut tx, tenant, &self.node, rows, wall()).await?;
        tx.commit().await
    }
}

/// What those rows are to whoever listens.
const fn news(rows: &CallRows) -> News {
    let state = rows.answered_at.is_some() || rows.reattached > 0 || rows.ended.is_some();
    if state { News::State } else { News::Timeline }
}

impl Open {
    /// Moves what the journal has made into what is to be written.
    fn collect(&mut self) {
        let Rows { conversation, turns, events, usage, .. } = self.journal.take();
        let pending = &mut self.pending;
        for turn in turns {
            let row = stored::TurnRow {
                seq: int(turn.turn),
                speaker: if turn.speaker == TurnSpeaker::Agent { "agent" } else { "customer" },
                started_ms: int(turn.started_ms),
                ended_ms: int(turn.ended_ms),
                text: turn.text,
                generated_text: turn.generated_text,
                interrupted: turn.interrupted,
                source: super::source(turn.source).to_owned(),
                latency: turn.latency.and_then(|latency| serde_json::to_value(latency).ok()),
            };
            pending.put_turn(row);
        }
        pending.events.extend(events.into_iter().map(|event| stored::EventRow {
            seq: int(event.seq),
            at_ms: int(event.at_ms),
            kind: event.kind,
            data: event.data,
        }));
        pending.usage.extend(usage.into_iter().map(|usage| stored::UsageRow {
            id: Uuid::now_v7(),
            provider: usage.provider,
            unit: usage.unit,
            quantity: i64::try_from(usage.quantity).unwrap_or(i64::MAX),
            turn_seq: usage.turn.map(int),
            wasted: usage.wasted,
        }));
        if let Some(conversation) = conversation {
            pending.reattached += i32::try_from(conversation.reattached).unwrap_or(i32::MAX);
            if let (Some(reason), Some(ended_ms)) = (conversation.end_reason, conversation.ended_ms) {
                let at = self.answered_at.map_or_else(wall, |answered| answered + millis(ended_ms));
                let status = if conversation.status == Some(Status::Completed) { "completed" } else { "failed" };
                pending.ended = Some(Ended { at, status, reason: super::end_reason(reason).to_owned() });
                self.over = true;
            }
        }
    }
}

fn wall() -> DateTime<Utc> {
    SystemClock.wall().into()
}

fn millis(ms: u64) -> TimeDelta {
    TimeDelta::milliseconds(i64::try_from(ms).unwrap_or(i64::MAX / 1_000_000))
}

fn int(value: impl TryInto<i32>) -> i32 {
    value.try_into().unwrap_or(i32::MAX)
}
