//! Runs a call: asks what happens, does it in order, and tells what becomes of each leg, until something ends it.

mod bridge;
mod dial;
mod keys;
mod people;
mod recording;
mod stream;

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use serde_json::{Map, Value, json};
use tokio::{
    sync::mpsc,
    time::{Instant as Deadline, sleep, sleep_until},
};
use tokio_util::task::AbortOnDropHandle;

pub(super) use self::dial::{Detection, Placed};
use self::{people::Company, recording::Recorder};
use super::{
    Shared,
    call::{CallReport, DocumentRecord, LegRecord},
    events::{Events, Sent},
    legs::{Command, Destination, Leg, LegStatus, conversation_uuid},
    ncco::{self, Action, Connect, Endpoint},
    signature::Signer,
    webhook::{Webhook, WebhookAnswer, WebhookKind},
};
use crate::{
    dates::iso8601,
    phone::{Caller, PhoneConfig},
};

/// Documents that one call runs at most.
const DOCUMENT_LIMIT: usize = 100;
/// How long a `stream` takes, since nothing is fetched.
const STREAM: Duration = Duration::from_secs(1);

/// Where something is asked or told, and whether by POST.
pub(super) type Address = (String, bool);

/// All that a call is made of.
pub(super) struct Plan {
    pub(super) shared: Arc<Shared>,
    pub(super) leg: Arc<Leg>,
    pub(super) signer: Option<Signer>,
    pub(super) source: Source,
    pub(super) fallback: Option<Address>,
    pub(super) events: Option<Address>,
    /// Further fields of the answer webhook.
    pub(super) fields: Map<String, Value>,
    pub(super) phone: PhoneConfig,
    pub(super) time_limit: Duration,
    /// Of a call that is placed.
    pub(super) placed: Option<Placed>,
}

/// Where the first document comes from.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Source {
    Actions(Vec<Action>),
    Url(Address),
}

/// A call in the making.
pub(super) struct Runner {
    plan: Plan,
    commands: mpsc::UnboundedReceiver<Command>,
    /// For the legs that join.
    commander: mpsc::UnboundedSender<Command>,
    caller: Caller,
    events: Events,
    sent: Sent,
    legs: Vec<Arc<Leg>>,
    report: CallReport,
    deadline: Deadline,
    /// Detection in the background.
    detecting: Option<AbortOnDropHandle<()>>,
    /// Keys that have ended a `talk`, and that nobody has waited for yet.
    pressed: String,
    /// The recordings that are being made.
    recorders: Vec<Recorder>,
}

/// What comes next in a call.
#[derive(Debug, Clone, PartialEq)]
enum Next {
    Fetch(WebhookKind, Address),
    Run(Vec<Action>),
    End(End),
}

/// How a call ends.
#[derive(Debug, Clone, PartialEq)]
struct End {
    status: LegStatus,
    /// `user` or `platform`.
    by: &'static str,
    detail: Option<&'static str>,
    sip_code: Option<u16>,
}

impl End {
    /// Of a call that was answered, or of which nothing is known but who gave up.
    const fn by(by: &'static str) -> Self {
        Self { status: LegStatus::Completed, by, detail: None, sip_code: Some(200) }
    }
}

impl Runner {
    pub(super) fn new(
        plan: Plan,
        commander: mpsc::UnboundedSender<Command>,
        commands: mpsc::UnboundedReceiver<Command>,
    ) -> Self {
        let (sent, config) = (Sent::default(), &plan.shared.config);
        let sender = plan.shared.sender.clone();
        let events =
            Events::new(config.events.clone(), sender, plan.signer.clone(), config.webhook_limit, sent.clone());
        let now = Instant::now();
        let report = CallReport {
            uuid: plan.leg.uuid.clone(),
            from: plan.leg.from.text(),
            to: plan.leg.to.text(),
            status: LegStatus::Started,
            began: now,
            answered: None,
            ended: now,
            webhooks: Vec::new(),
            documents: Vec::new(),
            said: Vec::new(),
            conversations: Vec::new(),
            streams: Vec::new(),
            legs: Vec::new(),
            errors: Vec::new(),
        };
        let caller = Caller::new(plan.phone.steps.iter().cloned(), plan.phone.patience);
        let (legs, deadline) = (vec![plan.leg.clone()], Deadline::now() + plan.time_limit);
        Self {
            plan,
            commands,
            commander,
            caller,
            events,
            sent,
            legs,
            report,
            deadline,
            detecting: None,
            pressed: String::new(),
            recorders: Vec::new(),
        }
    }

