//! Runs a call: fetches its documents and executes their verbs in order, until something ends it.

use std::{
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::mpsc,
    time::{Instant as Deadline, sleep, sleep_until},
};
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use super::{
    CallError, CallReport, DocumentRecord,
    bridging::Rooms,
    callbacks::{CallbackDelivery, Callbacks, Sent},
    fields::{call_fields, join, stream_callback},
    outbound::Outbound,
    recording::{Recordings, wav},
    state::{CallState, Command, Source},
    status::{CallStatus, StatusCallback, StatusEvent},
};
use crate::{
    phone::Directory,
    twilio::{
        phone::{self, Caller, PhoneConfig, PhoneEvent, Sids, StreamEnd, StreamRequest},
        signature::Form,
        twiml::{self, Document, Method, StreamNoun, Verb},
        webhook::{Sender, Webhook, WebhookKind},
    },
};

/// Documents that one call runs at most: a server that redirects for ever ends its call.
const DOCUMENT_LIMIT: usize = 100;
/// How long a `<Say>` takes: a quick speaker's time for a character.
pub(super) const SAY_CHARACTER: Duration = Duration::from_millis(60);
/// How long a digit of a `<Play>` takes.
const KEY: Duration = Duration::from_millis(150);
/// How long a `<Play>` takes, since nothing is fetched.
const PLAY: Duration = Duration::from_secs(1);

/// All that a call is made of.
pub(crate) struct Plan {
    pub(crate) state: Arc<CallState>,
    pub(crate) sender: Sender,
    pub(crate) auth_token: String,
    pub(crate) source: Source,
    pub(crate) fallback_url: Option<String>,
    pub(crate) status_callback: Option<StatusCallback>,
    pub(crate) delivery: CallbackDelivery,
    pub(crate) fields: Form,
    pub(crate) phone: PhoneConfig,
    pub(crate) webhook_limit: Duration,
    pub(crate) time_limit: Duration,
    /// Of a call that is placed.
    pub(crate) outbound: Option<Outbound>,
    pub(crate) recordings: Recordings,
    /// Base of the REST API.
    pub(crate) rest_url: String,
    /// Who has which number, for a `<Dial>`.
    pub(crate) callees: Directory<PhoneConfig>,
    pub(crate) rooms: Rooms,
}

/// A call in the making.
pub(crate) struct Runner {
    pub(super) plan: Plan,
    pub(super) commands: mpsc::UnboundedReceiver<Command>,
    pub(super) caller: Caller,
    pub(super) callbacks: Callbacks,
    pub(super) sent: Sent,
    pub(super) report: CallReport,
    pub(super) deadline: Deadline,
    /// Fields of the next document's request alone.
    pub(super) further: Form,
    /// What the far end's network said of a call that was not answered.
    pub(super) sip_response: Option<u16>,
    /// Detection in the background.
    pub(super) detecting: Option<AbortOnDropHandle<()>>,
}

/// What comes next in a call.
pub(super) enum Next {
    Fetch(WebhookKind, Method, String),
    Run { base: String, text: String },
    End(CallStatus),
}

impl Runner {
    pub(crate) fn new(plan: Plan, commands: mpsc::UnboundedReceiver<Command>) -> Self {
        let state = &plan.state;
        let sent = Sent::default();
        let callbacks = Callbacks::new(
            plan.status_callback.clone(),
            plan.delivery,
            plan.sender.clone(),
            plan.auth_token.clone(),
            plan.webhook_limit,
            sent.clone(),
        );
        let now = Instant::now();
        let report = CallReport {
            call_sid: state.sid.clone(),
            account_sid: state.account_sid.clone(),
            from: state.from.clone(),
            to: state.to.clone(),
            status: CallStatus::Queued,
            began: now,
            answered: None,
            ended: now,
            webhooks: Vec::new(),
            documents: Vec::new(),
            dials: Vec::new(),
            keys: Vec::new(),
            said: Vec::new(),
            streams: Vec::new(),
            requests: Vec::new(),
            errors: Vec::new(),
        };
        let caller = Caller::new(plan.phone.steps.iter().cloned(), plan.phone.patience);
        let deadline = Deadline::now() + plan.time_limit;
        Self {
            plan,
            commands,
            caller,
            callbacks,
            sent,
            report,
            deadline,
            further: Form::new(),
            sip_response: None,
            detecting: None,
        }
    }

