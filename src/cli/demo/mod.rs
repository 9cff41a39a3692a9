//! `trunkline demo`: a whole call on this machine, over real sockets, with simulated vendors and recorded human speech.

mod checks;
mod conversation;
mod evidence;
mod files;
mod scenario;
mod watch;

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use clap::Args;
use serde_json::Value;
use tokio::time::{Instant, timeout_at};
use trunkline_sim::{
    twilio::{InboundCall, NoSuchNumber, phone::PhoneConfig},
    voice::VoiceError,
};

pub use checks::Check;
pub use evidence::Evidence;
pub use files::{FilesError, Output};

use self::{
    conversation::Conversation,
    scenario::Scenario,
    watch::{Seen, Watch},
};
use super::{
    Failure, ServeError, Server,
    api::{Api, ApiFailure},
    call::{ScriptError, SoundError, Sounds},
    console::{Console, Style},
    simulate::{self, Delays, Faults, NUMBER, SimulatorConfig, SimulatorError, Simulators, VoiceKind},
};
use crate::{
    config::{Settings, Vendors},
    secrets::Secrets,
    storage::{Storage, StorageError},
    telemetry,
};

/// Who calls.
const CALLER: &str = "+14155550100";
/// The longest that the call may take: it takes about 70 s.
const CALL_LIMIT: Duration = Duration::from_secs(180);
/// How long connections may take to be closed after the call.
const SETTLE_LIMIT: Duration = Duration::from_secs(5);
/// How long the caller waits for the agent, at each step.
const PATIENCE: Duration = Duration::from_secs(20);

/// Place a call on this machine and show it: simulated vendors, recorded human speech, real sockets, no keys.
#[derive(Debug, Args)]
pub(super) struct Demo {
    /// Folder for the recording, the picture and the transcript. Default: a new one below out/.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// What the agent sounds like.
    #[arg(long, value_enum, default_value_t = VoiceKind::Flite)]
    voice: VoiceKind,
    /// Hear, think and speak with the real Deepgram, OpenAI and ElevenLabs, with their keys from the environment. The carrier and its
    /// caller stay simulated. Costs a few cents.
    #[arg(long)]
    live: bool,
    #[command(flatten, next_help_heading = "With --live")]
    vendors: Vendors,
}