    pub(super) async fn run(mut self) -> CallReport {
        let mut next = self.begin().await.unwrap_or_else(|next| next);
        let end = loop {
            next = match next {
                Next::End(end) => break end,
                Next::Fetch(kind, address) => self.fetch(kind, address).await,
                Next::Run(_) if self.report.documents.len() >= DOCUMENT_LIMIT => {
                    self.report.errors.push(format!("more than {DOCUMENT_LIMIT} documents"));
                    Next::End(End::by("platform"))
                }
                Next::Run(actions) => match Box::pin(self.execute(actions)).await {
                    Ok(()) => Next::End(End::by("platform")),
                    Err(next) => next,
                },
            };
        };
        self.report.ended = Instant::now();
        self.end(end);
        self.tell_recordings();
        // What it would still find out, nobody asks any more.
        self.detecting = None;
        self.events.finish().await;
        self.report.webhooks = self.sent.take();
        let record = |leg: &Arc<Leg>| LegRecord {
            uuid: leg.uuid.clone(),
            to: leg.to.text(),
            status: leg.status(),
            commands: leg.recorded(),
            keys: leg.keys(),
        };
        self.report.legs = self.legs.iter().map(record).collect();
        self.report.status = self.plan.leg.status();
        self.report
    }

    /// Until there is a document: at once for a call that comes, at the answer for one that is placed.
    async fn begin(&mut self) -> Result<Next, Next> {
        self.tell(LegStatus::Started);
        match self.plan.placed.take() {
            Some(placed) => self.dial(placed).await?,
            None => {
                self.plan.leg.set_status(LegStatus::Ringing);
                self.tell(LegStatus::Ringing);
            }
        }
        Ok(match self.plan.source.clone() {
            Source::Actions(actions) => Next::Run(actions),
            Source::Url(address) => Next::Fetch(WebhookKind::Answer, address),
        })
    }

    fn end(&mut self, end: End) {
        let leg = self.plan.leg.clone();
        let gone = !leg.outbound && leg.status() == LegStatus::Ringing && end.by == "user";
        let status = if gone { LegStatus::Cancelled } else { end.status };
        leg.set_status(status);
        let mut fields = leg.event(status);
        if status == LegStatus::Completed {
            fields.insert("disconnected_by".into(), end.by.into());
        }
        fields.extend(end.detail.map(|detail| ("detail".to_owned(), detail.into())));
        fields.extend(end.sip_code.map(|code| ("sip_code".to_owned(), code.into())));
        self.tell_fields(self.plan.events.clone(), fields);
    }

