//! The calls that are alive, how many there may be, and letting them end.

use std::{
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use dashmap::DashMap;
use tokio::{
    sync::mpsc::{self, error::TrySendError},
    time::Instant,
};
use tokio_util::task::TaskTracker;
use trunkline_base::{CallId, Secret};
use trunkline_control::tenant::TenantId;
use trunkline_media::{
    call::{Attachment, CallCommand},
    event::EndReason,
    telephony::{AnsweredBy, CarrierStatus},
};

use super::{
    account::CarrierAccount,
    control::Told,
    socket::AxumSocket,
    state,
    token::{self, TokenHash},
};

/// Times a call whose stream was lost is given another one.
pub(super) const RESUMES: u32 = 3;

/// A call that is alive: from its voice webhook to its end.
#[derive(Debug)]
pub(super) struct Live {
    tenant: TenantId,
    account: Arc<CarrierAccount>,
    pub(super) attachments: mpsc::Sender<Attachment<AxumSocket>>,
    pub(super) commands: mpsc::Sender<CallCommand>,
    pub(super) provider_call_id: String,
    token: TokenHash,
    resumes: u32,
    /// Who, or what, it was told has answered.
    answered_by: Option<AnsweredBy>,
    /// Set once the carrier is being told to hang up: from then on a resume is answered with a hang-up.
    pub(super) ending: bool,
    /// How the call has ended, as the carrier says.
    word: Arc<OnceLock<CarrierStatus>>,
    /// Streams that it has had here.
    streams: u32,
    /// Whether the last of them is there.
    attached: bool,
    /// Whether its caller is somebody else's by now: then the end of their leg is not the call's, which ends by itself.
    handed_over: bool,
}

impl Live {
    pub(super) fn new(
        tenant: TenantId,
        account: Arc<CarrierAccount>,
        attachments: mpsc::Sender<Attachment<AxumSocket>>,
        commands: mpsc::Sender<CallCommand>,
        provider_call_id: String,
        token: TokenHash,
        resumes: u32,
    ) -> Self {
        Self {
            tenant,
            account,
            attachments,
            commands,
            provider_call_id,
            token,
            resumes,
            answered_by: None,
            ending: false,
            word: Arc::default(),
            streams: 0,
            attached: false,
            handed_over: false,
        }
    }

    /// Where the carrier's last word will be.
    pub(super) fn word(&self) -> Arc<OnceLock<CarrierStatus>> {
        self.word.clone()
    }
}

/// Why no call is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    #[error("draining")]
    Draining,
    #[error("all lines are busy")]
    Full,
    /// It is alive here already: two of its webhooks came at once.
    #[error("the call is known already")]
    Known,
}

/// What comes of a call that asks for another stream.
pub(super) enum Resumption {
    /// The token of its next one.
    Stream(Secret),
    /// It has had too many.
    TooMany,
    /// It is ending.
    Over,
    /// It is not alive here.
    Unknown,
}

/// Figures for the health check and the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RegistryGauges {
    /// Calls alive, ringing ones included.
    pub live: usize,
    /// Whether no new ones are taken.
    pub draining: bool,
}

/// All calls of this node.
pub struct Registry {
    calls: DashMap<CallId, Live>,
    /// Admission is decided under this lock: two webhooks must not both get the last place.
    admission: Mutex<()>,
    max: usize,
    draining: AtomicBool,
    tasks: TaskTracker,
}

impl Registry {
    pub(super) fn new(max: usize) -> Self {
        Self {
            calls: DashMap::new(),
            admission: Mutex::new(()),
            max,
            draining: AtomicBool::new(false),
            tasks: TaskTracker::new(),
        }
    }

    /// Takes a call in, if there is room and it is not here already.
    pub(super) fn admit(&self, id: CallId, live: Live) -> Result<(), Refused> {
        let _guard = self.admission.lock().unwrap_or_else(PoisonError::into_inner);
        if self.calls.contains_key(&id) {
            return Err(Refused::Known);
        }
        if self.draining.load(Ordering::Acquire) {
            return Err(Refused::Draining);
        }
        if self.calls.len() >= self.max {
            return Err(Refused::Full);
        }
        self.calls.insert(id, live);
        metrics::gauge!("trunkline_calls_live").set(self.calls.len() as f64);
        Ok(())
    }

    /// Whose a call is, and on which account, if it is alive here.
    pub(super) fn owner(&self, id: CallId) -> Option<(TenantId, Arc<CarrierAccount>)> {
        self.calls.get(&id).map(|live| (live.tenant, live.account.clone()))
    }

    /// All calls, with whose they are.
    pub(super) fn owners(&self) -> Vec<(TenantId, CallId)> {
        self.calls.iter().map(|live| (live.tenant, *live.key())).collect()
    }

    pub(super) fn contains(&self, id: CallId) -> bool {
        self.calls.contains_key(&id)
    }

    /// Gives a call another token in the place of its last one. `None`: it is over or ending.
    pub(super) fn renew_token(&self, id: CallId) -> Option<Secret> {
        let mut live = self.calls.get_mut(&id).filter(|live| !live.ending)?;
        let (token, hash) = token::mint(Instant::now());
        live.token = hash;
        Some(token)
    }

    /// Gives a call whose stream was lost another token, if it may go on.
    pub(super) fn resume(&self, id: CallId) -> Resumption {
        let Some(mut live) = self.calls.get_mut(&id) else { return Resumption::Unknown };
        if live.ending {
            return Resumption::Over;
        }
        if live.resumes >= RESUMES {
            return Resumption::TooMany;
        }
        live.resumes += 1;
        let (token, hash) = token::mint(Instant::now());
        live.token = hash;
        Resumption::Stream(token)
    }

