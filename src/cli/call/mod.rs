//! `trunkline call`: be a phone. It calls a server by its voice webhook, as the carrier would, or opens a media stream itself.

mod outcome;
mod script;
mod sound;
mod steps;
mod telling;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use tokio::sync::mpsc;
use trunkline_sim::twilio::{
    Account, InboundCall, TwilioConfig, TwilioSim,
    net::Network,
    phone::{self, PhoneConfig, PhoneReport, Sids, Step, StreamRequest},
};
use uuid::Uuid;

pub use outcome::CallFailed;
pub use script::{CallerScript, CallerStep, ScriptError};
pub use sound::{SoundError, Sounds};

use self::{steps::Steps, telling::Telling};
use super::{
    Failure,
    console::Console,
    simulate::{ACCOUNT_SID, AUTH_TOKEN, NUMBER},
    units::duration,
};

/// Be a phone: call a server with recorded speech, and hear what it says.
#[derive(Debug, Args)]
pub(super) struct Call {
    #[command(flatten)]
    target: Target,
    /// The account that the number called belongs to. Default: the simulated one.
    #[arg(long, env = "TWILIO_ACCOUNT_SID", default_value = ACCOUNT_SID)]
    account_sid: String,
    /// The account's token, with which requests are signed. Default: the simulated one.
    #[arg(long, env = "TWILIO_AUTH_TOKEN", hide_env_values = true, default_value = AUTH_TOKEN, hide_default_value = true)]
    auth_token: String,
    /// Who calls.
    #[arg(long, value_name = "NUMBER", default_value = "+14155550100")]
    from: String,
    /// Who is called.
    #[arg(long, value_name = "NUMBER", default_value = NUMBER)]
    to: String,
    /// A value handed to the stream, as `name=value`; only with --stream. May be given more than once.
    #[arg(long, value_name = "NAME=VALUE", value_parser = parameter, requires = "stream", conflicts_with = "voice_webhook")]
    parameter: Vec<(String, String)>,
    /// Where the carrier's REST API listens during the call, for a server whose TWILIO_BASE_URL is this address. Default: a free port.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    rest: SocketAddr,
    /// PEM file with the one authority to trust instead of the web's.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Write both sides of the call here: stereo WAV, caller left.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// How long a step may wait before the caller gives up.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    patience: Duration,
    /// JSON file with the script, instead of the flags below.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["say", "barge-in", "wait-agent", "pause", "dtmf", "hang-up", "wait-end"])]
    script: Option<PathBuf>,
    #[command(flatten)]
    steps: Steps,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Target {
    /// The server's voice webhook: it is rung as the carrier would, and says where its media stream is.
    #[arg(long, value_name = "URL")]
    voice_webhook: Option<String>,
    /// A media stream to open directly: ws:// or wss://.
    #[arg(long, value_name = "URL")]
    stream: Option<String>,
}

impl Call {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let console = Console::stdout();
        let (steps, names) = self.load()?;
        let ca_pem = match &self.ca {
            None => None,
            Some(path) => Some(std::fs::read_to_string(path).map_err(|cause| CallFailed::file(path, &cause))?),
        };
        let network = Network { ca_pem, ..Network::default() };
        let (events, told) = mpsc::unbounded_channel();
        let phone = PhoneConfig { steps, patience: self.patience, events: Some(events), ..PhoneConfig::default() };
        let telling = tokio::spawn(Telling::new(console.clone(), names).run(told));
        let streams = match (&self.target.voice_webhook, &self.target.stream) {
            (Some(url), _) => self.ring(url, network, phone).await?,
            (None, Some(url)) => vec![self.stream(url, &network, phone).await?],
            (None, None) => return Err("--voice-webhook or --stream is needed".into()),
        };
        // All that happened has been told when the phone's end of the channel is gone.
        let _ = telling.await;
        for stream in &streams {
            outcome::summary(&console, stream);
        }
        if let Some(out) = &self.out {
            write(&console, out, &streams)?;
        }
        if streams.iter().any(|stream| stream.started.is_some()) {
            Ok(())
        } else {
            Err(outcome::no_stream(&streams).into())
        }
    }

    /// The phone's steps, and what each is called.
    fn load(&self) -> Result<(Vec<Step>, Vec<CallerStep>), ScriptError> {
        let sounds = Sounds::built_in()?;
        let (script, sounds) = match &self.script {
            Some(path) => (CallerScript::load(path)?, sounds.relative_to(path.parent().unwrap_or(Path::new("")))),
            None if self.steps.0.is_empty() => (CallerScript { steps: steps::default_steps() }, sounds),
            None => (self.steps.clone().into_script(), sounds),
        };
        let script = CallerScript { steps: steps::ending(script.steps) };
        Ok((script.steps(&sounds)?, script.steps))
    }

    /// Rings the server as the carrier does.
    async fn ring(&self, url: &str, network: Network, phone: PhoneConfig) -> Result<Vec<PhoneReport>, CallFailed> {
        let account = Account {
            sid: self.account_sid.clone(),
            auth_token: self.auth_token.clone(),
            numbers: vec![self.to.clone()],
        };
        let config = TwilioConfig { network, ..TwilioConfig::new(account) };
        let carrier = TwilioSim::start(self.rest, config, None).await.map_err(CallFailed::Carrier)?;
        let call = carrier.ring(InboundCall {
            from: self.from.clone(),
            to: self.to.clone(),
            voice_url: url.to_owned(),
            phone,
            ..InboundCall::default()
        });
        let report = call.map_err(|error| CallFailed::Number(error.0))?.report().await;
        outcome::streams(report.map_err(|_| CallFailed::Abandoned)?)
    }

    /// Opens one media stream, signed as the carrier does.
    async fn stream(&self, url: &str, network: &Network, phone: PhoneConfig) -> Result<PhoneReport, CallFailed> {
        let sid = |prefix: &str| format!("{prefix}{}", Uuid::now_v7().simple());
        let request = StreamRequest {
            sids: Sids { account: self.account_sid.clone(), call: sid("CA"), stream: sid("MZ") },
            url: url.to_owned(),
            parameters: self.parameter.clone(),
            auth_token: Some(self.auth_token.clone()),
        };
        phone::stream(network, request, &phone).await.map_err(CallFailed::Carrier)
    }
}

/// Writes the streams' recordings: the first to `out`, further ones beside it with a number.
fn write(console: &Console, out: &Path, streams: &[PhoneReport]) -> Result<(), CallFailed> {
    for (number, stream) in streams.iter().filter(|stream| stream.started.is_some()).enumerate() {
        let path = match number {
            0 => out.to_owned(),
            number => {
                let stem = out.file_stem().unwrap_or_default().to_string_lossy();
                out.with_file_name(format!("{stem}-{}.wav", number + 1))
            }
        };
        stream.write_stereo_wav(&path).map_err(|cause| CallFailed::file(&path, &cause))?;
        console.line(format!("Both sides of the call are in {}.", path.display()));
    }
    Ok(())
}

/// Reads `name=value`.
fn parameter(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    if name.is_empty() { Err("the name is missing".into()) } else { Ok((name.to_owned(), value.to_owned())) }
}
