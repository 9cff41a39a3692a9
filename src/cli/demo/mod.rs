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
    call::{ScriptError, SoundError, Sounds},
    console::{Console, Style},
    simulate::{Delays, Faults, NUMBER, SimulatorConfig, SimulatorError, Simulators, VoiceKind},
};
use crate::{config::Settings, telemetry};

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
    Files(#[from] FilesError),
    #[error("the simulated carrier does not know the number: {0}")]
    Number(#[from] NoSuchNumber),
    #[error("the call did not come to its end within {0:?}")]
    Endless(Duration),
    #[error("the simulated carrier ended before the call")]
    Abandoned,
}

impl Demo {
    pub(super) async fn run(self) -> Result<(), Failure> {
        telemetry::init_logs("error");
        let console = Console::stdout();
        let done = run(self.out, self.voice, console.clone()).await?;
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

/// Places the demo's call and tells it on `console`.
pub async fn run(out: Option<PathBuf>, voice: VoiceKind, console: Console) -> Result<DemoReport, DemoError> {
    let scenario = Scenario::load();
    let sounds = Sounds::built_in()?;
    let steps = scenario.caller.steps(&sounds)?;
    let voice = voice.open().await?;
    let mut output = Output::create(out)?;

    let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let sims = Simulators::start(SimulatorConfig {
        addresses: [anywhere; 4],
        tls: false,
        library: sounds.library().clone(),
        voice,
        rules: scenario.rules.clone(),
        delays: Delays::default(),
        faults: Faults::default(),
    })
    .await?;
    let settings = Settings {
        bind: anywhere,
        public_url: None,
        data: output.folder.clone(),
        max_calls: 1,
        drain_seconds: 5,
        record: true,
        lead_ms: 120,
        extra_ca_file: None,
        vendors: sims.vendors(),
    };
    let (watch, mut seen) = Watch::new();
    let server = Server::start(scenario.agent.clone(), settings, Some(Arc::new(watch))).await?;

    let heading = |text: &str| console.line(console.paint(Style::Dim, text));
    heading("Server and simulated vendors are on this machine, each behind a socket of its own:");
    heading(&format!("  server      {}", server.public_url()));
    for (name, value) in sims.environment().into_iter().filter(|(name, _)| name.ends_with("_URL")) {
        heading(&format!("  {:<11} {value}", name.trim_end_matches("_BASE_URL").to_lowercase()));
    }
    console.line("");
    console.line(format!("{CALLER} calls {NUMBER}. Times are seconds since the call was answered."));
    console.line("");

    let call = sims.twilio.ring(InboundCall {
        from: CALLER.into(),
        to: NUMBER.into(),
        voice_url: format!("{}/webhooks/twilio?kind=voice", server.public_url()),
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
                Ok(Some(Seen::Ringing { call, recording })) => output.expect_recording(call, recording),
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
                if !output.expects_recording() {
                    break;
                }
            }
        }
    }
    evidence.unrecognised = sims.deepgram.unrecognised();
    evidence.heard_by_recogniser(&sims.deepgram.log());
    evidence.open = sims.settled(SETTLE_LIMIT).await;
    server.stop(Duration::from_secs(5)).await;

    output.write(&mut evidence)?;
    let checks = checks::check(&evidence);
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
    for (what, path) in output.files() {
        console.line(format!("  {what:<24} {}", path.display()));
    }
    Ok(DemoReport { checks, evidence, output })
}
