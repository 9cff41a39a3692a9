//! From a ringing call to its end: the task that holds the vendors' sockets until the caller can be heard.

use std::{collections::BTreeMap, sync::Arc};

use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};
use trunkline_base::{CallId, Secret};
use trunkline_media::{
    call::{self, BoxFuture, CallChannels, Carrier},
    event::EndReason,
    telephony::twilio::rest::TwilioRest,
};

use super::{
    Calls,
    registry::{Live, Refused},
    token,
};

/// How many commands wait for a call.
const COMMANDS: usize = 16;

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

/// A call as its voice webhook tells of it.
pub(super) struct Ringing {
    pub(super) call_sid: String,
    pub(super) context: BTreeMap<String, String>,
}

impl Calls {
    /// Takes a call: opens its vendors' sockets and leaves a task that waits for its stream. Gives its id and its stream's token.
    pub(super) fn ring(&self, ringing: Ringing) -> Result<(CallId, Secret), Refused> {
        let id = CallId::generate();
        let (attach, attachments) = mpsc::channel(2);
        let (command, commands) = mpsc::channel(COMMANDS);
        let (token, hash) = token::mint(Instant::now());
        let expires = hash.expires();
        self.0.registry.admit(id, Live::new(attach, command, ringing.call_sid.clone(), hash))?;
        let place = Place { calls: self.clone(), id };
        self.0.registry.tasks().spawn(async move {
            place.calls.live(id, ringing, expires, attachments, commands).await;
        });
        Ok((id, token))
    }

    async fn live(
        &self,
        id: CallId,
        ringing: Ringing,
        expires: Instant,
        mut attachments: mpsc::Receiver<call::Attachment<super::socket::AxumSocket>>,
        mut commands: mpsc::Receiver<call::CallCommand>,
    ) {
        let shared = &self.0;
        let carrier = TwilioCarrier { calls: self.clone(), id, call_sid: ringing.call_sid, rest: shared.rest.clone() };
        let config = shared.composer.config(id, &ringing.context);
        let peers = match shared.composer.peers(id, Arc::new(carrier)) {
            Ok(peers) => peers,
            Err(error) => return tracing::error!(call = %id, %error, "the call cannot be composed"),
        };
        if let Some(observer) = &shared.observer {
            observer.ringing(id, &config);
        }
        let first = tokio::select! {
            first = attachments.recv() => first,
            // Whatever is asked of a call that nobody hears yet, it comes down to its end.
            _ = commands.recv() => None,
            () = sleep_until(expires) => None,
        };
        let Some(first) = first else {
            tracing::info!(call = %id, "no media stream came");
            metrics::counter!("trunkline_calls_total", "end_reason" => "no_stream").increment(1);
            return;
        };
        let (events, mut received) = mpsc::unbounded_channel();
        let observer = shared.observer.clone();
        let forward = async move {
            while let Some(event) = received.recv().await {
                if let Some(observer) = &observer {
                    observer.event(id, &event);
                }
            }
        };
        let channels = CallChannels { attachments, commands, events };
        // Boxed: the actor's state is some kilobytes, which would otherwise be copied at every step that it moves.
        let run = Box::pin(call::run(config, peers, first, channels));
        let (summary, ()) = tokio::join!(run, forward);
        let reason = summary.reason.map_or("unknown", reason_label);
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

const fn reason_label(reason: EndReason) -> &'static str {
    match reason {
        EndReason::CallerHangup => "caller_hangup",
        EndReason::AgentHangup => "agent_hangup",
        EndReason::ApiHangup => "api_hangup",
        EndReason::MaxDuration => "max_duration",
        EndReason::Idle => "idle",
        EndReason::MediaLost => "media_lost",
        EndReason::VendorFailed => "vendor_failed",
        EndReason::Drained => "drained",
    }
}

/// Ends a call at Twilio. That it is ending is noted first, so that a redirect which overtakes the answer is told to hang up.
struct TwilioCarrier {
    calls: Calls,
    id: CallId,
    call_sid: String,
    rest: TwilioRest,
}

impl std::fmt::Debug for TwilioCarrier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TwilioCarrier").field("call", &self.id).finish_non_exhaustive()
    }
}

impl Carrier for TwilioCarrier {
    fn hang_up(&self, _reason: EndReason) -> BoxFuture<'static, Result<(), String>> {
        self.calls.0.registry.set_ending(self.id);
        let (rest, call_sid) = (self.rest.clone(), self.call_sid.clone());
        Box::pin(async move { rest.hang_up(&call_sid).await.map_err(|error| error.to_string()) })
    }
}