    pub(crate) async fn run(mut self) -> CallReport {
        let mut next = self.ring().await;
        let status = loop {
            next = match next {
                Next::End(status) => break status,
                Next::Fetch(kind, method, url) => self.fetch(kind, method, url).await,
                Next::Run { .. } if self.report.documents.len() >= DOCUMENT_LIMIT => {
                    self.error(32000, format!("more than {DOCUMENT_LIMIT} documents"));
                    Next::End(CallStatus::Failed)
                }
                Next::Run { base, text } => self.run_document(base, text).await,
            };
        };
        self.report.ended = Instant::now();
        self.report.status = status;
        self.plan.state.set_status(status);
        let duration = self.report.duration();
        let mut fields = call_fields(&self.plan.state, &self.plan.fields);
        fields.extend(self.sip_response.map(|code| ("SipResponseCode".to_owned(), code.to_string())));
        self.callbacks.tell(StatusEvent::Completed, fields, Some(duration));
        self.tell_recording(duration);
        // What it would still find out, nobody asks any more.
        self.detecting = None;
        self.callbacks.finish().await;
        self.report.webhooks = self.sent.take();
        self.report.requests = self.plan.state.requests();
        self.report
    }

    /// Until there is a document to run: at once for an inbound call, at the answer for an outbound one.
    async fn ring(&mut self) -> Next {
        let source = self.plan.source.clone();
        match self.plan.outbound.take() {
            Some(outbound) => {
                if let Err(next) = self.dial(outbound).await {
                    return next;
                }
            }
            None => self.become_status(CallStatus::Ringing, StatusEvent::Ringing),
        }
        next_of(source, WebhookKind::Voice)
    }

    async fn fetch(&mut self, kind: WebhookKind, method: Method, url: String) -> Next {
        let mut form = call_fields(&self.plan.state, &self.plan.fields);
        form.append(&mut self.further);
        if let (WebhookKind::Fallback, Some(error)) = (kind, self.report.errors.last()) {
            form.push(("ErrorCode".into(), error.code.to_string()));
            form.push(("ErrorUrl".into(), self.last_url()));
        }
        let webhook = Webhook { kind, method, url: url.clone(), fields: form };
        let sending = webhook.send(&self.plan.sender, &self.plan.auth_token, self.plan.webhook_limit);
        let record = tokio::select! {
            record = sending => record,
            next = interrupted(&mut self.commands, &self.plan.state) => return next,
        };
        let answer = record.answer.clone();
        self.sent.push(record);
        let (code, detail) = match answer {
            Err(error) => (error.code(), error.to_string()),
            Ok(answer) if !(200..300).contains(&answer.status) => (11200, format!("HTTP status {}", answer.status)),
            Ok(answer) if !matches!(answer.content_type.as_str(), "text/xml" | "application/xml") => {
                (12300, format!("content type {:?}", answer.content_type))
            }
            Ok(answer) => return Next::Run { base: url, text: answer.body },
        };
        self.failed(code, detail, kind)
    }

    /// A document could not be had or read: the fallback's turn, or the end of the call.
    fn failed(&mut self, code: u32, detail: String, kind: WebhookKind) -> Next {
        self.error(code, detail);
        match &self.plan.fallback_url {
            Some(url) if kind != WebhookKind::Fallback => Next::Fetch(WebhookKind::Fallback, Method::Post, url.clone()),
            // The caller hears that an application error has occurred, which answers the call.
            _ => {
                self.answer();
                Next::End(CallStatus::Completed)
            }
        }
    }