    /// The way into a call for a media socket that shows this token.
    pub(super) fn admits(
        &self,
        id: CallId,
        provider_call_id: &str,
        token: &str,
    ) -> Option<mpsc::Sender<Attachment<AxumSocket>>> {
        let live = self.calls.get(&id)?;
        (live.provider_call_id == provider_call_id && live.token.admits(token, Instant::now()))
            .then(|| live.attachments.clone())
    }

    /// Counts one more stream of a call; gives its number, or `None` if the call is not here any more.
    pub(super) fn begin_stream(&self, id: CallId) -> Option<u32> {
        let mut live = self.calls.get_mut(&id)?;
        live.streams += 1;
        live.attached = true;
        Some(live.streams)
    }

    /// A stream of a call is gone.
    pub(super) fn end_stream(&self, id: CallId, stream: u32) {
        if let Some(mut live) = self.calls.get_mut(&id).filter(|live| live.streams == stream) {
            live.attached = false;
        }
    }

    /// Whether a call is here, not ending, and has had no stream after this one.
    pub(super) fn waits_after(&self, id: CallId, stream: u32) -> bool {
        self.calls.get(&id).is_some_and(|live| !live.ending && live.streams == stream)
    }

    /// Whether a call waits for a stream here.
    pub(super) fn waits(&self, id: CallId) -> bool {
        self.calls.get(&id).is_some_and(|live| !live.ending && !live.attached)
    }

    /// What the carrier calls a call that is here.
    pub(super) fn provider_call_id(&self, id: CallId) -> Option<String> {
        self.calls.get(&id).map(|live| live.provider_call_id.clone())
    }

    pub(super) fn set_ending(&self, id: CallId) {
        if let Some(mut live) = self.calls.get_mut(&id) {
            live.ending = true;
        }
    }

    /// Notes that a call's caller is connected with somebody else, or is not after all.
    pub(super) fn set_handed_over(&self, id: CallId, on: bool) {
        if let Some(mut live) = self.calls.get_mut(&id) {
            live.handed_over = on;
        }
    }

    /// Ends a call, if it is this one of the carrier's calls.
    pub(super) fn hang_up(&self, id: CallId, provider_call_id: &str, reason: EndReason) {
        if let Some(live) = self.calls.get(&id).filter(|live| live.provider_call_id == provider_call_id) {
            // A full queue is that of a call which has been told, and has not come to it yet.
            let _ = live.commands.try_send(CallCommand::HangUp { reason });
        }
    }

    /// Asks something of a tenant's call.
    pub(super) fn command(&self, tenant: TenantId, id: CallId, command: CallCommand) -> Told {
        let Some(live) = self.calls.get(&id).filter(|live| live.tenant == tenant) else { return Told::Unknown };
        if live.ending {
            return Told::Over;
        }
        match live.commands.try_send(command) {
            Ok(()) => Told::Done,
            Err(TrySendError::Full(_)) => Told::Busy,
            Err(TrySendError::Closed(_)) => Told::Over,
        }
    }

    /// Gives a call what was asked of it before it could do it.
    pub(super) fn ask_again(&self, id: CallId, commands: Vec<CallCommand>) {
        let Some(live) = self.calls.get(&id) else { return };
        for command in commands {
            let _ = live.commands.try_send(command);
        }
    }

    /// The carrier says that one of its calls is over.
    pub(super) fn over(&self, id: CallId, provider_call_id: &str, status: CarrierStatus) {
        if let Some(live) = self.calls.get(&id).filter(|live| live.provider_call_id == provider_call_id) {
            let _ = live.word.set(status);
            if live.handed_over {
                return;
            }
            let _ = live.commands.try_send(CallCommand::HangUp { reason: state::end_of_live(status) });
        }
    }

    /// Tells a call who, or what, has answered it, unless it was told so already: webhooks come twice.
    pub(super) fn answered_by(&self, id: CallId, provider_call_id: &str, by: AnsweredBy) {
        let Some(mut live) = self.calls.get_mut(&id).filter(|live| live.provider_call_id == provider_call_id) else {
            return;
        };
        if live.answered_by.replace(by) != Some(by) {
            let _ = live.commands.try_send(CallCommand::AnsweredBy { by });
        }
    }

    pub(super) fn remove(&self, id: CallId) {
        self.calls.remove(&id);
        metrics::gauge!("trunkline_calls_live").set(self.calls.len() as f64);
    }

    pub(super) const fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }

    /// Figures of now.
    pub fn gauges(&self) -> RegistryGauges {
        RegistryGauges { live: self.calls.len(), draining: self.draining.load(Ordering::Acquire) }
    }

    /// Takes no more calls, lets those that are alive end, and at the deadline ends them. The HTTP server's own graceful stop does not
    /// wait for WebSockets.
    pub async fn drain(&self, deadline: Duration) {
        {
            let _guard = self.admission.lock().unwrap_or_else(PoisonError::into_inner);
            self.draining.store(true, Ordering::Release);
        }
        self.tasks.close();
        if tokio::time::timeout(deadline, self.tasks.wait()).await.is_ok() {
            return;
        }
        tracing::warn!(calls = self.calls.len(), "the deadline has come: live calls are ended");
        let commands: Vec<_> = self.calls.iter().map(|live| live.commands.clone()).collect();
        let end = async {
            for command in commands {
                let _ = command.send(CallCommand::HangUp { reason: EndReason::Drained }).await;
            }
            self.tasks.wait().await;
        };
        // Hanging up has a limit of its own; this one is for what hangs all the same.
        let _ = tokio::time::timeout(Duration::from_secs(15), end).await;
    }
}
