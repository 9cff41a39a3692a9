//! Vonage's REST API for calls: place, fetch, list, hang up, transfer, mute, keys and words.
//!
//! A call lives in one region, and only that region's address knows it: what was placed or rings comes with its region, and a client
//! [`VonageRest::in_region`] asks there. Every request is signed anew by the application's key.

mod call;
mod error;
mod recordings;
mod send;

use std::{sync::Arc, time::SystemTime};

use reqwest::Method;
use serde_json::{Value, json};
use trunkline_base::Clock;

use self::send::{Ask, Repeat};
pub use self::{
    call::{CallRecord, CreateCall, Created, Flow, MachineDetection},
    error::{Reason, RestError},
    recordings::RecordingFile,
};
use super::{
    VonageHosts,
    account::VonageAuth,
    dates::iso8601,
    event::is_uuid,
    hosts::region,
    ncco::{MAX_TALK, Ncco},
};
use crate::{
    net::{BaseUrl, Http},
    telephony::twilio::rest::RestLimits,
};

/// How many calls are on a page: the most that Vonage gives.
const PAGE: usize = 100;

/// How many pages of a list are read.
const MAX_PAGES: usize = 10;

/// Which calls are listed: those that began in a time, all of them if it has no end.
#[derive(Debug, Clone, Copy, Default)]
pub struct ListCalls<'a> {
    /// Not before.
    pub since: Option<SystemTime>,
    /// Not after.
    pub until: Option<SystemTime>,
    /// The legs of this conversation only.
    pub conversation_uuid: Option<&'a str>,
}

/// One application's REST client. Cloning shares the connections.
#[derive(Debug, Clone)]
pub struct VonageRest {
    http: Http,
    /// As it was configured.
    configured: BaseUrl,
    /// Where it asks: the configured address, or a region's.
    base: BaseUrl,
    auth: VonageAuth,
    clock: Arc<dyn Clock>,
    limits: RestLimits,
}

impl VonageRest {
    /// Through `http`, which has a connect limit of its own, to where calls are.
    pub fn new(http: Http, hosts: &VonageHosts, auth: VonageAuth, clock: Arc<dyn Clock>) -> Self {
        let base = hosts.voice.clone();
        Self { http, configured: base.clone(), base, auth, clock, limits: RestLimits::default() }
    }

    /// With other limits.
    #[must_use]
    pub const fn with_limits(mut self, limits: RestLimits) -> Self {
        self.limits = limits;
        self
    }

    /// For the calls of a region, by the `region_url` of their webhook. One that is neither a host of the vendor's nor where the
    /// configured address is, is not believed: then it is the configured address.
    #[must_use]
    pub fn in_region(mut self, region_url: Option<&str>) -> Self {
        self.base = region_url.map_or_else(|| self.configured.clone(), |url| region(&self.configured, url));
        self
    }

    /// Places a call, with one attempt: whether one that came to nothing may be repeated is [`RestError::may_have_happened`]'s to say.
    pub async fn create(&self, call: &CreateCall<'_>) -> Result<Created, RestError> {
        let ask = Ask {
            method: Method::POST,
            path: Vec::new(),
            query: Vec::new(),
            body: Some(call.body()),
            repeat: Repeat::Never,
        };
        Created::read(&self.ask(&ask).await?).ok_or(RestError::Unreadable)
    }

    /// A call as it is; `None` if Vonage doesn't know it here.
    pub async fn fetch(&self, uuid: &str) -> Result<Option<CallRecord>, RestError> {
        let ask = Ask {
            method: Method::GET,
            path: vec![checked(uuid)?],
            query: Vec::new(),
            body: None,
            repeat: Repeat::Always,
        };
        let body = match self.ask(&ask).await {
            Ok(body) => body,
            Err(error) if error.is_over() => return Ok(None),
            Err(error) => return Err(error),
        };
        let call: Value = serde_json::from_slice(&body).map_err(|_| RestError::Unreadable)?;
        CallRecord::of(&call).map(Some).ok_or(RestError::Unreadable)
    }

