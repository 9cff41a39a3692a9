//! From a ringing call to its end: the task that holds the vendors' sockets until the caller can be heard.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until, timeout},
};
use trunkline_base::CallId;
use trunkline_control::{conversations::calls as stored, db::DbError, tenant::TenantId};
use trunkline_media::{
    call::{self, Attachment, BoxFuture, CallChannels, CallCommand, CallConfig, Carrier},
    event::{CallEvent, CallEventKind, EndReason, RecordingState},
    telephony::{CarrierStatus, Keys, Transfer, TransferStep},
};

use super::{
    Calls,
    account::CarrierAccount,
    recording::spool,
    socket::AxumSocket,
    state::{Known, verdict},
};
use crate::{compose::Composed, journal::end_reason};

/// How many commands wait for a call.
pub(super) const COMMANDS: usize = 16;
/// How long the note that a call is ending may hold up the hang-up.
const ENDING_LIMIT: Duration = Duration::from_secs(2);

/// A call's place in the registry, given back however its task ends: one that panics must not hold a line for ever.
struct Place {
    calls: Calls,
    id: CallId,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.calls.0.registry.remove(self.id);
    }
}

/// A call that waits for its stream.
pub(super) struct Ringing {
    pub(super) tenant: TenantId,
    pub(super) account: Arc<CarrierAccount>,
    pub(super) provider_call_id: String,
    pub(super) composed: Composed,
    pub(super) config: CallConfig,
    /// Until when a stream may come.
    pub(super) expires: Instant,
    /// How the call has ended, once the carrier has said so.
    pub(super) word: Arc<OnceLock<CarrierStatus>>,
}

impl Calls {
    pub(super) fn spawn(
        &self,
        ringing: Ringing,
        attachments: mpsc::Receiver<Attachment<AxumSocket>>,
        commands: mpsc::Receiver<CallCommand>,
    ) {
        let place = Place { calls: self.clone(), id: ringing.config.id };
        self.0.registry.tasks().spawn(async move {
            place.calls.live(ringing, attachments, commands).await;
        });
    }

    async fn live(
        &self,
        ringing: Ringing,
        mut attachments: mpsc::Receiver<Attachment<AxumSocket>>,
        mut commands: mpsc::Receiver<CallCommand>,
    ) {
        let shared = &self.0;
        let Ringing { tenant, account, provider_call_id, composed, config, expires, word } = ringing;
        let id = config.id;
        let resumed = config.resumed.is_some();
        let carrier = LiveCarrier { calls: self.clone(), tenant, id, provider_call_id, account };
        let peers = match composed.peers(id, Arc::new(carrier)) {
            Ok(peers) => peers,
            Err(error) => {
                tracing::error!(call = %id, %error, "the call cannot be composed");
                return shared.journal.fail(id, "vendor_failed");
            }
        };
        if let Some(observer) = &shared.observer {
            observer.ringing(id, &config);
        }
        let mut early = Vec::new();
        let first = loop {
            tokio::select! {
                first = attachments.recv() => break first.ok_or(EndReason::MediaLost),
                asked = commands.recv() => match asked {
                    Some(CallCommand::HangUp { reason }) => break Err(reason),
                    // A call that nobody hears yet can do nothing else.
                    Some(command) => early.extend((early.len() < COMMANDS).then_some(command)),
                    None => break Err(EndReason::ApiHangup),
                },
                () = sleep_until(expires) => break Err(EndReason::MediaLost),
            }
        };
        let first = match first {
            Ok(first) => first,
            Err(reason) => {
                tracing::info!(call = %id, end_reason = end_reason(reason), "no media stream came");
                metrics::counter!("trunkline_calls_total", "end_reason" => "no_stream").increment(1);
                // A call that came back and got no stream was cut off by us.
                let reason = if resumed { EndReason::MediaLost } else { reason };
                let known = Known { outbound: false, answered: false, ending: None };
                let said = word.get().filter(|_| !resumed).and_then(|status| verdict(*status, known));
                return shared.journal.fail(id, said.map_or(end_reason(reason), |said| said.reason));
            }
        };
        shared.registry.ask_again(id, early);
        let (events, mut received) = mpsc::unbounded_channel::<CallEvent>();
        let (observer, journal) = (shared.observer.clone(), shared.journal.clone());
        let mut piece = config.recording.as_deref().and_then(spool::piece_of);
        let forward = async move {
            while let Some(event) = received.recv().await {
                if let CallEventKind::Recording { state: RecordingState::Started } = event.kind
                    && let Some(piece) = piece.take()
                {
                    journal.recording(id, piece);
                }
                if let Some(observer) = &observer {
                    observer.event(id, &event);
                }
                journal.event(id, event);
            }
        };
        let channels = CallChannels { attachments, commands, events };
        // Boxed: the actor's state is some kilobytes, which would otherwise be copied at every step that it moves.
        let run = Box::pin(call::run(config, peers, first, channels));
        let (summary, ()) = tokio::join!(run, forward);
        shared.recordings.over();
        let reason = summary.reason.map_or("unknown", end_reason);
        tracing::info!(
            call = %id,
            end_reason = reason,
            frames = summary.frames_sent,
            underruns = summary.underruns,
            max_lateness_us = summary.max_lateness.as_micros() as u64,
            bad_messages = summary.bad_messages,
            "call ended"
        );
        metrics::counter!("trunkline_calls_total", "end_reason" => reason).increment(1);
        metrics::counter!("trunkline_underruns_total").increment(summary.underruns);
        if let Some(observer) = &shared.observer {
            observer.ended(id, &summary);
        }
    }
}