    async fn fetch(&mut self, kind: WebhookKind, (url, post): Address) -> Next {
        let mut fields = self.plan.fields.clone();
        let leg = &self.plan.leg;
        for (name, value) in [
            ("to", leg.to.text()),
            ("from", leg.from.text()),
            ("uuid", leg.uuid.clone()),
            ("conversation_uuid", leg.conversation_uuid()),
            ("region_url", self.plan.shared.region_url(leg.region)),
            ("endpoint_type", "phone".into()),
        ] {
            fields.insert(name.into(), value.into());
        }
        if let (WebhookKind::Fallback, Some(reason), Source::Url((first, _))) =
            (kind, self.report.errors.last(), &self.plan.source)
        {
            fields.insert("reason".into(), reason.as_str().into());
            fields.insert("original_request".into(), json!({"url": first, "type": "answer"}));
        }
        let webhook = Webhook::new(kind, (&url, post), fields);
        let limit = self.plan.shared.config.webhook_limit;
        let sending = webhook.send(&self.plan.shared.sender, self.plan.signer.as_ref(), limit);
        let record = tokio::select! {
            record = sending => record,
            next = interrupted(&mut self.commands, &self.plan.leg) => return next,
        };
        let answer = record.answer.clone();
        self.sent.push(record);
        let wrong = match answer {
            Err(error) => error.to_string(),
            Ok(answer) => match self.document(&answer) {
                Ok(actions) => return Next::Run(actions),
                Err(wrong) => wrong,
            },
        };
        self.problem(&wrong);
        match &self.plan.fallback {
            Some(address) if kind == WebhookKind::Answer => Next::Fetch(WebhookKind::Fallback, address.clone()),
            _ if self.report.answered.is_some() => Next::End(End::by("platform")),
            _ => Next::End(End {
                status: LegStatus::Failed,
                by: "platform",
                detail: Some("internal_error"),
                sip_code: None,
            }),
        }
    }

    /// Reads what a webhook was answered with.
    fn document(&mut self, answer: &WebhookAnswer) -> Result<Vec<Action>, String> {
        if answer.status != 200 {
            return Err(format!("HTTP status {}", answer.status));
        }
        if answer.content_type != "application/json" {
            return Err(format!("content type {:?}", answer.content_type));
        }
        let parsed = ncco::parse(&answer.body);
        let record = DocumentRecord { at: Instant::now(), text: answer.body.clone(), parsed: parsed.clone() };
        self.report.documents.push(record);
        parsed.map_err(|error| format!("invalid NCCO: {error}"))
    }

    /// Reads a document in the reply to an event, if there is one.
    fn reply(&mut self, answer: Option<WebhookAnswer>) -> Option<Next> {
        let answer = answer.filter(|answer| answer.status == 200 && answer.body.trim_start().starts_with('['))?;
        match self.document(&answer) {
            Ok(actions) => Some(Next::Run(actions)),
            Err(wrong) => {
                self.problem(&wrong);
                None
            }
        }
    }

    /// Executes the actions until one leads elsewhere.
    async fn execute(&mut self, actions: Vec<Action>) -> Result<(), Next> {
        for action in actions {
            if self.caller.is_leaving() {
                return Err(Next::End(End::by("user")));
            }
            self.answer();
            match action {
                Action::Connect(connect) => match connect.endpoint.clone() {
                    Endpoint::Socket(endpoint) => Box::pin(self.stream(&connect, &endpoint)).await?,
                    Endpoint::Phone(number) => self.bridge(&connect, &number).await?,
                },
                Action::Talk(talk) => self.talk(talk).await?,
                Action::Input(input) => self.input(input).await?,
                Action::Record { event_url } => self.record(event_url),
                Action::Stream(_) => {
                    self.wait(Company::none(), sleep(STREAM)).await?;
                }
                Action::Wait(seconds) => {
                    self.wait(Company::none(), sleep(Duration::from_secs_f64(seconds))).await?;
                }
                Action::Conversation(conversation) => self.converse(conversation).await?,
                Action::Notify { event_url, payload } => {
                    let mut fields = self.plan.leg.event_named("notify");
                    fields.remove("status");
                    fields.insert("payload".into(), payload);
                    let webhook = Webhook::new(WebhookKind::Event, (&event_url, true), fields);
                    let answer = self.events.ask(webhook).await;
                    self.reply(answer).map_or(Ok(()), Err)?;
                }
                Action::NotSimulated(name) => self.report.errors.push(format!("{name} is not simulated")),
            }
        }
        Ok(())
    }

    fn answer(&mut self) {
        if self.report.answered.is_none() {
            self.report.answered = Some(Instant::now());
            self.deadline = Deadline::now() + self.plan.time_limit;
            self.plan.leg.set_status(LegStatus::Answered);
            self.tell(LegStatus::Answered);
        }
    }