/// Why there is no call.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    #[error(transparent)]
    Voice(#[from] VoiceError),
    #[error(transparent)]
    Sound(#[from] SoundError),
    #[error(transparent)]
    Script(#[from] ScriptError),
    #[error(transparent)]
    Simulator(#[from] SimulatorError),
    #[error(transparent)]
    Server(#[from] ServeError),
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error("the API did not do as it was asked: {0}")]
    Api(#[from] ApiFailure),
    #[error(transparent)]
    Files(#[from] FilesError),
    #[error("the simulated carrier does not know the number: {0}")]
    Number(#[from] NoSuchNumber),
    #[error("--live needs these in the environment: {}", .0.join(", "))]
    Keys(Vec<&'static str>),
    #[error("the call did not come to its end within {0:?}")]
    Endless(Duration),
    #[error("the simulated carrier ended before the call")]
    Abandoned,
}

impl Demo {
    pub(super) async fn run(self) -> Result<(), Failure> {
        telemetry::init_logs("error", None);
        let console = Console::stdout();
        let live = self.live.then_some(self.vendors);
        let done = run(self.out, self.voice, live, console.clone()).await?;
        let missed = done.checks.iter().filter(|check| !check.held).count();
        if missed == 0 { Ok(()) } else { Err(format!("{missed} of {} checks did not hold", done.checks.len()).into()) }
    }
}

/// A demo that took place.
#[derive(Debug)]
pub struct DemoReport {
    /// What had to hold, and whether it did.
    pub checks: Vec<Check>,
    /// What is known of the call.
    pub evidence: Evidence,
    /// What was written.
    pub output: Output,
}

/// Places the demo's call and tells it on `console`. `live`: the vendors that hear, think and speak instead of simulated ones.
pub async fn run(
    out: Option<PathBuf>,
    voice: VoiceKind,
    live: Option<Vendors>,
    console: Console,
) -> Result<DemoReport, DemoError> {
    let is_live = live.is_some();
    if let Some(vendors) = &live {
        need_keys(vendors)?;
    }
    let scenario = Scenario::load();
    let sounds = Sounds::built_in()?;
    let steps = scenario.caller.steps(&sounds)?;
    let voice = voice.open().await?;
    let mut output = Output::create(out)?;

    let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let sims = Simulators::start(SimulatorConfig {
        addresses: [anywhere; simulate::COUNT],
        tls: false,
        library: sounds.library().clone(),
        voice,
        rules: scenario.rules.clone(),
        delays: Delays::default(),
        vonage_webhook: None,
        faults: Faults::default(),
    })
    .await?;
    // The platform has no keys: what the call uses are the tenant's own.
    let simulated = sims.vendors();
    let keys = match live {
        None => simulated,
        Some(vendors) => Vendors {
            twilio_account_sid: simulated.twilio_account_sid,
            twilio_auth_token: simulated.twilio_auth_token,
            twilio_base_url: simulated.twilio_base_url,
            ..vendors
        },
    };
    let mut settings = Settings::local(output.folder.clone(), keys.without_keys());
    let secrets = Secrets::generate();
    settings.security.supabase_jwt_secret = secrets.jwt_secret.clone();
    settings.security.encryption_key = secrets.encryption_key;
    settings.security.api_key_secret = secrets.api_key_secret;
    let (watch, mut seen) = Watch::new();
    let storage = Storage::throw_away(&format!("demo-{}", std::process::id())).await?;
    let server = Server::start(settings, storage, Some(Arc::new(watch))).await?;

    let heading = |text: &str| console.line(console.paint(Style::Dim, text));
    let vendors = if is_live { "a simulated carrier" } else { "simulated vendors" };
    heading(&format!("Server and {vendors} are on this machine, each behind a socket of its own:"));
    heading(&format!("  server      {}", server.public_url()));
    for (name, url) in [
        ("deepgram", &keys.deepgram_base_url),
        ("elevenlabs", &keys.elevenlabs_base_url),
        ("openai", &keys.openai_base_url),
        ("twilio", &keys.twilio_base_url),
    ] {
        heading(&format!("  {name:<11} {url}"));
    }
    console.line("");
    let api = Api::of_new_owner(server.public_url(), &secrets.jwt_secret);
    heading("A tenant sets itself up through the API:");
    let told = |what: &str, made: &Value| heading(&format!("  {what:<11} {}", telling(what, made)));
    let tenant = api.set_up(&keys, &scenario.document, NUMBER, told).await?;
    console.line("");
    console.line(format!("{CALLER} calls {NUMBER}. Times are seconds since the call was answered."));
    console.line("");

    let call = sims.twilio.ring(InboundCall {
        from: CALLER.into(),
        to: NUMBER.into(),
        voice_url: tenant.webhook_url,
        phone: PhoneConfig { steps, patience: PATIENCE, ..PhoneConfig::default() },
        ..InboundCall::default()
    })?;
    let mut evidence = Evidence {
        requests: scenario.requests(&sounds),
        greeting: scenario.greeting().to_owned(),
        barge_in_step: scenario.barge_in_step(),
        ..Evidence::default()
    };
    let mut conversation = Conversation::new(console.clone());
    let deadline = Instant::now() + CALL_LIMIT;
    let mut report = std::pin::pin!(call.report());
    let mut over = false;
    while !(over && evidence.summary.is_some()) {
        tokio::select! {
            biased;
            told = timeout_at(deadline, seen.recv()) => match told {
                Err(_) => return Err(DemoError::Endless(CALL_LIMIT)),
                Ok(None) => break,
                Ok(Some(Seen::Ringing(call))) => output.expect(call),
                Ok(Some(Seen::Event(event))) => {
                    conversation.handle_event(&event);
                    evidence.push_event(event);
                }
                Ok(Some(Seen::Ended(summary))) => evidence.summary = Some(summary),
            },
            report = &mut report, if !over => {
                over = true;
                evidence.phone = Some(report.map_err(|_| DemoError::Abandoned)?);
                // A call that never got its stream is not told of by the server.
                if output.call().is_none() {
                    break;
                }
            }
        }
    }
    evidence.unrecognised = sims.deepgram.unrecognised();
    evidence.heard_by_recogniser(&sims.deepgram.log());
    evidence.open = sims.settled(SETTLE_LIMIT).await;
    server.stored().await;
    let mut recording = None;
    if let Some(call) = output.call() {
        evidence.stored = api.get(&format!("/v1/conversations/{call}")).await?;
        if let Some(path) = evidence.stored["recording_url"].as_str() {
            recording = Some(api.download(path).await?);
        }
    }
    server.stop(Duration::from_secs(5)).await;

    output.write(&mut evidence, recording.as_deref())?;
    let checks = if is_live { checks::check_live(&evidence) } else { checks::check(&evidence) };
    console.line("");
    for check in &checks {
        let (mark, style) = if check.held { ("✓", Style::Good) } else { ("✗", Style::Bad) };
        console.line(format!(
            "  {} {:<54} {}",
            console.paint(style, mark),
            check.what,
            console.paint(Style::Dim, &check.detail)
        ));
    }
    console.line("");
    heading("The conversation as the API returns it:");
    for line in format!("{:#}", evidence.stored).lines() {
        heading(&format!("  {line}"));
    }
    console.line("");
    for (what, path) in output.files() {
        console.line(format!("  {what:<24} {}", path.display()));
    }
    Ok(DemoReport { checks, evidence, output })
}

fn need_keys(vendors: &Vendors) -> Result<(), DemoError> {
    let missing: Vec<_> = [
        ("DEEPGRAM_API_KEY", &vendors.deepgram_api_key),
        ("OPENAI_API_KEY", &vendors.openai_api_key),
        ("ELEVENLABS_API_KEY", &vendors.elevenlabs_api_key),
    ]
    .into_iter()
    .filter_map(|(name, key)| key.is_empty().then_some(name))
    .collect();
    if missing.is_empty() { Ok(()) } else { Err(DemoError::Keys(missing)) }
}

/// What was made, in a line.
fn telling(what: &str, made: &Value) -> String {
    let text = |key: &str| made[key].as_str().unwrap_or_default().to_owned();
    match what {
        "agent" => format!("{} ({}), version {}", text("name"), text("id"), made["version"]),
        "number" => format!("{}, confirmed by the carrier, rings the agent", text("phone_number")),
        _ => format!("credential {}, tested and {}", text("credential_id"), text("status")),
    }
}
