//! `trunkline simulate`: the vendors' simulators on loopback, for a server of one's own.

mod clips;
mod fault;
mod world;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use clap::{Args, ValueEnum};
use trunkline_sim::{
    openai::Rules,
    recogniser::{Library, LibraryError},
    voice::{CodedVoice, FliteModel, FliteVoice, Voice, VoiceError},
};
use url::Url;

pub(crate) use clips::library;
pub use fault::{FaultArg, Faults, Vendor};
pub use world::{ACCOUNT_SID, AUTH_TOKEN, COUNT, Delays, NUMBER, SimulatorConfig, SimulatorError, Simulators};

use super::{
    Failure,
    console::{Console, Style},
    units::duration,
};

/// What the simulated model answers by default: what the demo's caller asks for, and a repetition of everything else.
pub(crate) const DEMO_RULES: &str = include_str!("../../../fixtures/scenarios/demo/model.json");

/// Run simulators of Deepgram, ElevenLabs, OpenAI, Twilio, Anthropic, Vonage, Salesforce and Supabase, and print the settings that point
/// `serve` at them.
#[derive(Debug, Args)]
pub(super) struct Simulate {
    /// Address to listen on.
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    host: IpAddr,
    /// Port of the first simulator; the others take the seven that follow. 0 picks free ones.
    #[arg(long, default_value_t = 9101, value_parser = clap::value_parser!(u16).range(..=65_528))]
    port: u16,
    /// Speak TLS, with a certificate made at start.
    #[arg(long)]
    tls: bool,
    /// What the simulated voice sounds like.
    #[arg(long, value_enum, default_value_t = VoiceKind::Flite)]
    voice: VoiceKind,
    /// Folder of recordings to recognise, with their manifest.tsv (file and transcript, tab-separated, below a header line). Default:
    /// the built-in ones.
    #[arg(long, value_name = "DIR")]
    fixtures: Option<PathBuf>,
    /// JSON file of what the model answers. Default: the demo's.
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,
    /// How long each result of the recogniser is held back.
    #[arg(long, value_name = "TIME", default_value = "0ms", value_parser = duration)]
    stt_delay: Duration,
    /// From a completion's request to its first token.
    #[arg(long, value_name = "TIME", default_value = "150ms", value_parser = duration)]
    llm_ttft: Duration,
    /// From one token to the next.
    #[arg(long, value_name = "TIME", default_value = "15ms", value_parser = duration)]
    llm_token_interval: Duration,
    /// From text to the voice's first audio.
    #[arg(long, value_name = "TIME", default_value = "120ms", value_parser = duration)]
    tts_first_byte: Duration,
    /// How much the model's and the voice's delays vary, as a share of them: 0 to 1.
    #[arg(long, default_value_t = 0.0)]
    jitter: f64,
    /// What the variation is drawn from.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Where the simulated Vonage asks what happens to calls and tells what becomes of them: a server's webhook, such as
    /// http://127.0.0.1:8080/webhooks/vonage. Default: nowhere, but where a request for a call says.
    #[arg(long, value_name = "URL")]
    vonage_webhook: Option<Url>,
    #[arg(long, value_name = "FAULT", help = fault::HELP)]
    fault: Vec<FaultArg>,
}

/// A voice of the simulated ElevenLabs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum VoiceKind {
    /// For people: CMU Flite (Debian package flite).
    Flite,
    /// For programs: two tones a character, which can be read back from a recording.
    Coded,
}

/// Why the simulators cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    #[error("{0}")]
    Voice(#[from] VoiceError),
    #[error("the recordings cannot be loaded: {0}")]
    Library(#[from] LibraryError),
    #[error("cannot read the model's answers {path}: {cause}")]
    RulesFile { path: PathBuf, cause: std::io::Error },
    #[error("the model's answers {path} are not valid: {cause}")]
    Rules { path: PathBuf, cause: serde_json::Error },
    #[error("--jitter is a share: 0 to 1")]
    Jitter,
}

impl Simulate {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let console = Console::stdout();
        let sims = Simulators::start(self.config().await?).await?;
        let ca_file = match sims.ca_pem() {
            None => None,
            Some(pem) => {
                let path = std::env::temp_dir().join(format!("trunkline-simulate-{}.pem", std::process::id()));
                tokio::fs::write(&path, pem).await?;
                Some(path)
            }
        };
        console.line(
            console.paint(
                Style::Dim,
                "# Eight simulated vendors are listening. For the shell that runs `trunkline serve`:",
            ),
        );
        for (name, value) in sims.environment() {
            console.line(format!("export {name}={value}"));
        }
        if let Some(path) = &ca_file {
            console.line(format!("export EXTRA_CA_FILE={}", path.display()));
        }
        for note in sims.notes() {
            console.line(console.paint(Style::Dim, &format!("# {note}")));
        }
        console.line(console.paint(Style::Dim, "# Ctrl-C ends them."));
        let _ = tokio::signal::ctrl_c().await;
        if let Some(path) = ca_file {
            // What is left behind is a certificate that nobody uses any more.
            let _ = tokio::fs::remove_file(path).await;
        }
        Ok(())
    }

    async fn config(self) -> Result<SimulatorConfig, SetupError> {
        if !(0.0..=1.0).contains(&self.jitter) {
            return Err(SetupError::Jitter);
        }
        let address = |index: u16| {
            let port = if self.port == 0 { 0 } else { self.port + index };
            SocketAddr::new(self.host, port)
        };
        Ok(SimulatorConfig {
            addresses: [0, 1, 2, 3, 4, 5, 6, 7].map(address),
            tls: self.tls,
            library: match &self.fixtures {
                None => library()?,
                Some(folder) => Arc::new(Library::load(folder)?),
            },
            voice: self.voice.open().await?,
            rules: self.rules()?,
            delays: Delays {
                stt: self.stt_delay,
                llm_ttft: self.llm_ttft,
                llm_token: self.llm_token_interval,
                tts_first_byte: self.tts_first_byte,
                jitter: self.jitter,
                seed: self.seed,
            },
            vonage_webhook: self.vonage_webhook.map(Into::into),
            faults: Faults::new(self.fault),
        })
    }

    fn rules(&self) -> Result<Rules, SetupError> {
        let (text, path) = match &self.rules {
            None => (DEMO_RULES.to_owned(), PathBuf::from("of the demo")),
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|cause| SetupError::RulesFile { path: path.clone(), cause })?;
                (text, path.clone())
            }
        };
        serde_json::from_str(&text).map_err(|cause| SetupError::Rules { path, cause })
    }
}

impl VoiceKind {
    /// Gets the voice ready, and makes it say a word: what is missing shows now, not in the middle of a call.
    pub(crate) async fn open(self) -> Result<Voice, VoiceError> {
        let voice = match self {
            Self::Flite => Voice::Flite(FliteVoice::new(FliteModel::Slt)),
            Self::Coded => Voice::Coded(CodedVoice::default()),
        };
        voice.speak("Hello.", trunkline_sim::audio::TELEPHONE_RATE).await?;
        Ok(voice)
    }
}