    /// Lets time pass while it rings, unless something happens to the call.
    async fn pass(&mut self, duration: Duration) -> Result<(), Next> {
        tokio::select! {
            next = interrupted(&mut self.commands, &self.plan.leg) => Err(self.obey(next)),
            () = sleep_until(self.deadline) => Err(Next::End(End::by("platform"))),
            () = sleep(duration) => Ok(()),
        }
    }

    /// Moves the caller's leg before it is transferred, and tells so.
    fn obey(&mut self, next: Next) -> Next {
        if !matches!(next, Next::End(_)) {
            let leg = &self.plan.leg;
            let to = conversation_uuid();
            let from = leg.move_to(to.clone());
            let fields = Map::from_iter([
                ("status".to_owned(), "transfer".into()),
                ("uuid".to_owned(), leg.uuid.as_str().into()),
                ("conversation_uuid_from".to_owned(), from.into()),
                ("conversation_uuid_to".to_owned(), to.into()),
                ("timestamp".to_owned(), iso8601(SystemTime::now()).into()),
            ]);
            self.tell_fields(self.plan.events.clone(), fields);
        }
        next
    }

    /// A new leg of the call, which has begun.
    fn join(&mut self, leg: super::legs::NewLeg) -> Arc<Leg> {
        let leg = self.plan.shared.register(Leg::new(leg, self.commander.clone()));
        self.legs.push(leg.clone());
        leg
    }

    /// Where the events of a leg that a `connect` made go.
    fn events_of(&self, connect: &Connect) -> Option<Address> {
        connect.event_url.clone().map(|url| (url, connect.post)).or_else(|| self.plan.events.clone())
    }

    /// A state of the caller's leg.
    fn tell(&mut self, status: LegStatus) {
        self.tell_fields(self.plan.events.clone(), self.plan.leg.event(status));
    }

    fn tell_fields(&mut self, address: Option<Address>, fields: Map<String, Value>) {
        if let Some((url, post)) = address {
            self.events.tell(Webhook::new(WebhookKind::Event, (&url, post), fields));
        }
    }

    /// What the vendor's log shows, and the application is told.
    fn problem(&mut self, wrong: &str) {
        self.report.errors.push(wrong.to_owned());
        let fields = Map::from_iter([
            ("reason".to_owned(), wrong.into()),
            ("conversation_uuid".to_owned(), self.plan.leg.conversation_uuid().into()),
            ("timestamp".to_owned(), iso8601(SystemTime::now()).into()),
        ]);
        self.tell_fields(self.plan.events.clone(), fields);
    }
}

/// Waits for a command that means something to the leg alone, and says where it leads.
async fn interrupted(commands: &mut mpsc::UnboundedReceiver<Command>, leg: &Leg) -> Next {
    loop {
        match commands.recv().await {
            Some(Command::HangUp(uuid)) if uuid == leg.uuid => return Next::End(hung_up(leg)),
            // A leg that is over.
            Some(Command::HangUp(_)) => {}
            Some(Command::CallerHangsUp) => return Next::End(End::by("user")),
            // A leg that rings is nowhere that it could be taken from.
            Some(Command::Transfer(_)) if leg.status() != LegStatus::Answered => {}
            Some(Command::Transfer(destination)) => return transfer(destination),
            None => std::future::pending().await,
        }
    }
}

/// REST ends a leg: one that was not answered is cancelled.
fn hung_up(leg: &Leg) -> End {
    match leg.status() {
        LegStatus::Answered => End::by("platform"),
        _ if leg.outbound => End { status: LegStatus::Cancelled, by: "platform", detail: None, sip_code: Some(487) },
        _ => End::by("platform"),
    }
}

fn transfer(destination: Destination) -> Next {
    match destination {
        Destination::Actions(actions) => Next::Run(actions),
        Destination::Url(url) => Next::Fetch(WebhookKind::Transfer, (url, false)),
    }
}