/// A call at its carrier. That it is ending is noted before it is ended, so that a redirect which overtakes the answer is told to hang
/// up.
#[derive(Clone)]
pub(super) struct LiveCarrier {
    pub(super) calls: Calls,
    pub(super) tenant: TenantId,
    pub(super) id: CallId,
    pub(super) provider_call_id: String,
    pub(super) account: Arc<CarrierAccount>,
}

impl std::fmt::Debug for LiveCarrier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LiveCarrier").field("call", &self.id).finish_non_exhaustive()
    }
}

impl Carrier for LiveCarrier {
    fn hang_up(&self, reason: EndReason) -> BoxFuture<'static, Result<(), String>> {
        self.calls.0.registry.set_ending(self.id);
        let (calls, tenant, id) = (self.calls.clone(), self.tenant, self.id);
        let (account, provider_call_id) = (self.account.clone(), self.provider_call_id.clone());
        Box::pin(async move {
            match timeout(ENDING_LIMIT, calls.note_ending(tenant, id, reason)).await {
                Ok(Ok(true)) => {}
                Ok(Ok(false)) => {
                    tracing::info!(call = %id, "the call is another node's by now, and is left to it");
                    return Ok(());
                }
                Ok(Err(error)) => tracing::warn!(call = %id, %error, "that the call is ending could not be noted"),
                Err(_) => tracing::warn!(call = %id, "that the call is ending could not be noted in time"),
            }
            account.hang_up(&provider_call_id).await.map_err(|error| error.to_string())
        })
    }

    fn send_keys(&self, keys: Keys) -> BoxFuture<'static, Result<(), String>> {
        self.press(keys)
    }

    fn keys_end_the_stream(&self) -> bool {
        self.account.twilio().is_some()
    }

    fn transfer(&self, transfer: Transfer) -> mpsc::Receiver<TransferStep> {
        self.hand_over(transfer)
    }
}

impl LiveCarrier {
    /// Notes that the call is over for us, though not at its carrier.
    pub(super) async fn note_leaving(&self, reason: EndReason) {
        self.calls.0.registry.set_ending(self.id);
        match timeout(ENDING_LIMIT, self.calls.note_ending(self.tenant, self.id, reason)).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::warn!(call = %self.id, %error, "that the call is ending could not be noted"),
            Err(_) => tracing::warn!(call = %self.id, "that the call is ending could not be noted in time"),
        }
    }
}

impl Calls {
    /// Says whether the call is still this node's to end.
    async fn note_ending(&self, tenant: TenantId, id: CallId, reason: EndReason) -> Result<bool, DbError> {
        let mut tx = self.control().db.begin(tenant).await?;
        let ours = stored::set_ending(&mut tx, tenant, id, &self.0.node, end_reason(reason)).await?;
        tx.commit().await?;
        if ours {
            self.tell_state(tenant, id);
        }
        Ok(ours)
    }
}