    /// The application's calls, oldest first, a thousand at the most.
    pub async fn list(&self, wanted: &ListCalls<'_>) -> Result<Vec<CallRecord>, RestError> {
        let mut calls = Vec::new();
        for page in 0..MAX_PAGES {
            let mut query = vec![
                ("page_size", PAGE.to_string()),
                ("record_index", (page * PAGE).to_string()),
                ("order", "asc".to_owned()),
            ];
            query.extend(wanted.since.map(|since| ("date_start", iso8601(since))));
            query.extend(wanted.until.map(|until| ("date_end", iso8601(until))));
            query.extend(wanted.conversation_uuid.map(|uuid| ("conversation_uuid", uuid.to_owned())));
            let ask = Ask { method: Method::GET, path: Vec::new(), query, body: None, repeat: Repeat::Always };
            let body: Value = serde_json::from_slice(&self.ask(&ask).await?).map_err(|_| RestError::Unreadable)?;
            let listed = body.pointer("/_embedded/calls").and_then(Value::as_array).ok_or(RestError::Unreadable)?;
            calls.extend(listed.iter().filter_map(CallRecord::of));
            if listed.len() < PAGE {
                break;
            }
        }
        Ok(calls)
    }

    /// Ends a leg. One that is over already, or that Vonage doesn't know here, is a success: it may be asked for twice. The caller's leg
    /// ends the conversation; a media socket's ends itself alone.
    pub async fn hang_up(&self, uuid: &str) -> Result<(), RestError> {
        match self.modify(uuid, json!({ "action": "hangup" }), Repeat::Always).await {
            Err(error) if error.is_over() => Ok(()),
            other => other,
        }
    }

    /// Has the leg go on with another document.
    pub async fn transfer(&self, uuid: &str, ncco: &Ncco) -> Result<(), RestError> {
        let body = json!({ "action": "transfer", "destination": { "type": "ncco", "ncco": ncco } });
        self.modify(uuid, body, Repeat::IfCertain).await
    }

    /// Has the leg go on with the document at an address.
    pub async fn transfer_to_url(&self, uuid: &str, url: &str) -> Result<(), RestError> {
        let body = json!({ "action": "transfer", "destination": { "type": "ncco", "url": [url] } });
        self.modify(uuid, body, Repeat::IfCertain).await
    }

    /// Whether the others hear the leg.
    pub async fn mute(&self, uuid: &str, on: bool) -> Result<(), RestError> {
        self.modify(uuid, json!({ "action": if on { "mute" } else { "unmute" } }), Repeat::Always).await
    }

    /// Whether the leg hears the others.
    pub async fn earmuff(&self, uuid: &str, on: bool) -> Result<(), RestError> {
        self.modify(uuid, json!({ "action": if on { "earmuff" } else { "unearmuff" } }), Repeat::Always).await
    }

    /// Presses keys towards the leg: `0`–`9`, `*`, `#`, and `p` for half a second's pause.
    pub async fn send_keys(&self, uuid: &str, keys: &str) -> Result<(), RestError> {
        self.play(Method::PUT, uuid, "dtmf", Some(json!({ "digits": keys }))).await
    }

    /// Has Vonage's own voice say something to the leg, cut to [`MAX_TALK`].
    pub async fn talk(&self, uuid: &str, text: &str, language: Option<&str>) -> Result<(), RestError> {
        let text: String = text.chars().take(MAX_TALK).collect();
        let mut body = json!({ "text": text });
        if let Some(language) = language {
            body["language"] = language.into();
        }
        self.play(Method::PUT, uuid, "talk", Some(body)).await
    }

    /// Stops what [`VonageRest::talk`] began.
    pub async fn stop_talking(&self, uuid: &str) -> Result<(), RestError> {
        self.play(Method::DELETE, uuid, "talk", None).await
    }

    async fn modify(&self, uuid: &str, body: Value, repeat: Repeat) -> Result<(), RestError> {
        let ask = Ask { method: Method::PUT, path: vec![checked(uuid)?], query: Vec::new(), body: Some(body), repeat };
        self.ask(&ask).await.map(drop)
    }

    async fn play(&self, method: Method, uuid: &str, what: &str, body: Option<Value>) -> Result<(), RestError> {
        let path = vec![checked(uuid)?, what.to_owned()];
        self.ask(&Ask { method, path, query: Vec::new(), body, repeat: Repeat::IfCertain }).await.map(drop)
    }
}

fn checked(uuid: &str) -> Result<String, RestError> {
    if is_uuid(uuid) { Ok(uuid.to_owned()) } else { Err(RestError::BadUuid) }
}