    async fn run_document(&mut self, base: String, text: String) -> Next {
        let parsed = twiml::parse(&text);
        self.report.documents.push(DocumentRecord { at: Instant::now(), text, parsed: parsed.clone() });
        let document = match parsed {
            Ok(document) => document,
            Err(error) => {
                let last = self.plan.fallback_url.as_ref() == Some(&base);
                let kind = if last { WebhookKind::Fallback } else { WebhookKind::Voice };
                return self.failed(12100, error.to_string(), kind);
            }
        };
        match self.execute(document, &base).await {
            Ok(()) => {
                self.answer();
                Next::End(CallStatus::Completed)
            }
            Err(next) => next,
        }
    }

    /// Executes the verbs until one leads elsewhere.
    async fn execute(&mut self, document: Document, base: &str) -> Result<(), Next> {
        for verb in document.verbs {
            if self.caller.is_leaving() {
                return Err(Next::End(CallStatus::Completed));
            }
            if let Verb::Reject { busy } = verb
                && self.report.answered.is_none()
            {
                // How a plain rejection is told is not documented.
                return Err(Next::End(if busy { CallStatus::Busy } else { CallStatus::NoAnswer }));
            }
            self.answer();
            match verb {
                Verb::Connect(noun) => self.stream(noun).await?,
                Verb::Redirect { url, method } => {
                    return Err(Next::Fetch(WebhookKind::Redirect, method, join(base, &url)));
                }
                Verb::Hangup => return Err(Next::End(CallStatus::Completed)),
                Verb::Pause(seconds) => self.pass(Duration::from_secs(seconds.into())).await?,
                Verb::Say(text) => {
                    let characters = text.chars().count() as u32;
                    self.report.said.push(text);
                    self.pass(SAY_CHARACTER * characters).await?;
                }
                Verb::Play(_) => self.pass(PLAY).await?,
                Verb::Digits(keys) => {
                    let took = KEY * keys.chars().count() as u32;
                    self.report.keys.push(keys);
                    self.pass(took).await?;
                }
                Verb::Dial(noun) => self.dial_verb(noun, base).await?,
                Verb::Gather(noun) => self.gather(noun, base).await?,
                Verb::Reject { .. } => self.error(12200, "<Reject> after the answer".into()),
                Verb::Unknown { name, .. } => self.error(12200, format!("<{name}> is not simulated")),
            }
        }
        Ok(())
    }

    async fn stream(&mut self, noun: StreamNoun) -> Result<(), Next> {
        let stream_sid = format!("MZ{}", Uuid::new_v4().simple());
        let state = &self.plan.state;
        let request = StreamRequest {
            sids: Sids { account: state.account_sid.clone(), call: state.sid.clone(), stream: stream_sid.clone() },
            url: noun.url.clone(),
            parameters: noun.parameters.clone(),
            auth_token: Some(self.plan.auth_token.clone()),
        };
        let mut config = self.plan.phone.clone();
        let (events, mut told) = mpsc::unbounded_channel();
        if noun.status_callback.is_some() {
            config.events = Some(events);
        } else {
            drop(events);
        }
        let mut next = None;
        let report = {
            let (commands, deadline) = (&mut self.commands, self.deadline);
            let stop = async {
                tokio::select! {
                    interruption = interrupted(commands, state) => {
                        let end = match interruption {
                            Next::End(_) => StreamEnd::Completed,
                            Next::Fetch(..) | Next::Run { .. } => StreamEnd::Redirected,
                        };
                        next = Some(interruption);
                        end
                    }
                    () = sleep_until(deadline) => StreamEnd::TimeLimit,
                }
            };
            let running = phone::run(&self.plan.sender.reach, request, &config, &mut self.caller, stop);
            let mut running = pin!(running);
            loop {
                tokio::select! {
                    biased;
                    Some(event) = told.recv() => {
                        forward(&self.plan, &self.callbacks, &noun, &stream_sid, event);
                    }
                    report = &mut running => break report,
                }
            }
        };
        while let Ok(event) = told.try_recv() {
            forward(&self.plan, &self.callbacks, &noun, &stream_sid, event);
        }
        let ended = report.ended.clone();
        self.report.streams.push(report);
        match (next, ended) {
            (Some(next), _) => Err(next),
            (None, StreamEnd::HungUp | StreamEnd::GaveUp { .. } | StreamEnd::TimeLimit | StreamEnd::Completed) => {
                Err(Next::End(CallStatus::Completed))
            }
            // The call lives on: its next verb runs.
            (None, _) => Ok(()),
        }
    }

    /// Lets time pass, unless something happens to the call.
    pub(super) async fn pass(&mut self, duration: Duration) -> Result<(), Next> {
        tokio::select! {
            next = interrupted(&mut self.commands, &self.plan.state) => Err(next),
            () = sleep_until(self.deadline) => Err(Next::End(CallStatus::Completed)),
            () = sleep(duration) => Ok(()),
        }
    }

    pub(super) fn answer(&mut self) {
        if self.report.answered.is_none() {
            self.report.answered = Some(Instant::now());
            self.deadline = Deadline::now() + self.plan.time_limit;
            self.become_status(CallStatus::InProgress, StatusEvent::Answered);
            if let Some(recorder) = self.plan.state.recorder() {
                let callback = recorder.callback(&self.plan.state, &self.plan.rest_url, "in-progress", Duration::ZERO);
                callback.into_iter().for_each(|callback| self.callbacks.tell_other(callback));
            }
        }
    }

    /// Keeps and tells what was recorded.
    fn tell_recording(&self, duration: Duration) {
        let state = &self.plan.state;
        let Some(recorder) = state.recorder() else { return };
        let status = if self.report.answered.is_some() { "completed" } else { "absent" };
        if status == "completed" {
            let wav = wav(&self.report.streams, recorder.dual);
            self.plan.recordings.put(&state.account_sid, &recorder.sid, wav);
        }
        if let Some(callback) = recorder.callback(state, &self.plan.rest_url, status, duration) {
            self.callbacks.tell_other(callback);
        }
    }

    pub(super) fn become_status(&mut self, status: CallStatus, event: StatusEvent) {
        self.plan.state.set_status(status);
        self.tell(event);
    }

    pub(super) fn tell(&mut self, event: StatusEvent) {
        self.callbacks.tell(event, call_fields(&self.plan.state, &self.plan.fields), None);
    }

    pub(super) fn error(&mut self, code: u32, detail: String) {
        self.report.errors.push(CallError { code, detail });
    }

    fn last_url(&self) -> String {
        match &self.plan.source {
            Source::Url(url, _) => url.clone(),
            Source::Inline(_) => String::new(),
        }
    }
}

/// Waits for a command and says where it leads.
pub(super) async fn interrupted(commands: &mut mpsc::UnboundedReceiver<Command>, state: &CallState) -> Next {
    loop {
        let answered = state.status() == CallStatus::InProgress;
        match commands.recv().await {
            Some(Command::Complete) => return Next::End(CallStatus::Completed),
            Some(Command::HangUp) if answered => return Next::End(CallStatus::Completed),
            Some(Command::HangUp) => return Next::End(CallStatus::NoAnswer),
            Some(Command::Cancel) if !answered => return Next::End(CallStatus::Canceled),
            // No effect on a call in progress.
            Some(Command::Cancel) => {}
            Some(Command::Run(source)) => return next_of(source, WebhookKind::Update),
            None => std::future::pending().await,
        }
    }
}

fn next_of(source: Source, kind: WebhookKind) -> Next {
    match source {
        Source::Inline(text) => Next::Run { base: String::new(), text },
        Source::Url(url, method) => Next::Fetch(kind, method, url),
    }
}

/// Passes a stream's event on, and tells the stream's own status callback of its start and end.
fn forward(plan: &Plan, callbacks: &Callbacks, noun: &StreamNoun, stream_sid: &str, event: PhoneEvent) {
    if let Some(webhook) = stream_callback(&plan.state, noun, stream_sid, &event) {
        callbacks.tell_other(webhook);
    }
    if let Some(events) = &plan.phone.events {
        let _ = events.send(event);
    }
}
